"""A table of methods from rows of the summary.

Methods stand in groups by what they saw, and the best value is marked within a group only, by the rule of
`lead`: a method that saw the reference video is not ranked against one that read the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ...core.types import Conditioning, saw_its_reference
from .lead import OWN_LABEL, UNRANKED, PairedTests, counted_lead, lead_facts, measured_lead, too_few
from .measurement import finite, format_count, format_measurement, is_value
from .method_table import Column, Group, Lead, MethodRow, MethodTable, TablePart, ValueCell
from .run_tables import Row, order_key

COUNTED = "parameters"
"""Unit of a cost that is a count: it is written as one, and may be ranked. Every other cost (seconds, memory)
depends on what else the machine did, so it is neither ranked nor given a better direction."""

_MISSING_COST = {
    "tuning_s": "nothing is tuned on the references",
    "tuning_memory_gib": "nothing is tuned on the references",
    "trainable_parameters": "no number of trained parameters is recorded",
}


OWN_NOTE = "own references: the clips were made from a part of the references that they are held against"


class Footnotes:
    """Numbered notes in order of first use; the same text keeps one number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """The notes, the first one being number 1."""
        return tuple(self._numbers)

    def marks(self, texts: Iterable[str]) -> tuple[int, ...]:
        """The numbers of `texts`, which are added where they are new."""
        return tuple(
            sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts if text})
        )


@dataclass(frozen=True)
class PartRows:
    """What a part of a table is built of.

    Attributes:
        rows: of the summary, or with its columns.
        comparisons: rows of the `comparisons` table of the same data set and protocol, with the metric names
            of `rows`; without the test of a pair neither of the two is marked.
        title, count: see `TablePart`.
    """

    rows: Sequence[Row]
    comparisons: Iterable[Row] = ()
    title: str = ""
    count: str = ""


def method_table(
    title: str,
    protocol: str,
    parts: Sequence[PartRows],
    method_order: Sequence[str],
    *,
    shows_n: bool,
    facts: Iterable[tuple[str, str]],
    settings: tuple[str, ...] = (),
    values: Mapping[str, tuple[str, ...]] | None = None,
) -> MethodTable:
    """A table of some rows, its columns in their order.

    Args:
        title, protocol, shows_n, settings, values: see `MethodTable`.
        method_order: methods in the order to show within a group; the others follow by name.
        facts: printed after those about what is not marked.

    Raises:
        ValueError: two rows claim the same cell.
    """
    footnotes = Footnotes()
    columns = _columns([row for part in parts for row in part.rows], footnotes)
    built = tuple(
        TablePart(_groups(title, part, columns, method_order, footnotes), part.title, part.count)
        for part in parts
    )
    leads = [group.leads for part in built for group in part.groups]
    columns = tuple(
        replace(column, marks=tuple(sorted({*column.marks, *(m for lead in of for m in lead.marks)})))
        for column, *of in zip(columns, *leads, strict=True)
    )
    return MethodTable(
        title=title,
        protocol=protocol,
        columns=columns,
        parts=built,
        shows_n=shows_n,
        facts=(*lead_facts(columns, built[0].groups), *facts),
        footnotes=footnotes.texts,
        settings=settings,
        values=values or {},
    )


def why_missing(row: Row | None, metric: str = "") -> str:
    """Why a cell has no value, in one line.

    Args:
        row: of the summary, None where there is none.
        metric: the column's.
    """
    if row is None:
        return _MISSING_COST.get(metric, "not computed for this method")
    parts = note_lines(row) or (["undefined"] if row["value"] is not None else ["no value"])
    if row["num_failures"]:
        parts.append(f"{row['num_failures']} clips without a value")
    elif is_value(row["coverage"]) and row["coverage"] < 1:
        parts.append(f"coverage {row['coverage']:.0%}")
    return "; ".join(parts)


def note_lines(row: Row) -> list[str]:
    """The notes of a row: one on each line."""
    return [line.strip() for line in (row["notes"] or "").splitlines() if line.strip()]


