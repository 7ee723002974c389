"""What `reelbench doctor` looks at in a data set: that its videos are there, and that they can be read."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .checks import CONTINUED

if TYPE_CHECKING:
    from ..core.contracts import Dataset
    from ..core.types import Sample
    from ..datasets.video import Reading

_NUM_OPENED = 3
"""Videos of a data set that are opened without `--data`: first ones, so that the same are opened again."""

_NUM_LISTED = 5
"""Faults that are listed one by one."""


def data_faults(
    dataset: Dataset,
    limit: int | None,
    reading: Callable[[Sample], Reading | None],
    may_be_short: bool,
    every: bool,
) -> tuple[int, int, list[str]]:
    """Whether the reference videos of a run's samples are there and give the frames that are measured.

    Args:
        limit: of the run.
        reading: which frames of a sample's reference are measured; None for the first one alone.
        may_be_short: whether the protocol fills short clips up.
        every: open every video; otherwise a few are opened, and of the others only the place is looked at.

    Returns:
        (number of samples, number of videos that were opened, faults in the order of the samples).

    Raises:
        DatasetError: the data set itself cannot be read.
    """
    samples = list(itertools.islice(iter(dataset), limit))
    references = {sample.reference: sample for sample in samples if sample.reference is not None}
    faults: list[str] = []
    num_opened = 0
    for ref, sample in references.items():
        if not ref.path.exists():
            faults.append(f"{sample.id}: there is no {ref.path}")
        elif every or num_opened < _NUM_OPENED:
            num_opened += 1
            faults += _faults_of(sample, reading, may_be_short)
    return len(samples), num_opened, faults


def _faults_of(
    sample: Sample, reading: Callable[[Sample], Reading | None], may_be_short: bool
) -> Iterator[str]:
    from ..core.errors import ReelbenchError
    from ..datasets.video import Reading
    from ..stages.inputs import VideoInput, read_inputs

    assert sample.reference is not None
    try:
        wanted = reading(sample) or Reading(num_frames=1)
        (content,) = read_inputs([VideoInput(sample.reference, wanted, may_be_short)], None)
    except ReelbenchError as error:
        content = error
    if isinstance(content, Exception):
        yield f"{sample.id}: {' '.join(str(content).split())}"


def listed(faults: list[str]) -> str:
    """The first of the faults, and how many more there are; one line each."""
    more = len(faults) - _NUM_LISTED
    return CONTINUED.join(["", *faults[:_NUM_LISTED], *([f"and {more} more"] if more > 0 else [])])
