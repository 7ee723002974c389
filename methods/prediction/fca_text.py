"""The frame-wise text module of FCA: what the prompt means for each frame.

Source: Liu et al., "Frame-wise Conditioning Adaptation for Fine-Tuning Diffusion Models in Text-to-Video
Prediction" (TMLR 2025, arXiv 2503.12953): one module of the Q-Former kind in every layer (Li et al.,
"BLIP-2", ICML 2023). Number of queries, depth, width and initial values are not known; all are choices here.

Learned queries of every frame attend to each other, so that the frames can share out a motion among them,
then to the text and the given frames, and go through a feed-forward; each part on layer norms and beside a
skip.

Shape suffixes: G clips, E frames that have embeddings, Q embeddings of a frame, N tokens that are read, D
width of the transformer, W width of the module.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention


class MultiHeadAttention(nn.Module):
    """Attention of some tokens to others, all of one width.

    Args:
        width: W.
        heads: must divide the width.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x_GMW: torch.Tensor, read_GNW: torch.Tensor) -> torch.Tensor:
        def split(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        attended = scaled_dot_product_attention(
            split(self.to_q(x_GMW)), split(self.to_k(read_GNW)), split(self.to_v(read_GNW))
        )
        return self.to_out(attended.transpose(1, 2).flatten(2))


class FrameWiseText(nn.Module):
    """Embeddings of the prompt for every frame.

    Args:
        dim: D.
        width: W.
        heads: attention heads; must divide the width.
        shape_EQ: E and Q.
        reads_frames: whether the given frames are read besides the text.
    """

    def __init__(
        self, dim: int, width: int, heads: int, shape_EQ: tuple[int, int], reads_frames: bool
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(*shape_EQ, width))
        self.read_text = nn.Linear(dim, width)
        self.read_frames = nn.Linear(dim, width) if reads_frames else None
        self.norm_self = nn.LayerNorm(width)
        self.among = MultiHeadAttention(width, heads)
        self.norm_cross = nn.LayerNorm(width)
        self.norm_read = nn.LayerNorm(width)
        self.cross = MultiHeadAttention(width, heads)
        self.norm_ff = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.out = nn.Linear(width, dim)
        # To the scale of the layer's own normalised tokens, which keys and values were trained on.
        self.norm_out = nn.LayerNorm(dim)

    def initialise(self, generator: torch.Generator) -> None:
        """Sets the initial values. A frame's queries are those of all frames and something of its own."""
        with torch.no_grad():
            shared = torch.empty_like(self.queries[:1]).normal_(generator=generator)
            self.queries.normal_(generator=generator).mul_(0.5).add_(shared)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=1 / math.sqrt(module.in_features), generator=generator)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, text_GND: torch.Tensor, frames_GND: torch.Tensor | None) -> torch.Tensor:
        """The embeddings, frame by frame, [G,E*Q,D].

        Args:
            text_GND: tokens of the prompt.
            frames_GND: tokens of the given frames; not needed where they are not read.
        """
        read = [self.read_text(text_GND)]
        if self.read_frames is not None:
            assert frames_GND is not None
            read.append(self.read_frames(frames_GND))
        read_GNW = self.norm_read(torch.cat(read, dim=1))
        x = self.queries.flatten(0, 1).to(read_GNW.dtype).expand(text_GND.shape[0], -1, -1)
        normed = self.norm_self(x)
        x = x + self.among(normed, normed)
        x = x + self.cross(self.norm_cross(x), read_GNW)
        x = x + self.down(gelu(self.up(self.norm_ff(x))))
        return self.norm_out(self.out(x))
