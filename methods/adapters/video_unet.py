"""A UNet with its adapters as one module for training, and the attention that trains fastest on a CPU.

Shape suffixes: G clips, T frames, C latent channels, H, W latent height and width, L text tokens, D text
width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .adapters import Adapters


class VideoUNet(nn.Module):
    """A UNet with its adapters as one module: what accelerate wraps.

    The adapters must be attached (`Adapters.attached`) while it is called.

    Args:
        unet: frozen.
        adapters: what is trained.
    """

    def __init__(self, unet: Any, adapters: Adapters) -> None:
        super().__init__()
        self.unet = unet
        self.adapters = adapters

    def forward(
        self, latents_GTCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        """The prediction for each frame, [G,T,C,H,W]."""
        num_frames = latents_GTCHW.shape[1]
        prediction_BCHW = self.unet(
            latents_GTCHW.flatten(0, 1),
            timestep_G.repeat_interleave(num_frames),
            encoder_hidden_states=text_GLD.repeat_interleave(num_frames, dim=0),
            return_dict=False,
        )[0]
        return prediction_BCHW.unflatten(0, (-1, num_frames))


class AttentionInFloat32(TorchFunctionMode):
    """Within the block torch's attention computes in float32, whatever it is given.

    On CPUs the gradient of attention in bfloat16 is slower than in float32 (measured: three times to nine
    times, more than half of a training step), while products of matrices are faster.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not torch.nn.functional.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value, *rest = args
        with torch.autocast(query.device.type, enabled=False):
            attended = func(query.float(), key.float(), value.float(), *rest, **(kwargs or {}))
        return attended.to(query.dtype)
