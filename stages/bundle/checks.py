"""Whether the numbers of a bundle follow from what is in it: `verify_bundle`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.bundles import Manifest, Unpacked, opened
from ...core.errors import MetricError, ReelbenchError
from ...core.statistics import holm
from ...core.tables import SCHEMAS
from ...metrics.protocol import Protocol
from .agreement import COMPARISONS, CURVES, SCORES, SUMMARY, Agreement, compare
from .cards import differing_settings, from_card, shipped
from .contents import protocols_in
from .facts import check_facts, read_record_of, untold_methods
from .keys import check_feature_keys, check_score_keys, check_signatures
from .reading import FeatureFile, Rows, UnreadableError, read_features, read_json, read_rows
from .rescoring import Contents, Rescored, Unit, rescore, rescored_costs, units_of


@dataclass(frozen=True)
class Verified:
    """What came of verifying a bundle.

    Attributes:
        manifest: what it says of itself.
        num_members: that were looked at.
        agreement: what agrees and what does not.
    """

    manifest: Manifest
    num_members: int
    agreement: Agreement

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found that does not agree."""
        return not self.agreement.num_findings


def verify_bundle(place: Path, advanced: Callable[[str], None] = lambda _: None) -> Verified:
    """Check the members of a bundle, and compute its numbers again.

    Args:
        place: the zip file, or the folder that it was unpacked into.
        advanced: is called with what is done next.

    Raises:
        NoBundleError: it is none.
    """
    advanced("members")
    with opened(place) as unpacked:
        result = Agreement()
        for name, fault in unpacked.faults.items():
            result.add("member", name, fault)
        contents = _read(unpacked, result)
        check_facts(unpacked, contents, result)
        protocols = _protocols(unpacked, contents, result)
        is_comparable = "summary" in contents.tables
        if is_comparable and untold_methods(contents, read_record_of(unpacked)):
            is_comparable = False
            result.not_checked.append("all numbers: they hang on methods that the summary does not have")
        for unit in units_of(contents) if is_comparable else ():
            advanced(f"{unit.dataset}, {unit.protocol}")
            try:
                rescored = rescore(contents, unit, protocols.get((unit.protocol, unit.digest)))
                _compare_unit(contents, unit, rescored, result)
            except (Exception, SystemExit) as error:  # rows can hold what no run writes
                what = f"its tables hold what no run writes, and cannot be scored again: {_words(error)}"
                result.add("summary", f"{unit.dataset}, {unit.protocol}", what[:300])
        try:
            if is_comparable:
                _compare_costs(contents, result)
        except Exception as error:  # as above
            what = f"the tables hold what no run writes, and they cannot be computed again: {_words(error)}"
            result.add("summary", "costs", what[:300])
        num_members = len(unpacked.manifest.members) + 1
    return Verified(unpacked.manifest, num_members, result)


def _read(unpacked: Unpacked, result: Agreement) -> Contents:
    """The tables and features that can be read."""
    tables: dict[str, Rows] = {}
    features: dict[str, FeatureFile] = {}
    for name in sorted(unpacked.manifest.members):
        path = unpacked.folder / name
        if not path.is_file():
            continue
        try:
            table = name.removeprefix("tables/").removesuffix(".parquet")
            if name.startswith("tables/") and table in SCHEMAS:
                tables[table] = read_rows(path, table)
            elif name.startswith("features/"):
                file, wrong = read_features(path)
                features[file.extractor] = file
                for key in wrong:
                    result.add("feature", f"{file.extractor}, {key[:16]}", "does not match its digest")
        except (UnreadableError, OSError) as error:
            if name not in unpacked.faults:
                result.add("member", name, getattr(error, "message", str(error)))
    if "summary" not in tables:
        result.not_checked.append("all numbers: there is no summary that can be read")
    _name_features(tables.get("features", []), features, result)
    return Contents(tables, features)


def _name_features(rows: Rows, features: Mapping[str, FeatureFile], result: Agreement) -> None:
    """Features that are lacking; and in place of a key, which clip's feature it is."""
    clip_of = {}
    for row in rows:
        parts = (row["extractor"], row["side"], row["method"], row["dataset"], row["sample_id"])
        named = ", ".join(str(part) for part in parts if part)
        clip_of[f"{row['extractor']}, {str(row['feature_key'])[:16]}"] = named
        file = features.get(row["extractor"])
        if file is not None and row["status"] == "done" and row["feature_key"] not in file.index:
            result.add("feature", named, "is not in the bundle, and its table says that it is done")
    result.findings = [
        type(f)(f.kind, clip_of.get(f.where, f.where), f.what) if f.kind == "feature" else f
        for f in result.findings
    ]


