"""Which columns of a table the HTML page shows side by side: cost goes below where all would be too wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ..tables.groups import Column
from ..tables.text import count_headings

MAX_COLUMNS = 8
"""Columns of values that a laptop's window holds; with more, cost has a table of its own."""


class Columned(Protocol):
    """A table of a report."""

    @property
    def columns(self) -> tuple[Column, ...]: ...

    @property
    def shows_n(self) -> bool: ...


@dataclass(frozen=True)
class TablePart:
    """Some columns of a table.

    Attributes:
        title: of the part, "" where it needs none.
        columns: indices.
        has_counts: whether n and coverage stand in it, where they are shown at all.
        width: number of columns with the methods' and the counts'.
    """

    title: str
    columns: tuple[int, ...]
    has_counts: bool
    width: int


def whole_table(table: Columned) -> TablePart:
    """All columns of a table."""
    return _part(table, "", range(len(table.columns)), has_counts=True)


def table_parts(table: Columned) -> tuple[TablePart, ...]:
    """The table in one part, or quality and cost where both together have more than `MAX_COLUMNS` columns."""
    is_cost = [column.level == "cost" for column in table.columns]
    if len(is_cost) <= MAX_COLUMNS or len(set(is_cost)) < 2:
        return (whole_table(table),)
    quality = [index for index, cost in enumerate(is_cost) if not cost]
    costs = [index for index, cost in enumerate(is_cost) if cost]
    return _part(table, "Quality", quality, has_counts=True), _part(table, "Cost", costs, has_counts=False)


def _part(table: Columned, title: str, columns: range | list[int], has_counts: bool) -> TablePart:
    width = 1 + len(columns) + (len(count_headings(table)) if has_counts else 0)
    return TablePart(title, tuple(columns), has_counts, width)
