"""A table in a paper's shape, as data: what every format is written from. All texts are plain, not markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..tables.run_tables import Row

Rank = Literal["", "best", "second"]
"""best: of those that saw the same, or not told from it; second: the same among the others."""

STARS = (("***", 0.001), ("**", 0.01), ("*", 0.05))
"""What a difference from the best value is marked with, by its p value after Holm's correction."""

AS_PUBLISHED = "†"
"""Marks what others published."""


Note = tuple[str, str]
"""A sentence under the table, and what it is about: "errors", "stars", or "" where it stays without these."""


@dataclass(frozen=True)
class PaperColumn:
    """A column.

    Attributes:
        label: without unit and arrow.
        heading: over neighbours that share it, "" for none.
        is_cost: costs stand behind the others.
        higher_is_better: None where nothing is ranked.
        scale: what is printed is the value times this.
        metric, dataset: registered names as far as known; "" of a column of published figures alone.
        marks: numbers of the footnotes that hold for the whole column.
    """

    label: str
    heading: str = ""
    is_cost: bool = False
    higher_is_better: bool | None = None
    scale: float = 1.0
    metric: str = ""
    dataset: str = ""
    marks: tuple[int, ...] = ()

    @property
    def arrow(self) -> str:
        """ "↑", "↓" or ""."""
        return "" if self.higher_is_better is None else "↑" if self.higher_is_better else "↓"


@dataclass(frozen=True)
class Figure:
    """A figure that somebody published.

    Attributes:
        text: as it is printed here, in the column's scale.
        value: as it was published, in the scale of its source.
        scale: of its source: CLIPSIM 29.45 has 100, 0.2945 has 1.
        unit: of a count in millions "M"; else what its source gives.
        mark: how it is known, see `published.MARKS`.
        source, at: key of its source, and where in it.
        device: of a cost.
        how: what is known of how it was made.
        note: what is special about it.
        is_citable: whether a document can cite the source; a recollection is none.
    """

    text: str
    value: float
    scale: float
    unit: str
    mark: str
    source: str
    at: str = ""
    device: str = ""
    how: str = ""
    note: str = ""
    is_citable: bool = True


@dataclass(frozen=True)
class PaperCell:
    """One cell.

    Attributes:
        text: the value as it is printed, or a dash.
        error: its standard error as it is printed, "" where there is none.
        corrected: the value without its estimated bias as it is printed, where its rank would else contradict
            what is printed; "" elsewhere.
        row: of the summary; None where nothing was measured, or a figure is published.
        value: what `text` prints, not scaled: of the row, or of what is made from rows (a speed-up).
        figures: published ones, several where sources conflict.
        rank: see `Rank`.
        stars: how surely the value differs from the best one, see `STARS`.
        marks: numbers of its footnotes.
    """

    text: str
    error: str = ""
    corrected: str = ""
    row: Row | None = None
    value: float | None = None
    figures: tuple[Figure, ...] = ()
    rank: Rank = ""
    stars: str = ""
    marks: tuple[int, ...] = ()


@dataclass(frozen=True)
class PaperRow:
    """One method, or variant of one.

    Attributes:
        label: as the table calls it.
        settings: texts under the table's `settings`.
        saw: what the method was given.
        n: clips behind its values, ready to print.
        run: which run it is of; "" of published figures.
        method: registered name.
        sources: keys of the sources that all of a published row's figures come from; those of single figures
            stand in these.
        cited: keys that a document cites at its name: the method's own paper where known, and `sources`.
    """

    label: str
    cells: tuple[PaperCell, ...]
    settings: tuple[str, ...] = ()
    saw: str = ""
    n: str = ""
    run: str = ""
    method: str = ""
    sources: tuple[str, ...] = ()
    cited: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowGroup:
    """Rows that stand together under a heading, "" for none."""

    heading: str
    rows: tuple[PaperRow, ...]


@dataclass(frozen=True)
class TablePart:
    """Groups of rows that are ranked apart from those of other parts: a kind of edit, a run that was measured
    otherwise, what others published.

    Attributes:
        title: "" where a table has one part.
        is_published: nothing in it was measured here.
    """

    groups: tuple[RowGroup, ...]
    title: str = ""
    is_published: bool = False

    @property
    def rows(self) -> Iterator[PaperRow]:
        """Those of all groups."""
        return (row for group in self.groups for row in group.rows)


@dataclass(frozen=True)
class PaperTable:
    """A table, ready to be written in any format.

    Attributes:
        name: of its file.
        columns: quality, then cost.
        parts: what was measured, then what was published.
        settings: headings of the columns between the method and the values.
        cost_heading: stands over the costs, with the device where it is one.
        shows_n: whether N is a column; where it is the same everywhere, it stands in `facts`.
        group_heading: of a first column that holds the groups; "" where these are lines between the rows.
        legend_notes: what the marks mean.
        short_notes: what a paper has room for, in place of legend, facts and footnotes.
        facts: (name, text) lines under the table.
        footnotes: the texts of marks 1, 2, ...
        runs: what tells the runs apart that it is filled from, by their names here.
        command: makes it again; "" where it was made by Python.
    """

    name: str
    title: str
    caption: str
    columns: tuple[PaperColumn, ...]
    parts: tuple[TablePart, ...]
    settings: tuple[str, ...] = ()
    cost_heading: str = ""
    shows_n: bool = False
    group_heading: str = ""
    legend_notes: tuple[Note, ...] = ()
    short_notes: tuple[Note, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    footnotes: tuple[str, ...] = ()
    runs: Mapping[str, str] = field(default_factory=dict)
    command: str = ""

    @property
    def legend(self) -> str:
        """What the marks mean, in one line."""
        return " ".join(text for _, text in self.legend_notes)

    @property
    def is_measured(self) -> bool:
        """Whether anything in it was measured here."""
        return any(not part.is_published for part in self.parts)

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the sources of its published figures, in order of first use."""
        return tuple(
            dict.fromkeys(
                figure.source
                for part in self.parts
                for row in part.rows
                for cell in row.cells
                for figure in cell.figures
            )
        )

    @property
    def cited(self) -> tuple[str, ...]:
        """Keys of its sources and of its methods' own papers."""
        at_names = (key for part in self.parts for row in part.rows for key in row.cited)
        return tuple(dict.fromkeys([*self.sources, *at_names]))

    def headings(self) -> Iterator[tuple[str, int]]:
        """What stands over the columns of values, each with how many it spans; "" where nothing does."""
        spans: list[tuple[str, int]] = []
        for column in self.columns:
            text = self.cost_heading if column.is_cost else column.heading
            if spans and spans[-1][0] == text:
                spans[-1] = text, spans[-1][1] + 1
            else:
                spans.append((text, 1))
        return iter(spans)


Tidy = dict[str, Any]
"""One value with all that belongs to it."""
