"""Methods as rows under columns of metrics: what every table of measured values in a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Column:
    """One metric.

    Attributes:
        metric: its registered name.
        label: what it is called.
        heading: label, a cost's unit, and the arrow of the better direction.
        higher_is_better: None where nothing may be ranked.
        level: "set", "clip" or "cost".
        references: "own" or "others", see `core.tables.SummaryRow`; "" where it does not matter.
        has_corrected: whether any value stands beside one without its estimated bias.
        marks: numbers of the footnotes that hold for the whole column.
    """

    metric: str
    label: str
    heading: str
    higher_is_better: bool | None
    level: str
    references: str = ""
    has_corrected: bool = False
    marks: tuple[int, ...] = ()

    @property
    def marked_heading(self) -> str:
        """The heading with its marks."""
        return self.heading + marks_text(self.marks)


@dataclass(frozen=True)
class ValueCell:
    """One measured value.

    Attributes:
        text: "298.1 ± 5.3", or a dash.
        value, standard_error, low, high: the numbers; None where there is none.
        corrected: the value without its estimated bias, "" where there is none or it reads the same.
        is_best: the best of the methods that saw the same, or not told from it, see `lead`.
        marks: numbers of its footnotes.
    """

    text: str
    value: float | None = None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    corrected: str = ""
    is_best: bool = False
    marks: tuple[int, ...] = ()

    @property
    def shown(self) -> str:
        """ "298.1 ± 5.3 (290.4)": the text with the corrected value."""
        return f"{self.text} ({self.corrected})" if self.corrected else self.text


@dataclass(frozen=True)
class MethodRow:
    """One method: a cell for each column. `n` and `coverage` are ready to print."""

    method: str
    cells: tuple[ValueCell, ...]
    n: str
    coverage: str


@dataclass(frozen=True)
class Lead:
    """Who has the best value of one column, among methods that saw the same.

    Attributes:
        marked: the methods whose values are marked: the best and those that cannot be told from it; none
            where nothing can be told from the best, or may be ranked.
        shared: the method of the best value and those that cannot be told from it, from best to worst; empty
            where there is none, and where nothing is ranked.
        detectable: the true difference that the least sure test behind `shared` would find with 80% power.
        can_tell: False where the tests behind `shared` can tell no difference, however large.
        untested: the method of the best value and those that no test compares with it.
        too_few: the N below which the metric's values are not marked, where they are below; else 0.
        is_own: the clips are held against references that they were made from, and not ranked.
        marks: numbers of the footnotes that say why nothing is ranked; they stand at the heading.
    """

    marked: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    detectable: float | None = None
    can_tell: bool = True
    untested: tuple[str, ...] = ()
    too_few: int = 0
    is_own: bool = False
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Group:
    """The methods that saw the same, and of each column who leads."""

    conditioning: str
    rows: tuple[MethodRow, ...]
    leads: tuple[Lead, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """The labels of the methods."""
        return tuple(row.method for row in self.rows)


@dataclass(frozen=True)
class TablePart:
    """Groups of methods on a part of the clips.

    Attributes:
        groups: by what the methods saw, from least to most.
        title, count: "Style", "16 edits of 4 videos"; empty where a table has one part.
    """

    groups: tuple[Group, ...]
    title: str = ""
    count: str = ""


@dataclass(frozen=True)
class MethodTable:
    """A table of measured values under one protocol.

    Attributes:
        title: "msrvtt, test".
        protocol: its name.
        columns: the metrics.
        parts: one, or of edits all first and then each kind.
        shows_n: whether n and coverage are columns (they are not where all are equal and whole).
        facts: (name, text) lines to print under the table: protocol, samples, intervals, ...
        footnotes: the texts of marks 1, 2, ...
        settings: headings of the settings in which variants of one method differ.
        values: the settings of each variant, by its label.
    """

    title: str
    protocol: str
    columns: tuple[Column, ...]
    parts: tuple[TablePart, ...]
    shows_n: bool
    facts: tuple[tuple[str, str], ...]
    footnotes: tuple[str, ...]
    settings: tuple[str, ...] = ()
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups of the first part."""
        return self.parts[0].groups

    @property
    def count_headings(self) -> tuple[str, ...]:
        """Headings of the columns behind the metrics: n and coverage, where they are shown."""
        return ("n", "coverage") if self.shows_n else ()

    def count_cells(self, row: MethodRow) -> tuple[str, ...]:
        """The row's cells under `count_headings`."""
        return (row.n, row.coverage) if self.shows_n else ()


def marks_text(marks: Sequence[int]) -> str:
    """ " [1, 3]", or nothing. Brackets, since a raised digit would read as a power."""
    return f" [{', '.join(map(str, marks))}]" if marks else ""
