"""The layout prior: words to maps in closed form."""

from __future__ import annotations

import pytest
import torch

from reelbench.core.errors import DatasetError
from reelbench.methods.adapters.layers import (
    MAP_FRAMES,
    MAP_SIDE,
    LayoutModulation,
    LayoutPrior,
    words_of,
)
from reelbench.methods.adapters.layout_prior import fit_layout, occupancy


def moving_clip(direction: str, row: int) -> torch.Tensor:
    """A small square that goes from one side of 16 by 16 latents to the other."""
    latents = torch.full((MAP_FRAMES, 4, 16, 16), 0.3)
    for frame in range(MAP_FRAMES):
        column = frame if direction == "right" else 15 - frame
        latents[frame, :, row : row + 3, max(column - 1, 0) : column + 2] = -1.5
    return latents


@pytest.fixture(scope="module")
def prior() -> LayoutPrior:
    captions, clips = [], []
    for number in range(60):
        direction = ("left", "right")[number % 2]
        other = {"left": "right", "right": "left"}[direction]
        wording = (f"it moves {direction}", f"it goes from {other} to {direction}")[number // 2 % 2]
        captions.append(f"{wording} {'on grass' if number % 3 else 'on sand'}")
        clips.append(moving_clip(direction, row=4 + number % 7))
    fitted = fit_layout(captions, clips)
    layout = LayoutPrior(fitted.words)
    layout.set(fitted)
    return layout


def centre(maps_TYX: torch.Tensor, frame: int) -> float:
    """Where the map of a frame rises above the usual one, as a column."""
    above = maps_TYX[frame].clamp(min=0).sum(0)
    return float((above * torch.arange(MAP_SIDE)).sum() / above.sum())


def test_words_and_their_pairs() -> None:
    assert words_of("A red circle, turns counter-clockwise!") == [
        *("a", "red", "circle", "turns", "counter-clockwise"),
        *("a red", "red circle", "circle turns", "turns counter-clockwise"),
    ]
    assert words_of("") == []


def test_occupancy_is_where_something_stands_out() -> None:
    maps_TYX = occupancy(moving_clip("right", 6))
    assert maps_TYX.shape == (MAP_FRAMES, MAP_SIDE, MAP_SIDE)
    assert float(maps_TYX.sum(dim=(1, 2)).mean()) == pytest.approx(1.0)
    assert float(maps_TYX[8, 3:5, 3:6].sum()) > 0.99 * float(maps_TYX[8].sum())
    assert torch.isfinite(occupancy(torch.zeros(MAP_FRAMES, 4, 16, 16))).all()


@pytest.mark.parametrize("wording", ["it moves {}", "it goes from {other} to {}", "{} moves on sand"])
def test_words_say_where_things_are_and_when(prior: LayoutPrior, wording: str) -> None:
    """Also by the order of words: from left to right is not from right to left."""
    for direction, other, sign in (("left", "right", -1), ("right", "left", 1)):
        text = wording.format(direction, other=other)
        maps_TYX = prior([text], MAP_FRAMES)[:, 0]
        assert sign * (centre(maps_TYX, 14) - centre(maps_TYX, 1)) > 1.5


def test_other_words_and_no_words_give_the_usual_map(prior: LayoutPrior) -> None:
    maps = prior(["", "unheard of", "it moves left"], MAP_FRAMES).view(3, MAP_FRAMES, MAP_SIDE, MAP_SIDE)
    assert not maps[0].any()
    assert not maps[1].any()
    assert maps[2].any()


def test_the_place_hardly_changes_the_map(prior: LayoutPrior) -> None:
    grass, sand, left = (
        prior([text], MAP_FRAMES)
        for text in ("it moves right on grass", "it moves right on sand", "moves left")
    )
    assert (grass - sand).norm() < 0.2 * (grass - left).norm()


def test_another_number_of_frames_is_the_same_course(prior: LayoutPrior) -> None:
    whole, fewer = prior(["it moves left"], MAP_FRAMES), prior(["it moves left"], 6)
    assert fewer.shape == (6, 1, MAP_SIDE, MAP_SIDE)
    torch.testing.assert_close(fewer[0], whole[0])
    torch.testing.assert_close(fewer[5], whole[15])
    torch.testing.assert_close(fewer[1], whole[3])


def test_without_a_difference_from_the_usual_map_features_stay() -> None:
    modulation = LayoutModulation(3)
    modulation.initialise(torch.Generator().manual_seed(0))
    features = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert torch.equal(modulation(features, torch.zeros(2, 1, MAP_SIDE, MAP_SIDE)), features)
    assert not torch.equal(modulation(features, torch.ones(2, 1, MAP_SIDE, MAP_SIDE)), features)


def test_captions_without_a_common_word_are_refused() -> None:
    with pytest.raises(DatasetError, match="no word is in 5 of the 2 captions"):
        fit_layout(["one", "two"], [moving_clip("left", 4), moving_clip("right", 4)])
