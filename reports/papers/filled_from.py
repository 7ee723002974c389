"""The runs that a table is filled from: what each has for a column, and whether they can stand together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

from ...core.errors import StoreError
from ...core.run_folders import Results
from ..tables.build import COUNTED
from ..tables.measurement import DASH
from ..tables.run_tables import NUM_DIGEST_CHARACTERS, Row, RunTables, json_object
from .spec import SPEED_UP, TOTAL_PARAMETERS, ColumnSpec, CostSpec, TableError, TableSpec

_MOST_NAMED = 8
_WHAT_IS_COUNTED = (
    "parameters: the numbers in the weight files that a method loads, text encoder and autoencoder among "
    "them; what a tuning adds is not counted"
)


class Source:
    """A run that a table is filled from.

    Args:
        results: where its tables lie.
        dataset: label of the one data set that is looked at; "" for all.
        protocol: name of the one protocol that is looked at; "" for all.
    """

    def __init__(self, results: Results, dataset: str = "", protocol: str = "") -> None:
        self.results = results
        self.tables = RunTables(results.tables)
        self.name = ""
        self._dataset, self._protocol = dataset, protocol

    @cached_property
    def run(self) -> str:
        """The run's name in its run file."""
        return next((row["run"] for row in self.tables.summary if row["run"]), "") or self.results.folder.name

    @cached_property
    def summary(self) -> list[Row]:
        """What the summary has over all seeds."""
        return [
            row
            for row in self.tables.summary
            if self._dataset in ("", row["dataset"])
            and (row["level"] == "cost" or self._protocol in ("", row["protocol"] or ""))
        ]

    @cached_property
    def registered(self) -> dict[str, str]:
        """The registered names of its data sets, by label."""
        found = {}
        for row in self.optional("runs"):
            for entry in json_object(row["run_file"]).get("datasets") or ():
                if isinstance(entry, Mapping) and "name" in entry:
                    found[str(entry.get("label") or entry["name"])] = str(entry["name"])
        return found

    @cached_property
    def roots(self) -> dict[str, str]:
        """The folders of its data sets, by label, as far as the run file names them."""
        found = {}
        for row in self.optional("runs"):
            for entry in json_object(row["run_file"]).get("datasets") or ():
                root = (entry.get("config") or {}).get("root") if isinstance(entry, Mapping) else None
                if root:
                    found[str(entry.get("label") or entry.get("name"))] = str(root)
        return found

    @cached_property
    def places(self) -> dict[str, str]:
        """Where the weights of each role lie, as the run file says."""
        found: dict[str, str] = {}
        for row in self.optional("runs"):
            weights = json_object(row["run_file"]).get("weights")
            if isinstance(weights, Mapping):
                found |= {str(role): str(place) for role, place in weights.items()}
        return found

    @cached_property
    def base_models(self) -> dict[str, str]:
        """Where the pipeline of each method lies, by label; a method's recorded settings leave it out."""
        found = {}
        for row in self.optional("runs"):
            run_file = json_object(row["run_file"])
            roles = run_file.get("weights") or {}
            for entry in run_file.get("methods") or ():
                if isinstance(entry, Mapping) and "name" in entry:
                    role = (entry.get("config") or {}).get("weights", "pipeline")
                    place = roles.get(role, "" if role == "pipeline" else role)
                    found[str(entry.get("label") or entry["name"])] = str(place) or DASH
        return found

    @cached_property
    def signature(self) -> str:
        """What tells it from other runs: its name, the digest of what was run, when, and by which version."""
        row = next(iter(self.optional("runs")), None) or {}
        key, version = str(row.get("run_key") or ""), str(row.get("reelbench_version") or "")
        parts = [self.run, key and f"key {key[:NUM_DIGEST_CHARACTERS]}", version and f"Reelbench {version}"]
        return ", ".join(filter(None, parts))

    @cached_property
    def clips(self) -> list[Row]:
        """The rows of its clips; none where only its numbers were kept."""
        return self.optional("clips")

    @cached_property
    def scores(self) -> list[Row]:
        """The rows of its scores; none where only its numbers were kept."""
        return self.optional("scores")

    @cached_property
    def costs(self) -> list[Row]:
        """The summary's rows of cost."""
        return [row for row in self.summary if row["level"] == "cost"]

    def rows(self, column: ColumnSpec | CostSpec, spec: TableSpec) -> list[Row]:
        """The rows of the summary for a column: of one data set and one protocol.

        Raises:
            TableError: it has several and the table does not say which.
        """
        metric = "sampling_s" if column.metric == SPEED_UP else column.metric
        if metric == TOTAL_PARAMETERS:
            return [row for row in self._totals if self.is_of(row, spec.dataset)]
        found = [row for row in self.summary if metric and row["metric"] == metric]
        if isinstance(column, CostSpec):
            return [row for row in found if self.is_of(row, spec.dataset)]
        dataset = column.dataset or spec.dataset
        found = [row for row in found if self.is_of(row, dataset)]
        found = [row for row in found if column.protocol in ("", row["protocol"])]
        datasets = sorted({row["dataset"] for row in found})
        if len(datasets) > 1:
            which = (
                f"{dataset!r} is several" if dataset else "the table names no data set, and there are several"
            )
            raise TableError(
                f"{column.metric} of {self.run!r}: {which}: {', '.join(datasets)}",
                f"--dataset {datasets[0]}, or `dataset: {datasets[0]}` in the column",
            )
        protocols = sorted({row["protocol"] or "" for row in found})
        if len(protocols) > 1:
            raise TableError(
                f"{column.metric} of {self.run!r} is of several protocols: {', '.join(protocols)}",
                f"--protocol {protocols[0]}, or `protocol: {protocols[0]}` in the column",
            )
        return found

    @cached_property
    def _totals(self) -> list[Row]:
        """Rows of cost with the size of what each method loads, one for each method and data set."""
        counts: dict[str, int] = {}
        for row in self.optional("runs"):
            counts |= json_object(row["parameters"])
        about = {"metric": TOTAL_PARAMETERS, "label": "Parameters", "unit": COUNTED, "level": "cost",
                 "higher_is_better": False, "notes": _WHAT_IS_COUNTED, "references": None}  # fmt: skip
        nothing = dict.fromkeys(
            ("standard_error", "low", "high", "interval", "bias_corrected", "protocol", "protocol_digest",
             "n_reference", "signature")
        )  # fmt: skip
        first = {(row["method"], row["dataset"]): row for row in reversed(self.summary)}
        return [
            {**row, **nothing, **about, "value": float(counts[method]), "num_failures": 0, "coverage": 1.0}
            for (method, _), row in reversed(first.items())
            if method in counts
        ]

    def is_of(self, row: Row, dataset: str) -> bool:
        """Whether a row is of a data set, by registered name or label."""
        return bool(self._dataset) or dataset in ("", row["dataset"], self.registered.get(row["dataset"]))

    def optional(self, name: str) -> list[Row]:
        """The rows of a table; none where it was not kept.

        Raises:
            StoreError: it is there and cannot be read.
        """
        try:
            return self.tables.rows(name)
        except StoreError:
            if (self.results.tables / f"{name}.parquet").exists():
                raise
            return []

    def has(self) -> str:
        """What it has, in one line: metrics by data set and protocol."""
        found: dict[tuple[str, str], dict[str, None]] = {}
        for row in self.tables.summary:
            if row["level"] != "cost":
                key = row["dataset"], row["protocol"] or ""
                found.setdefault(key, {})[row["metric"]] = None
        texts = []
        for (dataset, _), names in found.items():
            metrics = list(names)
            shown = ", ".join([*metrics[:_MOST_NAMED], *(["..."] if metrics[_MOST_NAMED:] else [])])
            name = self.registered.get(dataset, dataset)
            texts.append(f"{shown} on {dataset}" + (f" ({name})" if name != dataset else ""))
        return "; ".join(texts) or "no measured value"


