"""Latent-shift attention: self-attention that also sees a patchwork of tokens from the frames before.

Source: Xing et al., "SimDA: Simple Diffusion Adapter for Efficient Video Generation" (CVPR 2024), its part on
latent-shift attention, and the authors' released editing code. No code was copied: that repository has no
licence.

A pattern gives every spatial token a number of frames s by its place (row mod 4, column mod 4); in the
shifted frame i the token is that of frame i - s at the same place, or of frame i itself where i < s.
Queries always come from the frame as it is. Two forms, since the paper and the released code disagree:

- "paper": keys and values from [x_i ; shift(x)_i], all tokens of the frame itself and the shifted frame.
- "released": from [shift(x)_{i-1} ; shift(x)_i], for the first frame [shift(x)_1 ; shift(x)_1]. The frame as
  it is is never a whole set of keys.

The pattern is the released code's; the paper's own is not known and is taken to be the same.

What it changes before any training: it has no weights, so it is not the identity at the start, unlike the
adapters. The first frame of a clip, and every frame of a clip that stands still, see each of their own
tokens twice or (where the pattern mixes) the same token of an equal frame; the softmax over doubled keys is
that over single ones, so these frames equal the image model up to rounding. Other frames do not.

Deviations: any grid of tokens is allowed, not only a square one; keys and values are projected once per token
and then gathered, which is the same number, since a projection acts on each token alone.

Shape suffixes: T frames, G clips (guidance halves), B = G*T, S spatial tokens, D width of the hidden
states, Q width of all heads together, N keys of a frame (2 S), H, W rows and columns of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch.nn.functional import scaled_dot_product_attention

LatentShift = Literal["paper", "released"]
Pattern = tuple[tuple[int, ...], ...]

RELEASED_PATTERN: Pattern = ((4, 3, 2, 1), (3, 2, 1, 0), (2, 1, 0, 0), (1, 2, 3, 4))
"""Frames that a token is shifted back by, at (row mod 4, column mod 4)."""


def shifted_frames(num_frames: int, height: int, width: int, pattern: Pattern) -> torch.Tensor:
    """The frame from which each token of each shifted frame comes.

    Args:
        num_frames: T.
        height, width: of the grid of tokens.
        pattern: shifts in frames, repeated over the grid; all rows of one length, no negative value.

    Returns:
        int64 [T, S], row-major over the grid: i - s, or i where i < s.
    """
    if not pattern or not pattern[0] or any(len(row) != len(pattern[0]) for row in pattern):
        raise ValueError(f"a shift pattern needs rows of one length, got {pattern}")
    if any(shift < 0 for row in pattern for shift in row):
        raise ValueError(f"shifts go back in time and are at least 0, got {pattern}")
    pattern_hw = torch.tensor(pattern)
    rows, columns = torch.arange(height) % len(pattern), torch.arange(width) % len(pattern[0])
    shift_1S = pattern_hw[rows][:, columns].reshape(1, -1)
    frame_T1 = torch.arange(num_frames)[:, None]
    return torch.where(frame_T1 >= shift_1S, frame_T1 - shift_1S, frame_T1)


def key_sources(
    form: LatentShift, num_frames: int, height: int, width: int, pattern: Pattern
) -> torch.Tensor:
    """Which of a clip's T*S tokens are the keys of each frame, int64 [T, 2 S].

    One frame alone has its own tokens once, [1, S]: there is nothing to be shifted, and plain attention it
    is.
    """
    if form not in get_args(LatentShift):
        raise ValueError(f"unknown form {form!r} of latent-shift attention; known: {get_args(LatentShift)}")
    num_tokens = height * width
    place_S = torch.arange(num_tokens)
    own_TS = torch.arange(num_frames)[:, None] * num_tokens + place_S
    if num_frames == 1:
        return own_TS
    shifted_TS = shifted_frames(num_frames, height, width, pattern) * num_tokens + place_S
    if form == "paper":
        return torch.cat([own_TS, shifted_TS], dim=1)
    before_TS = torch.cat([shifted_TS[:1], shifted_TS[:-1]])
    return torch.cat([before_TS, shifted_TS], dim=1)


def token_grid(num_tokens: int, latent_height: int, latent_width: int) -> tuple[int, int]:
    """Rows and columns of `num_tokens` tokens in a UNet that halves the latents, rounding up.

    Raises:
        ValueError: no level of such a UNet has that many tokens.
    """
    height, width = latent_height, latent_width
    while height * width > num_tokens:
        height, width = -(-height // 2), -(-width // 2)
    if height * width != num_tokens:
        raise ValueError(
            f"{num_tokens} tokens are no level of latents of {latent_height} by {latent_width}; "
            "attention across frames was set up for another size"
        )
    return height, width


class LatentShiftAttention:
    """Attention processor for the self-attention (`attn1`) of a diffusers UNet.

    Args:
        num_frames: T; the batch of the UNet is [clip 1: T frames, clip 2: T frames, ...].
        latent_height, latent_width: of the latents, from which the grid of a level follows.
        form: "paper" or "released", as the module describes.
        pattern: shifts in frames by place.
    """

    def __init__(
        self,
        num_frames: int,
        latent_height: int,
        latent_width: int,
        form: LatentShift = "paper",
        pattern: Pattern = RELEASED_PATTERN,
    ) -> None:
        self.num_frames = num_frames
        self._size = (latent_height, latent_width)
        self._form: LatentShift = form
        self._pattern = pattern
        self._sources: dict[tuple[int, torch.device], torch.Tensor] = {}

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if encoder_hidden_states is not None or attention_mask is not None or hidden_states.ndim != 3:
            raise ValueError("latent-shift attention replaces unmasked self-attention over [B,S,D] only")
        if attn.norm_q is not None or attn.norm_k is not None or attn.residual_connection:
            raise ValueError("latent-shift attention does not know normalised keys or inner residuals")
        num_images, num_tokens = hidden_states.shape[:2]
        if num_images % self.num_frames:
            raise ValueError(f"a batch of {num_images} is not a number of clips of {self.num_frames} frames")
        sources_TN = self._sources_for(num_tokens, hidden_states.device)

        def heads(x_BSQ: torch.Tensor) -> torch.Tensor:
            return x_BSQ.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

        def gathered(x_BSQ: torch.Tensor) -> torch.Tensor:
            # The one copy that is needed: the keys of a frame lie scattered over the clip.
            x_GSQ = x_BSQ.reshape(-1, self.num_frames * num_tokens, x_BSQ.shape[-1])
            return x_GSQ.index_select(1, sources_TN.flatten()).view(
                num_images, sources_TN.shape[1], x_BSQ.shape[-1]
            )

        key_BSQ, value_BSQ = attn.to_k(hidden_states), attn.to_v(hidden_states)
        if self.num_frames > 1:
            key_BSQ, value_BSQ = gathered(key_BSQ), gathered(value_BSQ)
        # The scale is left to torch, as diffusers leaves it: one frame must equal plain attention bit for
        # bit.
        attended = scaled_dot_product_attention(
            heads(attn.to_q(hidden_states)), heads(key_BSQ), heads(value_BSQ)
        )
        out_BSD = attn.to_out[1](attn.to_out[0](attended.transpose(1, 2).flatten(2)))
        return out_BSD / attn.rescale_output_factor

    def _sources_for(self, num_tokens: int, device: torch.device) -> torch.Tensor:
        key = (num_tokens, device)
        if key not in self._sources:
            height, width = token_grid(num_tokens, *self._size)
            self._sources[key] = key_sources(self._form, self.num_frames, height, width, self._pattern).to(
                device
            )
        return self._sources[key]


def checked_pattern(rows: Sequence[Sequence[int]]) -> Pattern:
    """A pattern as nested tuples, after a check that it is one.

    Raises:
        ValueError: rows of different lengths, none at all, or a negative shift.
    """
    pattern = tuple(tuple(row) for row in rows)
    shifted_frames(1, 1, 1, pattern)
    return pattern
