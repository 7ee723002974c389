"""Sparse-causal attention: every frame looks at the first frame and at the one before it.

Source: Wu et al., "Tune-A-Video: One-Shot Tuning of Image Diffusion Models for Text-to-Video Generation"
(ICCV 2023), section 3.2 (there "spatio-temporal attention"), and the authors' released code:

Q = W_Q z_i, K = W_K [z_1 ; z_{i-1}], V = W_V [z_1 ; z_{i-1}], joined along the tokens.

The current frame is *not* among its own keys. Frames 1 and 2 both use [z_1 ; z_1], and doubled keys give what
single ones give.

Deviations: keys and values are projected once per frame and then placed, where the released code places the
hidden states and projects every frame twice: the same numbers, as a projection acts on each token alone. A
clip of one frame has its tokens once, so that it is plain self-attention bit for bit.

Shape suffixes: T frames, G clips (guidance halves), B = G*T, S spatial tokens, D width of the hidden states,
Q width of all heads together, K number of heads, E width of one head.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention


class SparseCausalAttention:
    """Attention processor for the self-attention (`attn1`) of a diffusers UNet.

    Args:
        num_frames: T; the batch of the UNet is [clip 1: T frames, clip 2: T frames, ...].
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
        if encoder_hidden_states is not None or attention_mask is not None or hidden_states.ndim != 3:
            raise ValueError("sparse-causal attention replaces unmasked self-attention over [B,S,D] only")
        if attn.norm_q is not None or attn.norm_k is not None or attn.residual_connection:
            raise ValueError("sparse-causal attention does not know normalised keys or inner residuals")
        if hidden_states.shape[0] % self.num_frames:
            raise ValueError(
                f"a batch of {hidden_states.shape[0]} is not a number of clips of {self.num_frames} frames"
            )

        def heads(x_BSQ: torch.Tensor) -> torch.Tensor:
            return x_BSQ.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # [B,K,S,E]

        key_BSQ = first_and_previous(attn.to_k(hidden_states), self.num_frames)
        value_BSQ = first_and_previous(attn.to_v(hidden_states), self.num_frames)
        # The scale is left to torch, as diffusers leaves it: one frame must equal plain attention exactly.
        attended_BKSE = scaled_dot_product_attention(
            heads(attn.to_q(hidden_states)), heads(key_BSQ), heads(value_BSQ)
        )
        out_BSD = attn.to_out[1](attn.to_out[0](attended_BKSE.transpose(1, 2).flatten(2)))
        return out_BSD / attn.rescale_output_factor


def first_and_previous(x_BSQ: torch.Tensor, num_frames: int) -> torch.Tensor:
    """For every frame the tokens of the first and of the previous frame, [B,2S,Q]; of one frame its own.

    The two frames do not lie side by side, so this is a copy, and the only one.
    """
    if num_frames == 1:
        return x_BSQ
    placed: torch.Tensor = _FirstAndPrevious.apply(x_BSQ, num_frames)
    return placed


class _FirstAndPrevious(torch.autograd.Function):
    """One gather of whole frames, with a gradient of its own.

    That of torch's gather adds up in an order that differs from run to run on a GPU. A concatenation of the
    frames takes the longer to launch the more there are: at 24 frames five times as long as this.
    """

    @staticmethod
    def forward(ctx: Any, x_BSQ: torch.Tensor, num_frames: int) -> torch.Tensor:
        ctx.num_frames = num_frames
        x_GTSQ = x_BSQ.unflatten(0, (-1, num_frames))
        placed_GNSQ = x_GTSQ.index_select(1, _sources(num_frames, x_BSQ.device))
        return placed_GNSQ.view(x_BSQ.shape[0], 2 * x_BSQ.shape[1], x_BSQ.shape[2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_BNQ: torch.Tensor) -> tuple[torch.Tensor, None]:
        # [G,T,2,S,Q]: what came back to the first frame, and what to the previous one.
        gradient = gradient_BNQ.unflatten(1, (2, -1)).unflatten(0, (-1, ctx.num_frames))
        first_GSQ = gradient[:, :, 0].sum(1) + gradient[:, 0, 1] + gradient[:, 1, 1]
        rest_GTSQ = gradient[:, 2:, 1]  # of frames 2 to T-1; the last frame is nobody's key
        summed_GTSQ = torch.cat([first_GSQ[:, None], rest_GTSQ, torch.zeros_like(first_GSQ[:, None])], dim=1)
        return summed_GTSQ.flatten(0, 1), None


@functools.cache
def _sources(num_frames: int, device: torch.device) -> torch.Tensor:
    """The frames whose tokens are keys: 0, 0, 0, 0, 0, 1, 0, 2, ..."""
    return torch.tensor(
        [source for frame in range(num_frames) for source in (0, max(frame - 1, 0))], device=device
    )
