"""Which frames of a reference a clip stands beside: what `Method.source_frames` says of it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from .errors import VideoError

FrameChoice = Literal["stride", "uniform"]


def chosen_frames(
    num_available: int, num_frames: int, choice: FrameChoice, start: int, stride: int
) -> list[int]:
    """Which frames of a reference are used.

    Args:
        num_available: frames of the reference.
        num_frames: T.
        choice: "stride" takes start, start + stride, ...; "uniform" spreads them from `start` to the last.
        start: index of the first frame.
        stride: frames from one to the next.

    Raises:
        VideoError: the reference has too few frames.

    >>> chosen_frames(16, 4, "stride", 0, 2), chosen_frames(16, 4, "uniform", 0, 2)
    ([0, 2, 4, 6], [0, 5, 10, 15])
    """
    needed = start + (num_frames - 1) * stride + 1 if choice == "stride" else start + num_frames
    if num_available < needed:
        how = f"{num_frames} frames at stride {stride}" if choice == "stride" else f"{num_frames} frames"
        raise VideoError(
            f"the reference clip has {num_available} frames; {how} from frame {start} on need {needed}",
            "give a longer clip, or lower num_frames, stride or start of the method in the run file",
        )
    if choice == "stride":
        return [start + frame * stride for frame in range(num_frames)]
    return [int(index) for index in np.rint(np.linspace(start, num_available - 1, num_frames))]


def frames_needed(num_frames: int, choice: FrameChoice, start: int, stride: int) -> int | None:
    """How many first frames of a reference such a choice reads at most; None where it depends on its length.

    >>> frames_needed(4, "stride", 0, 2), frames_needed(4, "uniform", 0, 2)
    (7, None)
    """
    return None if choice == "uniform" else start + (num_frames - 1) * stride + 1
