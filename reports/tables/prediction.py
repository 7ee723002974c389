"""The table of text-video prediction: methods against FVD and KVD on every data set.

The shape of the papers' tables (Seer Table 1, FCA): a row for each method, FVD and KVD of each data set side
by side. One table for each protocol, since a protocol that measures the given frames along with the predicted
ones gives smaller values than one that leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...core.tables import read_table
from .comparison import NUM_DIGEST_CHARACTERS, all_seeds_rows, load_comparisons, load_method_order
from .groups import Column, Group, build_columns, group_facts, method_groups, rows_by_cell
from .lead import Row
from .notes import Footnotes, section_facts
from .prediction_data import PredictionData, prediction_data

PREDICTION_METRICS = ("fvd", "kvd")
"""The metrics of the table, in its order."""


@dataclass(frozen=True)
class PredictionTable:
    """The data sets of prediction of a run, under one protocol.

    Attributes:
        title: "protocol seer".
        data: the data sets, in the order of the columns.
        columns: for each data set its metrics.
        groups: the methods by what they saw.
        shows_n: whether n and coverage are columns (they are not where all methods have all clips).
        facts: (name, text) lines to print under the table.
        footnotes: the texts of marks 1, 2, ...
    """

    title: str
    data: tuple[PredictionData, ...]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    shows_n: bool
    facts: tuple[tuple[str, str], ...]
    footnotes: tuple[str, ...]


def load_prediction_tables(tables_folder: Path) -> tuple[PredictionTable, ...]:
    """The prediction tables of the run whose Parquet tables lie in `tables_folder`; none where nothing is
    predicted.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    summary, runs = (read_table(tables_folder, name).to_pylist() for name in ("summary", "runs"))
    return build_prediction_tables(
        summary, runs, load_method_order(tables_folder), load_comparisons(tables_folder)
    )


def build_prediction_tables(
    summary: Iterable[Row],
    runs: Iterable[Row],
    method_order: Sequence[str] = (),
    comparisons: Iterable[Row] = (),
) -> tuple[PredictionTable, ...]:
    """The prediction tables of a run, one for each protocol.

    Args:
        summary, runs: rows of the run's tables.
        method_order: methods in the order to show among those that saw the same; the others follow by name.
        comparisons: rows of the `comparisons` table, which say what may be marked.

    Raises:
        ValueError: two all-seeds rows claim the same cell.
    """
    data = prediction_data(runs)
    labels = [item.label for item in data]
    protocols: dict[tuple[str, str], list[Row]] = {}
    for row in all_seeds_rows(summary):
        if row["metric"] in PREDICTION_METRICS and row["dataset"] in labels:
            key = (row["protocol"] or "", row["protocol_digest"] or "")
            protocols.setdefault(key, []).append(row)
    tests: dict[tuple[str, str], list[Row]] = {}
    for row in comparisons:
        tests.setdefault((row["protocol"] or "", row["protocol_digest"] or ""), []).append(row)
    return tuple(
        _table(key, data, rows, method_order, tests.get(key, ())) for key, rows in sorted(protocols.items())
    )


def _table(
    key: tuple[str, str],
    data: Sequence[PredictionData],
    rows: Sequence[Row],
    method_order: Sequence[str],
    comparisons: Iterable[Row],
) -> PredictionTable:
    parts = [(item, _ordered([row for row in rows if row["dataset"] == item.label])) for item in data]
    parts = [(item, mine) for item, mine in parts if mine]
    # Under the name of its data set, a metric is a column of its own.
    named = [
        {**row, "metric": f"{item.label} {row['metric']}", "label": f"{item.label} {row['label']}"}
        for item, mine in parts
        for row in mine
    ]
    tests = [{**row, "metric": f"{row['dataset']} {row['metric']}"} for row in comparisons]
    footnotes = Footnotes()
    columns = build_columns(named, footnotes)
    by_cell = rows_by_cell(named, f"protocol {key[0]!r}")
    groups = method_groups(by_cell, columns, method_order, footnotes, tests)
    return PredictionTable(
        title=f"protocol {key[0] or '(none)'}",
        data=tuple(item for item, _ in parts),
        columns=columns,
        groups=groups,
        shows_n=any(counts_differ(mine) for _, mine in parts),
        facts=(*group_facts(columns, groups), *prediction_facts(key, parts)),
        footnotes=footnotes.texts,
    )


def _ordered(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: PREDICTION_METRICS.index(row["metric"]))


def counts_differ(rows: Sequence[Row]) -> bool:
    """Whether n and coverage have to be columns, for rows of one data set."""
    return len({row["n"] for row in rows}) > 1 or any((row["coverage"] or 0) < 1 for row in rows)


def prediction_facts(
    key: tuple[str, str], parts: Sequence[tuple[PredictionData, Sequence[Row]]]
) -> tuple[tuple[str, str], ...]:
    """(name, text) lines: the protocol, which frames are measured, and of each data set what was given and
    how much was measured.

    Args:
        key: name and digest of the protocol.
        parts: each data set with its rows of the summary.
    """
    every = [row for _, rows in parts for row in rows]
    facts = [("Protocol", f"{key[0] or '(none)'} ({key[1][:NUM_DIGEST_CHARACTERS]})")]
    measured = next((text for row in every if (text := measured_frames(row["signature"]))), "")
    if measured:
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
    return tuple(facts)


def measured_frames(signature: str | None) -> str:
    """Which frames a signature says are measured, in words; "" where it does not say."""
    parts = signature_parts(signature)
    texts = {
        "keep": "those that were given are among them, equal on both sides where a method shows them, which "
        "improves every value without any merit of the method",
        "drop": "those that were given are left out on both sides",
    }
    if "frames" not in parts or parts.get("context") not in texts:
        return ""
    rate = f" ({parts['rate']})" if "rate" in parts else ""
    return f"{parts['frames']} of a clip{rate}; {texts[parts['context']]}"


def signature_parts(signature: str | None) -> Mapping[str, str]:
    """The `key:value` parts of a signature."""
    pairs = (part.partition(":") for part in (signature or "").split("|"))
    return {key: value for key, colon, value in pairs if colon}
