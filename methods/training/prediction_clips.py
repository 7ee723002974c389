"""What training on text-video prediction reads: latents of clips and of their first frames, and prompts.

The VAE encodes each clip (one draw from the posterior) and its first frames by themselves
(`methods.prediction.session`); the text encoder its prompt, once for all clips of a part that share it. So
training needs neither on the GPU.

Shape suffixes: F latent frames, C latent channels, H, W latent height and width, L text tokens, D width of
the text encoder, T frames, 3 RGB.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from ...core.seeds import derive_seed
from ...core.types import Frames, Sample
from ..cogvideox.pipeline import CogVideoX
from ..prediction.config import ContextEncoding
from ..prediction.session import encode_given
from .clips import ClipEncoder, Tensors, TrainingClips, fingerprint


class PredictionEncoder(ClipEncoder):
    """Latents of clips, of their given frames, and embeddings of prompts; read back by `PredictionClips`.

    Args:
        pipeline: the base.
        num_frames: of a clip, given ones included; 8k or 8k+1.
        num_context_frames: how many first frames are given.
        context: how these become latents.
        seed: of the draws from the VAE's posterior.
    """

    clips_per_part: ClassVar[int] = 64

    def __init__(
        self,
        pipeline: CogVideoX,
        num_frames: int = 16,
        num_context_frames: int = 2,
        context: ContextEncoding = "each",
        seed: int = 0,
    ) -> None:
        super().__init__(num_frames, seed)
        self.pipeline, self.num_context_frames, self.context = pipeline, num_context_frames, context

    def settings(self) -> dict[str, Any]:
        """The given frames, the size, and the networks that encode."""
        pipeline = self.pipeline
        return {
            "given": [self.num_context_frames, self.context],
            "size": [pipeline.height, pipeline.width],
            "vae": fingerprint(pipeline.vae),
            "text_encoder": fingerprint(pipeline.text_encoder),
            "num_tokens": pipeline.transformer.config.max_text_seq_length,
        }

    def clip(self, sample: Sample, frames_THW3: Frames) -> Tensors:
        """The latents of a clip and of its given frames."""
        seed = derive_seed(self.seed, "posterior", sample.id)
        given_THW3 = frames_THW3[: self.num_context_frames]
        return {
            "latents": self.pipeline.encode(frames_THW3, seed).half().cpu(),
            "context": encode_given(self.pipeline, given_THW3, self.context).half().cpu(),
        }

    def part(self, captions: Sequence[str]) -> tuple[Tensors, dict[str, str]]:
        """Embeddings of the prompts, the empty one first, and which one each clip has."""
        prompts = list(dict.fromkeys(["", *captions]))
        text = [self.pipeline.encode_prompt(prompt).embedding_LD.half().cpu() for prompt in prompts]
        numbers = [prompts.index(caption) for caption in captions]
        return {"text": torch.stack(text)}, {"texts": json.dumps(numbers)}


class PredictionClips(TrainingClips):
    """Clips with their given frames and embeddings of their prompts."""

    def __init__(self, parts: Sequence[Path]) -> None:
        super().__init__(parts)
        self._texts = [json.loads(part["texts"]) for part in self._metadata]

    def context(self, index: int) -> torch.Tensor:
        """Latents of a clip's given frames, float16 [F,C,H,W]."""
        return self._row("context", index)

    def text(self, index: int | None) -> torch.Tensor:
        """Embedding of a clip's prompt, float16 [L,D]; of the empty prompt for None."""
        part, row = (0, 0) if index is None else self._place(index)
        number = 0 if index is None else self._texts[part][row]
        text: torch.Tensor = self._handles[part].get_slice("text")[number]
        return text
