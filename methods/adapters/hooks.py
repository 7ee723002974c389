"""Where adapters join a UNet: its spatial transformers, and the hooks by which they get in.

A hook changes what a module takes or gives, and can be removed; the UNet's own modules and weights stay as
they are. Hooks run inside gradient checkpointing like the module itself, also when the module is computed
again.

Shape suffixes: B = clips * T, T frames, C channels, H, W height and width, S tokens, D width; Y, X rows and
columns of a layout map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...core.errors import WeightsError


def transformers_of(unet: nn.Module) -> list[tuple[str, Any]]:
    """The spatial transformers of a UNet with their names, in the order of its modules.

    Raises:
        WeightsError: there are none, or one has a block that is not of Stable Diffusion's kind.
    """
    from diffusers import Transformer2DModel

    found = [
        (name, module) for name, module in unet.named_modules() if isinstance(module, Transformer2DModel)
    ]
    if not found:
        raise WeightsError(
            "the UNet has no spatial transformer that adapters could join",
            "this method needs a UNet with transformer blocks, as Stable Diffusion has",
        )
    for name, transformer in found:
        for block in transformer.transformer_blocks:
            if block.norm_type != "layer_norm":
                raise WeightsError(
                    f"the transformer {name} of the UNet has a block with norm {block.norm_type!r}; adapters "
                    "need 'layer_norm'",
                    "give a Stable Diffusion 1.x or 2.x pipeline, or a latent upscaler of its kind",
                )
    return found


def self_attentions(unet: nn.Module) -> set[str]:
    """The processors (by their names in `unet.attn_processors`) that attend to a frame's own tokens.

    In latent upscalers the first attention of most blocks is a second cross-attention.
    """
    return {
        f"{name}.transformer_blocks.{index}.attn1.processor"
        for name, transformer in transformers_of(unet)
        for index, block in enumerate(transformer.transformer_blocks)
        if not block.only_cross_attention
    }


def before_transformer(
    adapter: nn.Module, num_frames: int, map_B1YX: torch.Tensor | None
) -> Callable[..., Any]:
    """Adds the temporal adapter to what a transformer takes."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        x_BCHW, *rest = args
        return (x_BCHW + adapter(x_BCHW, num_frames, map_B1YX), *rest), kwargs

    return hook


def after(adapter: nn.Module) -> Callable[..., Any]:
    """Adds an adapter of a module's output to that output."""

    def hook(module: nn.Module, args: tuple[Any, ...], out_BSD: torch.Tensor) -> torch.Tensor:
        return out_BSD + adapter(out_BSD)

    return hook


def remember(place: list[torch.Tensor]) -> Callable[..., Any]:
    """Keeps what a module takes in `place`, for `beside`."""

    def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
        # A recomputation of gradient checkpointing may stop between the two hooks and leave one behind.
        place[:] = [args[0]]

    return hook


def beside(adapter: nn.Module, place: list[torch.Tensor]) -> Callable[..., Any]:
    """Adds an adapter of what `remember` kept to a module's output."""

    def hook(module: nn.Module, args: tuple[Any, ...], out_BSD: torch.Tensor) -> torch.Tensor:
        return out_BSD + adapter(place.pop())

    return hook


def shared_norms(unet: nn.Module) -> list[nn.GroupNorm]:
    """The group norms that the released code lets see all frames: those outside the transformers."""
    inside = {id(module) for _, transformer in transformers_of(unet) for module in transformer.modules()}
    return [m for m in unet.modules() if isinstance(m, nn.GroupNorm) and id(m) not in inside]


def frames_into_rows(num_frames: int) -> Callable[..., Any]:
    """Shows a group norm all frames of a clip as one tall picture, [G,C,T*H,W]."""

    def hook(module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (args[0].unflatten(0, (-1, num_frames)).transpose(1, 2).flatten(2, 3),)  # [G,C,T*H,W]

    return hook


def rows_into_frames(num_frames: int) -> Callable[..., Any]:
    """Undoes `frames_into_rows`."""

    def hook(module: nn.Module, args: tuple[Any, ...], out: torch.Tensor) -> torch.Tensor:
        return out.unflatten(2, (num_frames, -1)).transpose(1, 2).flatten(0, 1)

    return hook
