"""The plan of a run with its measuring: what every command and the flow begin with."""

from __future__ import annotations

from ..core.errors import Faults, ReelbenchError
from ..core.plan import Plan
from ..core.planner import make_plan
from ..core.run_file import RunFile
from ..core.store import Store
from ..core.weights import WeightsFinder, resolve
from ..datasets.codec import default_codec
from .measuring import Measuring, make_measuring


def plan_run(run: RunFile, store: Store) -> tuple[Plan, Measuring]:
    """The plan of a run file and what it measures.

    The frames that methods of text-video prediction are given are the first ones of what the protocol reads
    of the reference: of the blended clip, where the protocol blends.

    Weights that are not on this machine are fetched, and only when nothing else is wrong.

    Raises:
        ReelbenchError: the run file names what does not exist, weights or data sets are missing, or the
            protocol measures nothing but given frames; whatever is wrong is listed at once.
    """
    plan, measuring, weights = _plan(run, store)
    if weights.not_fetched:
        for ref in weights.not_fetched:
            resolve(ref.location, ref.format)
        plan, measuring, _ = _plan(run, store)
    return plan, measuring


def look_at_run(run: RunFile) -> tuple[Plan, WeightsFinder]:
    """The plan of a run file for whoever only looks: no network is asked and nothing is written.

    Returns:
        The plan, and the finder, which knows what a run would fetch first: the clips of such methods count as
        missing, as their keys are not known.

    Raises:
        ReelbenchError: see `plan_run`.
    """
    plan, _, weights = _plan(run, Store(run.store_dir, default_codec(), read_only=True))
    return plan, weights


def _plan(run: RunFile, store: Store) -> tuple[Plan, Measuring, WeightsFinder]:
    weights = WeightsFinder(store.digests("weights"), fetch=False)
    faults = Faults()
    measuring = next(faults.each([run], lambda run: make_measuring(run, store, weights)), None)
    reading = None if measuring is None else measuring.reading
    plan = make_plan(run, store, reading, weights, faults)
    assert measuring is not None, "make_plan raises where there is a fault"
    return plan, measuring, weights


def run_faults(run: RunFile) -> list[ReelbenchError]:
    """What a run would be refused for besides the run file itself; as `look_at_run`."""
    faults = Faults()
    try:
        look_at_run(run)
    except ReelbenchError as error:
        faults.add(error)
    return faults.found
