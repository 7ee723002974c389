"""How well the frames of a clip match its caption, to CLIP: CLIPSIM, CLIPScore, textual alignment, PickScore.

The first two average cosines, the others logits: exp(logit_scale) times the cosine, where the scale is the
model's own. A caption of more tokens than the model takes is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ...core.contracts import ClipMetric
from ...core.errors import MetricError
from ...core.types import Features
from .features import Floats, directed_rows, unit_rows


class _TextMetric(ClipMetric):
    """Its `needs` are the roles of the frames and of the caption."""

    version: ClassVar[str] = "1"
    higher_is_better: ClassVar[bool] = True

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: the roles of `needs`: [T, D] of the clip and [D] of its caption; of any length, except
                captions of logits, which have the length exp(logit_scale).

        Raises:
            MetricError: a role is missing, the shapes do not fit, or features are not finite.
        """
        return float(self._per_frame(features).mean())

    def _per_frame(self, features: Mapping[str, Features]) -> Floats:
        """[T] inner product of every frame's unit features with the caption's."""
        frames_TD, text_D = unit_rows(self.label, features, self.needs[0], 2), self._caption(features)
        if frames_TD.shape[1] != len(text_D):
            raise MetricError(
                f"{self.label}: frames have {frames_TD.shape[1]} dimensions, the caption {len(text_D)}; "
                "both must come from one CLIP model"
            )
        return frames_TD @ text_D

    def _caption(self, features: Mapping[str, Features]) -> Floats:
        return unit_rows(self.label, features, self.needs[1], 1)


class ClipSim(_TextMetric):
    """Mean over frames of cos(frame, caption), in [-1, 1], higher is better; about 0.3 for ViT-B/32.

    Wu et al., "GODIVA: Generating Open-DomaIn Videos from nAtural Descriptions" (2021).

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> frames, caption = np.eye(2, dtype=np.float32), np.array([1, 0], dtype=np.float32)
    >>> ClipSim(load_protocol("clean")).compute({"clip_image": frames, "clip_text": caption})
    0.5
    """

    name: ClassVar[str] = "clipsim"
    unit: ClassVar[str] = "cosine"
    needs: ClassVar[tuple[str, ...]] = ("clip_image", "clip_text")
    label: ClassVar[str] = "CLIPSIM"
    formula: ClassVar[str] = "mean-of-cosines"


class ClipScore(_TextMetric):
    """Mean over frames of 2.5 * max(cos(frame, "A photo depicts <caption>"), 0), 0 to 2.5, higher is better.

    Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning" (2021), equation 1,
    for ViT-B/32. It is defined for images; for a clip it is averaged over the frames, negatives clipped frame
    by frame. The authors' code runs in float16 on a GPU; here float32 is used everywhere.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> frames, caption = np.array([[1.0, 0], [-1, 0]]), np.array([1.0, 0])
    >>> ClipScore(load_protocol("clean")).compute({"clip_image": frames, "clip_text_depicts": caption})
    1.25
    """

    name: ClassVar[str] = "clipscore"
    unit: ClassVar[str] = "2.5 x cosine"
    needs: ClassVar[tuple[str, ...]] = ("clip_image", "clip_text_depicts")
    label: ClassVar[str] = "CLIPScore"
    formula: ClassVar[str] = "mean-of-2.5-clipped-cosines"

    _WEIGHT = 2.5
    """w of equation 1: chosen by the authors so that scores fill the range from 0 to 1."""

    def compute(self, features: Mapping[str, Features]) -> float:
        """As for CLIPSIM, weighted and clipped."""
        return float(self._WEIGHT * self._per_frame(features).clip(min=0.0).mean())


class _LogitMetric(_TextMetric):
    formula: ClassVar[str] = "mean-of-logits"

    def _caption(self, features: Mapping[str, Features]) -> Floats:
        return directed_rows(self.label, features, self.needs[1], 1)


class TextualAlignment(_LogitMetric):
    """Mean over frames of exp(logit_scale) * cos(frame, caption), higher is better; 25 to 30 for ViT-L/14.

    `clip_score_text` of the LOVEU-TGVE challenge (Wu et al., "CVPR 2023 Text Guided Video Editing
    Competition", 2023), the mean over frames of CLIP's `logits_per_image`. The scale is about 100 for
    OpenAI's ViT-L/14, which the challenge uses, another number for other models. The challenge's script fails
    on captions of more than 77 tokens; here they are cut.

    >>> import numpy as np
    >>> from reelbench.metrics.protocol import load_protocol
    >>> frames, caption = np.eye(2), np.array([100.0, 0])
    >>> TextualAlignment(load_protocol("loveu")).compute({"clip_image": frames, "clip_text_scaled": caption})
    50.0
    """

    name: ClassVar[str] = "textual_alignment"
    unit: ClassVar[str] = "CLIP logit"
    needs: ClassVar[tuple[str, ...]] = ("clip_image", "clip_text_scaled")
    label: ClassVar[str] = "Textual alignment"


class PickScore(_LogitMetric):
    """Mean over frames of exp(logit_scale) * cos(frame, caption), higher is better; about 20.

    Kirstain et al., "Pick-a-Pic" (2023), by their CLIP, for a clip as the LOVEU-TGVE challenge has it. It
    predicts human preference among pictures for one prompt; values of different prompts say little.
    """

    name: ClassVar[str] = "pickscore"
    unit: ClassVar[str] = "PickScore logit"
    needs: ClassVar[tuple[str, ...]] = ("pick_image", "pick_text")
    label: ClassVar[str] = "PickScore"
