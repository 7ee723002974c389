"""SimDA with its pipeline on a device.

Apart from `simda`, because a session derives from a class that imports torch, and a method file must not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ...core.types import Frames, Sample
from ...core.weights import resolve
from ..stable_diffusion.session import TextToVideoSession
from ..weights_file import ADAPTERS
from .adapter_file import adapters_from_bytes, load_adapters
from .adapters import PRESETS, Adapters
from .simda import SimDA, sample_latents


class SimdaSession(TextToVideoSession):
    """Loads a pipeline and adapters and makes one clip after the other.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the pipeline or the adapters are missing, malformed or do not fit each other.
    """

    def __init__(self, config: SimDA.Config, device: str) -> None:
        super().__init__(config, device, sample_latents)
        self._settings = config
        if config.adapters is None:
            adapters = Adapters(self.pipeline.unet, PRESETS[config.preset], config.seed_of_adapters)
        else:
            adapters = load_adapters(resolve(config.adapters, ADAPTERS), self.pipeline.unet)
        self.adapters = self._placed(adapters)

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily.

        Args:
            artifact: adapters tuned on a reference (`adapters_to_bytes`), which stand in for those of the
                configuration in this call; None for these.
            seeds: one for each sample.

        Raises:
            ValueError: the numbers of samples and seeds differ.
            WeightsError: the artifact is not one, or of another UNet.
            ClipRefusedError: on iteration; the clip holds NaN.
        """
        if len(samples) != len(seeds):
            raise ValueError(f"{len(samples)} samples but {len(seeds)} seeds")
        adapters = self.adapters
        if artifact is not None:
            adapters = self._placed(adapters_from_bytes(artifact, self.pipeline.unet, "the tuned adapters"))

        def clip(sample: Sample, seed: int) -> Frames:
            _, height, width = self.pipeline.latent_shape_CHW
            config = self._settings
            prompts = (
                [sample.prompt] if config.guidance_scale <= 1 else [config.negative_prompt, sample.prompt]
            )
            with adapters.attached(self.pipeline.unet, config.num_frames, height, width, prompts):
                return self._clip(sample, seed)

        # Not a generator function: that would be over after the first exception.
        return map(clip, samples, seeds)

    def describe(self) -> dict[str, Any]:
        """Facts for the record: what training-free methods tell, and the number of trained parameters."""
        return {**super().describe(), "trainable_parameters": self.adapters.num_parameters}

    def _placed(self, adapters: Adapters) -> Adapters:
        device: torch.device = self.pipeline.device
        return adapters.to(device, self.pipeline.dtype).requires_grad_(False).eval()
