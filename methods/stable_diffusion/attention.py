"""Self-attention across frames: the same layers and weights, with keys and values of other frames.

- `CrossFrameAttention`: of the first frame (Khachatryan et al., "Text2Video-Zero", ICCV 2023).
- `TemporalMomentumAttention`: a running mean over the frames so far (ZS², arXiv 2407.21475).
- `SparseCausalAttention`: of the first and of the previous frame (Wu et al., "Tune-A-Video", ICCV 2023).

SimDA's latent-shift attention is in `methods.adapters.layers`. Only self-attention (`attn1` in diffusers) is
replaced; text cross-attention stays as it is. A clip of one frame is plain attention, bit for bit, in all of
them.

Shape suffixes: T frames, G clips (guidance halves), B = G*T, S spatial tokens, D width of the hidden states,
Q width of all heads together, K number of heads, E width of one head, N keys of a frame.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention

from ...core.errors import WeightsError


class AttentionAcrossFrames(ABC):
    """Attention processor for the self-attention of a diffusers UNet.

    Args:
        num_frames: T; the batch of the UNet is [clip or guidance half 1: T frames, half 2: T frames, ...].
    """

    kind: ClassVar[str] = "attention across frames"
    """How errors name it."""

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
        """The layer's output, [B,S,D], after checks that this is self-attention over whole clips."""
        if encoder_hidden_states is not None or attention_mask is not None or hidden_states.ndim != 3:
            raise ValueError(f"{self.kind} replaces unmasked self-attention over [B,S,D] only")
        if attn.norm_q is not None or attn.norm_k is not None or attn.residual_connection:
            raise ValueError(f"{self.kind} does not know normalised keys or inner residuals")
        if hidden_states.shape[0] % self.num_frames:
            raise ValueError(
                f"a batch of {hidden_states.shape[0]} is not a number of clips of {self.num_frames} frames"
            )
        return self.attended(attn, hidden_states)

    @abstractmethod
    def attended(self, attn: Any, hidden_BSD: torch.Tensor) -> torch.Tensor:
        """The layer's output, [B,S,D]."""


def attend(
    attn: Any, hidden_BSD: torch.Tensor, key_BNQ: torch.Tensor, value_BNQ: torch.Tensor
) -> torch.Tensor:
    """Queries of the hidden states against the given keys and values, projected out, [B,S,D]."""

    def heads(x_BSQ: torch.Tensor) -> torch.Tensor:
        return x_BSQ.unflatten(-1, (attn.heads, -1)).transpose(1, 2)  # [B,K,S,E]

    # The scale is left to torch, as diffusers leaves it: one frame must equal plain attention bit for bit.
    attended_BKSE = scaled_dot_product_attention(
        heads(attn.to_q(hidden_BSD)), heads(key_BNQ), heads(value_BNQ)
    )
    attended_BSQ = attended_BKSE.transpose(1, 2).flatten(2)
    return attn.to_out[1](attn.to_out[0](attended_BSQ)) / attn.rescale_output_factor


def self_attentions(unet: Any) -> set[str]:
    """The processors (by their names in `unet.attn_processors`) that attend to a frame's own tokens.

    In latent upscalers the first attention of most blocks is a second cross-attention.
    """
    end = ".attn1.processor"
    return {
        name
        for name in unet.attn_processors
        if name.endswith(end)
        and not getattr(unet.get_submodule(name.removesuffix(end)), "only_cross_attention", False)
    }


@contextmanager
def self_attention(unet: Any, processor: AttentionAcrossFrames) -> Iterator[None]:
    """Replace the UNet's self-attention within the block, and put back what was there, also after an error.

    Args:
        unet: a diffusers UNet2DConditionModel.
        processor: takes its place in all layers.

    Raises:
        WeightsError: the UNet has no self-attention layer, so the method would do nothing.
    """
    before, own = dict(unet.attn_processors), self_attentions(unet)
    if not own:
        raise WeightsError(
            "the UNet has no self-attention layer (attn1) that frames could share",
            "this method needs a UNet with transformer blocks, as Stable Diffusion has",
        )
    unet.set_attn_processor({name: processor if name in own else old for name, old in before.items()})
    try:
        yield
    finally:
        unet.set_attn_processor(before)


