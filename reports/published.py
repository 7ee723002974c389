"""Figures as published, kept apart from what is measured: the data file and its parts.

They live in `published.yaml` with their source, where in it, what is known of how they were made, and a mark
of how they are known. They never share a column with measured values (`published_tables`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from ..core.errors import ReelbenchError, unknown_name

Mark = Literal["P", "C", "T", "D", "U"]

MARKS: dict[Mark, str] = {
    "P": "the paper's text",
    "C": "official code",
    "T": "a third party's page",
    "D": "derived here from other figures",
    "U": "a recollection, not confirmed",
}
"""How a figure is known."""

NOT_STATED = "not stated"
"""The device of a cost whose source names none."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PublishedMetric(_Model):
    """A quantity that tables print."""

    better: Literal["higher", "lower"]
    scale: float = 1
    """What papers print over Reelbench's metric of that name: 100 for a CLIPSIM of 29.45."""
    unit: str = ""
    cost: bool = False
    """Whether it depends on the machine, so that each figure names its device."""


class PublishedSource(_Model):
    """Where figures were read: an entry of a bibliography. An empty field is not known, or does not apply."""

    type: Literal["article", "inproceedings", "misc"]
    """The entry's type in BibTeX."""
    title: str
    authors: tuple[str, ...] = ()
    """People, or who runs a page or repository."""
    year: int | None = None
    venue: str = ""
    eprint: str = ""
    """Number on arXiv."""
    version: str = ""
    """Version on arXiv."""
    paper: str = ""
    """The paper that notes were made from, or that a page lists."""
    url: str = ""
    path: str = ""
    """File in a repository."""
    commit: str = Field("", pattern=r"^([0-9a-f]{40})?$")
    read: str = ""
    """What of it was read, where not all."""
    methods: tuple[str, ...] = ()
    """Whose own paper it is."""
    accessed: str = ""

    @property
    def is_citable(self) -> bool:
        """Whether a paper can cite it: a recollection is on no page."""
        return bool(self.authors or self.url or self.eprint)

    def __str__(self) -> str:
        """The citation as a line of text."""
        arxiv = f"arXiv {self.eprint}{self.version}" if self.eprint else ""
        place = f"{self.path} @ {self.commit[:7]}" if self.commit else ""
        details = ", ".join(filter(None, [self.venue, arxiv, self.paper, place]))
        return self.title + (f" ({details})" if details else "")


class Made(_Model):
    """What is known of how figures were made; an empty field is not known."""

    samples: str = ""
    captions: str = ""
    """Which captions."""
    frames: str = ""
    fps: str = ""
    size: str = ""
    backbone: str = ""
    """Of the metric."""

    def __str__(self) -> str:
        """ "2,048 videos; 16 frames; 3 fps": the known fields; empty where nothing is."""
        parts = (f"{self.frames} frames" if self.frames else "", f"{self.fps} fps" if self.fps else "")
        return "; ".join(filter(None, [self.samples, self.captions, *parts, self.size, self.backbone]))


class PrintedFigure(_Model):
    """A figure as it stands in its source."""

    value: float
    printed: str = ""
    """As it is printed there, trailing zeros and all."""
    scale: float = 0
    """What it is multiplied by there; 0: the metric's scale."""
    device: str = ""
    """Of a cost; NOT_STATED where the source names none."""
    note: str = ""

    @property
    def on(self) -> str:
        """The device as tables print it; empty for what is no cost."""
        return f"device {NOT_STATED}" if self.device == NOT_STATED else self.device

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        fields = dict(data) if isinstance(data, dict) else {"value": data}
        return {"printed": str(fields.get("value")), **fields}


class PublishedFigure(PrintedFigure):
    """One value somebody printed, with everything that is known of it."""

    method: str
    metric: str
    higher_is_better: bool
    mark: Mark
    source: str
    """Key of the sources."""
    at: str
    """Where in the source."""
    made: Made


