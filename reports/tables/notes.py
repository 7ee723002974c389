"""What is printed under a comparison table: footnotes and the facts that the values depend on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .measurement import is_value


class Footnotes:
    """Numbered notes in order of first use; the same text keeps one number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        """The notes, the first one being number 1."""
        return tuple(self._numbers)

    def marks(self, texts: Iterable[str]) -> tuple[int, ...]:
        """The numbers of `texts`, which are added where they are new."""
        return tuple(
            sorted({self._numbers.setdefault(text, len(self._numbers) + 1) for text in texts if text})
        )

    def number(self, text: str) -> int | None:
        """The number of a note that is there already."""
        return self._numbers.get(text)

    @staticmethod
    def lines(notes: str | None) -> list[str]:
        """The notes of a summary row: one on each line."""
        return [line.strip() for line in (notes or "").splitlines() if line.strip()]

    def shared_by(self, notes: Sequence[str | None]) -> list[str]:
        """Notes that all of two or more rows carry: they belong to the column's heading."""
        if len(notes) < 2:
            return []
        first, *others = [self.lines(text) for text in notes]
        return [line for line in first if all(line in other for other in others)]


_MISSING_COST = {
    "tuning_s": "nothing is tuned on the references",
    "tuning_memory_gib": "nothing is tuned on the references",
    "trainable_parameters": "no number of trained parameters is recorded",
}


def missing_reason(row: Mapping[str, Any] | None, metric: str = "") -> str:
    """Why a cell has no value, in one line.

    Args:
        row: of the summary, None where there is none.
        metric: the column's.
    """
    if row is None:
        return _MISSING_COST.get(metric, "not computed for this method")
    parts = Footnotes.lines(row["notes"])
    if not parts:
        parts = ["undefined"] if row["value"] is not None else ["no value"]
    if row["num_failures"]:
        parts.append(f"{row['num_failures']} clips without a value")
    elif is_value(row["coverage"]) and row["coverage"] < 1:
        parts.append(f"coverage {row['coverage']:.0%}")
    return "; ".join(parts)


def section_facts(
    protocol: str, protocol_digest: str, rows: Sequence[Mapping[str, Any]]
) -> tuple[tuple[str, str], ...]:
    """(name, text) lines for one section: protocol, samples, references, intervals, signatures."""
    measured = [row for row in rows if row["level"] != "cost"]
    facts = [
        (
            "Protocol",
            f"{protocol or '(none)'} ({protocol_digest})" if protocol_digest else protocol or "(none)",
        )
    ]
    samples = _values(measured, "n")
    if samples:
        text = f"{_span(samples)} clips per method"
        sources, seeds = _values(measured, "num_sources"), _values(measured, "num_seeds")
        if sources:
            text += f", of {_span(sources)} source videos"
        if seeds:
            text += f", {_span(seeds)} {'seed' if seeds == [1] else 'seeds'}"
        failures = max((row["num_failures"] or 0 for row in rows), default=0)
        if failures:
            text += f"; up to {failures} without a value"
        facts.append(("Samples", text))
    references = _values(measured, "n_reference")
    if references:
        facts.append(("Reference clips", _span(references)))
    for name, column in (("Intervals", "interval"), ("Signatures", "signature"), ("Hardware", "hardware")):
        text = _by_value(rows, column)
        if text:
            facts.append((name, text))
    return tuple(facts)


def _values(rows: Iterable[Mapping[str, Any]], column: str) -> list[int]:
    return sorted({row[column] for row in rows if row[column] is not None})


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _by_value(rows: Sequence[Mapping[str, Any]], column: str) -> str:
    """ "text (FVD, KVD); text (CLIPSIM)": each distinct text with the metrics that it holds for.

    A metric whose text differs between methods names the methods too, so that a difference in how
    values of one column were made is never hidden.
    """
    texts: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        if row[column]:
            metrics = texts.setdefault(row[column], {})
            metrics.setdefault(row["label"] or row["metric"], []).append(row["method"])
    if not texts:
        return ""
    if column == "hardware" and len(texts) == 1:
        return next(iter(texts))
    num_texts: dict[str, int] = {}
    for metrics in texts.values():
        for metric in metrics:
            num_texts[metric] = num_texts.get(metric, 0) + 1
    parts = []
    for text, metrics in texts.items():
        named = [
            metric if num_texts[metric] == 1 else f"{metric}: {', '.join(sorted(methods))}"
            for metric, methods in metrics.items()
        ]
        parts.append(f"{text} ({', '.join(named)})")
    return "; ".join(parts)