def _protocols(unpacked: Unpacked, contents: Contents, result: Agreement) -> dict[tuple[str, str], Protocol]:
    """The protocols by name and digest, of those whose settings are known and have that digest."""
    cards: dict[str, list[Protocol]] = {}
    for name in sorted(unpacked.manifest.members):
        if name.startswith("protocols/"):
            try:
                if (unpacked.folder / name).is_file():
                    protocol = from_card(read_json(unpacked.folder / name))
                    cards.setdefault(protocol.name, []).append(protocol)
            except ReelbenchError as error:
                result.add("protocol", name, error.message[:300])
    found: dict[tuple[str, str], Protocol] = {}
    for name, digest in protocols_in(contents.tables):
        mine = cards.get(name, [])
        known = next((protocol for protocol in mine if protocol.digest == digest), None)
        ours = shipped(name, digest)
        if known is not None:
            result.checked.append(f"protocol {name} ({digest[:12]}): its digest follows from its settings")
        elif mine:
            what = f"its card's settings have the digest {mine[0].digest[:12]}, the tables say {digest[:12]}"
            differing = differing_settings(mine[0], ours) if ours is not None else []
            result.add("protocol", name, "; ".join([what, *differing[:10]]))
        if known is None and ours is not None and mine:
            # What the digest does not cover is the card's.
            rate = {"generated_rate": mine[0].sampling.generated_rate}
            ours = ours.model_copy(update={"sampling": ours.sampling.model_copy(update=rate)})
        if (settings := known or ours) is not None:
            found[name, digest] = settings
    return found


def _compare_unit(contents: Contents, unit: Unit, rescored: Rescored, result: Agreement) -> None:
    """Every row of a data set under a protocol."""
    sets, stand_ins, not_computed = rescored.sets, rescored.stand_ins, rescored.not_computed
    for metric, why in not_computed.items():
        result.not_computed[metric, "all of it" if metric in sets else "values of clips"] = why
    recorded = {
        name: [row for row in contents.rows(name) if unit.holds(row)]
        for name in ("scores", "summary", "comparisons", "curves")
    }
    computed = {name: [vars(row) for row in getattr(rescored.tables, name)] for name in recorded}
    scales = _scales(recorded["summary"])
    is_reduced = not contents.run.get("run_key")
    has_clips, has_weights = "clips" in contents.tables, bool(contents.weights)

    def left_out(row: Mapping[str, Any]) -> Sequence[str]:
        columns: list[str] = []
        if row["metric"] in stand_ins:
            columns += ["signature", "score_key"]
            if "notes" in row and row.get("value", 0) is None:  # its code knows how few are too few
                columns.append("notes")
                result.not_computed[row["metric"], "values that are not there"] = not_computed[row["metric"]]
        columns += ["score_key", "error_message"] if is_reduced else []
        return [*columns, *([] if has_clips else ["num_failures", "coverage"])]

    for how, unseen in ((SCORES, not_computed), (SUMMARY, sets), (COMPARISONS, sets), (CURVES, sets)):
        if how.table in contents.tables:
            rows = [row for row in recorded[how.table] if row["metric"] not in unseen]
            ours = [row for row in computed[how.table] if row["metric"] not in unseen]
            compare(how, rows, ours, scales, result, left_out, has_weights)
    _check_holm(recorded["comparisons"], sets, result)
    check_signatures(recorded["summary"], rescored, result, has_weights)
    check_feature_keys(contents, unit, rescored, result)
    check_score_keys(contents, unit, rescored, recorded["scores"], result)


_COSTS_LEFT_OUT: Mapping[bool, Sequence[str]] = {True: (), False: ("num_failures", "coverage")}
"""By whether all clips are there: which tuning a missing clip asks for, no table says."""


def _compare_costs(contents: Contents, result: Agreement) -> None:
    """What clips took, from the table of clips."""
    costs = [row for row in contents.rows("summary") if row["level"] == "cost"]
    if "clips" not in contents.tables:
        for metric in dict.fromkeys(row["metric"] for row in costs):
            result.not_computed[metric, "all of it"] = "the bundle has no table of clips"
        return
    is_whole = all(row["status"] == "done" for row in contents.rows("clips") if row["side"] == "generated")
    for dataset in dict.fromkeys(row["dataset"] for row in costs):
        recorded = [row for row in costs if row["dataset"] == dataset]
        computed = [vars(row) for row in rescored_costs(contents, dataset)]
        compare(SUMMARY, recorded, computed, _scales(recorded), result, lambda _: _COSTS_LEFT_OUT[is_whole])


def _words(error: BaseException) -> str:
    return f"{error.args[0]!r} is not there" if isinstance(error, KeyError) and error.args else str(error)


def _scales(summary: Rows) -> dict[str, float]:
    scales: dict[str, float] = {}
    for row in summary:
        if row["value"] is not None:
            scales[row["metric"]] = max(scales.get(row["metric"], 0.0), abs(row["value"]))
    return scales


def _check_holm(comparisons: Rows, of_sets: Mapping[str, object], result: Agreement) -> None:
    """Holm's correction of comparisons that are not computed again, from their p-values."""
    rows = [row for row in comparisons if row["p_value"] is not None]
    try:
        adjusted = holm([row["p_value"] for row in rows])
    except MetricError as error:
        result.add("comparisons", "Holm's correction", error.message[:200])
        return
    for row, p_holm in zip(rows, adjusted, strict=True):
        if row["metric"] in of_sets:
            is_same = row["p_holm"] == p_holm
            count = result.count(row["metric"], "Holm's correction")
            count.exact += is_same
            count.differ += not is_same
            if not is_same:
                where = f"{row['metric']}, {row['method_a']}, {row['method_b']}, {row['dataset']}"
                result.add(
                    "comparisons", where, f"p_holm: recorded {row['p_holm']!r}, from the p-values {p_holm!r}"
                )