def _columns(rows: Sequence[Row], footnotes: Footnotes) -> tuple[Column, ...]:
    """A column for each metric of the rows, in order; notes that all its rows share stand at the heading."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(row["metric"], []).append(row)
    columns = []
    for metric, (row, *others) in members.items():
        notes = [note_lines(one) for one in (row, *others) if is_value(one["value"])]
        shared = [line for line in notes[0] if all(line in other for other in notes)] if notes[1:] else []
        is_cost = row["level"] == "cost"
        higher_is_better = None if is_cost and row["unit"] != COUNTED else row["higher_is_better"]
        label = row["label"] or metric
        measured = {references_of(one) for one in (row, *others) if is_value(one["value"])}
        references = measured.pop() if len(measured) == 1 else ""
        if references == "own":
            label += OWN_LABEL
        # The papers' tables give no units for quality; the unit of a cost is the half of it.
        unit = f" ({row['unit']})" if is_cost and row["unit"] else ""
        arrow = "" if higher_is_better is None else " ↑" if higher_is_better else " ↓"
        columns.append(
            Column(
                metric=metric,
                label=label,
                heading=f"{label}{unit}{arrow}",
                higher_is_better=higher_is_better,
                level=row["level"] or "",
                references=references,
                has_corrected=any(_corrected(one) for one in (row, *others)),
                marks=footnotes.marks(shared),
            )
        )
    return tuple(columns)


def _groups(
    title: str, part: PartRows, columns: Sequence[Column], method_order: Sequence[str], footnotes: Footnotes
) -> tuple[Group, ...]:
    """The methods in groups by what they saw, from least to most."""
    cells: dict[str, dict[str, dict[str, Row]]] = {}
    for row in part.rows:
        of_method = cells.setdefault(row["conditioning"] or "", {}).setdefault(row["method"], {})
        if row["metric"] in of_method:
            cell = (row["conditioning"] or "", row["method"], row["metric"])
            raise ValueError(f"two all-seeds rows for {cell} on {title}: expected one")
        of_method[row["metric"]] = row
    tests = PairedTests(part.comparisons)
    known = [str(member) for member in Conditioning]
    groups = []
    for conditioning in sorted(cells, key=lambda name: order_key(name, known)):
        methods = dict(sorted(cells[conditioning].items(), key=lambda item: order_key(item[0], method_order)))
        leads = tuple(column_lead(column, methods, tests, footnotes) for column in columns)
        rows = tuple(_method_row(method, of, columns, leads, footnotes) for method, of in methods.items())
        groups.append(Group(conditioning or "(not stated)", rows, leads))
    return tuple(groups)


def column_lead(
    column: Column, methods: Mapping[str, Mapping[str, Row]], tests: PairedTests, footnotes: Footnotes
) -> Lead:
    """Who leads a column within one conditioning.

    Args:
        methods: the rows of each method by metric.
    """
    found = {method: of.get(column.metric) for method, of in methods.items()}
    rows = {method: row for method, row in found.items() if row is not None and is_value(row["value"])}
    values = {method: row["value"] for method, row in rows.items()}
    if column.level == "set" and any(references_of(row) == "own" for row in rows.values()):
        return Lead(is_own=True)
    if len(rows) < 2 or column.higher_is_better is None:
        return UNRANKED
    if column.level == "cost":
        # A method whose number is not recorded may have the fewest.
        return counted_lead(values, {m: _text(row) for m, row in rows.items()}) if rows == found else UNRANKED
    if column.level == "set" and len({(row["n"], row["n_reference"]) for row in rows.values()}) > 1:
        note = f"{column.label}: depends on the number of samples, which differs: no best marked"
        return Lead(marks=footnotes.marks([note]))
    ranked = without_bias(rows.values()) or list(values.values())
    lead_values = dict(zip(rows, ranked, strict=True))
    lead = measured_lead(column.metric, column.higher_is_better, lead_values, tests)
    coverages = {method: row["coverage"] or 0.0 for method, row in rows.items()}
    if any(coverages[method] < max(coverages.values()) for method in lead.marked):
        note = f"{column.label}: what would be marked is of fewer clips than others have: no best marked"
        return replace(lead, marked=(), marks=footnotes.marks([note]))
    warn_below = max(row.get("warn_below_n") or 0 for row in rows.values())
    counts = [row[name] for row in rows.values() for name in ("n", "n_reference")]
    few = too_few(warn_below, *counts)
    return replace(lead, marked=(), too_few=few) if few else lead


def _method_row(
    method: str,
    rows: Mapping[str, Row],
    columns: Sequence[Column],
    leads: Sequence[Lead],
    footnotes: Footnotes,
) -> MethodRow:
    cells = []
    for column, lead in zip(columns, leads, strict=True):
        row = rows.get(column.metric)
        if row is None or not is_value(row["value"]):
            marks = footnotes.marks([why_missing(row, column.metric)])
            cells.append(ValueCell(format_measurement(None), marks=marks))
            continue
        notes = note_lines(row)
        if references_of(row) == "own" and column.references != "own":
            notes.append(OWN_NOTE)
        marks = tuple(mark for mark in footnotes.marks(notes) if mark not in column.marks)
        numbers = {name: finite(row[name]) for name in ("value", "standard_error", "low", "high")}
        is_best = method in lead.marked
        cells.append(
            ValueCell(_text(row), **numbers, corrected=_corrected(row), is_best=is_best, marks=marks)
        )
    measured = [row for row in rows.values() if row["level"] != "cost"]
    counts = [row["n"] for row in measured if row["n"] is not None]
    coverages = [row["coverage"] for row in measured if is_value(row["coverage"])]
    return MethodRow(method, tuple(cells), span(counts), _percents(coverages))


def _text(row: Row) -> str:
    if row["unit"] == COUNTED:
        return format_count(row["value"])
    return format_measurement(row["value"], row["standard_error"])


def references_of(row: Row) -> str:
    """ "own", "others" or "": whose references a set metric's clips were held against."""
    if given := row.get("references"):
        return str(given)
    # Tables made before this was recorded.
    return "own" if row["level"] == "set" and saw_its_reference(row["conditioning"] or "") else ""


