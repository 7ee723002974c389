"""The edit table: methods against frame consistency, textual alignment and kept content, by kind of edit.

The shape of the papers' tables (Tune-A-Video Table 1, SimDA Table 5), for each data set and protocol: first
over all edits, then by kind (`Sample.edit`). A mean over kinds hides the most: a method that changes nothing
has the best kept content, and one that repaints all of it the best textual alignment of a new background.

Made from the `scores` table, since the summary has no kinds; standard errors are clustered on the source
video, as there. A run tests its methods over all edits: a value is marked there, and never within a kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...core.statistics import mean_estimate
from .build import PartRows, method_table
from .lead import NOT_BY_KIND
from .measurement import is_value
from .method_table import MethodTable
from .run_tables import Key, Row, RunTables, order_key, protocol_key, protocol_text, titles

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


def edit_tables(run: RunTables) -> tuple[MethodTable, ...]:
    """The edit tables of a run, by data set, split and protocol; none where nothing is edited.

    The first part of a table is over all edits. Those of the kinds follow where there are several.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    scores = [row for row in run.rows("scores") if row["edit"] is not None]
    # Where clips of no edit were scored too, the tests are of other clips than the table's.
    mixed = {protocol_key(row) for row in run.rows("scores") if row["edit"] is None}
    asked = [row for row in run.rows("clips") if row["side"] == "generated" and row["edit"] is not None]
    summaries: dict[Key, list[Row]] = {}
    for row in run.summary:
        if row["metric"] in EDIT_METRICS:
            summaries.setdefault(protocol_key(row), []).append(row)
    title_of = titles(sorted({protocol_key(row) for row in scores} & set(summaries)))
    return tuple(
        _table(
            title,
            key,
            [row for row in scores if protocol_key(row) == key],
            [row for row in asked if (row["dataset"] or "", row["split"] or "") == key[:2]],
            summaries[key],
            run.method_order,
            () if key in mixed else run.comparisons.get(key, ()),
        )
        for key, title in title_of.items()
    )


def _table(
    title: str,
    key: Key,
    scores: Sequence[Row],
    asked: Sequence[Row],
    summary: Sequence[Row],
    method_order: Sequence[str],
    comparisons: Sequence[Row],
) -> MethodTable:
    by_metric = {row["metric"]: row for row in reversed(summary)}
    metrics = [by_metric[name] for name in EDIT_METRICS if name in by_metric]
    methods = {row["method"]: row["conditioning"] or "" for row in summary}
    kinds = sorted({row["edit"] for row in asked}, key=lambda kind: order_key(kind, KINDS))
    chosen = [("All edits", kinds, comparisons)]
    if len(kinds) > 1:
        chosen += [(kind.capitalize(), [kind], ()) for kind in kinds]
    parts = [
        PartRows(
            rows=kind_rows(scores, asked, of, metrics, methods),
            comparisons=tests,
            title=name,
            count=edit_count([row for row in asked if row["edit"] in of]),
        )
        for name, of, tests in chosen
    ]
    facts = [(NOT_BY_KIND, UNTESTED_KINDS)] if len(parts) > 1 else []
    facts.append(("Protocol", protocol_text(key[2], key[3])))
    rows = [row for part in parts for row in part.rows]
    if any(row["interval"] for row in rows):
        facts.append(("Standard errors", "clustered on the source video"))
    facts.append(("Kept content", ABOUT))
    shows_n = any(row["coverage"] < 1 for row in rows)
    return method_table(title, key[2], parts, method_order, shows_n=shows_n, facts=facts)


def kind_rows(
    scores: Sequence[Row],
    asked: Sequence[Row],
    kinds: Sequence[str],
    metrics: Sequence[Row],
    methods: Mapping[str, str],
) -> list[Row]:
    """A row for each metric and method with the columns of the summary that `method_table` reads."""
    rows: list[Row] = []
    for metric in metrics:
        for method, conditioning in methods.items():
            mine = [
                row
                for row in scores
                if row["metric"] == metric["metric"] and row["method"] == method and row["edit"] in kinds
            ]
            num_asked = sum(row["method"] == method and row["edit"] in kinds for row in asked)
            known = [row for row in mine if is_value(row["value"])]
            errors = [row["error_message"] for row in mine if not is_value(row["value"])]
            numbers: dict[str, Any] = dict.fromkeys(("value", "standard_error", "low", "high", "interval"))
            notes: list[str] = []
            if known:
                found = mean_estimate([row["value"] for row in known], [row["source"] for row in known])
                numbers = {name: getattr(found, name) for name in numbers}
                notes += found.notes
            if errors:
                notes.append(f"{len(errors)} clips could not be scored: {errors[0] or 'no value'}")
            rows.append(
                {
                    **metric,
                    **numbers,
                    "method": method,
                    "conditioning": conditioning,
                    "n": len(known),
                    "n_reference": None,
                    "num_failures": num_asked - len(mine),
                    "coverage": len(known) / num_asked if num_asked else 0.0,
                    "notes": "\n".join(notes),
                }
            )
    return rows


def edit_count(asked: Sequence[Row]) -> str:
    """ "16 edits of 4 videos"."""
    num_edits, num_videos = len({row["sample_id"] for row in asked}), len({row["source"] for row in asked})
    edits = f"{num_edits} edit{'' if num_edits == 1 else 's'}"
    return f"{edits} of {num_videos} video{'' if num_videos == 1 else 's'}"
