"""The "as published" tables that stand beside a run's: methods as rows, under columns of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .published import MARKS, PublishedBenchmark, PublishedFigures, load_published
from .tables.measurement import DASH
from .tables.prediction import PREDICTION_METRICS, prediction_data
from .tables.run_tables import RunTables

PUBLISHED_EDITING = ("davis-editing", "simda-editing", "tgve", "v2vbench")
"""The published benchmarks that stand beside an edit table."""

PUBLISHED_PREDICTION = {"ssv2": "ssv2", "bridge": "bridge", "epic-kitchens-100": "epic"}
"""The published benchmark of each registered data set of prediction."""

UNKNOWN = f"{DASH} [?]"
"""What stands where a figure was published and is not known here."""


@dataclass(frozen=True)
class PublishedTable:
    """One benchmark, ready to print.

    Attributes:
        benchmark: the title.
        headings, rows: cells of text, a row for each method.
        protocol: what is known of it.
    """

    benchmark: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    protocol: str


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
    entry = figures.benchmark(benchmark)
    headings = ("Method", *(f"{metric}, published" for metric in entry.metrics))
    protocol = f"{entry.protocol.strip()} {_known_from([entry], figures)}"
    return PublishedTable(entry.title, headings, _rows([entry]), protocol)


def published_together(
    title: str, benchmarks: Sequence[str], figures: PublishedFigures | None = None
) -> PublishedTable:
    """Several benchmarks of one task beside each other: methods as rows, columns by data set and metric.

    Raises:
        UnknownNameError: there are no figures for one of them.
    """
    figures = figures or load_published()
    entries = [figures.benchmark(benchmark) for benchmark in benchmarks]
    named = [f"{_dataset(entry)} {metric}, published" for entry in entries for metric in entry.metrics]
    protocols = [f"{_dataset(entry)}: {entry.protocol.strip()}" for entry in entries]
    return PublishedTable(
        title, ("Method", *named), _rows(entries), " ".join([*protocols, _known_from(entries, figures)])
    )


def published_cell(entry: PublishedBenchmark, method: str, metric: str) -> str:
    """The figures of a method under a metric, with notes: "998 [T]; 1290 [T] (in another table)"."""
    texts = []
    for figure in entry.of(method, metric):
        remarks = "; ".join(filter(None, [figure.on, figure.note]))
        texts.append(f"{figure.printed} [{figure.mark}]" + (f" ({remarks})" if remarks else ""))
    return "; ".join(texts) or (UNKNOWN if entry.is_unknown(method, metric) else DASH)


def _dataset(entry: PublishedBenchmark) -> str:
    return entry.dataset or entry.title


def _rows(entries: Sequence[PublishedBenchmark]) -> tuple[tuple[str, ...], ...]:
    methods = dict.fromkeys(method for entry in entries for method in entry.methods)
    return tuple(
        (method, *(published_cell(entry, method, metric) for entry in entries for metric in entry.metrics))
        for method in methods
    )


def _known_from(entries: Sequence[PublishedBenchmark], figures: PublishedFigures) -> str:
    """What the marks mean, the sources with what is known of the making, and what is not known."""
    sources: dict[str, dict[str, None]] = {}
    for report in (report for entry in entries for report in entry.reports):
        text = f"{figures.sources[report.source]}, {report.at}" + (
            f" ({report.made})" if str(report.made) else ""
        )
        sources.setdefault(f"[{report.mark}]: {MARKS[report.mark]}", {})[text] = None
    known = ". ".join(f"{mark}: {'; '.join(named)}" for mark, named in sources.items())
    gaps: dict[str, list[PublishedBenchmark]] = {}
    for entry in entries:
        for unknown in entry.unknown:
            gaps.setdefault(unknown.text, []).append(entry)
    texts = [
        text if len(of) == len(entries) else f"{text} ({', '.join(map(_dataset, of))})"
        for text, of in gaps.items()
    ]
    parts = [f"{known}." if known else "", f"[?]: not known here. {'; '.join(texts)}." if texts else ""]
    return " ".join(filter(None, parts))
