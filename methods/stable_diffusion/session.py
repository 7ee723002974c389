"""A training-free method with its pipeline on a device: one clip per call of the method.

A clip's frames (times the guidance halves) are the batch of the UNet, and nothing else is: a clip depends on
its sample and seed alone, whatever else is in the call and however the samples are sharded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from ...core.types import Frames, Sample
from .config import PipelineConfig
from .guidance import Denoiser
from .pipeline import EncodedPrompt, load_pipeline

SampleLatents = Callable[[Denoiser, Any, int], torch.Tensor]
"""(denoiser, config, seed) -> latents [T,C,H,W]: the part that differs between methods."""


class TextToVideoSession:
    """Loads a pipeline and makes one clip after the other.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".
        sample_latents: the method itself.
        prompt_suffix: appended to every prompt after a comma; empty for none.
    """

    def __init__(
        self, config: PipelineConfig, device: str, sample_latents: SampleLatents, prompt_suffix: str = ""
    ) -> None:
        self.pipeline = load_pipeline(
            config.weights, device=device, dtype=config.dtype, height=config.height, width=config.width
        )
        self.schedule = self.pipeline.schedule(config.num_steps)
        self._config = config
        self._sample_latents = sample_latents
        self._prompt_suffix = prompt_suffix
        self._negative: EncodedPrompt | None = None
        self._num_truncated = 0

    def tune(
        self, reference: Frames | None, prompt: str | None, seed: int, *, checkpoint: Path | None = None
    ) -> bytes | None:
        """Nothing is tuned."""
        return None

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily.

        An exception concerns the sample that was due: the iterator can be asked for the next one afterwards.

        Args:
            artifact: None, as nothing is tuned.
            seeds: one for each sample.

        Raises:
            ValueError: the numbers of samples and seeds differ, or an artifact is given.
            ClipRefusedError: on iteration; the clip holds NaN.
        """
        if len(samples) != len(seeds):
            raise ValueError(f"{len(samples)} samples but {len(seeds)} seeds")
        if artifact is not None:
            raise ValueError("this method tunes nothing, but a tuning artifact was given")
        # Not a generator function: that would be over after the first exception.
        return map(self._clip, samples, seeds)

    def describe(self) -> dict[str, Any]:
        """Facts for the record: trainable parameters, frame size, prompts that were too long so far."""
        return {
            "trainable_parameters": 0,
            "height": self.pipeline.height,
            "width": self.pipeline.width,
            "dtype": str(self.pipeline.dtype).removeprefix("torch."),
            "truncated_prompts": self._num_truncated,
        }

    @torch.inference_mode()
    def _clip(self, sample: Sample, seed: int) -> Frames:
        latents_TCHW = self._sample_latents(self._denoiser(sample.prompt), self._config, seed)
        return self.pipeline.decode(latents_TCHW)

    def _denoiser(self, prompt: str) -> Denoiser:
        text = f"{prompt}, {self._prompt_suffix}" if self._prompt_suffix else prompt
        positive = self.pipeline.encode(text)
        self._num_truncated += positive.truncated
        embeddings = [positive.embedding_LD]
        if self._config.guidance_scale > 1:
            if self._negative is None:
                self._negative = self.pipeline.encode(self._config.negative_prompt)
            embeddings.insert(0, self._negative.embedding_LD)
        return Denoiser(
            unet=self.pipeline.unet,
            schedule=self.schedule,
            text_GLD=torch.stack(embeddings),
            guidance_scale=self._config.guidance_scale,
            latent_shape_CHW=self.pipeline.latent_shape_CHW,
        )
