"""The settings of the methods that are given the first frames of a clip."""

from __future__ import annotations

from pydantic import Field

from ..cogvideox.config import CogVideoXConfig


class PredictionConfig(CogVideoXConfig):
    """How a clip is predicted from its first frames and a prompt."""

    num_frames: int = Field(default=16, ge=2)
    """Frames of a clip, given ones included. More than the method makes in one pass are rolled forward: the
    last frames so far are given to the next pass."""

    show_given: bool = True
    """Whether a clip begins with the given frames themselves (resized to the pipeline's frames), as in Seer's
    protocol, or with what the method made of them."""
