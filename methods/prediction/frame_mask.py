"""Which frames of a clip a token of CogVideoX stands for, and the frame-wise mask of FCA.

The VAE merges frames into latent frames, and CogVideoX 1.5 merges latent frames into patches. A token of the
transformer therefore stands for several frames, and may see the text embeddings of all of these:

    16 frames                 -> 4 latent frames: 0-3, 4-7, 8-11, 12-15
    17 frames                 -> 5 latent frames: 0, 1-4, 5-8, 9-12, 13-16
    17 frames, patches of two -> 3 patches: 0, 1-8, 9-16 (one latent frame of padding in front of frame 0)

Shape suffixes: P patches over time, E frames that have text embeddings, Q embeddings of a frame, S patches of
one picture, L text tokens.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

Granularity = Literal["frame", "latent"]
"""What has text embeddings of its own: every frame of the clip, or every latent frame."""

_FRAMES_PER_LATENT = 4


def frames_of_latents(num_frames: int) -> tuple[range, ...]:
    """The frames in each latent frame of a clip of a length that the VAE gives back (1, 8k or 8k+1).

    >>> [list(frames) for frames in frames_of_latents(9)]
    [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
    """
    lone = num_frames % 2
    first = (range(1),) if lone else ()
    return first + tuple(
        range(start, start + _FRAMES_PER_LATENT) for start in range(lone, num_frames, _FRAMES_PER_LATENT)
    )


def latents_of_patches(num_latents: int, patch_size_t: int) -> tuple[range, ...]:
    """The latent frames in each patch over time; those of the padding in front are left out.

    >>> [list(latents) for latents in latents_of_patches(5, 2)]
    [[0], [1, 2], [3, 4]]
    """
    padding = -num_latents % patch_size_t
    return tuple(
        range(max(start, 0), start + patch_size_t) for start in range(-padding, num_latents, patch_size_t)
    )


def frame_wise_mask(num_frames: int, patch_size_t: int, granularity: Granularity) -> npt.NDArray[np.bool_]:
    """Whether the tokens of a patch over time see the text embeddings of a frame, [P,E].

    Args:
        num_frames: of the clip, of a length that the VAE gives back.
        patch_size_t: latent frames in a patch, 1 but for CogVideoX 1.5.
        granularity: what E counts.
    """
    latents = frames_of_latents(num_frames)
    patches = latents_of_patches(len(latents), patch_size_t)
    num_columns = num_frames if granularity == "frame" else len(latents)
    mask_PE = np.zeros((len(patches), num_columns), dtype=bool)
    for row, members in enumerate(patches):
        for latent in members:
            columns = list(latents[latent]) if granularity == "frame" else [latent]
            mask_PE[row, columns] = True
    return mask_PE


def token_mask(
    mask_PE: npt.NDArray[np.bool_], num_per_picture: int, num_queries: int, num_free: int
) -> npt.NDArray[np.bool_]:
    """The frame-wise mask for tokens and keys, [P*S, E*Q + free].

    Args:
        mask_PE: of `frame_wise_mask`.
        num_per_picture: S.
        num_queries: Q.
        num_free: keys behind the embeddings that every token sees (those of the given frames).
    """
    spread = mask_PE.repeat(num_per_picture, axis=0).repeat(num_queries, axis=1)
    return np.concatenate([spread, np.ones((len(spread), num_free), dtype=bool)], axis=1)
