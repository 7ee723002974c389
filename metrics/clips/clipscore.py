"""CLIPScore of the frames of a clip.

Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning" (2021), equation 1:
2.5 * max(cos(image, "A photo depicts " + caption), 0), for ViT-B/32. It is defined for images; for a clip it
is averaged over the frames, negatives clipped frame by frame. The authors' code runs in float16 on a GPU;
here float32 is used everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...core.types import Features, Level
from ..protocol import Protocol
from .cosine import frame_cosines

_WEIGHT = 2.5
"""w of equation 1: chosen by the authors so that scores fill the range from 0 to 1."""


class ClipScore:
    """Mean over frames of 2.5 * max(cos(frame, "A photo depicts <caption>"), 0), 0 to 2.5, higher is better.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> frames, caption = np.array([[1.0, 0], [-1, 0]]), np.array([1.0, 0])
    >>> ClipScore(load_protocol("clean")).compute({"clip_image": frames, "clip_text_depicts": caption})
    1.25
    """

    name: ClassVar[str] = "clipscore"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "2.5 x cosine"
    higher_is_better: ClassVar[bool] = True
    level: ClassVar[Level] = "clip"
    needs: ClassVar[tuple[str, ...]] = ("clip_image", "clip_text_depicts")
    min_n: ClassVar[int] = 1
    label: ClassVar[str] = "CLIPScore"

    def __init__(self, protocol: Protocol) -> None:
        del protocol  # its CLIP settings act on the features

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def describe(self) -> str:
        """For signatures."""
        return "mean-of-2.5-clipped-cosines"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: "clip_image" [T, D] of the clip, "clip_text_depicts" [D] of its caption.

        Raises:
            MetricError: a role is missing, the shapes do not fit, or features are not finite.
        """
        cosines_T = frame_cosines(self.label, features, "clip_image", "clip_text_depicts")
        return float(_WEIGHT * cosines_T.clip(min=0.0).mean())
