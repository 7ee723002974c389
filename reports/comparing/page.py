"""A comparison as a page: one file with its plots and the clips that move the differences side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...core.atomic_write import write_output
from ...core.errors import StoreError
from ...core.redaction import without_machine
from ..pages.dot_plot import DotPlot, Mark, dot_plot
from ..pages.html_clips import ClipEmbedder, ClipView
from ..tables.run_tables import Row, RunTables
from .result import ComparedCell, Comparison, MovedClip
from .text import (
    COST_HEADINGS,
    DIFFERENCE,
    HEADINGS,
    cell_texts,
    cost_texts,
    facts,
    legend,
    moved_text,
    numbered_notes,
    sections,
    side_lines,
)

MAX_EMBEDDED_MIB = 24.0
_GENERATOR = "reelbench compare"
_MARK = f'<meta name="generator" content="{_GENERATOR}">'.encode()
"""By it a page of ours is told from a file of somebody's."""


@dataclass(frozen=True)
class _Moved:
    """A clip that moves a difference, with the clips to look at."""

    text: str
    clips: tuple[ClipView, ...]


@dataclass(frozen=True)
class _Section:
    title: str
    rows: tuple[tuple[str, str, tuple[str, ...]], ...]
    """Verdict, metric's name for the plot, and the texts of each cell."""
    notes: tuple[str, ...]
    one_pair: bool
    """Whether all cells are of the same methods, which needs no column."""
    plots: tuple[DotPlot, ...]
    moved: tuple[tuple[str, tuple[_Moved, ...]], ...]
    """Of each cell with clips a heading, and these."""


def write_comparison_page(
    comparison: Comparison,
    path: Path,
    tables_a: Path,
    tables_b: Path,
    *,
    max_embedded_mib: float = MAX_EMBEDDED_MIB,
    force: bool = False,
) -> Path:
    """Write the page; the path.

    Args:
        tables_a, tables_b: the Parquet tables of the two results, which say where the clips lie.
        max_embedded_mib: of clips; those beyond are named instead.
        force: replace any file.

    Raises:
        StoreError: a table cannot be read, or the page may not be written there (`check_place`).
    """
    check_place(path, force=force)
    clips = _Clips(comparison, tables_a, tables_b, int(max_embedded_mib * 2**20))
    page = (
        _environment()
        .get_template("compare.html.jinja")
        .render(
            generator=_GENERATOR,
            title=_title(comparison),
            comparison=comparison,
            sides=side_lines(comparison),
            headings=HEADINGS,
            sections=[_section(title, cells, clips) for title, cells in sections(comparison)],
            legend=legend(comparison),
            cost_headings=COST_HEADINGS,
            costs=[cost_texts(cost) for cost in comparison.costs],
            facts=facts(comparison),
        )
    )
    write_output(path, page)
    return path


def check_place(path: Path, *, force: bool = False) -> None:
    """Refuse to write a page where it would destroy something, or where nobody would look for it.

    Args:
        force: replace a file that is no page of a comparison, too.

    Raises:
        StoreError: a folder, a device or another one's file is there, or its folder is not.
    """
    name = repr(str(path))
    if path.is_dir():
        raise StoreError(f"{name} is a folder", f"name a file: {path / 'compare.html'}")
    if not path.parent.is_dir():
        raise StoreError(
            f"there is no folder {str(path.parent)!r} for the page", "make it first, or name another"
        )
    if not path.exists():
        return
    if not path.is_file():
        raise StoreError(f"{name} is not a regular file", "name a file for the page")
    if force or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        is_ours = _MARK in file.read(1024)
    if not is_ours:
        raise StoreError(
            f"{name} is there already, and is no page of a comparison",
            "--force replaces it, or give another name",
        )


def _title(comparison: Comparison) -> str:
    a, b = comparison.a, comparison.b
    if a.name != b.name:
        return f"{a.name} against {b.name}"
    if a.run_id != b.run_id:
        return f"{a.name} ({a.run_id}) against {b.name} ({b.run_id})"
    return f"{a.name}: {', '.join(a.methods)} against {', '.join(b.methods)}"


