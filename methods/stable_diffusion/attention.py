"""Self-attention that looks at other frames: cross-frame attention and temporal momentum attention.

Sources:
- Khachatryan et al., "Text2Video-Zero" (ICCV 2023): keys and values of every frame are those of the first.
- "Fine-gained Zero-shot Video Sampling" (ZS², arXiv 2407.21475), section 4.1: keys and values are running
  means over the frames, K'_1 = K_1, K'_i = mu_i K'_{i-1} + (1 - mu_i) K_i, and the same for the values.

mu = 0 is plain self-attention, mu = 1 is cross-frame attention to the first frame.

Deviations:
- The recursion is computed as one matrix product over the *frame index*. The official pseudocode's product
  only takes the diagonal of that matrix, and its loop is not recursive; both contradict the paper, which is
  followed.
- The running mean is taken of the hidden states before projection, which is one product instead of two and
  the same number: projections are linear, and a bias passes through because every row of the matrix sums to
  one.

Only self-attention (`attn1` in diffusers) is replaced; text cross-attention stays as it is.

Shape suffixes: T frames, G guidance halves, B = G*T, S spatial tokens, D width of the hidden states, Q width
of all heads together, K number of heads, E width of one head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

from ...core.errors import WeightsError


def momentum_matrix(mu: float | Sequence[float], num_frames: int) -> torch.Tensor:
    """The weights of the running mean: row i says how much of every frame j is in K'_i.

    Args:
        mu: mu_2 to mu_T (T - 1 values in [0, 1]), or one value for all.
        num_frames: T.

    Returns:
        float64 [T, T], lower triangular, rows sum to one. For a constant mu the entries are mu^i in column 0
        and (1 - mu) mu^(i-j) below the diagonal (the matrix U of section 4.1), counted from 0.
    """
    values = [mu] * (num_frames - 1) if isinstance(mu, int | float) else list(mu)
    if len(values) != num_frames - 1:
        raise ValueError(f"{len(values)} values of mu for {num_frames} frames; expected {num_frames - 1}")
    matrix_TT = torch.zeros(num_frames, num_frames, dtype=torch.float64)
    matrix_TT[0, 0] = 1.0
    for frame, value in enumerate(values, start=1):
        matrix_TT[frame] = value * matrix_TT[frame - 1]
        matrix_TT[frame, frame] = 1.0 - value
    return matrix_TT


class CrossFrameAttention:
    """Every frame attends to the first frame of its clip and guidance half.

    Args:
        num_frames: T; the batch of the UNet is [half 1: T frames, half 2: T frames, ...].
    """

    def __init__(self, num_frames: int) -> None:
        self.num_frames = num_frames

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        hidden_GTSD = _by_frame(attn, hidden_states, encoder_hidden_states, attention_mask, self.num_frames)
        # One long row of queries per half, all frames of it, finds the same keys: no copy for each frame.
        queries_GND = hidden_GTSD.flatten(1, 2)
        first_GSD = hidden_GTSD[:, 0]
        out_GND = _attend(attn, queries_GND, attn.to_k(first_GSD), attn.to_v(first_GSD))
        return out_GND.view_as(hidden_states)


class TemporalMomentumAttention:
    """Every frame attends to a running mean over the frames up to itself.

    Args:
        num_frames: T; the batch of the UNet is [half 1: T frames, half 2: T frames, ...].
        mu: momentum, one value or one for each frame from the second on, in [0, 1].
    """

    def __init__(self, num_frames: int, mu: float | Sequence[float]) -> None:
        self.num_frames = num_frames
        self._matrix_TT = momentum_matrix(mu, num_frames)

    def __call__(
        self,
        attn: Any,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        hidden_GTSD = _by_frame(attn, hidden_states, encoder_hidden_states, attention_mask, self.num_frames)
        self._matrix_TT = self._matrix_TT.to(hidden_GTSD)  # moves once, on the first layer
        mixed_BSD = (self._matrix_TT @ hidden_GTSD.flatten(2)).view_as(hidden_states)
        return _attend(attn, hidden_states, attn.to_k(mixed_BSD), attn.to_v(mixed_BSD))


def _by_frame(
    attn: Any,
    hidden_BSD: torch.Tensor,
    encoder_hidden_states: torch.Tensor | None,
    attention_mask: torch.Tensor | None,
    num_frames: int,
) -> torch.Tensor:
    """The hidden states as [G,T,S,D], after checks that this is self-attention over whole clips."""
    if encoder_hidden_states is not None or attention_mask is not None or hidden_BSD.ndim != 3:
        raise ValueError("attention across frames replaces unmasked self-attention over [B,S,D] only")
    if attn.norm_q is not None or attn.norm_k is not None or attn.residual_connection:
        raise ValueError("attention across frames does not know normalised keys or inner residuals")
    if hidden_BSD.shape[0] % num_frames:
        raise ValueError(f"a batch of {hidden_BSD.shape[0]} is not a number of clips of {num_frames} frames")
    return hidden_BSD.view(-1, num_frames, *hidden_BSD.shape[1:])


def _attend(
    attn: Any, hidden_BSD: torch.Tensor, key_BSQ: torch.Tensor, value_BSQ: torch.Tensor
) -> torch.Tensor:
    """Queries of the hidden states against the given keys and values, projected out, [B,S,D]."""

    def heads(x_BSQ: torch.Tensor) -> torch.Tensor:
        return x_BSQ.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # [B,K,S,E]

    # The scale is left to torch, as diffusers leaves it: one frame must equal plain attention bit for bit.
    attended_BKSE = scaled_dot_product_attention(
        heads(attn.to_q(hidden_BSD)), heads(key_BSQ), heads(value_BSQ)
    )
    attended_BSQ = attended_BKSE.transpose(1, 2).flatten(2)
    return attn.to_out[1](attn.to_out[0](attended_BSQ)) / attn.rescale_output_factor


@contextmanager
def self_attention(unet: Any, processor: Any) -> Iterator[None]:
    """Replace the UNet's self-attention within the block, and put back what was there, also after an error.

    Args:
        unet: a diffusers UNet2DConditionModel.
        processor: one of the classes above.

    Raises:
        WeightsError: the UNet has no self-attention layer, so the method would do nothing.
    """
    before = dict(unet.attn_processors)
    replaced = {name: processor if name.endswith("attn1.processor") else old for name, old in before.items()}
    if processor not in replaced.values():
        raise WeightsError(
            "the UNet has no self-attention layer (attn1) that frames could share",
            "this method needs a UNet with transformer blocks, as Stable Diffusion has",
        )
    unet.set_attn_processor(replaced)
    try:
        yield
    finally:
        unet.set_attn_processor(before)
