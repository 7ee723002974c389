"""The edit table: methods against frame consistency, textual alignment and kept content, by kind of edit.

The shape of the papers' tables (Tune-A-Video Table 1, SimDA Table 5), for each data set and protocol: first
over all edits, then by kind (`Sample.edit`). A mean over kinds hides the most: a method that changes nothing
has the best kept content, and one that repaints all of it the best textual alignment of a new background.

Made from the `scores` table, since the summary has no kinds. Values over all edits are the summary's;
standard errors are clustered on the source video, as there. A run tests its methods over all edits: a value
is marked there, and never within a kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.statistics import mean_estimate
from ...core.tables import read_table
from .comparison import NUM_DIGEST_CHARACTERS, comparisons_by_protocol, load_comparisons, load_method_order
from .groups import Column, Group, build_columns, group_facts, method_groups, rows_by_cell
from .lead import Row
from .measurement import is_value
from .notes import Footnotes

EDIT_METRICS = (
    "frame_consistency_all_pairs",
    "textual_alignment",
    "pickscore",
    "structure_kept",
    "motion_alignment",
    "motion_correlation",
    "ssim",
    "psnr",
    "lpips",
)
"""The metrics of the table, in its order: the two of the papers, PickScore, then what is kept of the source.
Those that a run does not measure are left out."""

KINDS = ("style", "object", "background", "multiple")
"""The order of the kinds; others follow by name."""

ABOUT = (
    "Structure, motion and similarity to the source say what was kept, not whether the edit was made: a clip "
    "that is its source is the best in them."
)

UNTESTED_KINDS = "methods are tested over all edits, not within a kind: nothing is marked there"

_Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class EditPart:
    """The methods on one kind of edit.

    Attributes:
        title: "All edits", "Style", ...
        count: "16 edits of 4 videos", those that were asked for.
        groups: the methods by what they saw.
    """

    title: str
    count: str
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class EditTable:
    """The table of one data set, split and protocol.

    Attributes:
        title: "loveu-tgve, test"; with the protocol where there are several.
        parts: all edits first, then each kind; all edits alone where there is one kind.
        shows_n: whether n and coverage are columns.
        facts: (name, text) lines to print under the table.
        footnotes: the texts of marks 1, 2, ...
    """

    title: str
    columns: tuple[Column, ...]
    parts: tuple[EditPart, ...]
    shows_n: bool
    facts: tuple[tuple[str, str], ...]
    footnotes: tuple[str, ...]


def load_edit_tables(tables_folder: Path) -> tuple[EditTable, ...]:
    """The edit tables of the run whose Parquet tables lie in `tables_folder`; none where nothing is edited.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    scores, summary, clips = (
        read_table(tables_folder, name).to_pylist() for name in ("scores", "summary", "clips")
    )
    return build_edit_tables(
        scores, summary, clips, load_method_order(tables_folder), load_comparisons(tables_folder)
    )


def build_edit_tables(
    scores: Iterable[Row],
    summary: Iterable[Row],
    clips: Iterable[Row],
    method_order: Sequence[str] = (),
    comparisons: Iterable[Row] = (),
) -> tuple[EditTable, ...]:
    """The edit tables of a run, by data set, split and protocol.

    Args:
        scores, summary, clips: rows of the run's tables. The summary says which metrics there are and how
            they are headed, the clips what was asked for.
        method_order: methods in the order to show among those that saw the same; the others follow by name.
        comparisons: rows of the `comparisons` table, which say what may be marked.
    """
    metrics: dict[_Key, dict[str, Row]] = {}
    methods: dict[_Key, dict[str, str]] = {}
    for row in summary:
        if row["seed"] is None and row["metric"] in EDIT_METRICS:
            key = _key(row)
            metrics.setdefault(key, {}).setdefault(row["metric"], row)
            methods.setdefault(key, {})[row["method"]] = row["conditioning"] or ""
    scores = list(scores)
    edited = [row for row in scores if row["edit"] is not None]
    # Where clips of no edit were scored too, the tests are of other clips than the table's.
    others = {_key(row) for row in scores if row["edit"] is None}
    tests = {key: rows for key, rows in comparisons_by_protocol(comparisons).items() if key not in others}
    asked = [row for row in clips if row["side"] == "generated" and row["edit"] is not None]
    keys = sorted({_key(row) for row in edited} & set(metrics))
    titles = [", ".join(filter(None, key[:2])) for key in keys]
    tables = []
    for key, title in zip(keys, titles, strict=True):
        full_title = title if titles.count(title) == 1 else f"{title}, protocol {key[2]}"
        mine = [row for row in edited if _key(row) == key]
        wanted = [row for row in asked if ((row["dataset"] or ""), (row["split"] or "")) == key[:2]]
        named = [metrics[key][name] for name in EDIT_METRICS if name in metrics[key]]
        tables.append(
            _table(full_title, key, mine, wanted, named, methods[key], method_order, tests.get(key, ()))
        )
    return tuple(tables)