@contextmanager
def norms_over_clips(unet: nn.Module, num_frames: int) -> Iterator[None]:
    """Within the block the UNet's group norms outside its transformers take their statistics over all frames
    of a clip instead of one, which they are shown as one tall picture, [G,C,T*H,W]."""
    from diffusers import Transformer2DModel

    def into_rows(module: nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (args[0].unflatten(0, (-1, num_frames)).transpose(1, 2).flatten(2, 3),)

    def into_frames(module: nn.Module, args: Any, out: torch.Tensor) -> torch.Tensor:
        return out.unflatten(2, (num_frames, -1)).transpose(1, 2).flatten(0, 1)

    transformers = [module for module in unet.modules() if isinstance(module, Transformer2DModel)]
    inside = {id(module) for transformer in transformers for module in transformer.modules()}
    norms = [m for m in unet.modules() if isinstance(m, nn.GroupNorm) and id(m) not in inside]
    handles = [norm.register_forward_pre_hook(into_rows) for norm in norms]
    handles += [norm.register_forward_hook(into_frames) for norm in norms]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class CrossFrameAttention(AttentionAcrossFrames):
    """Every frame attends to the first frame of its clip and guidance half."""

    def attended(self, attn: Any, hidden_BSD: torch.Tensor) -> torch.Tensor:
        """The layer's output, [B,S,D]."""
        hidden_GTSD = hidden_BSD.unflatten(0, (-1, self.num_frames))
        # One long row of queries per half, all frames of it, finds the same keys: no copy for each frame.
        queries_GND, first_GSD = hidden_GTSD.flatten(1, 2), hidden_GTSD[:, 0]
        return attend(attn, queries_GND, attn.to_k(first_GSD), attn.to_v(first_GSD)).view_as(hidden_BSD)


class TemporalMomentumAttention(AttentionAcrossFrames):
    """Every frame attends to a running mean over the frames up to itself.

    ZS², section 4.1: K'_1 = K_1, K'_i = mu_i K'_{i-1} + (1 - mu_i) K_i, and the same for the values. mu = 0
    is plain self-attention, mu = 1 is cross-frame attention to the first frame.

    Deviations:
    - The recursion is computed as one matrix product over the *frame index*. The official pseudocode's
      product only takes the diagonal of that matrix, and its loop is not recursive; both contradict the
      paper, which is followed.
    - The mean is taken of the hidden states before projection, which is one product instead of two and the
      same number: projections are linear, and a bias passes through because every row of the matrix sums to
      one.

    Args:
        num_frames: T.
        mu: momentum, one value or one for each frame from the second on, in [0, 1].
    """

    def __init__(self, num_frames: int, mu: float | Sequence[float]) -> None:
        super().__init__(num_frames)
        self._matrix_TT = momentum_matrix(mu, num_frames)

    def attended(self, attn: Any, hidden_BSD: torch.Tensor) -> torch.Tensor:
        """The layer's output, [B,S,D]."""
        hidden_GTSD = hidden_BSD.unflatten(0, (-1, self.num_frames))
        self._matrix_TT = self._matrix_TT.to(hidden_BSD)  # moves once, on the first layer
        mixed_BSD = (self._matrix_TT @ hidden_GTSD.flatten(2)).view_as(hidden_BSD)
        return attend(attn, hidden_BSD, attn.to_k(mixed_BSD), attn.to_v(mixed_BSD))


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


class SparseCausalAttention(AttentionAcrossFrames):
    """Every frame attends to the first frame and to the one before it.

    Tune-A-Video, section 3.2 (there "spatio-temporal attention"), and the authors' released code:

    Q = W_Q z_i, K = W_K [z_1 ; z_{i-1}], V = W_V [z_1 ; z_{i-1}], joined along the tokens.

    The current frame is *not* among its own keys. Frames 1 and 2 both use [z_1 ; z_1], and doubled keys give
    what single ones give.

    Keys and values are projected once per frame and then placed, where the released code projects every frame
    twice: the same numbers, as a projection acts on each token alone.
    """

    kind = "sparse-causal attention"

    def attended(self, attn: Any, hidden_BSD: torch.Tensor) -> torch.Tensor:
        """The layer's output, [B,S,D]."""
        key_BNQ = first_and_previous(attn.to_k(hidden_BSD), self.num_frames)
        value_BNQ = first_and_previous(attn.to_v(hidden_BSD), self.num_frames)
        return attend(attn, hidden_BSD, key_BNQ, value_BNQ)


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
