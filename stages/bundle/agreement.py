"""Recorded rows of a table beside those that were computed again: equal, within a tolerance, or not."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.redaction import fit_to_leave

RELATIVE = 1e-6
"""Numbers agree within so much of the metric's largest value: sums and eigenvalues are rounded otherwise on
other machines, and recorded tables hold scores in single precision."""

OF_P = 1e-3
"""p-values agree within this: ten of the 10,000 patterns that a test draws may fall on the other side of a
tie."""

_P_VALUES = ("p_value", "p_holm")
_MOST_FINDINGS = 2000
_VERSION = re.compile(r"\|reelbench:[^|]*$")
_WEIGHTS = re.compile(r"\|\w+:[0-9a-f]{8}(?=\|)")


@dataclass(frozen=True)
class Finding:
    """Something that does not agree.

    Attributes:
        kind: "member", "fact", "protocol", "feature", "sample", "key", or the name of a table.
        where: which one.
        what: what is wrong with it.
    """

    kind: str
    where: str
    what: str


@dataclass
class Count:
    """How many rows agree exactly, within the tolerance, and not; how far those within are off at most, as a
    part of the metric's largest value."""

    exact: int = 0
    within: int = 0
    differ: int = 0
    largest: float = 0.0


@dataclass
class Agreement:
    """What was compared, by metric and table.

    Attributes:
        counts: (metric, table) -> how many rows agree.
        not_computed: (metric, what) -> why it was not computed again.
        findings: the first ones.
        num_findings: all of them.
        checked: facts that hold, as sentences.
        not_checked: what nothing in the bundle tells anything of.
        is_partial: whether members are lacking that the results never had.
    """

    counts: dict[tuple[str, str], Count] = field(default_factory=dict)
    not_computed: dict[tuple[str, str], str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    num_findings: int = 0
    checked: list[str] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)
    is_partial: bool = False

    def add(self, kind: str, where: str, what: str) -> None:
        """One more finding."""
        self.num_findings += 1
        if len(self.findings) < _MOST_FINDINGS:
            self.findings.append(Finding(kind, where, what))

    def count(self, metric: str, table: str) -> Count:
        """The count of a metric's rows of a table."""
        return self.counts.setdefault((metric, table), Count())


@dataclass(frozen=True)
class Comparing:
    """How the rows of a table are compared.

    Attributes:
        table: its name.
        identity: the columns by which a recorded row finds the one that was computed.
        columns: those that are compared.
    """

    table: str
    identity: tuple[str, ...]
    columns: tuple[str, ...]


SCORES = Comparing(
    "scores",
    ("metric", "method", "dataset", "sample_id", "seed"),
    ("value", "error_message", "source", "score_key"),
)
SUMMARY = Comparing(
    "summary",
    ("metric", "method", "dataset", "seed"),
    (
        *("value", "standard_error", "low", "high", "interval", "bias_corrected", "n", "num_sources"),
        *(
            "num_failures",
            "coverage",
            "n_reference",
            "warn_below_n",
            "references",
            "num_seeds",
            "label",
            "unit",
        ),
        *("higher_is_better", "level", "conditioning", "signature", "score_key", "notes"),
    ),
)
COMPARISONS = Comparing(
    "comparisons",
    ("metric", "method_a", "method_b", "dataset"),
    (
        *("difference", "standard_error", "low", "high", "p_value", "p_holm", "family", "min_detectable"),
        *("num_pairs", "num_sources", "test", "level", "conditioning", "notes"),
    ),
)
CURVES = Comparing(
    "curves",
    ("metric", "method", "dataset", "seed", "n"),
    ("n_reference", "value", "spread", "num_subsets", "extrapolated"),
)


