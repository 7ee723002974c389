"""The plan of a run with its measuring: what every command and the flow begin with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ..core.errors import Faults, ReelbenchError
from ..core.plan import Plan
from ..core.planner import make_plan
from ..core.run_file import RunFile
from ..core.store import Store
from ..core.weights import WeightsFinder, resolve
from ..datasets.video import default_codec
from .measuring import Measuring, make_measuring
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
    parts, weights = _plan_parts(run, store)
    if weights.not_fetched:
        for ref in weights.not_fetched:
            resolve(ref.location, ref.format)
        parts, _ = _plan_parts(run, store)
    return _whole(run, parts), parts


def look_at_run(run: RunFile) -> tuple[Plan, WeightsFinder]:
    """The plan of a run file for whoever only looks: no network is asked and nothing is written.

    Returns:
        The plan, and the finder, which knows what a run would fetch first: the clips of such methods count as
        missing, as their keys are not known.

    Raises:
        ReelbenchError: see `plan_run`.
    """
    parts, weights = _plan_parts(run, Store(run.store_dir, default_codec(), read_only=True))
    return _whole(run, parts), weights


def run_faults(run: RunFile) -> list[ReelbenchError]:
    """What a run would be refused for besides the run file itself; as `look_at_run`."""
    faults = Faults()
    try:
        look_at_run(run)
    except ReelbenchError as error:
        faults.add(error)
    return faults.found


def _plan_parts(run: RunFile, store: Store) -> tuple[tuple[Part, ...], WeightsFinder]:
    weights = WeightsFinder(store.digests("weights"), fetch=False)
    faults = Faults()
    parts = []
    for part in run.parts() or (run,):  # without data sets the rest is looked at
        # Both are looked at, whatever is wrong with the first.
        measuring = next(faults.each([part], lambda part: make_measuring(part, store, weights)), None)
        reading = None if measuring is None else measuring.reading
        fit = partial(mismatches, measuring=measuring)
        for plan in faults.each([part], lambda part: make_plan(part, store, reading, weights, fit)):  # noqa: B023
            if measuring is not None:
                parts.append(Part(plan, measuring))
    faults.refuse()
    return tuple(parts), weights


def _whole(run: RunFile, parts: tuple[Part, ...]) -> Plan:
    """The parts as one plan, in the order of the run file."""
    methods = {method.label: method for part in parts for method in part.plan.methods}
    datasets = {dataset.label: dataset for part in parts for dataset in part.plan.datasets}
    order = [entry.label for entry in run.datasets]
    cells = (cell for part in parts for cell in part.plan.cells)
    return Plan(
        run=run,
        methods=tuple(methods[entry.label] for entry in run.methods if entry.label in methods),
        datasets=tuple(datasets[label] for label in order),
        cells=tuple(sorted(cells, key=lambda cell: order.index(cell.dataset_label))),
    )