def _key(row: Row) -> _Key:
    return tuple(row[name] or "" for name in ("dataset", "split", "protocol", "protocol_digest"))  # type: ignore[return-value]


def _table(
    title: str,
    key: _Key,
    scores: Sequence[Row],
    asked: Sequence[Row],
    metrics: Sequence[Row],
    methods: Mapping[str, str],
    method_order: Sequence[str],
    comparisons: Sequence[Row],
) -> EditTable:
    kinds = sorted(
        {row["edit"] for row in asked}, key=lambda kind: (KINDS.index(kind) if kind in KINDS else 99, kind)
    )
    chosen: list[tuple[str, set[str]]] = [("All edits", set(kinds))]
    if len(kinds) > 1:
        chosen += [(kind.capitalize(), {kind}) for kind in kinds]
    rows_of = [_rows(scores, asked, of, metrics, methods) for _, of in chosen]
    footnotes = Footnotes()
    columns = build_columns([row for rows in rows_of for row in rows], footnotes)
    parts = tuple(
        EditPart(
            name,
            _count(asked, of),
            method_groups(
                rows_by_cell(rows, title), columns, method_order, footnotes, () if place else comparisons
            ),
        )
        for place, ((name, of), rows) in enumerate(zip(chosen, rows_of, strict=True))
    )
    facts = group_facts(columns, parts[0].groups)
    if len(parts) > 1:
        facts.append(("Kinds", UNTESTED_KINDS))
    facts.append(("Protocol", f"{key[2] or '(none)'} ({key[3][:NUM_DIGEST_CHARACTERS]})"))
    intervals = sorted({row["interval"] for rows in rows_of for row in rows if row["interval"]})
    if intervals:
        facts.append(("Standard errors", "clustered on the source video"))
    facts.append(("Kept content", ABOUT))
    return EditTable(
        title=title,
        columns=columns,
        parts=parts,
        shows_n=any(row["coverage"] < 1 for rows in rows_of for row in rows),
        facts=tuple(facts),
        footnotes=footnotes.texts,
    )


def _rows(
    scores: Sequence[Row],
    asked: Sequence[Row],
    kinds: set[str],
    metrics: Sequence[Row],
    methods: Mapping[str, str],
) -> list[dict[str, Any]]:
    """A row for each metric and method with the columns of the summary that `method_groups` reads."""
    rows = []
    for metric in metrics:
        for method, conditioning in methods.items():
            mine = [
                row
                for row in scores
                if row["metric"] == metric["metric"] and row["method"] == method and row["edit"] in kinds
            ]
            num_asked = sum(row["method"] == method and row["edit"] in kinds for row in asked)
            known = [row for row in mine if is_value(row["value"])]
            estimate = None
            if known:
                estimate = mean_estimate([row["value"] for row in known], [row["source"] for row in known])
            rows.append(
                {
                    **{
                        name: metric[name]
                        for name in ("metric", "label", "unit", "higher_is_better", "level")
                    },
                    "method": method,
                    "conditioning": conditioning,
                    "value": None if estimate is None else estimate.value,
                    "standard_error": None if estimate is None else estimate.standard_error,
                    "low": None if estimate is None else estimate.low,
                    "high": None if estimate is None else estimate.high,
                    "interval": None if estimate is None else estimate.interval,
                    "n": len(known),
                    "n_reference": None,
                    "num_failures": num_asked - len(mine),
                    "coverage": len(known) / num_asked if num_asked else 0.0,
                    "hardware": None,
                    "notes": _notes(mine, () if estimate is None else estimate.notes),
                }
            )
    return rows


def _notes(scores: Sequence[Row], notes: Sequence[str]) -> str:
    errors = [row["error_message"] for row in scores if not is_value(row["value"])]
    unscored = f"{len(errors)} clips could not be scored: {errors[0] or 'no value'}" if errors else ""
    return "\n".join(filter(None, [*notes, unscored]))


def _count(asked: Sequence[Row], kinds: set[str]) -> str:
    chosen = [row for row in asked if row["edit"] in kinds]
    num_edits, num_videos = len({row["sample_id"] for row in chosen}), len({row["source"] for row in chosen})
    edits = f"{num_edits} edit{'' if num_edits == 1 else 's'}"
    return f"{edits} of {num_videos} video{'' if num_videos == 1 else 's'}"
