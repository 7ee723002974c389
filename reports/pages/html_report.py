"""The HTML report of a run: one file that works from file://, offline, in dark and light.

Everything is inside the file: styles, plots (inline SVG) and the clips behind the rows. Clips are
embedded as data so that the file can be moved or mailed alone; a byte budget keeps it of a size
that browsers open, and a clip beyond the budget is named instead of shown. The same tables give
the same bytes.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.atomic_write import write_text_atomic
from ...core.errors import VideoError
from ...core.tables import read_table
from ...core.types import ClipRef
from ..tables.ablation import build_ablation_tables
from ..tables.comparison import Section, build_comparison_table, load_method_order
from ..tables.editing import build_edit_tables
from ..tables.editing_text import published_editing
from ..tables.measurement import format_measurement, format_p_value, format_rounded, is_value
from ..tables.prediction import build_prediction_tables
from ..tables.prediction_text import published_prediction
from ..tables.text import count_cells, count_headings, legend, marks_text, section_titles
from .dot_plot import DotPlot, Measured, dot_plot
from .failures import failures_of
from .run_clips import PromptClips, clips_by_prompt, locate, methods_of
from .size_plot import size_plots
from .table_parts import table_parts, whole_table

if TYPE_CHECKING:
    from ..published import PublishedTable

_MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".png": "image/png",
}


@dataclass
class _Budget:
    """Bytes of clips that may still be embedded."""

    num_bytes: int


@dataclass(frozen=True)
class _ClipView:
    """A clip as the page shows it: embedded data, or the words that stand in its place."""

    heading: str
    data_uri: str = ""
    is_image: bool = False
    words: str = ""
    scores: tuple[str, ...] = ()
    width: int | None = None


@dataclass(frozen=True)
class _PromptView:
    prompt: str
    sample: str
    clips: tuple[_ClipView, ...] = field(default=())


def write_html_report(
    tables_folder: Path,
    out_html: Path,
    *,
    num_prompts: int = 6,
    max_embedded_mib: float = 24.0,
    media_root: Path | None = None,
    published: Sequence[PublishedTable] = (),
) -> Path:
    """Write the report of the run whose Parquet tables lie in `tables_folder`.

    Args:
        tables_folder: the seven tables.
        out_html: the file to write, atomically.
        num_prompts: for how many prompts of each data set the clips are shown.
        max_embedded_mib: how much of clips is embedded at most, before base64.
        media_root: what relative clip paths are relative to; see `run_clips.locate`.
        published: tables of published figures to show apart from the measured ones. None by
            default: the figures of the real data sets say nothing about an embedded world.

    Returns:
        `out_html`.

    Raises:
        StoreError: a table is missing or cannot be read.
    """
    rows = {
        name: read_table(tables_folder, name).to_pylist()
        for name in ("runs", "summary", "comparisons", "curves", "clips", "features", "scores")
    }
    order = load_method_order(tables_folder)
    tests = rows["comparisons"]
    table = build_comparison_table(rows["summary"], order, tests)
    prompts = clips_by_prompt(rows["clips"], num_prompts)
    find = partial(locate, tables_folder=tables_folder, media_root=media_root)
    budget = _Budget(int(max_embedded_mib * 2**20))
    edit_tables = build_edit_tables(rows["scores"], rows["summary"], rows["clips"], order, tests)
    prediction_tables = build_prediction_tables(rows["summary"], rows["runs"], order, tests)
    html = (
        _environment()
        .get_template("report.html.jinja")
        .render(
            runs=[_run_facts(row) for row in rows["runs"]],
            title=table.run or "Reelbench",
            table=table,
            legend=legend([column for section in table.sections for column in section.columns]),
            edit_tables=edit_tables,
            published_editing=published_editing() if edit_tables else (),
            prediction_tables=prediction_tables,
            published_prediction=published_prediction(prediction_tables),
            ablation_tables=build_ablation_tables(rows["summary"], rows["runs"], order, tests),
            plots=[_metric_plots(section) for section in table.sections],
            comparisons=_comparison_views(tests, _labels(rows["summary"])),
            size_plots=size_plots(rows["curves"]),
            failures=failures_of(rows["clips"], rows["features"]),
            num_clips=sum(row["side"] == "generated" for row in rows["clips"]),
            prompt_groups=_prompt_groups(
                prompts, order, rows["scores"], _labels(rows["summary"]), find, budget
            ),
            configurations=_configurations(rows["summary"]),
            published=published,
            section_titles=section_titles(table),
            table_parts=table_parts,
            whole_table=whole_table,
            count_headings=count_headings,
            count_cells=count_cells,
            marks_text=marks_text,
        )
    )
    write_text_atomic(out_html, html)
    return out_html


def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # prompts and error messages are foreign text
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _labels(summary: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    return {row["metric"]: row["label"] or row["metric"] for row in summary}


def _run_facts(row: Mapping[str, Any]) -> dict[str, str]:
    """What was run, in words, by name."""
    facts = {
        "Run": row["run"],
        "Run key": (row["run_key"] or "")[:12],
        "Clips": "" if row["num_clips"] is None else f"{row['num_clips']}, {row['num_failures'] or 0} failed",
        "Protocol": _protocols(row["protocol"] or "", row["protocol_digest"] or ""),
        "Hardware": row["hardware"],
        "Reelbench": row["reelbench_version"],
        "Libraries": _json_line(row["library_versions"], " "),
        "Weights": _json_line(row["weights"], " ", 12),
    }
    return {name: text for name, text in facts.items() if text}


def _protocols(names: str, digests: str) -> str:
    """ "clean (f57ed2ba23b0), predicted (b4c449e63e19)": each of a run's protocols with its digest."""
    pairs = zip(names.split(", "), digests.split(", "), strict=False)
    return ", ".join(f"{name} ({digest[:12]})" for name, digest in pairs)


