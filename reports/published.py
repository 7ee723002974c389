"""Figures as published, kept apart from what is measured.

They live in `published.yaml` with their source and a mark of how they are known. They never share a column
with measured values: they become tables of their own, with what is known of their protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from ..core.errors import ReelbenchError, unknown_name
from .tables.measurement import DASH
from .tables.prediction import PREDICTION_METRICS, prediction_data
from .tables.run_tables import RunTables

MARKS = {
    "P": "the paper's text",
    "C": "official code",
    "T": "a third party's page",
    "D": "derived here from other figures",
    "U": "a recollection, not confirmed",
}
"""How a figure is known."""

PUBLISHED_EDITING = ("davis-editing", "simda-editing", "tgve", "v2vbench")
"""The published benchmarks that stand beside an edit table."""

PUBLISHED_PREDICTION = {"ssv2": "ssv2", "bridge": "bridge", "epic-kitchens-100": "epic"}
"""The published benchmark of each registered data set of prediction."""

UNKNOWN = f"{DASH} [?]"
"""What stands where a figure was published and is not known here."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedFigure(_Model):
    """One value somebody printed."""

    method: str
    metric: str
    value: float
    mark: Literal["P", "C", "T", "D", "U"]
    """How it is known; see `MARKS`."""
    source: str
    """Key of the sources."""
    note: str = ""


class UnknownFigures(_Model):
    """Figures that were published and are not known here."""

    methods: tuple[str, ...] = ()
    """Whose; none: of every method."""
    metric: str = ""
    """Which; none: every metric."""
    why: str

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.methods and not self.metric:
            raise ValueError(f"unknown figures ({self.why!r}) need `methods`, a `metric`, or both")
        return self

    def cover(self, method: str, metric: str) -> bool:
        """Whether a figure is among them."""
        return (not self.methods or method in self.methods) and self.metric in ("", metric)

    @property
    def text(self) -> str:
        """What is not known, and why."""
        what = " of ".join(filter(None, [self.metric, ", ".join(self.methods)]))
        return f"{what}: {self.why}"


class PublishedBenchmark(_Model):
    """The figures of one data set and task."""

    benchmark: str
    """Name to ask for."""
    title: str
    dataset: str = ""
    """The data set alone, for headings of a table over several; empty: the title."""
    protocol: str
    """What is known of how the figures were made."""
    figures: tuple[PublishedFigure, ...]
    unknown: tuple[UnknownFigures, ...] = ()


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

    from ..core.yaml_text import load_yaml

    path = path or Path(__file__).with_name("published.yaml")
    try:
        return PublishedFigures.model_validate(load_yaml(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ReelbenchError(f"cannot read the published figures in {path}: {error}") from error


def published_editing() -> tuple[PublishedTable, ...]:
    """What is published of editing, a row for each method; it stands beside an edit table."""
    return tuple(published_by_method(name) for name in PUBLISHED_EDITING)


def published_prediction(run: RunTables) -> tuple[PublishedTable, ...]:
    """What is published on the data sets of a run's prediction tables, in one table; none where nothing is.

    A data set is known by its registered name: Sprites in its layout have its published figures beside them,
    too, as figures of another data set under another protocol.
    """
    measured = {row["dataset"] for row in run.summary if row["metric"] in PREDICTION_METRICS}
    shown = dict.fromkeys(item.name for item in prediction_data(run.rows("runs")) if item.label in measured)
    benchmarks = [PUBLISHED_PREDICTION[name] for name in shown if name in PUBLISHED_PREDICTION]
    if not benchmarks:
        return ()
    return (published_together("text-video prediction, under other protocols", benchmarks),)


def published_by_method(benchmark: str, figures: PublishedFigures | None = None) -> PublishedTable:
    """The "as published" table in the papers' shape: a row for each method, a column for each metric.

    Every figure carries the letter of its mark; what is not known is a dash. Where a method has several
    figures under one metric, all are shown with their notes.

    Raises:
        UnknownNameError: there are no figures for it.
    """
    figures = figures or load_published()
    entry = _entry(benchmark, figures)
    columns = [(entry, metric) for metric in _metrics(entry)]
    headings = ("Method", *(f"{metric}, published" for _, metric in columns))
    protocol = f"{entry.protocol.strip()} {_known_from([entry], figures)}"
    return PublishedTable(entry.title, headings, _rows(columns), protocol)


def published_together(
    title: str, benchmarks: Sequence[str], figures: PublishedFigures | None = None
) -> PublishedTable:
    """Several benchmarks of one task beside each other: methods as rows, columns by data set and metric.

    Raises:
        UnknownNameError: there are no figures for one of them.
    """
    figures = figures or load_published()
    entries = [_entry(benchmark, figures) for benchmark in benchmarks]
    columns = [(entry, metric) for entry in entries for metric in _metrics(entry)]
    headings = ("Method", *(f"{_dataset(entry)} {metric}, published" for entry, metric in columns))
    protocols = [f"{_dataset(entry)}: {entry.protocol.strip()}" for entry in entries]
    return PublishedTable(
        title, headings, _rows(columns), " ".join([*protocols, _known_from(entries, figures)])
    )


def _dataset(entry: PublishedBenchmark) -> str:
    return entry.dataset or entry.title


def _metrics(entry: PublishedBenchmark) -> list[str]:
    named = [figure.metric for figure in entry.figures] + [unknown.metric for unknown in entry.unknown]
    return list(dict.fromkeys(filter(None, named)))


def _rows(columns: Sequence[tuple[PublishedBenchmark, str]]) -> tuple[tuple[str, ...], ...]:
    """A row for each method of which a figure is known."""
    methods = dict.fromkeys(figure.method for entry, _ in columns for figure in entry.figures)
    return tuple((method, *(_cell(entry, method, metric) for entry, metric in columns)) for method in methods)


def _cell(entry: PublishedBenchmark, method: str, metric: str) -> str:
    texts = [
        f"{figure.value:g} [{figure.mark}]" + (f" ({figure.note})" if figure.note else "")
        for figure in entry.figures
        if (figure.method, figure.metric) == (method, metric)
    ]
    if not texts and any(unknown.cover(method, metric) for unknown in entry.unknown):
        return UNKNOWN
    return "; ".join(texts) or DASH


def _known_from(entries: Sequence[PublishedBenchmark], figures: PublishedFigures) -> str:
    """What the marks mean, the sources, and what is not known."""
    shown = [figure for entry in entries for figure in entry.figures]
    sources: dict[str, dict[str, None]] = {}
    for figure in shown:
        sources.setdefault(figure.mark, {})[figures.sources[figure.source]] = None
    marks = "; ".join(f"[{mark}]: {MARKS[mark]}: {', '.join(named)}" for mark, named in sources.items())
    gaps: dict[str, list[PublishedBenchmark]] = {}
    for entry in entries:
        for unknown in entry.unknown:
            gaps.setdefault(unknown.text, []).append(entry)
    texts = [
        text if len(of) == len(entries) else f"{text} ({', '.join(map(_dataset, of))})"
        for text, of in gaps.items()
    ]
    return f"{marks}." + (f" [?]: not known here. {'; '.join(texts)}." if texts else "")


def _entry(benchmark: str, figures: PublishedFigures) -> PublishedBenchmark:
    by_name = {entry.benchmark: entry for entry in figures.benchmarks}
    if benchmark not in by_name:
        raise unknown_name("published benchmark", benchmark, by_name)
    return by_name[benchmark]
