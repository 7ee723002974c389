"""The low resolution of an upscaler: shrunken frames, their noise, and the UNet that enlarges them.

Noise augmentation: Ho et al., "Cascaded Diffusion Models for High Fidelity Image Generation" (JMLR 2022),
section 4.2, in the form that latent upscalers have in diffusers: the low-resolution picture gets the noise of
a DDPM schedule of its own at some level, and the network is told the level as a class label.

Shape suffixes: T frames, B pictures (the frames of a clip or of several), R repeats (guidance halves), C
latent channels, H, W height and width, h, w those of the low resolution and of the latents, 3 RGB, L text
tokens, D text width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from ...core.types import Frames
from ..noise import draw

LowResNoise = Literal["shared", "per-frame"]
"""Whether all frames of a clip get the same augmentation noise or each its own."""


def shrink(frames_THW3: Frames, factor: int) -> Frames:
    """Frames at 1/factor of their size, each pixel the mean of its area, uint8 [T,H/factor,W/factor,3].

    Raises:
        ValueError: the size is no multiple of the factor.
    """
    num_frames, height, width, _ = frames_THW3.shape
    if height % factor or width % factor:
        raise ValueError(f"frames of {height} by {width} pixels cannot be shrunken by {factor}")
    areas = frames_THW3.reshape(num_frames, height // factor, factor, width // factor, factor, 3)
    return np.rint(areas.mean(axis=(2, 4), dtype=np.float64)).astype(np.uint8)


def network_range(frames_Thw3: Frames) -> torch.Tensor:
    """uint8 frames as the networks take them, float32 [T,3,h,w] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(frames_Thw3)).permute(0, 3, 1, 2).float() / 127.5 - 1


def augmentation_noise(shape_T3hw: Sequence[int], kind: LowResNoise, seed: int) -> torch.Tensor:
    """Standard normal noise for a low-resolution clip, float32 [T,3,h,w] on the CPU."""
    num_frames, *shape = shape_T3hw
    if kind == "shared":
        one = draw((1, *shape), seed, "low-resolution noise")
        return one.expand(num_frames, *shape).clone()
    return torch.cat([draw((1, *shape), seed, "low-resolution noise", i) for i in range(num_frames)])


def augmented(
    low_res_B3hw: torch.Tensor, noise_B3hw: torch.Tensor, level_B: torch.Tensor, alphas_cumprod: torch.Tensor
) -> torch.Tensor:
    """Low-resolution pictures with noise at their levels, [B,3,h,w].

    Args:
        low_res_B3hw: in [-1, 1].
        noise_B3hw: standard normal.
        level_B: timestep of the low-resolution schedule of each picture, int64.
        alphas_cumprod: of that schedule.
    """
    abar_B = alphas_cumprod.to(low_res_B3hw.device)[level_B].to(low_res_B3hw.dtype).view(-1, 1, 1, 1)
    return abar_B.sqrt() * low_res_B3hw + (1 - abar_B).sqrt() * noise_B3hw


class ConditionedUNet(nn.Module):
    """A diffusers UNet that knows which low-resolution clip it is to enlarge: see `conditioned`.

    An upscaler's UNet wants the low-resolution picture concatenated to the latents, and its noise level as a
    class label; both stay the same over all steps of a clip. So from outside this is a UNet of latents alone,
    and what is made for text-to-image UNets (`methods.stable_diffusion.ddim.Denoiser`) can call it.

    Args:
        network: a UNet2DConditionModel of 3 input channels more than outputs, with class labels. Adapters are
            attached to it, not to the wrapper.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        self._low_res_B3hw: torch.Tensor | None = None
        self._level_B: torch.Tensor | None = None

    def enable_gradient_checkpointing(self) -> None:
        """As the network's own."""
        self.network.enable_gradient_checkpointing()

    @contextlib.contextmanager
    def conditioned(self, low_res_B3hw: torch.Tensor, level_B: torch.Tensor) -> Iterator[None]:
        """Within the block the UNet enlarges these pictures.

        Args:
            low_res_B3hw: with their noise, about [-1, 1]. The batch of the UNet is these B, or these B
                several times over (guidance).
            level_B: noise level of each, int64.
        """
        self._low_res_B3hw, self._level_B = low_res_B3hw, level_B
        try:
            yield
        finally:
            self._low_res_B3hw = self._level_B = None

    def forward(
        self,
        latents_BChw: torch.Tensor,
        timestep: torch.Tensor | int,
        encoder_hidden_states: torch.Tensor,
        return_dict: bool = False,
    ) -> tuple[torch.Tensor]:
        """The prediction for each picture, [R*B,C,h,w], in a tuple as diffusers gives it.

        Raises:
            ValueError: no low-resolution pictures are in place, or the batch is no multiple of theirs.
        """
        if self._low_res_B3hw is None or self._level_B is None:
            raise ValueError("an upscaler's UNet needs low-resolution pictures: call it within `conditioned`")
        num_pictures = len(self._low_res_B3hw)
        if len(latents_BChw) % num_pictures:
            raise ValueError(f"a batch of {len(latents_BChw)} is no multiple of {num_pictures} pictures")
        repeats = len(latents_BChw) // num_pictures
        low_res = self._low_res_B3hw.to(latents_BChw.dtype).repeat(repeats, 1, 1, 1)
        prediction: tuple[torch.Tensor] = self.network(
            torch.cat([latents_BChw, low_res], dim=1),
            timestep,
            encoder_hidden_states=encoder_hidden_states,
            class_labels=self._level_B.repeat(repeats),
            return_dict=False,
        )
        return prediction