def _json_line(text: str | None, separator: str, num_characters: int | None = None) -> str:
    """A flat JSON object as "key value, key value"; text that is none is shown as it is."""
    try:
        items = json.loads(text or "{}").items()
    except (ValueError, AttributeError):
        return text or ""
    return ", ".join(f"{key}{separator}{str(value)[:num_characters]}" for key, value in items)


def _metric_plots(section: Section) -> list[DotPlot]:
    """A dot plot for each metric: the value and its 95% interval, methods grouped as in the table."""
    plots = []
    for index, column in enumerate(section.columns):
        measured = []
        for group in section.groups:
            for row in group.rows:
                cell = row.cells[index]
                if cell.value is not None:
                    measured.append(
                        Measured(
                            row.method,
                            cell.text,
                            cell.value,
                            cell.low,
                            cell.high,
                            f"Saw: {group.conditioning}",
                            cell.is_best,
                        )
                    )
        plot = dot_plot(column.heading, measured)
        if plot is not None:
            plots.append(plot)
    return plots


def _comparison_views(rows: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Paired differences by data set, protocol and metric: a plot about zero, with p values."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        key = tuple(row[name] or "" for name in ("dataset", "split", "protocol", "protocol_digest", "metric"))
        groups.setdefault(key, []).append(row)
    views = []
    for (dataset, split, protocol, protocol_digest, metric), members in sorted(groups.items()):
        title = f"{labels.get(metric, metric)} on {dataset}" + (f", {split}" if split else "")
        drawn = [row for row in members if is_value(row["difference"])]
        plot = dot_plot(
            title,
            [
                Measured(
                    f"{row['method_a']} − {row['method_b']}",
                    format_measurement(row["difference"], row["standard_error"]),
                    row["difference"],
                    row["low"] if is_value(row["low"]) else None,
                    row["high"] if is_value(row["high"]) else None,
                    f"Saw: {row['conditioning']}" if row["conditioning"] else "",
                )
                for row in drawn
            ],
            with_zero=True,
        )
        details = [
            f"Holm p {format_p_value(row['p_holm'])} (raw {format_p_value(row['p_value'])}), "
            f"{row['num_pairs']} pairs of {row['num_sources']} sources"
            + (f", detectable {format_rounded(found)}" if is_value(found := row["min_detectable"]) else "")
            for row in drawn
        ]
        tests = ", ".join(sorted({row["test"] for row in members if row["test"]}))
        notes = [
            f"{row['method_a']} − {row['method_b']}: {note}"
            for row in members
            for note in (row["notes"] or "").splitlines()
        ]
        undefined = [f"{r['method_a']} − {r['method_b']}" for r in members if not is_value(r["difference"])]
        views.append(
            {
                "title": title,
                "plot": plot,
                "details": details,
                "undefined": undefined,
                "test": tests,
                "notes": notes,
                "protocol": f"{protocol} ({protocol_digest[:12]})",
            }
        )
    return views


def _configurations(summary: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What each method was run with, once for each method and data set setting."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for row in summary:
        if row["seed"] is None:
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


def _prompt_groups(
    prompts: Sequence[PromptClips],
    order: Sequence[str],
    scores: Iterable[Mapping[str, Any]],
    labels: Mapping[str, str],
    find: Any,
    budget: _Budget,
) -> list[tuple[str, list[_PromptView]]]:
    """(data set title, prompts): the reference first, then every method in one order."""
    methods = methods_of(prompts, order)
    values: dict[tuple[Any, ...], list[str]] = {}
    for row in scores:
        if is_value(row["value"]):
            key = (row["dataset"], row["split"], row["sample_id"], row["seed"], row["method"])
            values.setdefault(key, []).append(
                f"{labels.get(row['metric'], row['metric'])} {row['value']:.4g}"
            )
    groups: dict[str, list[_PromptView]] = {}
    for prompt in prompts:
        title = ", ".join(part for part in (prompt.dataset, prompt.split) if part)
        views = []
        if prompt.reference is not None:
            views.append(_clip_view("reference", prompt.reference, (), find, budget))
        for method in methods:
            clip = prompt.generated.get(method)
            key = (prompt.dataset, prompt.split, prompt.sample_id, prompt.seed, method)
            views.append(_clip_view(method, clip, tuple(values.get(key, ())), find, budget))
        groups.setdefault(title, []).append(_PromptView(prompt.prompt, prompt.sample_id, tuple(views)))
    return list(groups.items())


_FOLDER_FRAMES, _FOLDER_FPS = 32, 8.0
"""What is shown of a folder of frames: so many, at the rate of the previews."""


def _media(path: Path) -> tuple[str, bytes]:
    """The media type and content of a clip as a browser plays it.

    Raises:
        VideoError, OSError: it cannot be read.
    """
    if not path.is_dir():
        return _MEDIA_TYPES[path.suffix.lower()], path.read_bytes()
    from ...datasets.video import reference_clip, write_preview

    with tempfile.TemporaryDirectory() as folder:
        preview = Path(folder, "preview.mp4")
        write_preview(preview, reference_clip(ClipRef(path), _FOLDER_FRAMES), _FOLDER_FPS)
        return _MEDIA_TYPES[".mp4"], preview.read_bytes()


def _clip_view(
    heading: str, row: Mapping[str, Any] | None, scores: tuple[str, ...], find: Any, budget: _Budget
) -> _ClipView:
    if row is None:
        return _ClipView(heading, words="no clip yet")
    if row["status"] != "done":
        return _ClipView(heading, words=f"{row['status'] or 'missing'}: {row['error_type'] or 'no clip'}")
    path = next(
        (
            file
            for file in (find(row["preview"]), find(row["path"]))
            if file is not None and (file.is_dir() or file.suffix.lower() in _MEDIA_TYPES)
        ),
        None,
    )
    if path is None:
        return _ClipView(heading, words="no preview file", scores=scores)
    try:
        media_type, content = _media(path)
    except (VideoError, OSError) as error:
        return _ClipView(heading, words=str(error).partition("\n")[0], scores=scores)
    num_bytes = len(content)
    if num_bytes > budget.num_bytes:
        return _ClipView(
            heading,
            words=f"not embedded ({num_bytes / 2**20:.1f} MiB): {row['preview'] or row['path']}",
            scores=scores,
        )
    budget.num_bytes -= num_bytes
    encoded = base64.b64encode(content).decode("ascii")
    return _ClipView(
        heading,
        data_uri=f"data:{media_type};base64,{encoded}",
        is_image=media_type.startswith("image/"),
        scores=scores,
        width=row["width"],
    )
