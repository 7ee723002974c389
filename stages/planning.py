"""The plan of a run with its measuring: what every command and the flow begin with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.errors import Faults, MismatchError, ReelbenchError
from ..core.plan import Plan, PlannedDataset, PlannedMethod
from ..core.planner import make_plan
from ..core.run_file import RunFile
from ..core.store import Store
from ..core.types import Sample
from ..core.weights import WeightsFinder, resolve
from ..datasets.video import default_codec
from ..metrics.protocol import Protocol, load_protocol
from .measuring import Measuring, measuring_under
from .mismatches import mismatches


@dataclass(frozen=True)
class Part:
    """The data sets of a run that share methods, metrics and protocol."""

    plan: Plan
    """The cells of these data sets alone."""
    measuring: Measuring


def plan_run(run: RunFile, store: Store) -> tuple[Plan, tuple[Part, ...]]:
    """The plan of a run file, and what it measures of which data sets.

    The frames that methods of text-video prediction are given are the first ones of what the protocol reads
    of the reference: of the blended clip, where the protocol blends.

    Weights that are not on this machine are fetched, and only when nothing else is wrong.

    Raises:
        ReelbenchError: the run file names what does not exist, weights or data sets are missing, the
            protocol measures nothing but given frames, or a method, a data set and a protocol cannot fit
            together; whatever is wrong is listed at once.
    """
    plan, parts, weights = _plan(run, store)
    if weights.not_fetched:
        for ref in weights.not_fetched:
            resolve(ref.location, ref.format)
        plan, parts, _ = _plan(run, store)
    return plan, parts


def look_at_run(run: RunFile) -> tuple[Plan, WeightsFinder]:
    """The plan of a run file for commands that only look: it asks no network and writes nothing.

    Returns:
        The plan, and the finder, which knows what a run would fetch first: the clips of such methods count as
        missing, as their keys are not known.

    Raises:
        ReelbenchError: see `plan_run`.
    """
    plan, _, weights = _plan(run, Store(run.store_dir, default_codec(), read_only=True))
    return plan, weights


def run_faults(run: RunFile) -> list[ReelbenchError]:
    """What a run would be refused for besides the run file itself; as `look_at_run`."""
    faults = Faults()
    try:
        look_at_run(run)
    except ReelbenchError as error:
        faults.add(error)
    return faults.found


def make_measuring(run: RunFile, store: Store, weights: WeightsFinder) -> Measuring:
    """The measuring of a run file.

    Raises:
        UnknownNameError: a metric, extractor or protocol of that name does not exist.
        ProtocolError: the protocol is missing or not valid.
        WeightsError: weights are missing.
        FaultsError: several of these.
    """
    faults = Faults()
    try:
        protocol = load_protocol(run.protocol)
    except ReelbenchError as error:
        faults.add(error)
        protocol = Protocol(name="none", version="0")  # weights are looked at all the same
    try:
        measuring = measuring_under(protocol, run.metrics, run.weights, store, weights)
    except ReelbenchError as error:
        faults.add(error)
    faults.refuse()
    return measuring


def _plan(run: RunFile, store: Store) -> tuple[Plan, tuple[Part, ...], WeightsFinder]:
    weights = WeightsFinder(store.digests("weights"), fetch=False)
    faults = Faults()
    measured: dict[str, Measuring] = {}  # by the label of the data set
    parts = []
    for part in run.parts() or (run,):  # without data sets the rest is looked at
        for measuring in faults.each([part], lambda part: make_measuring(part, store, weights)):
            parts.append((part, measuring))
            measured |= dict.fromkeys((entry.label for entry in part.datasets), measuring)

    def reading(dataset: str, sample: Sample) -> Mapping[str, Any]:
        return measured[dataset].reading(sample) if dataset in measured else {}

    def fit(method: PlannedMethod, dataset: PlannedDataset) -> Iterator[MismatchError]:
        return mismatches(method, dataset, measured.get(dataset.label))

    # Whatever is wrong with the measuring, the rest is looked at, too.
    plan = next(faults.each([run], lambda run: make_plan(run, store, reading, weights, fit)), None)
    faults.refuse()
    assert plan is not None
    return plan, tuple(Part(plan.of(part), measuring) for part, measuring in parts), weights
