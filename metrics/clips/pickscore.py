"""PickScore of the frames of a clip.

Kirstain et al., "Pick-a-Pic" (2023), for a clip as the LOVEU-TGVE challenge has it: exp(logit_scale) times
the cosine of caption and frame by PickScore's CLIP, averaged over frames. It predicts human preference
among pictures for one prompt; values of different prompts say little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...core.types import Features, Level
from ..protocol import Protocol
from .cosine import frame_logits


class PickScore:
    """Mean over frames of exp(logit_scale) * cos(frame, caption), higher is better; about 20.

    The scale is the model's own.
    """

    name: ClassVar[str] = "pickscore"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "PickScore logit"
    higher_is_better: ClassVar[bool] = True
    level: ClassVar[Level] = "clip"
    needs: ClassVar[tuple[str, ...]] = ("pick_image", "pick_text")
    min_n: ClassVar[int] = 1
    label: ClassVar[str] = "PickScore"

    def __init__(self, protocol: Protocol) -> None:
        del protocol  # its CLIP settings act on the features

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def describe(self) -> str:
        """For signatures."""
        return "mean-of-logits"

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: "pick_image" [T, D] of the clip, "pick_text" [D] of its caption.

        Raises:
            MetricError: a role is missing, the shapes do not fit, or features are not finite.
        """
        return float(frame_logits(self.label, features, "pick_image", "pick_text").mean())
