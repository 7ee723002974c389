"""A table of edits by kind: the entries again for each kind of edit, with values of its clips alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..tables.editing import KINDS, edit_count, kind_rows
from ..tables.run_tables import Row, order_key
from .entries import Entry
from .filled_from import Source
from .spec import TableError, TableSpec


@dataclass(frozen=True)
class EditKind:
    """All edits, or those of one kind."""

    title: str
    entries: tuple[Entry, ...]


def edit_kinds(spec: TableSpec, entries: Sequence[Entry]) -> tuple[EditKind, ...]:
    """All edits first, as the summary has them, then each kind where there are several.

    Raises:
        TableError: nothing was edited.
    """
    asked = {id(entry.source): _asked(entry.source, entry, spec) for entry in entries}
    every = [row for rows in asked.values() for row in rows]
    kinds = sorted({row["edit"] for row in every}, key=lambda kind: order_key(kind, KINDS))
    if not kinds:
        raise TableError(
            f"the table {spec.name!r} is by kinds of edits, and nothing was edited in these results",
            "name a run that edits: configs/editing.yaml is one",
        )
    found = [EditKind(f"All edits, {edit_count(every)}", tuple(entries))]
    if len(kinds) == 1:
        return tuple(found)
    for kind in kinds:
        of_kind = [row for row in every if row["edit"] == kind]
        mine = tuple(_of_kind(entry, kind, asked[id(entry.source)]) for entry in entries)
        found.append(EditKind(f"{kind.capitalize()}, {edit_count(of_kind)}", mine))
    return tuple(found)


def _asked(source: Source, entry: Entry, spec: TableSpec) -> list[Row]:
    datasets = {row["dataset"] for row in entry.rows.values()}
    return [
        row
        for row in source.clips
        if row["side"] == "generated" and row["edit"] is not None and row["dataset"] in datasets
    ]


def _of_kind(entry: Entry, kind: str, asked: Sequence[Row]) -> Entry:
    rows = {}
    for index, row in entry.rows.items():
        scores = [
            score
            for score in entry.source.scores
            if score["edit"] == kind
            and all(score[name] == row[name] for name in ("metric", "dataset", "split", "protocol_digest"))
        ]
        (rows[index],) = kind_rows(scores, asked, [kind], [row], {entry.method: entry.saw})
    return replace(entry, rows=rows)