def without_bias(rows: Iterable[Row]) -> list[float]:
    """The values without their estimated bias, by which a set metric is ranked; empty where one has none."""
    rows = list(rows)
    return [row["bias_corrected"] for row in rows] if all(map(_has_correction, rows)) else []


def _has_correction(row: Row) -> bool:
    """Whether a set metric's estimated bias may be taken out of its value: not where it has no interval,
    since the correction is known to fall short there."""
    has_one = row["level"] == "set" and is_value(row.get("bias_corrected"))
    return has_one and not (row.get("interval") or "none").startswith("none")


def _corrected(row: Row) -> str:
    """The value without its estimated bias; "" where there is none or it reads the same."""
    if not _has_correction(row):
        return ""
    text = format_measurement(row["bias_corrected"], row["standard_error"]).partition(" ")[0]
    return text if text != _text(row).partition(" ")[0] else ""


def span(values: Iterable[int]) -> str:
    """ "16", or "12 to 16" where they differ; empty where there are none."""
    found = sorted(set(values))
    return " to ".join(str(value) for value in dict.fromkeys((*found[:1], *found[-1:])))


def _percents(coverages: Sequence[float]) -> str:
    """ "100%", or "0% to 100%" where metrics differ; empty where there are none."""
    ends = [_percent(end(coverages)) for end in (min, max) if coverages]
    return " to ".join(dict.fromkeys(ends))


def _percent(coverage: float) -> str:
    # 99.96 % must not read as whole.
    return "100%" if coverage >= 1 else f"{min(round(coverage * 100, 1), 99.9):g}%"
