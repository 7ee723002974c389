"""Temporal attention: every place attends over the frames; what it is before training."""

from __future__ import annotations

import pytest
import torch

from reelbench.methods.one_shot.inflated_unet import TemporalAttention, TemporalLayer


def layer(bias: str = "zero", seed: int = 0) -> TemporalLayer:
    made = TemporalLayer(width=12, inner=8, heads=2).requires_grad_(False)
    made.initialise(torch.Generator().manual_seed(seed), bias)  # type: ignore[arg-type]
    return made


def trained(bias: str = "random") -> TemporalLayer:
    made = layer(bias)
    made.attn_temp.to_out.weight.copy_(torch.randn(12, 8, generator=torch.Generator().manual_seed(2)))
    return made


def states(num_images: int, num_tokens: int = 5) -> torch.Tensor:
    return torch.randn(num_images, num_tokens, 12, generator=torch.Generator().manual_seed(1))


def test_it_is_softmax_attention_over_the_frames_at_every_place() -> None:
    made, x = trained(), states(4)
    attention: TemporalAttention = made.attn_temp
    expected = x.clone()
    for token in range(5):
        normed = made.norm_temp(x[:, token])  # [T,D]
        q, k, v = attention.to_q(normed), attention.to_k(normed), attention.to_v(normed)
        heads = [
            torch.softmax(q[:, part] @ k[:, part].T / 2.0, dim=-1) @ v[:, part]
            for part in (slice(0, 4), slice(4, 8))
        ]
        expected[:, token] += attention.to_out(torch.cat(heads, dim=-1))
    torch.testing.assert_close(made(x, 4), expected, atol=1e-6, rtol=1e-5)


def test_there_is_no_causal_mask() -> None:
    """The first frame sees the last one."""
    made, x = trained(), states(4)
    changed = x.clone()
    changed[3] += torch.arange(12.0)
    assert not torch.allclose(made(changed, 4)[0], made(x, 4)[0], atol=1e-4)


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    made, x = trained(), states(6)
    torch.testing.assert_close(made(x, 3)[3:], made(x[3:], 3), atol=1e-6, rtol=1e-5)


def test_with_a_zero_bias_it_begins_as_the_identity_bit_for_bit() -> None:
    assert torch.equal(layer("zero")(states(4), 4), states(4))


def test_with_a_random_bias_it_begins_as_one_offset_for_all_tokens() -> None:
    made = layer("random")
    offset = made(states(4), 4) - states(4)
    assert offset.abs().max() > 0.05
    torch.testing.assert_close(offset, made.attn_temp.to_out.bias.expand_as(offset), atol=1e-6, rtol=0)


def test_initial_values_are_those_of_torchs_linear_layers_and_of_the_seed() -> None:
    made = layer("random")
    for weight in (made.attn_temp.to_q.weight, made.attn_temp.to_k.weight, made.attn_temp.to_v.weight):
        # Uniform within 1/sqrt(width in), which torch's default comes to.
        assert 0.8 < weight.abs().max() * 12**0.5 <= 1
        assert weight.std() * 12**0.5 == pytest.approx(3**-0.5, rel=0.15)
    assert torch.equal(layer("random").attn_temp.to_q.weight, made.attn_temp.to_q.weight)
    assert not torch.equal(layer("random", 1).attn_temp.to_q.weight, made.attn_temp.to_q.weight)
