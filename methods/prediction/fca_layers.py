"""What FCA puts into one layer of a CogVideoX transformer: an attention beside the frozen one, and the
frame-wise text module.

Source: as of `methods.prediction.fca`. The settings (`methods.prediction.config.FcaConfig`) say what is known
and what is chosen.

With x the layer's normalised and modulated video tokens (adaLN: shift and scale), A the frozen joint
attention and g its gate, which is the same for both:

    x + g (A(x, text) + FCA(x)),    FCA(x) = W_out softmax(mask, q(x) k(c)) v(c),    c = [y_frames, x_init]

- y_frames: frame-wise text embeddings; a token sees those of the frames that it stands for
  (`methods.prediction.fca_predictor`). They come from one module of the Q-Former kind in every layer (Li et
  al., "BLIP-2", ICML 2023): learned queries of every frame attend to each other, so that the frames can share
  out a motion among them, then to the text and the given frames, and go through a feed-forward; each part on
  layer norms and beside a skip. Number of queries, depth, width and initial values are not known; all are
  choices here.
- x_init: tokens of the given frames, seen by every token. They stand at the beginning of a little clip of
  their own: with rotary positions their keys are turned as the first tokens of a clip are.
- q, k, v start as copies of the frozen layer's, with its norms of queries and keys; W_out starts at zero, so
  the model starts as the base, bit for bit.

Shape suffixes: G clips, S tokens of the layer, K keys, N tokens that are read, D width of the transformer; E
frames that have embeddings, Q embeddings of a frame, W width of the text module, M its tokens.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from .config import FcaConfig

Rotary = tuple[torch.Tensor, torch.Tensor]
"""Cosines and sines of the tokens' positions, each [S, width of a head]."""


class FcaLayer(nn.Module):
    """What one layer of the transformer gets.

    Args:
        frozen: the layer's own attention, read for its structure.
        config: what FCA is.
        num_text_frames: how many frames have text embeddings.
    """

    def __init__(self, frozen: Any, config: FcaConfig, num_text_frames: int) -> None:
        super().__init__()
        self.attention = FcaAttention(frozen)
        self.text: FrameWiseText | None = None
        if config.text != "off":
            dim, heads = frozen.to_q.in_features, config.text_heads
            width = max(1, round(dim * config.text_width / heads)) * heads
            reads_frames = config.text_sees_frames and config.initial_frames != "off"
            self.text = FrameWiseText(dim, width, heads, (num_text_frames, config.queries), reads_frames)


class FcaAttention(nn.Module):
    """Cross-attention of a layer's tokens to the conditions; zero at the start.

    Args:
        frozen: the layer's own attention, read for its structure (and values, in `initialise`).
    """

    def __init__(self, frozen: Any) -> None:
        super().__init__()
        self.heads: int = frozen.heads
        dim, inner = frozen.to_q.in_features, frozen.to_q.out_features
        has_bias = frozen.to_q.bias is not None
        self.to_q = nn.Linear(dim, inner, has_bias)
        self.to_k = nn.Linear(dim, inner, has_bias)
        self.to_v = nn.Linear(dim, inner, has_bias)
        self.norm_q = nn.LayerNorm(inner // self.heads, eps=frozen.norm_q.eps)
        self.norm_k = nn.LayerNorm(inner // self.heads, eps=frozen.norm_k.eps)
        self.to_out = nn.Linear(inner, dim)

    def initialise(self, frozen: Any | None, generator: torch.Generator) -> None:
        """Sets the initial values: copies of the frozen attention's where one is given."""
        for name in ("to_q", "to_k", "to_v"):
            linear = getattr(self, name)
            nn.init.normal_(linear.weight, std=1 / math.sqrt(linear.in_features), generator=generator)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)
        for norm in (self.norm_q, self.norm_k):
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
        if frozen is not None:
            for name in ("to_q", "to_k", "to_v", "norm_q", "norm_k"):
                values = {
                    key: value.detach().float() for key, value in getattr(frozen, name).state_dict().items()
                }
                getattr(self, name).load_state_dict(values)
        nn.init.zeros_(self.to_out.weight)
        nn.init.zeros_(self.to_out.bias)

    def forward(
        self,
        x_GSD: torch.Tensor,
        keys_GKD: torch.Tensor,
        mask_SK: torch.Tensor | None,
        rotary: Rotary | None,
        num_turned: int,
    ) -> torch.Tensor:
        """What is added to the layer's attention, [G,S,D].

        Args:
            x_GSD: the layer's tokens, normalised and modulated.
            keys_GKD: the conditions.
            mask_SK: whether a token sees a key; None for all.
            rotary: positions of the tokens, None without rotary positions.
            num_turned: how many keys, the last ones, have positions: those of the first tokens of a clip.
        """
        query = self.norm_q(_heads(self.to_q(x_GSD), self.heads))
        key = self.norm_k(_heads(self.to_k(keys_GKD), self.heads))
        value = _heads(self.to_v(keys_GKD), self.heads)
        if rotary is not None:
            from diffusers.models.embeddings import apply_rotary_emb

            query = apply_rotary_emb(query, rotary)
            if num_turned:
                first = (rotary[0][:num_turned], rotary[1][:num_turned])
                turned = apply_rotary_emb(key[:, :, -num_turned:], first)
                key = torch.cat([key[:, :, :-num_turned], turned], dim=2)
        attended = scaled_dot_product_attention(query, key.to(query.dtype), value.to(query.dtype), mask_SK)
        return self.to_out(attended.transpose(1, 2).flatten(2))


class FrameWiseText(nn.Module):
    """Embeddings of the prompt for every frame.

    Args:
        dim, width: D and W; the number of heads divides W.
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


class MultiHeadAttention(nn.Module):
    """Attention of some tokens to others, all of width W, which the number of heads must divide."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width)

    def forward(self, x_GMW: torch.Tensor, read_GNW: torch.Tensor) -> torch.Tensor:
        """What the tokens read, [G,M,W]."""
        attended = scaled_dot_product_attention(
            _heads(self.to_q(x_GMW), self.heads),
            _heads(self.to_k(read_GNW), self.heads),
            _heads(self.to_v(read_GNW), self.heads),
        )
        return self.to_out(attended.transpose(1, 2).flatten(2))


def _heads(tokens: torch.Tensor, heads: int) -> torch.Tensor:
    """[G,S,D] to [G,heads,S,D/heads]."""
    return tokens.unflatten(-1, (heads, -1)).transpose(1, 2)
