"""The numbers of a bundle once more, by the code that made them: `stages.scoring`.

Clips, scores and features come from the bundle, metrics and protocols' classes from this installation alone:
a name of a plug-in's file is never looked up, and a metric that is not installed here is not computed. What
follows from its scores (means, errors, intervals, paired tests) is computed all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ...core import registry
from ...core.contracts import ClipMetric, Metric, SetMetric
from ...core.errors import MetricError, ReelbenchError
from ...core.records import FailureInfo
from ...core.tables import ClipRow, ScoreRow, SummaryRow, Tables
from ...core.types import Features
from ...metrics.build import build_extractor, build_metric
from ...metrics.protocol import Protocol
from ...reports.tables.run_tables import json_object, order_key
from ..measuring import Measuring, PlannedExtractor, counterpart
from ..scoring.costs import cost_rows
from ..scoring.observations import FeatureCell, Observation, Observations, System
from ..scoring.score import Recorded, score
from .reading import FeatureFile, Rows

CLIPS_AT_ONCE = 1024


@dataclass(frozen=True)
class Contents:
    """What a bundle holds, read.

    Attributes:
        tables: rows by the table's name; a table that is not there has no entry.
        features: by extractor; empty where they are not part of the bundle.
    """

    tables: Mapping[str, Rows]
    features: Mapping[str, FeatureFile]

    def rows(self, name: str) -> Rows:
        """The rows of a table, none where it is not there."""
        return self.tables.get(name, [])

    @property
    def run(self) -> dict[str, Any]:
        """The row of the table `runs`; empty where there is none."""
        return next(iter(self.rows("runs")), {})

    @property
    def run_data(self) -> dict[str, Any]:
        """The run file."""
        return json_object(self.run.get("run_file"))

    @property
    def weights(self) -> dict[str, str]:
        """Digests of weights as the table `runs` names them."""
        return {name: str(value) for name, value in json_object(self.run.get("weights")).items()}


@dataclass(frozen=True)
class Unit:
    """What one family of tests is over: a data set under a protocol."""

    dataset: str
    protocol: str
    digest: str

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of a table belongs to it."""
        return (row["dataset"], row["protocol"], row["protocol_digest"]) == (
            self.dataset,
            self.protocol,
            self.digest,
        )


@dataclass
class Rescored:
    """The numbers of a unit, computed again.

    Attributes:
        measuring: the metrics and extractors.
        tables: the rows that follow from the bundle.
        not_computed: by metric, why values of clips or of sets were not computed from features.
        sets: set metrics of which nothing was computed; None where their code is not here.
        stand_ins: clip metrics whose code is not here.
    """

    measuring: Measuring
    tables: Tables
    not_computed: dict[str, str]
    sets: dict[str, SetMetric | None]
    stand_ins: set[str]


def units_of(contents: Contents) -> list[Unit]:
    """Every data set under every protocol that some row was measured by."""
    found = {
        Unit(row["dataset"], row["protocol"], row["protocol_digest"])
        for name in ("summary", "scores", "comparisons", "curves")
        for row in contents.rows(name)
        if row["protocol"] and row["protocol_digest"]
    }
    return sorted(found, key=lambda unit: (unit.dataset, unit.protocol, unit.digest))


def rescore(contents: Contents, unit: Unit, protocol: Protocol | None) -> Rescored:
    """Score a unit again.

    Args:
        protocol: with the settings of the unit's digest; None where they are not known.
    """
    summary = [row for row in contents.rows("summary") if unit.holds(row)]
    recorded_scores = [_score_row(row) for row in contents.rows("scores") if unit.holds(row)]
    chosen = _Chosen(contents, protocol)
    chosen.choose(unit, summary, recorded_scores)
    measuring = Measuring(
        protocol or Protocol(name="unknown", version="0"),
        tuple(chosen.metrics),
        chosen.extractors,
        chosen.other_ways,
    )
    taken = {metric.name for metric in chosen.metrics if metric.name in chosen.not_computed}
    not_made = [
        row["p_value"]
        for row in contents.rows("comparisons")
        if unit.holds(row) and row["metric"] in chosen.sets and row["p_value"] is not None
    ]
    observations = _observations(contents, unit, summary, recorded_scores)
    generated = _generated(contents, unit, recorded_scores)
    lookup = Lookup(contents, unit, measuring)
    references = [
        clip_row(row)
        for row in contents.rows("clips")
        if row["side"] == "reference" and row["dataset"] == unit.dataset
    ]
    observations = replace(
        observations, references=tuple(Observation(row, lookup.of_reference(row)) for row in references)
    )
    chunks = (
        [
            Observation(row, lookup.of_generated(row), row.tune_key)
            for row in generated[start : start + CLIPS_AT_ONCE]
        ]
        for start in range(0, len(generated), CLIPS_AT_ONCE)
    )
    recorded = Recorded(
        scores=[row for row in recorded_scores if row.metric in taken], p_values={unit.dataset: not_made}
    )
    tables, _ = score(measuring, observations, chunks, recorded)
    tables.scores = [row for row in tables.scores if row.metric not in taken]
    return Rescored(measuring, tables, chosen.not_computed, chosen.sets, chosen.stand_ins)


