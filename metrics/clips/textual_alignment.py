"""Textual alignment: the CLIP logit of frames and caption, as the LOVEU-TGVE challenge has it.

`clip_score_text` of the challenge (Wu et al., "CVPR 2023 Text Guided Video Editing Competition", 2023) is the
mean over frames of CLIP's `logits_per_image`, that is exp(logit_scale) * cos. The scale is the model's own,
not a constant: about 100 for OpenAI's ViT-L/14, which the challenge uses, another number for other models.
The challenge's script fails on captions of more than 77 tokens; here they are cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...core.types import Features, Level
from ..protocol import Protocol
from .cosine import frame_logits


class TextualAlignment:
    """Mean over frames of exp(logit_scale) * cos(frame, caption), higher is better; 25 to 30 for ViT-L/14.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> frames, caption = np.eye(2), np.array([100.0, 0])
    >>> TextualAlignment(load_protocol("loveu")).compute({"clip_image": frames, "clip_text_scaled": caption})
    50.0
    """

    name: ClassVar[str] = "textual_alignment"
    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "CLIP logit"
    higher_is_better: ClassVar[bool] = True
    level: ClassVar[Level] = "clip"
    needs: ClassVar[tuple[str, ...]] = ("clip_image", "clip_text_scaled")
    min_n: ClassVar[int] = 1
    label: ClassVar[str] = "Textual alignment"

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
            features: "clip_image" [T, D] of the clip, "clip_text_scaled" [D] of its caption.

        Raises:
            MetricError: a role is missing, the shapes do not fit, or features are not finite.
        """
        return float(frame_logits(self.label, features, "clip_image", "clip_text_scaled").mean())
