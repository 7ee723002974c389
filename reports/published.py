"""Figures as published, kept apart from what is measured.

They live in `published.yaml` with their source and a mark of how they are known. A published value
never stands in a column with a measured one: it becomes a table of its own, with what is known of
its protocol under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from ..core.errors import ReelbenchError, unknown_name
from .measurement import DASH
from .table_text import escape_markdown

MARKS = {"P": "the paper's text", "C": "official code", "T": "a third party's page"}
"""How a figure is known."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedFigure(_Model):
    """One value somebody printed."""

    method: str
    metric: str
    value: float
    mark: Literal["P", "C", "T"]
    """How it is known; see `MARKS`."""
    source: str
    """Key of the sources."""
    note: str = ""


class PublishedBenchmark(_Model):
    """The figures of one data set and task."""

    benchmark: str
    """Name to ask for."""
    title: str
    protocol: str
    """What is known of how the figures were made."""
    figures: tuple[PublishedFigure, ...]


class PublishedFigures(_Model):
    """The whole data file."""

    sources: dict[str, str]
    benchmarks: tuple[PublishedBenchmark, ...]

    @model_validator(mode="after")
    def _sources_exist(self) -> Self:
        named = {figure.source for benchmark in self.benchmarks for figure in benchmark.figures}
        if not named <= set(self.sources):
            raise ValueError(f"figures name sources that are not listed: {sorted(named - set(self.sources))}")
        return self


@dataclass(frozen=True)
class PublishedTable:
    """One benchmark, ready to print.

    Attributes:
        benchmark: the title.
        headings, rows: cells of text, a row for each figure.
        protocol: what is known of it.
    """

    benchmark: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    protocol: str


def load_published(path: Path | None = None) -> PublishedFigures:
    """The published figures.

    Args:
        path: a data file of the same form; None takes the one that comes with the package.

    Raises:
        ReelbenchError: the file is not valid.
    """
    import yaml

    path = path or Path(__file__).with_name("published.yaml")
    try:
        return PublishedFigures.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ReelbenchError(f"cannot read the published figures in {path}: {error}") from error


def published_table(benchmark: str, figures: PublishedFigures | None = None) -> PublishedTable:
    """The "as published" table of a benchmark, for example "msrvtt".

    Raises:
        UnknownNameError: there are no figures for it.
    """
    figures = figures or load_published()
    entry = _entry(benchmark, figures)
    rows = tuple(
        (
            figure.method,
            f"{figure.metric} (published)",
            f"{figure.value:g}",
            f"{MARKS[figure.mark]}: {figures.sources[figure.source]}",
            figure.note,
        )
        for figure in entry.figures
    )
    return PublishedTable(
        entry.title, ("Method", "Metric", "As published", "Known from", "Note"), rows, entry.protocol.strip()
    )


def published_by_method(benchmark: str, figures: PublishedFigures | None = None) -> PublishedTable:
    """The "as published" table in the papers' shape: a row for each method, a column for each metric.

    Every figure carries the letter of its mark; what is not known is a dash. Where a method has several
    figures under one metric, all are shown with their notes.

    Raises:
        UnknownNameError: there are no figures for it.
    """
    figures = figures or load_published()
    entry = _entry(benchmark, figures)
    metrics = list(dict.fromkeys(figure.metric for figure in entry.figures))
    rows = []
    for method in dict.fromkeys(figure.method for figure in entry.figures):
        mine = [figure for figure in entry.figures if figure.method == method]
        cells = [_cell([figure for figure in mine if figure.metric == metric]) for metric in metrics]
        rows.append((method, *cells))
    marks = {figure.mark: None for figure in entry.figures}
    sources = {figures.sources[figure.source]: None for figure in entry.figures}
    known_from = "; ".join(f"[{mark}]: {MARKS[mark]}" for mark in marks) + f". {'; '.join(sources)}."
    headings = ("Method", *(f"{metric}, published" for metric in metrics))
    return PublishedTable(entry.title, headings, tuple(rows), f"{entry.protocol.strip()} {known_from}")


def _cell(figures: Sequence[PublishedFigure]) -> str:
    texts = [
        f"{figure.value:g} [{figure.mark}]" + (f" ({figure.note})" if figure.note else "")
        for figure in figures
    ]
    return "; ".join(texts) or DASH


def _entry(benchmark: str, figures: PublishedFigures) -> PublishedBenchmark:
    by_name = {entry.benchmark: entry for entry in figures.benchmarks}
    if benchmark not in by_name:
        raise unknown_name("published benchmark", benchmark, by_name)
    return by_name[benchmark]


def published_markdown(table: PublishedTable, heading_level: int = 3) -> str:
    """The table as Markdown, with a line that says what it is."""
    lines = [
        f"{'#' * heading_level} As published: {escape_markdown(table.benchmark)}",
        "",
        f"| {' | '.join(table.headings)} |",
        f"| {' | '.join('---' for _ in table.headings)} |",
        *(f"| {' | '.join(escape_markdown(text) for text in row)} |" for row in table.rows),
        "",
        "Not measured here; not comparable with measured values.",
        escape_markdown(table.protocol),
    ]
    return "\n".join(lines) + "\n"