class PublishedReport(_Model):
    """What one source says of a benchmark."""

    source: str
    at: str = Field(min_length=1)
    mark: Mark
    made: Made
    figures: dict[str, dict[str, tuple[PrintedFigure, ...]]]
    """By method and metric; several where the source has several."""

    @field_validator("figures", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return {
            method: {name: found if isinstance(found, list) else [found] for name, found in row.items()}
            for method, row in value.items()
        }


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
    """What is known of how the figures were made, for people."""
    reports: tuple[PublishedReport, ...] = ()
    unknown: tuple[UnknownFigures, ...] = ()
    _metrics: dict[str, PublishedMetric] = PrivateAttr(default_factory=dict)

    @cached_property
    def figures(self) -> tuple[PublishedFigure, ...]:
        """All figures, in the order of the file."""
        return tuple(
            PublishedFigure(
                **{**figure.model_dump(), "scale": figure.scale or self._metrics[metric].scale},
                method=method,
                metric=metric,
                higher_is_better=self._metrics[metric].better == "higher",
                mark=report.mark,
                source=report.source,
                at=report.at,
                made=report.made,
            )
            for report in self.reports
            for method, row in report.figures.items()
            for metric, found in row.items()
            for figure in found
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of which a figure is known; where none is, those whose figures are not."""
        known = dict.fromkeys(figure.method for figure in self.figures)
        return tuple(known or dict.fromkeys(method for gap in self.unknown for method in gap.methods))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those that were published, known or not."""
        named = [figure.metric for figure in self.figures] + [gap.metric for gap in self.unknown]
        return tuple(dict.fromkeys(filter(None, named)))

    def of(self, method: str, metric: str) -> tuple[PublishedFigure, ...]:
        """The figures of one cell; several where sources disagree. What several sources say alike is one."""
        found: dict[tuple[str, str], PublishedFigure] = {}
        for figure in self.figures:
            if (figure.method, figure.metric) == (method, metric):
                found.setdefault((figure.printed, figure.note), figure)
        plain = {printed for printed, note in found if not note}
        return tuple(figure for (printed, note), figure in found.items() if not note or printed not in plain)

    def is_unknown(self, method: str, metric: str) -> bool:
        """Whether it was published and is not known here."""
        return any(gap.cover(method, metric) for gap in self.unknown)


class PublishedFigures(_Model):
    """The whole data file."""

    metrics: dict[str, PublishedMetric]
    sources: dict[str, PublishedSource]
    papers: dict[str, PublishedSource] = {}
    """Methods' own papers that no figure was read in."""
    benchmarks: tuple[PublishedBenchmark, ...]

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        named = {name for one in self.benchmarks for report in one.reports for row in report.figures.values()
                 for name in row}  # fmt: skip
        _refuse_unlisted("metrics", named, self.metrics)
        _refuse_unlisted("sources", {r.source for one in self.benchmarks for r in one.reports}, self.sources)
        for benchmark in self.benchmarks:
            benchmark._metrics.update(self.metrics)
            for figure in benchmark.figures:
                if self.metrics[figure.metric].cost and not figure.device:
                    raise ValueError(
                        f"{figure.metric} of {figure.method} needs a `device` ({NOT_STATED!r} is one)"
                    )
        return self

    def paper_of(self, method: str) -> str:
        """Key of a method's own paper, "" where it is not known here."""
        found = (key for key, source in self.cited.items() if method in source.methods)
        return next(found, "")

    @cached_property
    def cited(self) -> dict[str, PublishedSource]:
        """What can be cited: the sources, and methods' own papers."""
        return {key: source for key, source in {**self.sources, **self.papers}.items() if source.is_citable}

    def benchmark(self, name: str) -> PublishedBenchmark:
        """The figures of one benchmark.

        Raises:
            UnknownNameError: there are none of that name.
        """
        by_name = {entry.benchmark: entry for entry in self.benchmarks}
        if name not in by_name:
            raise unknown_name("published benchmark", name, by_name)
        return by_name[name]


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


def _refuse_unlisted(what: str, named: set[str], listed: Iterable[str]) -> None:
    if unlisted := sorted(named - set(listed)):
        raise ValueError(f"figures name {what} that are not listed: {', '.join(unlisted)}")
