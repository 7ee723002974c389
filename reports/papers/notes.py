"""What is printed under a table: everything, six lines for a paper, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from ...core.redaction import fit_to_leave
from ..published import MARKS
from ..tables.build import span
from ..tables.lead import OWN_LABEL
from ..tables.measurement import DASH, is_value
from ..tables.method_table import Lead
from ..tables.run_tables import protocol_text
from .facts import Facts
from .paper_table import AS_PUBLISHED, STARS, Note, PaperTable, TablePart

Notes = Literal["full", "short", "none"]
NOTES: tuple[Notes, ...] = get_args(Notes)

_MOST_CHARACTERS = 690
"""Of short notes: six lines of a page in small print."""


def with_notes(
    table: PaperTable, notes: Notes, *, errors: bool = True, significance: bool = True
) -> PaperTable:
    """The table with so many notes; marks of footnotes that are not printed are taken off.

    Args:
        errors, significance: whether standard errors and stars are printed; else their legend is left out.
    """
    unseen = {kind for kind, is_seen in (("errors", errors), ("stars", significance)) if not is_seen}
    if notes == "full":
        return replace(table, legend_notes=_seen(table.legend_notes, unseen))
    parts = tuple(
        replace(
            part,
            groups=tuple(
                replace(
                    group,
                    rows=tuple(
                        replace(row, cells=tuple(replace(cell, marks=()) for cell in row.cells))
                        for row in group.rows
                    ),
                )
                for group in part.groups
            ),
        )
        for part in table.parts
    )
    return replace(
        table,
        columns=tuple(replace(column, marks=()) for column in table.columns),
        parts=parts,
        legend_notes=_seen(table.short_notes, unseen) if notes == "short" else (),
        facts=(),
        footnotes=(),
    )


def _seen(notes: Iterable[Note], unseen: set[str]) -> tuple[Note, ...]:
    return tuple((kind, text) for kind, text in notes if kind not in unseen)


def short_notes(
    facts: Facts,
    parts: Sequence[TablePart],
    unmarked: Mapping[str, Iterable[str]],
    by_corrected: Sequence[str],
    footnotes: Sequence[str],
) -> tuple[Note, ...]:
    """Marks, protocol, N, coverage, what was seen and why columns have no marks; then notes of whole columns
    as far as there is room.

    Args:
        unmarked: columns without marks, by the reason.
        by_corrected: see `Facts.legend`.
        footnotes: those of the table.
    """
    cells = [cell for part in parts for row in part.rows for cell in row.cells]
    notes: list[Note] = []
    levels = facts.marked_levels(parts)
    if levels - {"cost"}:
        second = "; underlined: second best" if any(cell.rank == "second" for cell in cells) else ""
        among = "among those that saw the same (paired tests, Holm, 5%)"
        notes.append(("", f"Bold: best and what is not told from it{second}; {among}."))
    if "cost" in levels:
        notes.append(("", "Bold parameters: fewest."))
    if any(cell.stars for cell in cells):
        sure = ", ".join(f"{stars} p ≤ {most:g}" for stars, most in reversed(STARS))
        notes.append(("stars", f"Against the best: {sure}."))
    if any(cell.error for cell in cells):
        notes.append(("errors", "±: one standard error."))
    if by_corrected:
        where = " (in parentheses)" if any(cell.corrected for cell in cells) else ""
        notes.append(("", f"{_listed(by_corrected)} ranked without estimated bias{where}."))
    notes += [("", text) for text in _how(facts)]
    if unmarked:
        reasons = "; ".join(f"{_listed(labels)} ({reason})" for reason, labels in unmarked.items())
        notes.append(("", f"Without marks: {reasons}."))
    measured = [cell for part in parts if not part.is_published for row in part.rows for cell in row.cells]
    if any(cell.text == DASH for cell in measured):
        notes.append(("", f"{DASH}: not measured."))
    if any(part.is_published for part in parts):
        shown = {figure.mark for cell in cells for figure in cell.figures} - {"P"}
        letters = "".join(f"; {mark}: {MARKS[mark]}" for mark in MARKS if mark in shown)
        notes.append(
            ("", f"{AS_PUBLISHED}: as published, under protocols of their own, not ranked{letters}.")
        )
    used = sum(len(text) + 1 for _, text in notes)
    for number in dict.fromkeys(number for column in facts.columns for number in column.marks):
        text = footnotes[number - 1].rstrip(".") + "."
        if used + len(text) < _MOST_CHARACTERS:
            is_named = text.split()[0].endswith(":")
            notes.append(("", text if is_named else text[0].upper() + text[1:]))
            used += len(text) + 1
    return tuple((kind, fit_to_leave(text)) for kind, text in notes)


def why_unmarked(lead: Lead) -> str:
    """Why nothing is marked, in few words; "" where there is nothing to rank."""
    if lead.is_own:
        return "own references"
    if lead.too_few:
        return f"N below {lead.too_few}"
    if lead.marks:
        return "not of the same number of clips"
    if lead.untested:
        return "not tested"
    return "no difference told" if lead.shared else ""


def _how(facts: Facts) -> list[str]:
    """What holds of the measured values: protocol, N, references, coverage, what was seen, the device."""
    rows = [
        row
        for entry in facts.entries
        for index, row in entry.rows.items()
        if not facts.columns[index].is_cost and is_value(row["value"])
    ]
    said = [
        f"{name} {text}."
        for name, text in (("Data:", facts.data(names_folders=False)), ("By", facts.extractors()))
        if text
    ]
    if rows:
        protocols = dict.fromkeys(
            protocol_text(row["protocol"] or "", row["protocol_digest"] or "") for row in rows
        )
        said.append(f"Protocol {', '.join(protocols)}.")
        seeds = span(row["num_seeds"] for row in rows if row["num_seeds"])
        counts = [
            f"N = {span(row['n'] for row in rows if row['n'] is not None)}",
            f"{span(row['num_sources'] for row in rows if row['num_sources'])} source videos",
            f"{seeds} {'seed' if seeds == '1' else 'seeds'}",
            f"{span(row['n_reference'] for row in rows if row['n_reference'] is not None)} reference clips",
        ]
        counts = [text for text in counts if text[0] != " " and not text.endswith("= ")]
        least = min((row["coverage"] for row in rows if is_value(row["coverage"])), default=1.0)
        counts += [f"coverage {'100%' if least >= 1 else f'from {min(least, 0.999):.1%}'}"]
        said.append(f"{', '.join(counts)}.")
    if facts.seen_by_all:
        said.append(f"All saw {facts.seen_by_all}.")
    if costs := facts.costs_on():
        said.append(f"Costs on {costs}.")
    return said


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(label.removesuffix(OWN_LABEL) for label in labels))