def _section(title: str, cells: Sequence[ComparedCell], clips: _Clips) -> _Section:
    notes, marks = numbered_notes(cells)
    return _Section(
        title=title,
        rows=tuple(
            (cell.verdict.replace(" ", "-"), cell.label, cell_texts(cell, mark))
            for cell, mark in zip(cells, marks, strict=True)
        ),
        notes=tuple(notes),
        one_pair=len({cell.methods for cell in cells}) == 1,
        plots=tuple(_plots(cells)),
        moved=tuple(
            (
                f"{cell.label} of {cell.methods}",
                tuple(_Moved(moved_text(moved), tuple(clips.views(cell, moved))) for moved in cell.moved),
            )
            for cell in cells
            if cell.moved
        ),
    )


def _plots(cells: Sequence[ComparedCell]) -> Iterator[DotPlot]:
    """A plot of the differences for each metric, on an axis with zero."""
    by_label: dict[str, list[ComparedCell]] = {}
    for cell in cells:
        if cell.difference is not None:
            by_label.setdefault(cell.label, []).append(cell)
    for label, shown in by_label.items():
        arrow = {True: " ↑", False: " ↓", None: ""}[shown[0].higher_is_better]
        marks = [
            Mark(
                label=cell.methods,
                text=f"{cell_texts(cell)[DIFFERENCE]} ({cell.verdict})",
                dot=cell.difference or 0.0,
                low=cell.low,
                high=cell.high,
                is_best=cell.verdict == "better",
            )
            for cell in shown
        ]
        if (plot := dot_plot(f"{label}{arrow}, A − B", marks, with_zero=True)) is not None:
            yield plot


class _Clips:
    """The clips of both results, embedded within one budget."""

    def __init__(self, comparison: Comparison, tables_a: Path, tables_b: Path, max_num_bytes: int) -> None:
        self._embedder = ClipEmbedder(max_num_bytes)
        self._sides = [(folder, self._rows(folder)) for folder in (tables_a, tables_b)]

    @staticmethod
    def _rows(folder: Path) -> list[Row]:
        try:
            return RunTables(folder).rows("clips")
        except StoreError:
            if (folder / "clips.parquet").exists():
                raise
            return []  # recorded tables have none

    def views(self, cell: ComparedCell, moved: MovedClip) -> Iterator[ClipView]:
        """The reference, the clip of A and that of B."""
        if not any(rows for _, rows in self._sides):
            return
        (folder, rows), _ = self._sides
        mine = [row for row in rows if row["dataset"] == cell.dataset]
        source = next((row["source"] for row in mine if row["sample_id"] == moved.sample_id), None)
        references = [row for row in mine if row["side"] == "reference"]
        reference = next(
            (row for row in references if row["sample_id"] == moved.sample_id),
            next((row for row in references if row["source"] == source), None),
        )
        if reference is not None:
            yield self._embedder.view("reference", reference, folder)
        values = (moved.value_a, moved.value_b)
        labels = (cell.method_a, cell.method_b)
        for letter, (folder, rows), label, value in zip("AB", self._sides, labels, values, strict=True):
            row = next(
                (
                    row for row in rows
                    if row["side"] == "generated" and row["dataset"] == cell.dataset
                    and row["method"] == label and row["sample_id"] == moved.sample_id
                    and moved.seed in (None, row["seed"])
                ),
                None,
            )  # fmt: skip
            if row is None and not rows:
                yield ClipView(f"{letter}: {label}", words="its results keep no clips")
                continue
            scores = () if value is None else (f"{cell.label} {value:.4g}",)
            yield self._embedder.view(f"{letter}: {label}", row, folder, scores)


def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,  # labels, prompts and messages are foreign text
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_fit,
    )


def _fit(value: Any) -> Any:
    """What a place of the page shows, without absolute paths of this machine; clips stay."""
    is_clip = not isinstance(value, str) or value.startswith("data:")
    return value if is_clip or hasattr(value, "__html__") else without_machine(value)
