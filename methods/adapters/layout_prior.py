"""A layout prior: where things are likely to be in each frame, judged from the words of the prompt.

Not part of SimDA, and off unless `AdapterConfig.layout_words` is filled. It is for small image models that
were trained on single frames, as the embedded one. There words of motion never meant anything: the text
encoder confuses "left" and "right" (a linear classifier names the word behind a final state for 83% of them
only), and cross-attention, which is frozen, cannot mend it. And adapters would have to find out what the
words mean from an interplay of three things, of which no two are worth anything alone (the word, the number
of the frame, the place in it): too much to learn from a few thousand clips through the noise of a diffusion
loss.

So it is read off the clips directly, in closed form: a ridge regression from the words of the captions, and
the pairs of neighbouring words, to maps of occupancy, cut to its strongest components. The temporal
adapters get the map of each frame as one more channel; they learn what to make of it.

Shape suffixes: N clips, V words and pairs, R components, T frames, C channels, H, W height and width; Y, X
rows and columns of a map; G clips in a batch, B = G*T.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch.nn.functional import adaptive_avg_pool2d

from ...core.errors import DatasetError
from .layers import MAP_FRAMES, MAP_SIDE, NUM_COMPONENTS, FittedLayout, words_of

_RIDGE = 100.0
_MIN_CAPTIONS = 5
"""A word of fewer captions says nothing reliable."""


def occupancy(latents_TCHW: torch.Tensor) -> torch.Tensor:
    """Where something stands out from the rest of a clip, float32 [T,Y,X] of mean 1 / (Y X) over the clip.

    A place counts by how far its latent is from the median over the whole clip, above the upper quartile of
    these distances: with a plain or textured background, that is the smaller thing in front of it.
    """
    x_TCHW = latents_TCHW.float()
    usual_C11 = x_TCHW.transpose(0, 1).flatten(1).median(dim=1).values[:, None, None]
    distance_THW = (x_TCHW - usual_C11).square().sum(1).sqrt()
    above_THW = (distance_THW - distance_THW.flatten().quantile(0.75)).clamp(min=0)
    maps_TYX = adaptive_avg_pool2d(above_THW[None], MAP_SIDE)[0]
    return maps_TYX / maps_TYX.sum().clamp(min=1e-6) * len(maps_TYX)


def fit_layout(captions: Sequence[str], latents: Iterable[torch.Tensor]) -> FittedLayout:
    """Regress maps of occupancy on the words of captions.

    Args:
        captions: of the clips.
        latents: of the same clips, each [T,C,H,W] with T = 16.

    Raises:
        DatasetError: no word is in enough captions to be learned.
    """
    counts = Counter(word for caption in captions for word in set(words_of(caption)))
    words = tuple(sorted(word for word, count in counts.items() if count >= _MIN_CAPTIONS))
    if not words:
        raise DatasetError(
            f"no word is in {_MIN_CAPTIONS} of the {len(captions)} captions, so no layout prior can"
            " be fitted",
            "train on more clips, or without a layout prior",
        )
    place = {word: row for row, word in enumerate(words)}
    present_NV = torch.zeros(len(captions), len(words), dtype=torch.float64)
    for row, caption in enumerate(captions):
        present_NV[row, [place[word] for word in words_of(caption) if word in place]] = 1.0
    maps_NP = torch.stack([occupancy(clip).flatten() for clip in latents]).double()
    mean_V = present_NV.mean(0)
    centred_NV = present_NV - mean_V
    penalty_VV = _RIDGE * torch.eye(len(words), dtype=torch.float64)
    weight_VP = torch.linalg.solve(
        centred_NV.T @ centred_NV + penalty_VV, centred_NV.T @ (maps_NP - maps_NP.mean(0))
    )
    # The strongest components of what is predicted, not of the weights: rare words must not fill them.
    _, strength_R, basis_RP = torch.linalg.svd(centred_NV @ weight_VP, full_matrices=False)
    kept = min(NUM_COMPONENTS, int((strength_R > 1e-9 * strength_R.max()).sum()))
    basis_RP, deviation_R = basis_RP[:kept], strength_R[:kept] / len(captions) ** 0.5
    weight_VR = torch.zeros(len(words), NUM_COMPONENTS, dtype=torch.float64)
    weight_VR[:, :kept] = weight_VP @ basis_RP.T / deviation_R
    # Maps of the captions then have deviation 1 over captions, frames and places together.
    maps_RP = torch.zeros(NUM_COMPONENTS, basis_RP.shape[1], dtype=torch.float64)
    scale = basis_RP.shape[1] ** 0.5 / deviation_R.square().sum().sqrt().clamp(min=1e-12)
    maps_RP[:kept] = basis_RP * deviation_R[:, None] * scale
    shape = (NUM_COMPONENTS, MAP_FRAMES, MAP_SIDE, MAP_SIDE)
    return FittedLayout(
        words, weight_VR.float(), -(mean_V @ weight_VR).float(), maps_RP.reshape(shape).float()
    )