def named_apart(sources: Sequence[Source]) -> None:
    """Give each run a name of its own: that of the run file, with the results' id where two share it.

    Raises:
        TableError: the same results are named twice.
    """
    places = [source.results.tables.resolve() for source in sources]
    for source, place in zip(sources, places, strict=True):
        if places.count(place) > 1:
            raise TableError(f"the results of {source.run!r} are named twice", "name each run once")
    runs = [source.run for source in sources]
    for number, source in enumerate(sources, 1):
        is_alone = runs.count(source.run) == 1
        source.name = source.run if is_alone else f"{source.run}/{source.results.folder.name}"
        if not is_alone and [s.results.folder.name for s in sources].count(source.results.folder.name) > 1:
            source.name = f"{source.run} [{number}]"


def clip_sizes(source: Source, row: Row) -> tuple[str, ...]:
    """The sizes of the clips behind a row of cost: 16x256x256 (frames, height, width); none where unknown."""
    found = {
        f"{clip['num_frames']}x{clip['height']}x{clip['width']}"
        for clip in source.clips
        if (clip["side"], clip["method"], clip["dataset"], clip["status"])
        == ("generated", row["method"], row["dataset"], "done")
        and clip["num_frames"]
    }
    return tuple(sorted(found, key=lambda size: math.prod(map(int, size.split("x")))))
