"""A latent upscaler's UNet with its low-resolution clip in place: from outside a UNet of latents alone.

Code for text-to-image UNets (`methods.stable_diffusion.guidance`, `methods.training.adapters`) hands over noisy
latents, a timestep and text. An upscaler's UNet also wants the low-resolution picture, concatenated to the
latents, and its noise level as a class label; both stay the same over all steps of a clip.

Shape suffixes: T frames, B = the frames of a clip or several, R repeats (guidance halves), C latent channels,
h, w height and width of latents and low resolution, 3 RGB, L text tokens, D text width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn


class ConditionedUNet(nn.Module):
    """A diffusers UNet that knows which low-resolution clip it is to enlarge: see `conditioned`.

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
