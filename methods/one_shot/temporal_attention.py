"""Temporal attention: every place of the image looks at itself in all frames of the clip.

Source: Wu et al., "Tune-A-Video" (ICCV 2023), section 3.2, and the authors' released code: self-attention
over the frames at every spatial site, after a layer norm, added to the state as the last thing that a
transformer block does; heads as in the block, no positions, no causal mask. The output projection's weight
starts at zero. Its bias starts random in the released code, which makes the block a constant offset at the
start rather than the identity; the paper does not speak of it, so it is a setting.

Shape suffixes: T frames, G clips, B = G*T, S spatial tokens, D width of the hidden states, K number of heads,
E width of one head.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from .inflation_config import OutputBias


class TemporalAttention(nn.Module):
    """Self-attention over frames that are folded into the batch.

    Args:
        width: of the hidden states, D.
        inner: width of all heads together.
        heads: number of heads.
    """

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Linear(inner, width)

    def forward(self, hidden_BSD: torch.Tensor, num_frames: int) -> torch.Tensor:
        def sites(x_BSQ: torch.Tensor) -> torch.Tensor:
            """[G*S,K,T,E]: a view for one clip; several clips do not lie so that one view could hold them."""
            x_GTSKE = x_BSQ.unflatten(0, (-1, num_frames)).unflatten(-1, (self.heads, -1))
            return x_GTSKE.permute(0, 2, 3, 1, 4).flatten(0, 1)

        attended = scaled_dot_product_attention(
            sites(self.to_q(hidden_BSD)), sites(self.to_k(hidden_BSD)), sites(self.to_v(hidden_BSD))
        )
        attended_GSKTE = attended.unflatten(0, (-1, hidden_BSD.shape[1]))
        return self.to_out(attended_GSKTE.permute(0, 3, 1, 2, 4).flatten(3).flatten(0, 1))


class TemporalLayer(nn.Module):
    """x + attn_temp(norm_temp(x)): what inflation adds to a transformer block. Names as in the released code.

    Args:
        width: of the hidden states, D.
        inner: width of all heads together.
        heads: number of heads.
    """

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.norm_temp = nn.LayerNorm(width)
        self.attn_temp = TemporalAttention(width, inner, heads)

    @torch.no_grad()
    def initialise(self, generator: torch.Generator, output_bias: OutputBias) -> None:
        """Set the initial values: those of torch's linear layers, but a zero for the output's weight."""
        nn.init.ones_(self.norm_temp.weight)
        nn.init.zeros_(self.norm_temp.bias)
        attention = self.attn_temp
        for layer in (attention.to_q, attention.to_k, attention.to_v):
            bound = 1 / math.sqrt(layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.zeros_(attention.to_out.weight)
        nn.init.zeros_(attention.to_out.bias)
        if output_bias == "random":
            bound = 1 / math.sqrt(attention.to_out.in_features)
            nn.init.uniform_(attention.to_out.bias, -bound, bound, generator=generator)

    def forward(self, hidden_BSD: torch.Tensor, num_frames: int) -> torch.Tensor:
        return hidden_BSD + self.attn_temp(self.norm_temp(hidden_BSD), num_frames)
