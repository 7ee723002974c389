"""The table of README: recorded tables as Markdown, short enough for a first page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...core.atomic_write import write_text_atomic
from ...core.errors import ReelbenchError
from ...core.markdown import escape_markdown, table_head, table_line
from ...core.tables import PROVENANCE_COLUMNS
from ..tables.comparison import comparison_table
from ..tables.lead import (
    NO_TEST,
    NOT_TOLD_APART,
    OWN_REFERENCES,
    TOO_FEW,
    legend_bold,
    legend_corrected,
)
from ..tables.measurement import DASH, format_interval
from ..tables.method_table import MethodTable, ValueCell
from ..tables.run_tables import Row, RunTables
from .tables import read_recorded

BEGIN = (
    "<!-- The table below is made from docs/benchmark: change that, never the text between these marks. -->"
)
END = "<!-- End of the table that is made from docs/benchmark. -->"

_LEGEND = "Under each value its 95% interval, or ± one standard error where it has none."

_LEADS = (OWN_REFERENCES, TOO_FEW, NOT_TOLD_APART, NO_TEST)
_SHOWN_FACTS = ("Protocol", "Samples", "Reference clips")


def readme_table(folder: Path) -> str:
    """The comparison of recorded tables as Markdown (GitHub's, with `<br>` and `<sub>`).

    Of costs the trained parameters alone. Notes on single values are left out. Of a set metric against the
    clips' own references and against those of others, the one that its methods can be compared by.

    Args:
        folder: see `recorded.record_tables`; the tables of a run will do.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    summary = [row for row in read_recorded(folder, "summary") if row["metric"] not in PROVENANCE_COLUMNS]
    comparisons = read_recorded(folder, "comparisons")
    run = RunTables(folder, summary=_of_one_kind(summary), comparisons=comparisons)
    sections = comparison_table(run).sections
    return "\n".join(_section(section, section.title if sections[1:] else "") for section in sections)


def _of_one_kind(summary: Sequence[Row]) -> list[Row]:
    """Without the rows of set metrics against own references, where all methods saw these; else without those
    against others' references."""
    kinds: dict[tuple[str, str, str], set[str]] = {}
    for row in summary:
        if row["level"] == "set":
            kinds.setdefault(_set_metric(row), set()).add(row["references"] or "")

    def is_shown(row: Row) -> bool:
        others = (row["references"] or "") == "others"
        return row["level"] != "set" or others == (kinds[_set_metric(row)] | {"own"} == {"own", "others"})

    return [row for row in summary if is_shown(row)]


def _set_metric(row: Row) -> tuple[str, str, str]:
    return row["dataset"], row["protocol_digest"], row["metric"].removesuffix("_others")


def update_readme(readme: Path, folder: Path) -> bool:
    """Put the table of recorded tables between the marks `BEGIN` and `END` of a Markdown file.

    Returns:
        whether the file was changed.

    Raises:
        ReelbenchError: the file does not have the two marks, once each and in order.
        StoreError: a table is missing or cannot be read.
    """
    text = readme.read_text(encoding="utf-8")
    table_between_marks(readme)
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    updated = f"{before}{BEGIN}\n\n{readme_table(folder)}\n{END}{after}"
    if updated == text:
        return False
    write_text_atomic(readme, updated)
    return True


def table_between_marks(readme: Path) -> str:
    """What stands between the marks of a Markdown file, as `readme_table` gives it.

    Raises:
        ReelbenchError: the file does not have the two marks, once each and in order.
    """
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ReelbenchError(
            f"{readme} does not have the two marks of its table, once each and in order",
            f"put these two lines where the table is to be: {BEGIN} and {END}",
        )
    return text.partition(BEGIN)[2].partition(END)[0].strip() + "\n"


def _section(section: MethodTable, title: str) -> str:
    numbers = _numbers_of_notes(section)

    def marked(text: str, marks: tuple[int, ...]) -> str:
        shown = ", ".join(str(numbers[mark]) for mark in marks if mark in numbers)
        return f"{text} \\[{shown}\\]" if shown else text

    headings = [marked(escape_markdown(column.heading), column.marks) for column in section.columns]
    lines = [f"**{escape_markdown(title)}**", ""] if title else []
    lines += table_head(["Method", *headings], "lr")
    for group in section.groups:
        lines.append(table_line([f"*Saw: {escape_markdown(group.conditioning)}*", *[""] * len(headings)]))
        for row in group.rows:
            cells = [
                _cell(cell) if cell.value is not None else marked(DASH, cell.marks) for cell in row.cells
            ]
            lines.append(table_line([escape_markdown(row.method), *cells]))
    facts = dict(section.facts)
    legend = f"{_LEGEND} {legend_corrected(section.columns)}{legend_bold(section.columns)}"
    lines += ["", legend, ""]
    lines += [f"- {name}: {escape_markdown(facts[name])}" for name in _LEADS if name in facts]
    shown = [f"{name}: {escape_markdown(facts[name])}" for name in _SHOWN_FACTS if name in facts]
    lines.append(f"- {'. '.join(shown)}.")
    texts = section.footnotes
    lines += [f"- \\[{number}\\] {escape_markdown(texts[mark - 1])}" for mark, number in numbers.items()]
    return "\n".join(lines) + "\n"


def _numbers_of_notes(section: MethodTable) -> dict[int, int]:
    """New numbers by the mark of each note that is shown: all but those of single values."""
    cells = [cell for group in section.groups for row in group.rows for cell in row.cells]
    columns = {mark for column in section.columns for mark in column.marks}
    missing = {mark for cell in cells if cell.value is None for mark in cell.marks}
    of_values = {mark for cell in cells if cell.value is not None for mark in cell.marks} - columns - missing
    kept = [mark for mark in range(1, len(section.footnotes) + 1) if mark not in of_values]
    return {mark: number for number, mark in enumerate(kept, 1)}


def _cell(cell: ValueCell) -> str:
    value, _, error = cell.text.partition(" ± ")
    text = f"**{value}**" if cell.is_best else value
    if cell.low is not None and cell.high is not None:
        corrected = f"({cell.corrected}) " if cell.corrected else ""
        interval = format_interval(cell.low, cell.high, cell.standard_error)
        return f"{text}<br><sub>{corrected}{interval}</sub>"
    return f"{text}<br><sub>± {error}</sub>" if error else text
