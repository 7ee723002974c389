"""The first frames of a clip that a prediction method is given, and predictions longer than one pass.

Seer's protocol counts the given frames as part of the clip, so that a method returns them, too: `shown` puts
them in place of what the method made of them.

Shape suffixes: T frames, H height, W width, 3 RGB.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...core.errors import DatasetError, RunFileError
from ...core.types import Frames, Sample

Window = Callable[[Frames, int], Frames]
"""(given frames, number of the window from 0) -> a clip that begins with its version of the given frames."""


def given_frames(sample: Sample, method: str, num_frames: int, at_least: int = 1) -> Frames:
    """The frames that a sample gives to a prediction method, uint8 [k,H,W,3].

    Args:
        sample: with `context`, which the stage that makes clips fills in.
        method: how an error names the method.
        num_frames: of the clip that is to be made.
        at_least: how many frames the method needs.

    Raises:
        DatasetError: the sample gives no frames, or too few.
        RunFileError: so many frames are given that none is left to predict.
    """
    context_THW3 = sample.context
    if context_THW3 is None or len(context_THW3) < at_least:
        found = 0 if context_THW3 is None else len(context_THW3)
        raise DatasetError(
            f"the sample {sample.id!r} gives {found} first frames, and {method} needs at least {at_least}",
            f"use a text-video prediction data set, with num_context_frames of at least {at_least}",
        )
    if len(context_THW3) >= num_frames:
        raise RunFileError(
            f"{method} is to make {num_frames} frames, and the sample {sample.id!r} gives "
            f"{len(context_THW3)}: none is left to predict",
            "raise num_frames of the method, or lower num_context_frames of the data set",
        )
    return context_THW3


def shown(clip_THW3: Frames, given_THW3: Frames) -> Frames:
    """The clip with the given frames in place of its first ones; both of one size."""
    return np.concatenate([given_THW3, clip_THW3[len(given_THW3) :]])


def roll_forward(window: Window, given_THW3: Frames, num_frames: int, show_given: bool) -> Frames:
    """A clip of any length by a method that makes shorter ones: each window is given the last frames so far.

    Args:
        window: the method; makes more frames than it is given.
        given_THW3: the first frames, of the size that the method makes.
        num_frames: of the result.
        show_given: whether the result begins with the given frames themselves, or with what the method made
            of them. The first window of a rolled prediction sees the given frames either way.

    Returns:
        uint8 [num_frames,H,W,3].
    """
    num_given = len(given_THW3)
    clip_THW3 = window(given_THW3, 0)
    if show_given:
        clip_THW3 = shown(clip_THW3, given_THW3)
    number = 1
    while len(clip_THW3) < num_frames:
        more_THW3 = window(clip_THW3[-num_given:], number)
        clip_THW3 = np.concatenate([clip_THW3, more_THW3[num_given:]])
        number += 1
    return clip_THW3[:num_frames]
