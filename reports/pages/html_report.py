"""The HTML report of a run: one file that works from file://, offline, in dark and light.

Styles, plots (inline SVG) and clips are inside the file, so that it can be moved or mailed alone; clips
beyond a budget of bytes are named instead. The same tables give the same bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.atomic_write import write_text_atomic
from ...core.redaction import without_machine
from ..published_tables import published_editing, published_prediction
from ..tables.ablation import ablation_tables
from ..tables.comparison import comparison_table
from ..tables.editing import edit_tables
from ..tables.lead import WHY_UNMARKED, legend
from ..tables.measurement import finite, format_measurement, format_p_value, format_rounded, is_value
from ..tables.method_table import MethodTable
from ..tables.prediction import prediction_tables
from ..tables.run_tables import (
    NUM_DIGEST_CHARACTERS,
    Row,
    RunTables,
    json_object,
    order_key,
    protocol_key,
    protocol_text,
)
from .dot_plot import DotPlot, Mark, dot_plot
from .failures import failures_of
from .html_clips import prompt_groups
from .run_clips import clips_by_prompt
from .run_plots import quality_plots, size_plots, spread_plots

MAX_COLUMNS = 8
"""Columns of values that a laptop's window holds; with more, cost has a table of its own."""


@dataclass(frozen=True)
class ShownPart:
    """Columns of a table that the page shows side by side.

    Attributes:
        title: of the part, "" where it needs none.
        columns: indices.
        has_counts: whether n and coverage stand in it, where they are shown at all.
        width: number of columns with those of the methods, their settings and the counts.
    """

    title: str
    columns: tuple[int, ...]
    has_counts: bool
    width: int


def write_html_report(tables_folder: Path, out_html: Path, *, num_prompts: int = 6) -> Path:
    """Write the report into a folder of Reelbench's own, atomically; a link there is replaced.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    write_text_atomic(out_html, html_report(tables_folder, num_prompts=num_prompts))
    return out_html


def html_report(tables_folder: Path, *, num_prompts: int = 6, max_embedded_mib: float = 24.0) -> str:
    """The report of the run whose Parquet tables lie in `tables_folder`.

    Args:
        tables_folder: the seven tables.
        num_prompts: for how many prompts of each data set the clips are shown.
        max_embedded_mib: how much of clips is embedded at most, before base64.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    run = RunTables(tables_folder)
    clips = run.rows("clips")
    groups = prompt_groups(
        clips_by_prompt(clips, num_prompts),
        run.method_order,
        run.rows("scores"),
        metric_labels(run),
        tables_folder,
        int(max_embedded_mib * 2**20),
    )
    template = environment().get_template("report.html.jinja")
    return template.render(page_context(run), prompt_groups=groups)


def metric_labels(run: RunTables) -> dict[str, str]:
    """What metrics are called."""
    return {row["metric"]: row["label"] or row["metric"] for row in run.rows("summary")}