def compare(
    how: Comparing,
    recorded: Iterable[Mapping[str, Any]],
    computed: Iterable[Mapping[str, Any]],
    scales: Mapping[str, float],
    result: Agreement,
    left_out: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: (),
    has_weights: bool = True,
) -> None:
    """Compare the rows of a table; what differs is added to the findings.

    Args:
        scales: the largest value of each metric; see `RELATIVE`.
        left_out: columns that are not compared, of a recorded row.
        has_weights: whether signatures were computed with the weights' digests.
    """
    mine = {tuple(row[name] for name in how.identity): row for row in computed}
    seen = set()
    for row in recorded:
        key = tuple(row[name] for name in how.identity)
        metric = row["metric"]
        where = _where(how, row)
        if key in seen:
            result.count(metric, how.table).differ += 1
            result.add(how.table, where, "is there twice")
            continue
        seen.add(key)
        other = mine.get(key)
        if other is None:
            result.count(metric, how.table).differ += 1
            result.add(how.table, where, "does not follow from anything in the bundle")
            continue
        skipped = left_out(row)
        _compare_row(how, where, row, other, scales.get(metric, 1.0), result, skipped, has_weights)
    for key, row in mine.items():
        if key not in seen:
            result.count(row["metric"], how.table).differ += 1
            result.add(how.table, _where(how, row), "follows from the bundle, and is missing in its table")


def _compare_row(
    how: Comparing,
    where: str,
    recorded: Mapping[str, Any],
    computed: Mapping[str, Any],
    scale: float,
    result: Agreement,
    left_out: Sequence[str],
    has_weights: bool,
) -> None:
    count = result.count(recorded["metric"], how.table)
    differing, largest = [], 0.0
    for column in how.columns:
        if column in left_out:
            continue
        one, other = recorded[column], computed[column]
        if isinstance(one, float) and isinstance(other, float):
            off = _off(column, one, other, scale)
            largest = max(largest, off if off <= 1 else 0.0)
            if off > 1:
                differing.append(f"{column}: recorded {one!r}, computed {other!r}")
        elif not _same(column, one, other, has_weights):
            if column == "signature":
                one, other = differing_parts(one, other)
            differing.append(f"{column}: recorded {_shown(one)}, computed {_shown(other)}")
    if differing:
        count.differ += 1
        result.add(how.table, where, "; ".join(differing))
    elif largest:
        count.within += 1
        count.largest = max(count.largest, largest)
    else:
        count.exact += 1


def _off(column: str, one: float, other: float, scale: float) -> float:
    """How far two numbers are apart, in tolerances."""
    if one == other or (math.isnan(one) and math.isnan(other)):
        return 0.0
    allowed = OF_P if column in _P_VALUES else RELATIVE * max(abs(one), abs(other), scale)
    off = abs(one - other) / allowed if allowed else math.inf
    return off if math.isfinite(off) else math.inf


def _same(column: str, one: Any, other: Any, has_weights: bool) -> bool:
    if isinstance(other, str):
        other = fit_to_leave(other, from_here=False)
    if column == "notes":
        # Besides what follows from the numbers, a run notes what it knew of its data.
        return set((other or "").split("\n")) <= {*(one or "").split("\n"), ""}
    if column == "signature" and isinstance(one, str) and isinstance(other, str):
        one, other = (_VERSION.sub("", text) for text in (one, other))
        if not has_weights:
            one, other = (_WEIGHTS.sub("", text) for text in (one, other))
    return bool(one == other)


def differing_parts(one: Any, other: Any) -> tuple[str, str]:
    """Of two signatures the parts that the other one has not."""
    parts, others = (_VERSION.sub("", str(text)).split("|") for text in (one, other))
    return "|".join(p for p in parts if p not in others), "|".join(p for p in others if p not in parts)


def _where(how: Comparing, row: Mapping[str, Any]) -> str:
    names = [str(row[name]) for name in how.identity if name not in ("seed", "n") and row[name] is not None]
    names += [
        f"{name} {row[name]}" for name in ("seed", "n") if name in how.identity and row[name] is not None
    ]
    return ", ".join(names)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
