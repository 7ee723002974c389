"""Sparse-causal attention: which frames are keys, against attention written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention

from reelbench.methods.stable_diffusion.attention import (
    SparseCausalAttention,
    first_and_previous,
)


@pytest.fixture
def attn() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Attention(query_dim=12, heads=3, dim_head=4).requires_grad_(False)


def states(num_images: int, num_tokens: int = 5, width: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(num_images, num_tokens, width, generator=generator)


def written_out(attn: Any, queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """Softmax attention of one frame's tokens to other tokens, [S,D], by the formula."""
    out = []
    for head in range(attn.heads):
        part = slice(4 * head, 4 * head + 4)
        q, k, v = (
            layer(x)[:, part] for layer, x in ((attn.to_q, queries), (attn.to_k, keys), (attn.to_v, keys))
        )
        out.append(torch.softmax(q @ k.T / 2.0, dim=-1) @ v)
    return attn.to_out[0](torch.cat(out, dim=-1))


def test_every_frame_attends_to_the_first_and_the_previous_frame_not_to_itself(attn: Any) -> None:
    x = states(4)
    made = SparseCausalAttention(4)(attn, x)
    for frame in range(4):
        keys = torch.cat([x[0], x[max(frame - 1, 0)]])  # W_K [z_1 ; z_{i-1}], section 3.2
        torch.testing.assert_close(made[frame], written_out(attn, x[frame], keys), atol=1e-6, rtol=1e-5)


def test_the_current_frame_is_among_the_keys_of_the_next_one_only(attn: Any) -> None:
    keys_of = first_and_previous(states(5), 5)
    x = states(5)
    for frame in range(5):
        changed = x.clone()
        changed[frame] += 1
        touched = (first_and_previous(changed, 5) != keys_of).flatten(1).any(1).nonzero().flatten().tolist()
        assert touched == ([0, 1, 2, 3, 4] if frame == 0 else [frame + 1] if frame < 4 else [])


@pytest.mark.parametrize("num_frames", [1, 2, 3, 5])
def test_the_gradient_is_that_of_the_placed_tokens(num_frames: int) -> None:
    """Against finite differences, with two clips in the batch; exact, since placing is linear."""
    x = states(2 * num_frames, num_tokens=2, width=3).double().requires_grad_()
    assert torch.autograd.gradcheck(first_and_previous, (x, num_frames))


def test_the_gradient_reaches_every_frame_but_the_last_which_is_nobodys_key() -> None:
    x = states(5).requires_grad_()
    first_and_previous(x, 5).sum().backward()
    # The first frame by all five, and once more by frames 1 and 2, whose previous frame it is, too.
    times_seen = [7.0, 1.0, 1.0, 1.0, 0.0]
    assert x.grad is not None
    assert x.grad[:, 0, 0].tolist() == times_seen


def test_sampling_first_does_not_stand_in_the_way_of_tuning() -> None:
    with torch.inference_mode():
        first_and_previous(states(7), 7)
    x = states(7).requires_grad_()
    first_and_previous(x, 7).sum().backward()
    assert x.grad is not None


def test_frames_one_and_two_are_attention_to_frame_one(attn: Any) -> None:
    x = states(3)
    made = SparseCausalAttention(3)(attn, x)
    for frame in (0, 1):
        torch.testing.assert_close(made[frame], written_out(attn, x[frame], x[0]), atol=1e-6, rtol=1e-5)


def test_one_frame_is_plain_attention_bit_for_bit(attn: Any) -> None:
    x = states(2)
    assert torch.equal(SparseCausalAttention(1)(attn, x), attn(x))


def test_clips_of_a_batch_do_not_see_each_other(attn: Any) -> None:
    x = states(6)
    both = SparseCausalAttention(3)(attn, x)
    torch.testing.assert_close(both[3:], SparseCausalAttention(3)(attn, x[3:]), atol=1e-6, rtol=1e-5)


def test_a_batch_that_is_no_number_of_clips_is_refused(attn: Any) -> None:
    with pytest.raises(ValueError, match="batch of 5"):
        SparseCausalAttention(3)(attn, states(5))


def test_cross_attention_is_refused(attn: Any) -> None:
    with pytest.raises(ValueError, match="self-attention"):
        SparseCausalAttention(2)(attn, states(2), encoder_hidden_states=states(2))
