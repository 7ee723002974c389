"""CLIPSIM: how well the frames match the caption.

Wu et al., "GODIVA: Generating Open-DomaIn Videos from nAtural Descriptions" (2021): the cosine between
the CLIP features of the caption and of a frame, averaged over frames, then over clips.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...core.types import Features, Level
from ..protocol import Protocol
from .cosine import frame_cosines


class ClipSim:
    """Mean over frames of cos(frame, caption), in [-1, 1], higher is better; about 0.3 for ViT-B/32.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> frames, caption = np.eye(2, dtype=np.float32), np.array([1, 0], dtype=np.float32)
    >>> ClipSim(load_protocol("clean")).compute({"clip_image": frames, "clip_text": caption})
    0.5
    """

    name: ClassVar[str] = "clipsim"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "cosine"
    higher_is_better: ClassVar[bool] = True
    level: ClassVar[Level] = "clip"
    needs: ClassVar[tuple[str, ...]] = ("clip_image", "clip_text")
    min_n: ClassVar[int] = 1
    label: ClassVar[str] = "CLIPSIM"

    def __init__(self, protocol: Protocol) -> None:
        del protocol  # its CLIP settings act on the features

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def describe(self) -> str:
        """For signatures."""
        return "mean-of-cosines"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: "clip_image" [T, D] of the clip, "clip_text" [D] of its caption; any length, not zero.

        Raises:
            MetricError: a role is missing, the shapes do not fit, or features are not finite.
        """
        return float(frame_cosines(self.label, features, "clip_image", "clip_text").mean())