def page_context(run: RunTables) -> dict[str, Any]:
    """What both pages show but the clips: the variables of `base.html.jinja`.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    clips, table, edits = run.rows("clips"), comparison_table(run), edit_tables(run)
    shown = (row.method for part in table.sections for group in part.groups for row in group.rows)
    methods = sorted(set(shown), key=lambda name: order_key(name, run.method_order))
    return {
        "runs": [_run_facts(row) for row in run.rows("runs")],
        "title": table.run or "Reelbench",
        "table": table,
        "legend": legend([column for section in table.sections for column in section.columns]),
        "why_unmarked": WHY_UNMARKED,
        "edit_tables": edits,
        "published_editing": published_editing() if edits else (),
        "prediction_tables": prediction_tables(run),
        "published_prediction": published_prediction(run),
        "ablation_tables": ablation_tables(run),
        "plots": [_metric_plots(section) for section in table.sections],
        "comparisons": _comparison_views(run.rows("comparisons"), metric_labels(run)),
        "quality_plots": [plot for part in table.sections for plot in quality_plots(part, methods)],
        "size_plots": size_plots(run),
        "spread_plots": spread_plots(run),
        "failures": failures_of(clips, run.rows("features")),
        "num_clips": sum(row["side"] == "generated" for row in clips),
        "configurations": _configurations(run.summary),
        "reproduction": _reproduction(run),
        "signatures": _signatures(run.summary),
        "table_parts": table_parts,
        "whole_table": whole_table,
    }


def whole_table(table: MethodTable) -> ShownPart:
    """All columns of a table."""
    return _part(table, "", range(len(table.columns)), has_counts=True)


def table_parts(table: MethodTable) -> tuple[ShownPart, ...]:
    """The table in one part, or quality and cost where both together have more than `MAX_COLUMNS` columns."""
    is_cost = [column.level == "cost" for column in table.columns]
    if len(is_cost) <= MAX_COLUMNS or len(set(is_cost)) < 2:
        return (whole_table(table),)
    quality = [index for index, cost in enumerate(is_cost) if not cost]
    costs = [index for index, cost in enumerate(is_cost) if cost]
    return _part(table, "Quality", quality, has_counts=True), _part(table, "Cost", costs, has_counts=False)


def _part(table: MethodTable, title: str, columns: Sequence[int], has_counts: bool) -> ShownPart:
    width = 1 + len(table.settings) + len(columns) + (len(table.count_headings) if has_counts else 0)
    return ShownPart(title, tuple(columns), has_counts, width)


def environment(*folders: Path) -> Any:
    """Jinja's environment of the pages.

    Args:
        folders: of further templates.
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,  # prompts and error messages are foreign text
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_without_machine,
    )


def _without_machine(value: Any) -> Any:
    """What a place of the page shows, without absolute paths of this machine; clips stay."""
    is_clip = not isinstance(value, str) or value.startswith("data:")
    return value if is_clip or hasattr(value, "__html__") else without_machine(value)


def _run_facts(row: Row) -> dict[str, str]:
    """What was run: (name, text) pairs for the top of the page."""
    facts = {
        "Run": row["run"],
        "Run key": (row["run_key"] or "")[:NUM_DIGEST_CHARACTERS],
        "Clips": ""
        if row["num_clips"] is None
        else f"{row['num_clips']} made, {row['num_failures'] or 0} failed",
        "Protocol": _protocols(row["protocol"] or "", row["protocol_digest"] or ""),
        "Hardware": row["hardware"],
        "Reelbench": row["reelbench_version"],
        "Libraries": _json_line(row["library_versions"], " "),
        "Weights": _json_line(row["weights"], " ", NUM_DIGEST_CHARACTERS),
    }
    return {name: text for name, text in facts.items() if text}


def _protocols(names: str, digests: str) -> str:
    """ "clean (f57ed2ba23b0), predicted (b4c449e63e19)": each of a run's protocols with its digest."""
    pairs = zip(names.split(", "), digests.split(", "), strict=False)
    return ", ".join(f"{name} ({digest[:NUM_DIGEST_CHARACTERS]})" for name, digest in pairs)


def _json_line(text: str | None, separator: str, num_characters: int | None = None) -> str:
    """A flat JSON object as "key value, key value"; any other text as it is."""
    try:
        items = json.loads(text or "{}").items()
    except (ValueError, AttributeError):
        return text or ""
    return ", ".join(f"{key}{separator}{str(value)[:num_characters]}" for key, value in items)


def _metric_plots(section: MethodTable) -> dict[str, list[DotPlot]]:
    """Dot plots of quality and of cost, one for each metric: the value and its 95% interval, methods grouped
    as in the table."""
    plots: dict[str, list[DotPlot]] = {"quality": [], "cost": []}
    for index, column in enumerate(section.columns):
        marks = []
        for group in section.groups:
            for row in group.rows:
                cell, saw = row.cells[index], f"Saw: {group.conditioning}"
                if cell.value is not None:
                    low = cell.low
                    if column.level == "cost" and low is not None:
                        low = max(low, 0.0)  # no clip takes less than no time
                    marks.append(Mark(row.method, cell.shown, cell.value, low, cell.high, saw, cell.is_best))
        if plot := dot_plot(column.heading, marks):
            plots["cost" if column.level == "cost" else "quality"].append(plot)
    return plots


