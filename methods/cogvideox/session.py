"""A CogVideoX pipeline on a device that makes one clip after the other from text.

One clip is one batch (times the guidance halves), so a clip depends on its sample and seed alone.

Shape suffixes: T frames, F latent frames, C latent channels, H, W height and width, G guidance halves, L text
tokens, D width of the text encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ...core.types import Frames, Sample
from ..stable_diffusion.pipeline import EncodedPrompt
from .config import CogVideoXConfig
from .pipeline import CogVideoX, Kind, load_cogvideox
from .sampling import Guidance, Predict, denoise, initial_latents


class CogVideoXSession:
    """Loads a pipeline and makes clips; methods that are given frames derive from it.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".
        kind: of the model that the method needs.

    Raises:
        WeightsError: the folder is not such a pipeline.
        RunFileError: size or number of steps do not fit the pipeline.
    """

    def __init__(self, config: CogVideoXConfig, device: str, kind: Kind = "text") -> None:
        self.pipeline: CogVideoX = load_cogvideox(
            config.base,
            device=device,
            dtype=config.dtype,
            height=config.height,
            width=config.width,
            kind=kind,
        )
        self.schedule = self.pipeline.schedule(config.num_steps, config.sampler)
        self._common = config
        self._negative: EncodedPrompt | None = None
        self._num_truncated = 0

    def tune(
        self, reference: Frames | None, prompt: str | None, seed: int, *, checkpoint: Path | None = None
    ) -> bytes | None:
        """Nothing is tuned on a reference."""
        return None

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily.

        An exception concerns the sample that was due: the iterator can be asked for the next one afterwards.

        Args:
            artifact: None, as nothing is tuned on a reference.
            seeds: one for each sample.

        Raises:
            ValueError: the numbers of samples and seeds differ, or an artifact is given.
            ClipRefusedError: on iteration; the clip holds NaN.
            DatasetError: on iteration; the method needs given frames and the sample has none.
        """
        if len(samples) != len(seeds):
            raise ValueError(f"{len(samples)} samples but {len(seeds)} seeds")
        if artifact is not None:
            raise ValueError("this method tunes nothing, but a tuning artifact was given")
        # Not a generator function: that would be over after the first exception.
        return map(self._clip, samples, seeds)

    def describe(self) -> dict[str, Any]:
        """Facts for the record: trained parameters, frame size, prompts that were too long so far."""
        return {
            "trainable_parameters": 0,
            "height": self.pipeline.height,
            "width": self.pipeline.width,
            "dtype": str(self.pipeline.dtype).removeprefix("torch."),
            "truncated_prompts": self._num_truncated,
        }

    @torch.no_grad()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        num_frames = self._common.num_frames
        latents_FCHW = self._sample(self.pipeline.predict, self._texts(sample.prompt), num_frames, seed)
        return self.pipeline.decode(latents_FCHW)[:num_frames]

    def _sample(self, predict: Predict, text_GLD: torch.Tensor, num_frames: int, seed: int) -> torch.Tensor:
        """Latents of a clip of the next valid length, [F,C,H,W]."""
        num_latents, *shape_CHW = self.pipeline.latent_shape_FCHW(num_frames)
        padding = self.pipeline.padding(num_latents)
        shape = (num_latents + padding, shape_CHW[0], shape_CHW[1], shape_CHW[2])
        guidance = Guidance(self._common.guidance_scale, self._common.dynamic_guidance)
        noise = initial_latents(seed, shape)
        return denoise(predict, self.schedule, noise, text_GLD, guidance, seed)[padding:]

    def _texts(self, prompt: str) -> torch.Tensor:
        """Embeddings of the negative prompt, if there is guidance, and of the prompt, [G,L,D]."""
        positive = self.pipeline.encode_prompt(prompt)
        self._num_truncated += positive.truncated
        if self._common.guidance_scale <= 1:
            return positive.embedding_LD[None]
        if self._negative is None:
            self._negative = self.pipeline.encode_prompt(self._common.negative_prompt)
        return torch.stack([self._negative.embedding_LD, positive.embedding_LD])
