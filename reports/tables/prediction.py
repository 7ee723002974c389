"""The table of text-video prediction: methods against FVD and KVD on every data set.

The shape of the papers' tables (Seer Table 1, FCA): a row for each method, FVD and KVD of each data set side
by side. Values of different protocols never share a table: they are smaller where the given frames are
measured, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...core import registry
from ...core.errors import ReelbenchError
from .build import PartRows, method_table
from .comparison import counts_differ, section_facts
from .method_table import MethodTable
from .run_tables import Row, RunTables, json_object, protocol_text

_METRICS_OF = {
    "": ("fvd_others", "kvd_others"),
    ", own references as in the papers": ("fvd", "kvd"),
}
"""The metrics of the tables, in their order, by what the titles say of them."""

PREDICTION_METRICS = tuple(name for names in _METRICS_OF.values() for name in names)

_GIVEN_FRAMES = {
    "keep": "those that were given are among them, equal on both sides where a method shows them, which "
    "improves every value without any merit of the method",
    "drop": "those that were given are left out on both sides",
}
"""What `context` in a signature means."""


@dataclass(frozen=True)
class PredictionData:
    """A data set of a run whose methods are given the first frames of a clip.

    Attributes:
        label: how the run's tables call it.
        name: its registered name.
        num_given: how many frames are given.
    """

    label: str
    name: str
    num_given: int


def prediction_data(runs: Iterable[Row]) -> tuple[PredictionData, ...]:
    """The data sets of prediction, in the order of the run file.

    Args:
        runs: rows of the `runs` table.
    """
    found = {}
    for run in runs:
        for entry in json_object(run["run_file"]).get("datasets") or ():
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                continue
            if num_given := _num_given(entry["name"], dict(entry.get("config") or {})):
                label = entry.get("label") or entry["name"]
                found[label] = PredictionData(label, entry["name"], num_given)
    return tuple(found.values())


def _num_given(name: str, given: dict[str, Any]) -> int:
    """How many frames a data set gives, 0 where nothing is predicted."""
    try:
        # A run file holds what was set; what was not is known to the class.
        config = registry.get("datasets", name).Config.model_validate(given)
        return int(getattr(config, "num_context_frames", 0))
    except (ReelbenchError, ImportError, AttributeError, ValueError):
        number = given.get("num_context_frames", 0)
        return number if isinstance(number, int) else 0


def prediction_tables(run: RunTables) -> tuple[MethodTable, ...]:
    """The prediction tables of a run; none where nothing is predicted. Of each protocol one against the
    references of other clips, by which methods are told apart, and one as the papers print it.

    Raises:
        StoreError: a table is missing or cannot be read.
        ValueError: two all-seeds rows claim the same cell.
    """
    data = prediction_data(run.rows("runs"))
    rows_of: dict[tuple[tuple[str, str], str], dict[str, list[Row]]] = {}
    for about, metrics in _METRICS_OF.items():
        rows = [row for row in run.summary if row["metric"] in metrics]
        for row in sorted(rows, key=lambda row: metrics.index(row["metric"])):
            key = (row["protocol"] or "", row["protocol_digest"] or "")
            rows_of.setdefault((key, about), {}).setdefault(row["dataset"], []).append(row)
    tables = []
    for (key, about), by_dataset in sorted(rows_of.items()):
        parts = [(item, by_dataset[item.label]) for item in data if item.label in by_dataset]
        if parts:
            tests = [row for other, rows in run.comparisons.items() if other[2:] == key for row in rows]
            tables.append(_table(key, about, parts, run.method_order, tests))
    return tuple(tables)


def _table(
    key: tuple[str, str],
    about: str,
    parts: Sequence[tuple[PredictionData, Sequence[Row]]],
    method_order: Sequence[str],
    comparisons: Iterable[Row],
) -> MethodTable:
    # Under the name of its data set, a metric is a column of its own.
    rows = [
        {**row, "metric": f"{item.label} {row['metric']}", "label": f"{item.label} {row['label']}"}
        for item, mine in parts
        for row in mine
    ]
    tests = [{**row, "metric": f"{row['dataset']} {row['metric']}"} for row in comparisons]
    return method_table(
        f"protocol {key[0] or '(none)'}{about}",
        key[0],
        [PartRows(rows, tests)],
        method_order,
        shows_n=any(counts_differ(mine) for _, mine in parts),
        facts=prediction_facts(key, parts),
    )


def prediction_facts(
    key: tuple[str, str], parts: Sequence[tuple[PredictionData, Sequence[Row]]]
) -> list[tuple[str, str]]:
    """(name, text) lines: the protocol, which frames are measured, and of each data set what was given and
    how much was measured.

    Args:
        key: name and digest of the protocol.
        parts: each data set with its rows of the summary.
    """
    facts = [("Protocol", protocol_text(*key))]
    every = [row for _, rows in parts for row in rows]
    if measured := next((text for row in every if (text := measured_frames(row["signature"]))), ""):
        facts.append(("Frames", measured))
    intervals: dict[str, None] = {}
    for item, rows in parts:
        told = dict(section_facts(*key, rows))
        intervals |= dict.fromkeys(filter(None, [told.get("Intervals")]))
        given = f"{item.num_given} {'frame' if item.num_given == 1 else 'frames'} given"
        texts = [rows[0]["split"] or "", given, told.get("Samples", "")]
        if references := told.get("Reference clips"):
            texts.append(f"{references} reference clips")
        facts.append((item.label, "; ".join(filter(None, texts))))
    if intervals:
        facts.append(("Intervals", "; ".join(intervals)))
    return facts


def measured_frames(signature: str | None) -> str:
    """Which frames a signature says are measured, in words; "" where it does not say."""
    parts = signature_parts(signature)
    if "frames" not in parts or parts.get("context") not in _GIVEN_FRAMES:
        return ""
    rate = f" ({parts['rate']})" if "rate" in parts else ""
    return f"{parts['frames']} of a clip{rate}; {_GIVEN_FRAMES[parts['context']]}"


def signature_parts(signature: str | None) -> Mapping[str, str]:
    """The `key:value` parts of a signature."""
    pairs = (part.partition(":") for part in (signature or "").split("|"))
    return {key: value for key, colon, value in pairs if colon}