def _comparison_views(rows: Iterable[Row], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Paired differences by data set, protocol and metric: a plot about zero, with p values."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((*protocol_key(row), row["metric"] or ""), []).append(row)
    views = []
    for (dataset, split, protocol, digest, metric), members in sorted(groups.items()):
        title = f"{labels.get(metric, metric)} on {', '.join(filter(None, (dataset, split)))}"
        drawn = [row for row in members if is_value(row["difference"])]
        marks = [
            Mark(
                _pair(row),
                format_measurement(row["difference"], row["standard_error"]),
                row["difference"],
                finite(row["low"]),
                finite(row["high"]),
                f"Saw: {row['conditioning']}" if row["conditioning"] else "",
            )
            for row in drawn
        ]
        details = [
            f"Holm p {format_p_value(row['p_holm'])} (raw {format_p_value(row['p_value'])}), "
            f"{row['num_pairs']} pairs of {row['num_sources']} sources"
            + (f", detectable {format_rounded(found)}" if is_value(found := row["min_detectable"]) else "")
            + (f"; {_DISAGREE}" if _disagree(row) else "")
            for row in drawn
        ]
        notes = [f"{_pair(row)}: {note}" for row in members for note in (row["notes"] or "").splitlines()]
        views.append(
            {
                "title": title,
                "plot": dot_plot(title, marks, with_zero=True),
                "details": details,
                "undefined": [_pair(row) for row in members if not is_value(row["difference"])],
                "test": ", ".join(sorted({row["test"] for row in members if row["test"]})),
                "notes": notes,
                "protocol": protocol_text(protocol, digest),
            }
        )
    return views


_DISAGREE = "bar and raw p disagree about zero, as two ways of reckoning may: no sure difference"


def _disagree(row: Row) -> bool:
    """Whether the interval excludes zero and the test finds nothing at 5%, or the other way round."""
    low, high, p_value = row["low"], row["high"], row["p_value"]
    if not (is_value(low) and is_value(high) and is_value(p_value)):
        return False
    return bool((low > 0 or high < 0) != (p_value < 0.05))


def _pair(row: Row) -> str:
    return f"{row['method_a']} − {row['method_b']}"


def _reproduction(run: RunTables) -> str:
    """Commands that write the run file anew and run it; "" where the tables are not of a run."""
    from yaml import safe_dump

    files = [json_object(row["run_file"]) for row in run.rows("runs")]
    if len(files) != 1 or not files[0].get("methods") or not any("config" in m for m in files[0]["methods"]):
        return ""
    name = re.sub(r"[^A-Za-z0-9_-]", "-", str(files[0].get("name") or "run"))
    text = safe_dump(files[0], sort_keys=False, allow_unicode=True, width=100)
    return f"cat > {name}.yaml <<'END_OF_RUN_FILE'\n{text}END_OF_RUN_FILE\nreelbench run {name}.yaml"


def _signatures(summary: Iterable[Row]) -> list[tuple[str, str, str, str]]:
    """What each number says of how it was made, each once: (metric, data set, methods, signature)."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for row in summary:
        if row["signature"]:
            key = (row["label"] or row["metric"], ", ".join(filter(None, (row["dataset"], row["split"]))))
            found.setdefault(key, {}).setdefault(row["signature"], set()).add(row["method"])
    return [
        (*key, "all" if len(of) == 1 else ", ".join(sorted(methods)), signature)
        for key, of in sorted(found.items())
        for signature, methods in sorted(of.items())
    ]


def _configurations(summary: Iterable[Row]) -> list[dict[str, str]]:
    """What each method was run with, once for each method and data set setting."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in summary:
        found.setdefault(
            (row["method"], row["method_version"] or "", row["method_config"] or ""),
            {
                "method": row["method"],
                "name": f"{row['method_name']} {row['method_version'] or ''}".strip(),
                "conditioning": row["conditioning"] or "",
                "config": _json_line(row["method_config"], ": "),
            },
        )
    return list(found.values())
