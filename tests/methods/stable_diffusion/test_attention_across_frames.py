"""Cross-frame and temporal momentum attention, on a real diffusers attention layer and UNet."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention

from reelbench.core.errors import WeightsError
from reelbench.methods.stable_diffusion.attention import (
    CrossFrameAttention,
    TemporalMomentumAttention,
    momentum_matrix,
    self_attention,
)

FRAMES, HALVES, TOKENS, WIDTH = 5, 2, 12, 16


@pytest.fixture
def layer() -> Attention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Attention(query_dim=WIDTH, heads=4, dim_head=4).double().requires_grad_(False)


@pytest.fixture
def layer_with_bias() -> Attention:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Attention(query_dim=WIDTH, heads=4, dim_head=4, bias=True).double().requires_grad_(False)


def hidden(seed: int = 0, halves: int = HALVES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(halves * FRAMES, TOKENS, WIDTH, generator=generator, dtype=torch.float64)


def naive(
    layer: Attention, states_TSD: torch.Tensor, keys_TSD: torch.Tensor, values_TSD: torch.Tensor
) -> torch.Tensor:
    """Attention of every frame to given keys and values, head by head, with loops."""
    frames = []
    for state, key, value in zip(states_TSD, keys_TSD, values_TSD, strict=True):
        query = layer.to_q(state)
        heads = []
        for head in range(4):
            part = slice(4 * head, 4 * head + 4)
            weights = torch.softmax(query[:, part] @ key[:, part].T / 2.0, dim=-1)
            heads.append(weights @ value[:, part])
        frames.append(layer.to_out[0](torch.cat(heads, dim=-1)))
    return torch.stack(frames)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("mu", [0.0, 0.3, 0.98, 1.0, (0.1, 0.9, 0.5, 0.0)])
def test_momentum_attention_is_the_recursion_over_frames(
    layer: Attention, layer_with_bias: Attention, mu: float | tuple[float, ...], biased: bool
) -> None:
    attention = layer_with_bias if biased else layer
    momenta = [mu] * (FRAMES - 1) if isinstance(mu, float) else list(mu)
    states = hidden()
    expected = []
    for states_TSD in states.chunk(HALVES):
        keys, values = [attention.to_k(states_TSD[0])], [attention.to_v(states_TSD[0])]
        for frame, momentum in enumerate(momenta, start=1):
            keys.append(momentum * keys[-1] + (1 - momentum) * attention.to_k(states_TSD[frame]))
            values.append(momentum * values[-1] + (1 - momentum) * attention.to_v(states_TSD[frame]))
        expected.append(naive(attention, states_TSD, torch.stack(keys), torch.stack(values)))
    attention.set_processor(TemporalMomentumAttention(FRAMES, mu))
    torch.testing.assert_close(attention(states), torch.cat(expected))


def test_momentum_zero_is_plain_self_attention(layer: Attention) -> None:
    plain = layer(hidden())
    layer.set_processor(TemporalMomentumAttention(FRAMES, 0.0))
    torch.testing.assert_close(layer(hidden()), plain)


def test_momentum_one_is_cross_frame_attention(layer: Attention) -> None:
    layer.set_processor(CrossFrameAttention(FRAMES))
    cross = layer(hidden())
    layer.set_processor(TemporalMomentumAttention(FRAMES, 1.0))
    torch.testing.assert_close(layer(hidden()), cross)


def test_cross_frame_attention_takes_keys_and_values_of_frame_one_of_the_same_half(layer: Attention) -> None:
    states = hidden()
    expected = []
    for states_TSD in states.chunk(HALVES):
        first = states_TSD[:1].expand_as(states_TSD)
        expected.append(naive(layer, states_TSD, layer.to_k(first), layer.to_v(first)))
    layer.set_processor(CrossFrameAttention(FRAMES))
    torch.testing.assert_close(layer(states), torch.cat(expected))


@pytest.mark.parametrize("processor", [CrossFrameAttention(FRAMES), TemporalMomentumAttention(FRAMES, 0.7)])
def test_guidance_halves_do_not_see_each_other(layer: Attention, processor: object) -> None:
    layer.set_processor(processor)  # type: ignore[arg-type]
    both = layer(torch.cat([hidden(1, halves=1), hidden(2, halves=1)]))
    alone = torch.cat([layer(hidden(1, halves=1)), layer(hidden(2, halves=1))])
    torch.testing.assert_close(both, alone)


@pytest.mark.parametrize("processor", [CrossFrameAttention(1), TemporalMomentumAttention(1, 0.98)])
def test_one_frame_is_plain_self_attention_bit_for_bit(layer: Attention, processor: object) -> None:
    layer.float()
    plain = layer(hidden().float())
    layer.set_processor(processor)  # type: ignore[arg-type]
    assert torch.equal(layer(hidden().float()), plain)


def test_the_matrix_has_the_papers_weights() -> None:
    matrix = momentum_matrix(0.98, 8)
    assert matrix[7, 0].item() == pytest.approx(0.868, abs=5e-4)
    assert matrix[7, 7].item() == pytest.approx(0.02)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(8, dtype=torch.float64))
    assert torch.equal(matrix, matrix.tril())


def test_a_batch_that_is_not_whole_clips_is_refused(layer: Attention) -> None:
    layer.set_processor(CrossFrameAttention(3))
    with pytest.raises(ValueError, match="batch of 10"):
        layer(hidden())


def test_the_wrong_number_of_momenta_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 4"):
        momentum_matrix([0.5, 0.5], 5)


def unet(*, attention: bool) -> Any:
    with torch.random.fork_rng(devices=[]):
        return UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8,),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D" if attention else "DownBlock2D",),
            up_block_types=("CrossAttnUpBlock2D" if attention else "UpBlock2D",),
            mid_block_type="UNetMidBlock2DCrossAttn" if attention else None,
            cross_attention_dim=8,
            attention_head_dim=2,
            norm_num_groups=4,
        )


def test_only_self_attention_is_replaced_and_all_is_put_back_after_an_error() -> None:
    network, processor = unet(attention=True), CrossFrameAttention(4)
    before = dict(network.attn_processors)

    def fail_in_the_middle() -> None:
        with self_attention(network, processor):
            for name, used in network.attn_processors.items():
                assert (used is processor) == ("attn1" in name)
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail_in_the_middle()
    after = network.attn_processors
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


def test_a_unet_without_self_attention_is_refused() -> None:
    with (
        pytest.raises(WeightsError, match="no self-attention"),
        self_attention(unet(attention=False), CrossFrameAttention(4)),
    ):
        pass
