"""Latent-shift attention: which tokens are keys, and what it leaves as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers.models.attention_processor import Attention

from reelbench.methods.adapters.layers import (
    RELEASED_PATTERN,
    LatentShiftAttention,
    checked_pattern,
    key_sources,
    shifted_frames,
    token_grid,
)

T, H, W, D = 6, 4, 8, 16
FORMS = pytest.mark.parametrize("form", ["paper", "released"])


@pytest.fixture
def attention() -> Iterator[Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        yield Attention(query_dim=D, heads=2, dim_head=8).requires_grad_(False)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_pattern_is_the_released_table() -> None:
    frames_TS = shifted_frames(8, 4, 4, RELEASED_PATTERN)
    backward_HW = (7 - frames_TS[7]).view(4, 4)
    assert backward_HW.tolist() == [[4, 3, 2, 1], [3, 2, 1, 0], [2, 1, 0, 0], [1, 2, 3, 4]]


def test_a_token_keeps_its_own_frame_where_there_is_none_to_shift_from() -> None:
    frames_TS = shifted_frames(5, 4, 4, RELEASED_PATTERN)
    assert frames_TS[0].tolist() == [0] * 16
    assert frames_TS[3].view(4, 4)[0].tolist() == [3, 0, 1, 2]  # shifts 4, 3, 2, 1
    assert frames_TS[4].view(4, 4)[0].tolist() == [0, 1, 2, 3]


def test_the_pattern_repeats_over_any_grid() -> None:
    frames_HW = shifted_frames(9, 6, 5, RELEASED_PATTERN)[8].view(6, 5)
    for row in range(6):
        for column in range(5):
            assert 8 - frames_HW[row, column] == RELEASED_PATTERN[row % 4][column % 4]


def test_the_papers_keys_are_the_frame_itself_and_the_shifted_one() -> None:
    sources_TN = key_sources("paper", T, H, W, RELEASED_PATTERN)
    own_TS = torch.arange(T * H * W).view(T, H * W)
    assert torch.equal(sources_TN[:, : H * W], own_TS)
    assert torch.equal(sources_TN[:, H * W :] // (H * W), shifted_frames(T, H, W, RELEASED_PATTERN))
    assert torch.equal(sources_TN[:, H * W :] % (H * W), torch.arange(H * W).expand(T, -1))


def test_the_released_keys_are_the_shifted_frames_before_and_now() -> None:
    sources_TN = key_sources("released", T, H, W, RELEASED_PATTERN) // (H * W)
    shifted_TS = shifted_frames(T, H, W, RELEASED_PATTERN)
    for frame in range(T):
        assert torch.equal(sources_TN[frame, : H * W], shifted_TS[max(frame - 1, 0)])
        assert torch.equal(sources_TN[frame, H * W :], shifted_TS[frame])


def test_in_the_released_form_a_frame_never_sees_all_of_itself() -> None:
    """The difference between the two forms, from the fifth frame on where every shift applies."""
    for form, complete in (("paper", True), ("released", False)):
        sources_TN = key_sources(form, T, H, W, RELEASED_PATTERN)  # type: ignore[arg-type]
        own = set(range(5 * H * W, 6 * H * W))
        assert (own <= set(sources_TN[5].tolist())) is complete


@FORMS
def test_it_equals_attention_over_keys_gathered_one_by_one(form: Any, attention: Any) -> None:
    clips = noise(2, T, H * W, D)
    attention.set_processor(LatentShiftAttention(T, H, W, form))
    ours = attention(clips.flatten(0, 1)).view_as(clips)
    for clip in range(2):
        for frame in range(T):

            def shifted(i: int, clip: int = clip) -> torch.Tensor:
                tokens = clips[clip, i].clone()
                for s in range(H * W):
                    back = RELEASED_PATTERN[s // W % 4][s % W % 4]
                    if i >= back:
                        tokens[s] = clips[clip, i - back, s]
                return tokens

            first = clips[clip, frame] if form == "paper" else shifted(max(frame - 1, 0))
            keys = torch.cat([first, shifted(frame)])
            q = attention.to_q(clips[clip, frame]).view(-1, 2, 8).transpose(0, 1)
            k, v = (f(keys).view(-1, 2, 8).transpose(0, 1) for f in (attention.to_k, attention.to_v))
            weights = (q @ k.transpose(1, 2) / 8**0.5).softmax(-1)
            expected = attention.to_out[0]((weights @ v).transpose(0, 1).flatten(1))
            torch.testing.assert_close(ours[clip, frame], expected, atol=1e-6, rtol=1e-5)


@FORMS
def test_the_first_frame_and_still_clips_equal_plain_attention(form: Any, attention: Any) -> None:
    """Doubled keys do not change a softmax: this is all of the image model that is left untouched."""
    moving = noise(T, H * W, D)
    still = noise(1, H * W, D, seed=1).expand(T, -1, -1).contiguous()
    plain_moving, plain_still = attention(moving), attention(still)
    attention.set_processor(LatentShiftAttention(T, H, W, form))
    torch.testing.assert_close(attention(still), plain_still, atol=1e-6, rtol=1e-5)
    made = attention(moving)
    torch.testing.assert_close(made[0], plain_moving[0], atol=1e-6, rtol=1e-5)
    assert ((made - plain_moving).abs().amax((1, 2)) > 1e-3).tolist() == [False] + [True] * (T - 1)


@FORMS
def test_one_frame_is_plain_attention_bit_for_bit(form: Any, attention: Any) -> None:
    one = noise(2, H * W, D)
    plain = attention(one)
    attention.set_processor(LatentShiftAttention(1, H, W, form))
    assert torch.equal(attention(one), plain)


@FORMS
def test_it_looks_back_only_and_into_no_other_clip(form: Any, attention: Any) -> None:
    attention.set_processor(LatentShiftAttention(T, H, W, form))
    clips = noise(2 * T, H * W, D)
    before = attention(clips)
    clips[3] += 1.0
    changed = ((attention(clips) - before).abs().amax((1, 2)) > 0).tolist()
    assert not any(changed[:3])
    assert not any(changed[T:])
    assert all(changed[3 : 3 + 3])


@pytest.mark.parametrize(
    ("num_tokens", "size", "grid"),
    [
        (256, (16, 16), (16, 16)),
        (16, (16, 16), (4, 4)),
        (32 * 64, (64, 128), (32, 64)),
        (15, (9, 17), (3, 5)),
    ],
)
def test_the_grid_of_a_level(num_tokens: int, size: tuple[int, int], grid: tuple[int, int]) -> None:
    assert token_grid(num_tokens, *size) == grid


def test_what_does_not_fit_is_refused(attention: Any) -> None:
    with pytest.raises(ValueError, match="60 tokens are no level of latents of 16 by 16"):
        token_grid(60, 16, 16)
    with pytest.raises(ValueError, match="rows of one length"):
        checked_pattern([[1, 2], [3]])
    with pytest.raises(ValueError, match="at least 0"):
        checked_pattern([[1, -2]])
    with pytest.raises(ValueError, match="unknown form"):
        key_sources("both", T, H, W, RELEASED_PATTERN)  # type: ignore[arg-type]
    attention.set_processor(LatentShiftAttention(T, H, W))
    with pytest.raises(ValueError, match="a batch of 7 is not a number of clips of 6 frames"):
        attention(noise(7, H * W, D))
    with pytest.raises(ValueError, match="self-attention"):
        attention(noise(T, H * W, D), encoder_hidden_states=noise(T, 3, D))
