"""The plan of a run with its measuring: what every command and the flow begin with."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.plan import Plan
from ..core.planner import make_plan
from ..core.run_file import RunFile
from ..core.store import Store
from .measuring import Measuring, make_measuring


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

    Raises:
        ReelbenchError: the run file names what does not exist, weights or data sets are missing, or the
            protocol measures nothing but given frames.
    """
    parts = []
    for part in run.parts():
        measuring = make_measuring(part, store)
        parts.append(Part(make_plan(part, store, measuring.reading), measuring))
    return _whole(run, parts), tuple(parts)


def _whole(run: RunFile, parts: list[Part]) -> Plan:
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