def rescored_costs(contents: Contents, dataset: str) -> list[SummaryRow]:
    """The rows of cost of a data set, from the clips."""
    unit = Unit(dataset, "", "")
    summary = [row for row in contents.rows("summary") if row["dataset"] == dataset]
    observations = replace(
        _observations(contents, unit, summary, []),
        generated=tuple(Observation(row, {}, row.tune_key) for row in _generated(contents, unit, [])),
    )
    return cost_rows(observations)


def installed(name: str, kind: registry.Kind = "metrics") -> bool:
    """Whether a metric or extractor is one of this installation; a file that a bundle names is never."""
    return ".py" not in name and name in registry.names(kind)


class _Chosen:
    """The metrics of a unit: those of this installation, and stand-ins for clip metrics that it has not."""

    def __init__(self, contents: Contents, protocol: Protocol | None) -> None:
        self._contents, self._protocol = contents, protocol
        self.metrics: list[Metric] = []
        self.extractors: dict[str, PlannedExtractor] = {}
        self.other_ways: dict[str, PlannedExtractor] = {}
        """Those that reference clips go through in another way than generated ones."""
        self.not_computed: dict[str, str] = {}
        self.sets: dict[str, SetMetric | None] = {}
        self.stand_ins: set[str] = set()
        self._scores: Sequence[ScoreRow] = ()

    def choose(self, unit: Unit, summary: Rows, scores: Sequence[ScoreRow]) -> None:
        """Look at every metric that the run file asks for or the tables name."""
        self._scores = scores
        levels = {row["metric"]: row["level"] for row in summary} | {row.metric: "clip" for row in scores}
        asked = [name for name in _asked(self._contents.run_data, unit.dataset) if installed(name)]
        beside: set[str | None] = set()  # set metrics that are computed beside those that were asked for
        for name in dict.fromkeys([*asked, *(name for name in levels if name not in asked)]):
            if name in beside and name not in asked:
                continue
            built = self._build(name)
            if isinstance(built, SetMetric):
                beside.add(counterpart(built))
            self._add(name, built, levels.get(name), [row for row in summary if row["metric"] == name])

    def _add(self, name: str, built: Metric | str, level: str | None, summary: Rows) -> None:
        features = self._contents.features
        if isinstance(built, str):
            self.not_computed[name] = built
            if level == "set":
                self.sets[name] = None
            else:
                self.stand_ins.add(name)
                self.metrics.append(
                    _StandIn(name, summary[0] if summary else {}, _most_without_value(summary, self._scores))
                )
            return
        lacking = [role for role in built.needs if role not in features]
        if not lacking:
            self.metrics.append(built)
            return
        of = (
            f"the features {', '.join(lacking)} are not in the bundle" if features else "it holds no features"
        )
        self.not_computed[name] = of
        if not isinstance(built, SetMetric):
            self.metrics.append(built)  # from its recorded scores
            return
        self.sets[name] = built
        if (other := counterpart(built)) is not None and other not in self.sets:
            self.sets[other] = build_metric(other, self._protocol) if self._protocol is not None else None

    def _build(self, name: str) -> Metric | str:
        """The metric, its extractors added to the others; or why it cannot be built here."""
        if not installed(name):
            return "its code is not installed here (a plug-in)"
        if self._protocol is None:
            return "the settings of its protocol are not known"
        locations = self._contents.run_data.get("weights") or {}
        try:
            metric: Metric = build_metric(name, self._protocol)
            for role in metric.needs:
                if role not in self.extractors:
                    if not installed(role, "extractors"):
                        return f"its extractor {role!r:.60} is not installed here"
                    self.extractors[role], of_references = (
                        PlannedExtractor(
                            role, build_extractor(role, protocol, locations), self._weights(role)
                        )
                        for protocol in (self._protocol, self._protocol.of_references())
                    )
                    if of_references.config != self.extractors[role].config:
                        self.other_ways[role] = of_references
        except ReelbenchError as error:
            return f"it cannot be built here: {error.message}"
        return metric

    def _weights(self, role: str) -> dict[str, str]:
        prefix = f"{role}:"
        weights = self._contents.weights
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _asked(run_data: Mapping[str, Any], dataset: str) -> list[str]:
    """The metrics that the run file asks for on a data set."""
    entries = [entry for entry in run_data.get("datasets") or () if isinstance(entry, dict)]
    own = next((e.get("metrics") for e in entries if (e.get("label") or e.get("name")) == dataset), None)
    return [str(name) for name in own or run_data.get("metrics") or ()]


