"""A comparison as Markdown that reads as plain text, and the texts of its cells for every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...core.markdown import aligned_table, escape_markdown
from ...core.redaction import fit_to_leave
from ..tables.measurement import (
    DASH,
    format_interval,
    format_measurement,
    format_p_value,
    is_value,
)
from ..tables.run_tables import protocol_text
from .result import ComparedCell, ComparedCost, Comparison, MovedClip, refusals

HEADINGS = (
    "Metric", "Methods", "A is", "A", "B", "A − B", "95%", "p", "A wins", "Detectable", "Alike beyond",
)  # fmt: skip
VERDICT, DIFFERENCE = 2, 5
"""Places in the row of a cell."""

_LEGEND = (
    "A − B over the clips that both have, with its 95% interval. p: paired test, by Holm over all tests "
    "here. A wins: share of pairs in which A is better, ties count half. Detectable: the true difference "
    "that would have been found (80% power, before Holm). Alike beyond: with a larger margin this cell "
    "alone would be shown to be equivalent (TOST, 5%). Equivalent: shown for the margin that was given, by "
    "Holm over all margins."
)
_CANNOT_TELL = (
    " Detectable is – where nothing could be found: with so few sources the smallest p of the exact test, "
    "by Holm over {num} tests, is above 5%. Fewer metrics or methods, or more sources, would help."
)
VERDICT_STYLES = {
    "better": "bold green",
    "worse": "bold red",
    "different": "bold",
    "equivalent": "green",
    "equal": "green",
    "not told apart": "",
    "too few clips": "dim",
    "not tested": "dim",
    "refused": "yellow",
}
_MOST_NOTES = 30


def legend(comparison: Comparison) -> str:
    """What the columns mean, and why nothing is detectable where it is not."""
    blind = any(not cell.can_tell for cell in comparison.cells)
    return _LEGEND + (_CANNOT_TELL.format(num=comparison.num_tests) if blind else "")


def sections(comparison: Comparison) -> list[tuple[str, list[ComparedCell]]]:
    """The cells that are no refusals, by data set and protocol, each with its title."""
    found: dict[str, list[ComparedCell]] = {}
    for cell in comparison.cells:
        if cell.verdict != "refused":
            place = ", ".join(filter(None, (cell.dataset, cell.split)))
            title = f"{place}, protocol {protocol_text(cell.protocol, cell.protocol_digest)}"
            found.setdefault(title, []).append(cell)
    return list(found.items())


def cell_texts(cell: ComparedCell, mark: str = "") -> tuple[str, ...]:
    """What stands in the row of a cell, under `HEADINGS`.

    Args:
        mark: behind the verdict, for footnotes.
    """
    arrow = {True: " ↑", False: " ↓", None: ""}[cell.higher_is_better]
    error = cell.standard_error or None
    interval = DASH
    if is_value(cell.low) and is_value(cell.high):
        assert cell.low is not None
        assert cell.high is not None
        interval = format_interval(cell.low, cell.high, error)
    return (
        cell.label + arrow,
        cell.methods,
        verdict_text(cell) + mark,
        format_measurement(cell.value_a, cell.error_a),
        format_measurement(cell.value_b, cell.error_b),
        DASH if cell.difference is None else _signed(cell.difference, error),
        interval,
        format_p_value(cell.p_holm),
        wins_text(cell),
        short(cell.min_detectable),
        short(cell.smallest_margin),
    )


def verdict_text(cell: ComparedCell) -> str:
    """ "better", "equivalent (±0.01)"."""
    if cell.margin is not None and cell.verdict == "equivalent":
        return f"equivalent (±{cell.margin:g})"
    return cell.verdict


def wins_text(cell: ComparedCell) -> str:
    """ "62% (41 to 79)", with the number of ties where there are any."""
    wins = cell.wins
    if wins is None:
        return DASH
    text = f"{wins.rate:.0%}"
    if wins.low is not None and wins.high is not None:
        text += f" ({100 * wins.low:.0f} to {100 * wins.high:.0f})"
    return text + (f", {wins.num_ties} ties" if wins.num_ties else "")


def short(value: float | None) -> str:
    """Three significant digits, or a dash."""
    return DASH if not is_value(value) or value is None else f"{value:.3g}"


def _signed(value: float, error: float | None) -> str:
    text = format_measurement(value, error).partition(" ± ")[0]
    return text if value <= 0 else f"+{text}"


def cost_texts(cost: ComparedCost) -> tuple[str, ...]:
    """Cost, methods, A, B, ratio, note."""
    same = cost.method_a == cost.method_b
    methods = cost.method_a if same else f"{cost.method_a} against {cost.method_b}"
    values = [format_measurement(value) for value in (cost.value_a, cost.value_b)]
    device = cost.hardware_a if cost.hardware_a == cost.hardware_b else ""
    name = f"{cost.label} ({cost.unit})" if cost.unit else cost.label
    return name, methods, *values, short(cost.ratio), cost.note or device


COST_HEADINGS = ("Cost", "Methods", "A", "B", "A / B", "Device")


def moved_text(moved: MovedClip) -> str:
    """ "s3 (seed 0): 0.81 against 0.62, +0.19, 34% of the difference: a red ball"."""
    place = moved.sample_id if moved.seed is None else f"{moved.sample_id} (seed {moved.seed})"
    if moved.value_a is None or moved.value_b is None:
        text = f"{place}: adds {moved.difference:+.3g} to the difference"
    else:
        text = f"{place}: {moved.value_a:.4g} against {moved.value_b:.4g}, {moved.difference:+.3g}"
    if moved.share is not None:
        text += f", {moved.share:.0%} of the difference"
    return text + (f": {moved.prompt}" if moved.prompt else "")


def numbered_notes(cells: Sequence[ComparedCell]) -> tuple[list[str], list[str]]:
    """The different notes of cells, and for each cell its marks: " [1, 3]"."""
    notes: dict[str, int] = {}
    marks = []
    for cell in cells:
        numbers = sorted({notes.setdefault(fit_to_leave(note), len(notes) + 1) for note in cell.notes})
        marks.append(f" [{', '.join(map(str, numbers))}]" if numbers else "")
    return list(notes), marks


def side_lines(comparison: Comparison) -> list[str]:
    """Which results A and B are."""
    return [
        f"{letter}: {side.name} (run {side.run}, {side.run_id}): {', '.join(side.methods)}"
        for letter, side in (("A", comparison.a), ("B", comparison.b))
    ]


def refusal_lines(comparison: Comparison) -> list[str]:
    """What was refused, by reason."""
    lines = []
    for reason, cells in refusals(comparison.cells).items():
        more = f" and {len(cells) - 4} more" if len(cells) > 4 else ""
        lines.append(f"{fit_to_leave(reason)}: {'; '.join(cells[:4])}{more}")
    return lines


def comparison_text(comparison: Comparison) -> str:
    """The comparison as Markdown."""
    return "\n".join(_lines(comparison))


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"**{escape_markdown(comparison.headline)}**"
    yield ""
    yield from (f"- {escape_markdown(line)}" for line in side_lines(comparison))
    for title, cells in sections(comparison):
        notes, marks = numbered_notes(cells)
        yield from ("", f"**{escape_markdown(title)}**", "")
        rows = [cell_texts(cell, mark) for cell, mark in zip(cells, marks, strict=True)]
        # Names are foreign text; of the rest, which is ours, only a method may stand in the verdict's place.
        lines = [(*map(escape_markdown, row[:2]), *row[2:]) for row in rows]
        yield from aligned_table([HEADINGS, *lines])
        yield ""
        for number, note in enumerate(notes[:_MOST_NOTES], 1):
            yield f"- \\[{number}\\] {escape_markdown(note)}"
        if len(notes) > _MOST_NOTES:
            yield f"- and {len(notes) - _MOST_NOTES} more (--json has all)"
        for cell in cells:
            if cell.moved:
                yield f"- {escape_markdown(f'{cell.label} of {cell.methods}, the clips that move it most')}:"
                yield from (f"  - {escape_markdown(moved_text(moved))}" for moved in cell.moved)
    yield from ("", legend(comparison))
    if comparison.costs:
        costs = [tuple(map(escape_markdown, cost_texts(cost))) for cost in comparison.costs]
        yield ""
        yield from aligned_table([COST_HEADINGS, *costs])
    for title, said in facts(comparison):
        yield from ("", f"**{title}**", "")
        yield from (f"- {escape_markdown(line)}" for line in said)


def facts(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """(title, lines) below the tables: what was refused, warnings, what differs, what one side alone has."""
    found = [
        ("Not compared", refusal_lines(comparison)),
        ("To know", [fit_to_leave(line) for line in comparison.warnings]),
        ("Made otherwise (B → A)", [fit_to_leave(item.words) for item in comparison.differences]),
        ("On one side alone", list(comparison.left_out)),
    ]
    return [(title, lines) for title, lines in found if lines]
