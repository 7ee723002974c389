"""The plan of a run with its measuring: what every command and the flow begin with."""

from __future__ import annotations

from ..core.plan import Plan
from ..core.planner import make_plan
from ..core.run_file import RunFile
from ..core.store import Store
from .measuring import Measuring, make_measuring


def plan_run(run: RunFile, store: Store) -> tuple[Plan, Measuring]:
    """The plan of a run file and what it measures.

    The frames that methods of text-video prediction are given are the first ones of what the protocol reads
    of the reference: of the blended clip, where the protocol blends.

    Raises:
        ReelbenchError: the run file names what does not exist, weights or data sets are missing, or the
            protocol measures nothing but given frames.
    """
    measuring = make_measuring(run, store)
    return make_plan(run, store, measuring.reading), measuring