class _StandIn(ClipMetric):
    """A clip metric whose code is not here: its values are those that were recorded."""

    version = "recorded"
    needs = ()

    def __init__(self, name: str, row: Mapping[str, Any], most_without_value: int) -> None:
        super().__init__(None)
        # Of the instance: the class is shared by all of them.
        vars(self).update(
            name=name,
            label=row.get("label") or name,
            unit=row.get("unit") or "",
            higher_is_better=row.get("higher_is_better"),
            min_n=most_without_value + 1,
        )

    def compute(self, features: Mapping[str, Features]) -> float:
        raise MetricError(f"the code of {self.name} is not here")


def _most_without_value(summary: Rows, scores: Sequence[ScoreRow]) -> int:
    """The most scores that a metric made no mean of: its code says how few are too few, and is not here."""
    most = 0
    for row in summary:
        if row["value"] is None:
            mine = (s for s in scores if (s.metric, s.method) == (row["metric"], row["method"]))
            most = max(most, sum(s.value is not None and row["seed"] in (None, s.seed) for s in mine))
    return most


class Lookup:
    """The features of the clips of a unit."""

    def __init__(self, contents: Contents, unit: Unit, measuring: Measuring) -> None:
        self._features = contents.features
        self._prompt_roles = set(measuring.prompt_roles())
        roles = set(measuring.extractors)
        self._rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in contents.rows("features"):
            if (
                row["dataset"] == unit.dataset
                and row["protocol"] == unit.protocol
                and row["extractor"] in roles
            ):
                place = (row["side"], row["sample_id"], row["method"], row["seed"])
                self._rows.setdefault(place, []).append(row)

    def of_generated(self, clip: ClipRow) -> dict[str, FeatureCell]:
        """The features of a generated clip and of its prompt."""
        rows = [
            *self._rows.get(("prompt", clip.sample_id, None, None), ()),
            *self._rows.get(("generated", clip.sample_id, clip.method, clip.seed), ()),
        ]
        return {row["extractor"]: self._cell(row) for row in rows}

    def of_reference(self, clip: ClipRow) -> dict[str, FeatureCell]:
        """The features of a reference clip."""
        rows = self._rows.get(("reference", clip.sample_id, None, None), ())
        return {row["extractor"]: self._cell(row) for row in rows}

    def _cell(self, row: Mapping[str, Any]) -> FeatureCell:
        file = self._features.get(row["extractor"])
        values = file.get(row["feature_key"]) if file is not None and row["status"] == "done" else None
        failure = None
        if row["status"] == "failed":
            failure = FailureInfo(type=row["error_type"] or "", message=row["error_message"] or "")
        return FeatureCell(row["extractor"], row["feature_key"], row["content_digest"], values, failure)


def _observations(contents: Contents, unit: Unit, summary: Rows, scores: Sequence[ScoreRow]) -> Observations:
    """All but the clips: the systems in the order of the run file, and the seeds."""
    run_data = contents.run_data
    order = [
        str(e.get("label") or e.get("name")) for e in run_data.get("methods") or () if isinstance(e, dict)
    ]
    systems = {
        row["method"]: System(
            row["method"],
            row["method_name"],
            row["method_version"],
            row["method_config"],
            row["conditioning"],
        )
        for row in summary
    }
    seeds = run_data.get("seeds") or sorted({row.seed for row in scores})
    return Observations(
        run=str(contents.run.get("run") or next((row["run"] for row in summary), "")),
        systems=tuple(systems[label] for label in sorted(systems, key=lambda label: order_key(label, order))),
        splits={unit.dataset: next((row["split"] for row in summary), "")},
        seeds=tuple(seeds),
    )


def _generated(contents: Contents, unit: Unit, scores: Iterable[ScoreRow]) -> list[ClipRow]:
    """The rows of the generated clips; made from the scores where the bundle has no table of clips."""
    if "clips" in contents.tables:
        return [
            clip_row(row)
            for row in contents.rows("clips")
            if row["side"] == "generated" and row["dataset"] == unit.dataset
        ]
    found = {}
    for row in scores:
        found[row.method, row.sample_id, row.seed] = ClipRow(
            run=row.run, side="generated", method=row.method, dataset=row.dataset, split=row.split,
            sample_id=row.sample_id, source=row.source, edit=row.edit, seed=row.seed, clip_key="",
            status="done",
        )  # fmt: skip
    return list(found.values())


_CLIP_COLUMNS = [item.name for item in fields(ClipRow)]
_SCORE_COLUMNS = [item.name for item in fields(ScoreRow)]


def clip_row(row: Mapping[str, Any]) -> ClipRow:
    """The row of the table `clips` that a mapping holds."""
    return ClipRow(**{name: row[name] for name in _CLIP_COLUMNS})


def _score_row(row: Mapping[str, Any]) -> ScoreRow:
    return ScoreRow(**{name: row[name] for name in _SCORE_COLUMNS})
