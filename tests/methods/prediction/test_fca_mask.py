"""Which frames a token stands for, and which text embeddings it may see."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.methods.prediction.fca_predictor import (
    frame_wise_mask,
    frames_of_latents,
    latents_of_patches,
    token_mask,
)


def rows(mask_PE: np.ndarray) -> list[list[int]]:
    return [np.flatnonzero(row).tolist() for row in mask_PE]


def test_sixteen_frames_are_four_latent_frames_of_four() -> None:
    assert [list(frames) for frames in frames_of_latents(16)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
        [12, 13, 14, 15],
    ]


def test_seventeen_frames_have_a_first_latent_frame_of_their_own() -> None:
    assert [list(frames) for frames in frames_of_latents(17)] == [
        [0],
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 10, 11, 12],
        [13, 14, 15, 16],
    ]


@pytest.mark.parametrize("num_frames", [1, 8, 9, 16, 17, 24, 49])
def test_the_frames_of_a_latent_frame_are_those_that_the_vae_lets_change_it(num_frames: int) -> None:
    """No latent frame reads a later frame, and each reads all of its own: by the real VAE's gradients."""
    import torch

    from reelbench.methods.cogvideox.pipeline import load_cogvideox
    from reelbench.tests.methods.tiny_cogvideox import cogvideox_folder

    if num_frames > 17:
        assert sum(map(len, frames_of_latents(num_frames))) == num_frames
        return
    vae = load_cogvideox(cogvideox_folder(), device="cpu").vae
    frames = torch.randn(1, 3, num_frames, 16, 16, generator=torch.Generator().manual_seed(0))
    frames.requires_grad_(True)
    latents = vae.encode(frames).latent_dist.mean[0].movedim(1, 0)
    expected = frames_of_latents(num_frames)
    assert len(latents) == len(expected)
    for latent, own in zip(latents, expected, strict=True):
        (gradient,) = torch.autograd.grad(latent.square().sum(), frames, retain_graph=True)
        read = gradient.abs().sum((0, 1, 3, 4)) > 0
        assert read[list(own)].all()
        # Statistics of group norms are taken over a stretch of 8 frames, and reach no further.
        assert not read[(own[-1] // 8 + 1) * 8 + num_frames % 2 :].any()


def test_patches_of_two_latent_frames_have_their_padding_in_front() -> None:
    assert [list(latents) for latents in latents_of_patches(4, 2)] == [[0, 1], [2, 3]]
    assert [list(latents) for latents in latents_of_patches(5, 2)] == [[0], [1, 2], [3, 4]]
    assert [list(latents) for latents in latents_of_patches(3, 1)] == [[0], [1], [2]]


def test_a_token_sees_the_embeddings_of_its_own_frames_alone() -> None:
    assert rows(frame_wise_mask(16, 1, "frame")) == [list(frames) for frames in frames_of_latents(16)]
    assert rows(frame_wise_mask(16, 2, "frame")) == [list(range(8)), list(range(8, 16))]
    assert rows(frame_wise_mask(17, 1, "frame"))[:2] == [[0], [1, 2, 3, 4]]
    assert rows(frame_wise_mask(17, 2, "frame")) == [[0], list(range(1, 9)), list(range(9, 17))]


def test_embeddings_may_belong_to_latent_frames() -> None:
    assert rows(frame_wise_mask(16, 1, "latent")) == [[0], [1], [2], [3]]
    assert rows(frame_wise_mask(17, 1, "latent")) == [[0], [1], [2], [3], [4]]
    assert rows(frame_wise_mask(17, 2, "latent")) == [[0], [1, 2], [3, 4]]


@pytest.mark.parametrize("granularity", ["frame", "latent"])
@pytest.mark.parametrize("patch_size_t", [1, 2])
@pytest.mark.parametrize("num_frames", [8, 9, 16, 17, 49])
def test_every_embedding_is_seen_by_one_patch(num_frames: int, patch_size_t: int, granularity: str) -> None:
    mask = frame_wise_mask(num_frames, patch_size_t, granularity)  # type: ignore[arg-type]
    assert (mask.sum(0) == 1).all()
    assert mask.sum(1).all()


def test_the_tokens_of_a_picture_see_all_queries_of_their_frames_and_all_free_keys() -> None:
    mask = token_mask(np.eye(2, dtype=bool), num_per_picture=3, num_queries=2, num_free=1)
    expected = [[True, True, False, False, True]] * 3 + [[False, False, True, True, True]] * 3
    assert mask.tolist() == expected
