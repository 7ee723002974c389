"""What comparing two results came to, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...core.equivalence import WinRate
from ..nights.changes import Difference

Verdict = Literal[
    "better", "worse", "different", "equivalent", "equal", "not told apart", "too few clips", "not tested",
    "refused",
]  # fmt: skip
"""Of A: "different" is for metrics without a direction, "equal" means to the last bit; "too few clips": below
the metric's warning N nothing is said, as tables mark nothing there."""

TESTED: tuple[Verdict, ...] = ("better", "worse", "different", "equivalent", "equal", "not told apart")


@dataclass(frozen=True, kw_only=True)
class MovedClip:
    """What one clip does to a difference.

    Attributes:
        seed: None where it is of all seeds (set metrics).
        value_a, value_b: its scores; None of a set metric, which has none for a clip.
        difference: of a clip metric a - b; of a set metric by how much the difference of the sets falls when
            this sample is left out of both.
        share: `difference` as a part of the sum of all differences; None of set metrics, and where there is
            no difference.
    """

    sample_id: str
    seed: int | None
    prompt: str | None
    value_a: float | None
    value_b: float | None
    difference: float
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class ComparedCell:
    """One data set, protocol and metric, of a method of A and one of B.

    Attributes:
        value_a, value_b: over the pairs where there are any, else those of the summaries.
        error_a, error_b: their standard errors.
        n_a, n_b: clips that each value of the summaries is of.
        difference: a - b over the clips that both have.
        low, high: its 95% interval, of set metrics around the difference without its bias.
        p_value, p_holm: of the paired test, and adjusted over all cells of this comparison that differ.
        min_detectable: the true difference that would have been found with 80% power at 5%, before Holm.
        wins: of clip metrics with a direction.
        can_tell: False where so few sources cannot give a p-value that stays below 5% over all tests.
        too_few: the metric's warning N where clips or references are fewer; else 0.
        margin: that was asked for; `equivalence_p` of the test that the true difference lies within it, and
            `equivalence_p_holm` adjusted over all cells with a margin.
        smallest_margin: beyond it, this cell alone is shown to be equivalent (5%, before Holm).
        notes: what a reader must know; of refused and untested cells why.
        moved: the clips that move the difference most, on request.
    """

    dataset: str
    split: str
    protocol: str
    protocol_digest: str
    metric: str
    label: str
    level: str
    higher_is_better: bool | None
    method_a: str
    method_b: str
    conditioning_a: str
    conditioning_b: str
    verdict: Verdict
    value_a: float | None = None
    value_b: float | None = None
    error_a: float | None = None
    error_b: float | None = None
    n_a: int = 0
    n_b: int = 0
    difference: float | None = None
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_holm: float | None = None
    num_pairs: int = 0
    num_sources: int = 0
    test: str = ""
    min_detectable: float | None = None
    can_tell: bool = True
    too_few: int = 0
    wins: WinRate | None = None
    margin: float | None = None
    equivalence_p: float | None = None
    equivalence_p_holm: float | None = None
    smallest_margin: float | None = None
    notes: tuple[str, ...] = ()
    moved: tuple[MovedClip, ...] = ()

    @property
    def methods(self) -> str:
        """ "simda", or "simda against zs2"."""
        same = self.method_a == self.method_b
        return self.method_a if same else f"{self.method_a} against {self.method_b}"


@dataclass(frozen=True, kw_only=True)
class ComparedCost:
    """A cost of both, which is compared by its ratio and not tested.

    Attributes:
        ratio: a / b; None where either is missing or b is 0.
        hardware_a, hardware_b: empty where it is not recorded.
        note: why the ratio says little; may be empty.
    """

    dataset: str
    metric: str
    label: str
    unit: str
    method_a: str
    method_b: str
    value_a: float | None
    value_b: float | None
    ratio: float | None
    hardware_a: str
    hardware_b: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two results.

    Attributes:
        name: as it was given.
        run, run_id: its run, and the folder of the results.
        methods: that are compared.
    """

    name: str
    run: str
    run_id: str
    methods: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two results held against each other. A difference is A less B; "better" is said of A.

    Attributes:
        cells: by data set, protocol, metric and method.
        differences: what A was made with and B was not ("now" is A).
        warnings: what a reader must know of the whole, for example other hardware.
        left_out: what only one of the two has.
        num_tests: cells over which Holm's correction is.
    """

    a: Side
    b: Side
    cells: tuple[ComparedCell, ...]
    costs: tuple[ComparedCost, ...] = ()
    differences: tuple[Difference, ...] = ()
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    num_tests: int = field(default=0)

    def of(self, *verdicts: Verdict) -> list[ComparedCell]:
        """The cells of some verdicts."""
        return [cell for cell in self.cells if cell.verdict in verdicts]

    @property
    def is_refused(self) -> bool:
        """Whether nothing at all could be compared."""
        return all(cell.verdict == "refused" for cell in self.cells)

    @property
    def headline(self) -> str:
        """ "A is better in 2, worse in 1 of 3 that were judged; too few clips to say in 2"."""
        tested, few = self.of(*TESTED), self.of("too few clips")
        withheld = f"too few clips to say in {len(few)}" if few else ""
        if not tested:
            return withheld or "nothing was tested"
        counts = [(verdict, sum(cell.verdict == verdict for cell in tested)) for verdict in TESTED]
        said = ", ".join(f"{verdict} in {count}" for verdict, count in counts if count)
        of = f"{len(tested)} that were judged{_dependence(tested)}"
        return "; ".join(filter(None, (f"A is {said} of {of}", withheld)))

    def as_data(self) -> dict[str, Any]:
        """Everything as plain data, for JSON."""
        return {**asdict(self), "headline": self.headline}


def _dependence(cells: Sequence[ComparedCell]) -> str:
    """That variants of one metric (a word in parentheses behind its name) say nearly the same twice."""
    kinds = {(cell.dataset, cell.methods, cell.label.partition(" (")[0]) for cell in cells}
    if len(kinds) == len(cells):
        return ""
    return f" ({len(kinds)} without variants of the same metric, which are not independent)"


def refusals(cells: Sequence[ComparedCell]) -> dict[str, list[str]]:
    """The reasons of refused cells, each with the cells that it holds for."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        if cell.verdict == "refused":
            for note in cell.notes:
                found.setdefault(note, []).append(f"{cell.label} of {cell.methods} on {cell.dataset}")
    return found
