"""Differences of neighbouring frames, and temporal flickering from them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.build import build_extractor, build_metric, extractors_needed
from reelbench.metrics.clips.flickering import TemporalFlickering
from reelbench.metrics.extractors.pixel_difference import PixelDifference
from reelbench.metrics.protocol import Protocol

session = PixelDifference(PixelDifference.Config()).load("cpu")


def _constant(*levels: int, shape: tuple[int, int] = (6, 8)) -> np.ndarray:
    return np.stack([np.full((*shape, 3), level, dtype=np.uint8) for level in levels])


def test_differences_of_constant_frames_are_their_levels() -> None:
    """Also where the second frame is darker: uint8 does not wrap round."""
    row = session.extract([_constant(10, 250, 0, 0)])[0]
    assert (row.shape, row.dtype) == ((3,), np.float32)
    assert row.tolist() == [240, 250, 0]


def test_differences_are_means_over_pixels_and_channels(clips: list[np.ndarray]) -> None:
    frames = clips[2].astype(np.float64)
    expected = np.abs(frames[1:] - frames[:-1]).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(session.extract([clips[2]])[0], expected, rtol=1e-7)


def test_features_depend_on_their_clip_alone(clips: list[np.ndarray]) -> None:
    together = session.extract(clips)
    assert [session.extract([clip])[0].tobytes() for clip in clips] == [row.tobytes() for row in together]
    # A part of a larger array is the same clip.
    inner = np.zeros((16, 70, 90, 3), dtype=np.uint8)
    inner[:, 3:67, 5:69] = clips[0]
    assert session.extract([inner[:, 3:67, 5:69]])[0].tobytes() == together[0].tobytes()


@pytest.mark.parametrize(("levels", "expected"), [((7, 7, 7), 1.0), ((0, 255, 0), 0.0), ((0, 51, 51), 0.9)])
def test_flickering_is_one_less_the_mean_difference(
    clean: Protocol, levels: tuple[int, int, int], expected: float
) -> None:
    features = {"pixel_difference": session.extract([_constant(*levels)])[0]}
    assert TemporalFlickering(clean).compute(features) == pytest.approx(expected, abs=1e-12)


def test_flickering_is_vbenchs_formula(clean: Protocol, clips: list[np.ndarray]) -> None:
    features = {"pixel_difference": session.extract(clips[:1])[0]}
    frames = clips[0].astype(np.float64)
    scores = [np.abs(a - b).mean() for a, b in itertools.pairwise(frames)]
    expected = (255.0 - np.mean(scores)) / 255.0
    assert TemporalFlickering(clean).compute(features) == pytest.approx(expected, abs=1e-8)


def test_a_clip_without_a_pair_is_refused() -> None:
    with pytest.raises(MetricError, match="at least 2 frames, the clip has 1"):
        session.extract([_constant(3)])
    with pytest.raises(MetricError, match="float32"):
        session.extract([np.zeros((2, 4, 4, 3), dtype=np.float32)])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({}, "needs the features 'pixel_difference', got none"),
        ({"pixel_difference": np.zeros((3, 2), np.float32)}, r"must be \[T\], got \[3, 2\]"),
        ({"pixel_difference": np.zeros(0, np.float32)}, r"must be \[T\], got \[0\]"),
        ({"pixel_difference": np.array([np.nan], np.float32)}, "NaN or infinite"),
    ],
)
def test_the_metric_refuses_what_it_cannot_use(
    clean: Protocol, features: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        TemporalFlickering(clean).compute(features)


def test_no_setting_and_no_weights_act_on_it(clean: Protocol) -> None:
    extractor = build_extractor("pixel_difference", clean)
    assert (extractor.weights(), extractor.config.model_dump(), extractor.resources().num_gpus) == ((), {}, 0)
    needs = extractors_needed([build_metric("temporal_flickering", clean)])
    assert (needs.generated, needs.reference) == (("pixel_difference",), ())
