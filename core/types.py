"""The things that pass between the layers: samples, clip references, conditionings.

Legend of shape suffixes used in the project: B batch, T frames, H height, W width, C channels,
D feature dimension, N clips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from .weights_format import EVERYTHING, WeightsFormat

Frames = npt.NDArray[np.uint8]
"""A decoded clip: uint8 RGB, [T, H, W, 3], values 0 to 255."""

Features = npt.NDArray[np.float32]
"""Features of one clip or text: float32, [D] or [T, D]."""

Dtype = Literal["auto", "float32", "float16", "bfloat16"]
"""Number format of a method's networks; "auto" follows the device."""


class Conditioning(StrEnum):
    """What a method was shown before it made a clip. Tables group by it."""

    TEXT = "text"
    TEXT_AND_FRAMES = "text + first frames"
    TEXT_AND_REFERENCE = "text + reference video"


FRAMES_GIVEN = "first frames"
"""Conditioning of clips without a method, of which is known that their first frames were given."""


def saw_its_reference(conditioning: str) -> bool:
    """Whether a clip was made from a part of its own reference, so that the two are no independent clips."""
    return conditioning in (Conditioning.TEXT_AND_FRAMES, Conditioning.TEXT_AND_REFERENCE, FRAMES_GIVEN)


@dataclass(frozen=True)
class ClipRef:
    """Where a reference clip lies; nothing is decoded until it is asked for.

    Attributes:
        path: the video file, or a folder of pictures, one a frame.
        start_s, end_s: the window of a file in seconds, None for the whole of it.
        first_frame, last_frame: the window of a folder, as numbers in its pictures' names, both included;
            None for all of it.
        fps: frames per second of a folder, None where it is not known; a file states its own.
        blend_stride: every so many frames of the window enter Seer's blend, where a protocol asks for that
            (`datasets.video.temporal_interpolation`); 1 but for long actions of Epic-Kitchens.
    """

    path: Path
    start_s: float | None = None
    end_s: float | None = None
    first_frame: int | None = None
    last_frame: int | None = None
    fps: float | None = None
    blend_stride: int = 1


@dataclass(frozen=True)
class Sample:
    """One prompt with its reference clip.

    Attributes:
        id: unique within the data set and split; part of every key, never used as a path.
        prompt: the text that a method gets.
        source: groups the samples that come from one video (captions of one clip): standard
            errors are clustered on it.
        reference: the real clip, or None where the task has none.
        num_context_frames: how many first frames the method may see (text-video prediction).
        source_prompt: what the reference shows, where `prompt` asks for something else (editing).
        edit: kind of the edit ("style", "object", "background", "multiple", ...); None where nothing is
            edited.
        context: the first `num_context_frames` frames of the reference, uint8 [num_context_frames,H,W,3]:
            filled in by the stage that makes clips, never by a data set.
    """

    id: str
    prompt: str
    source: str
    reference: ClipRef | None = None
    num_context_frames: int = 0
    source_prompt: str | None = None
    edit: str | None = None
    context: Frames | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Resources:
    """What one actor that runs a method or an extractor needs.

    Attributes:
        num_gpus: GPUs (a fraction is allowed) when the cluster has any; ignored without.
        num_cpus: CPU cores.
        vram_gib: an estimate of the GPU memory, for `reelbench plan` and `doctor`.
    """

    num_gpus: float = 1.0
    num_cpus: float = 1.0
    vram_gib: float | None = None


@dataclass(frozen=True)
class WeightsRef:
    """One set of pretrained weights that a method or extractor reads.

    Attributes:
        name: its role ("pipeline", "clip", "i3d").
        location: a local folder or file, or a hub id; see `core.weights`.
        format: what is loaded of it and what it must be; everything where none is declared.
    """

    name: str
    location: str
    format: WeightsFormat = field(default=EVERYTHING, compare=False, repr=False)


Level = Literal["clip", "set"]


@dataclass(frozen=True)
class Estimate:
    """A value with its uncertainty.

    Attributes:
        value: the point estimate, float64.
        standard_error: its standard error, None where it cannot be had.
        low, high: a 95% interval, None where it cannot be had.
        interval: how the interval was made, in words ("t, clustered on source").
        n: samples on the generated side.
        num_sources: source videos among them.
        n_reference: samples on the reference side, None for metrics without one.
        notes: what the reader must know (a bias warning, a small N).
        bias_corrected: the value with its estimated small-sample bias taken out, for metrics that
            have one (FVD); the interval is then around this.
    """

    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    interval: str
    n: int
    num_sources: int
    n_reference: int | None = None
    notes: tuple[str, ...] = field(default=())
    bias_corrected: float | None = None
