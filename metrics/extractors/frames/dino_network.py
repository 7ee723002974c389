"""DINO's vision transformer, with the names of its authors' checkpoints.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (2021): a plain ViT (Dosovitskiy et
al. 2021), whose feature is the class token behind the last LayerNorm. Frames may have any shape: learned
positions are interpolated to the grid of patches.

Shape suffixes: B frames, C channels, H height, W width, L tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_HEAD_WIDTH = 64
"""Of ViT-Ti, S, B and L alike; a checkpoint does not say it."""

_EPSILON = 1e-6

_NUDGE = 0.1
"""Added to the grid's sides before they become scale factors, as the authors do. It keeps the size from being
rounded down, and shifts the positions of frames that are not of the trained size by a little."""


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPSILON)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.norm2 = nn.LayerNorm(width, eps=_EPSILON)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, x_BLD: Tensor) -> Tensor:
        batch, length, width = x_BLD.shape
        qkv = self.attn["qkv"](self.norm1(x_BLD)).view(batch, length, 3, -1, _HEAD_WIDTH)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x_BLD = x_BLD + self.attn["proj"](mixed.reshape(batch, length, width))
        return x_BLD + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x_BLD))))


class DinoVit(nn.Module):
    """Normalised frames [B, 3, H, W] -> class tokens [B, D]; H and W at least one patch.

    Args:
        width, hidden: of the tokens and of the MLPs; the width is a multiple of 64.
        depth: number of blocks.
        patch: side of a patch in pixels.
        num_positions: learned ones, without the class token's; a square.
    """

    def __init__(self, width: int, hidden: int, depth: int, patch: int, num_positions: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + num_positions, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, stride=patch)})
        self.blocks = nn.ModuleList(_Block(width, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=_EPSILON)

    def forward(self, frames_BCHW: Tensor) -> Tensor:
        """The class token of each frame [B, D]."""
        grid_BDHW = self.patch_embed["proj"](frames_BCHW)
        patches_BLD = grid_BDHW.flatten(2).transpose(1, 2)
        tokens_BLD = torch.cat([self.cls_token.expand(len(patches_BLD), -1, -1), patches_BLD], dim=1)
        x_BLD = tokens_BLD + self._positions(*grid_BDHW.shape[2:])
        for block in self.blocks:
            x_BLD = block(x_BLD)
        first_BD: Tensor = self.norm(x_BLD)[:, 0]
        return first_BD

    def _positions(self, height: int, width: int) -> Tensor:
        """[1, 1 + height * width, D]; the arguments are in patches."""
        learned_1LD = self.pos_embed[:, 1:]
        side = round(learned_1LD.shape[1] ** 0.5)
        if height == width == side:
            return self.pos_embed
        grid_1DHW = learned_1LD.view(1, side, side, -1).permute(0, 3, 1, 2)
        scale = ((height + _NUDGE) / side, (width + _NUDGE) / side)
        scaled_1DHW = functional.interpolate(grid_1DHW, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], scaled_1DHW.flatten(2).transpose(1, 2)], dim=1)
