"""CLIPSIM and frame consistency on features made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.clipsim import ClipSim
from reelbench.metrics.frame_consistency import FrameConsistencyAllPairs, FrameConsistencyConsecutive

ROOT = np.sqrt(0.5)


def test_clipsim_is_the_mean_cosine(clean):
    frames = np.array([[1, 0], [0, 1], [ROOT, ROOT]], dtype=np.float32)
    value = ClipSim(clean).compute({"clip_image": frames, "clip_text": np.array([1, 0], dtype=np.float32)})
    assert value == pytest.approx((1 + 0 + ROOT) / 3, rel=1e-6)


def test_clipsim_does_not_depend_on_length_of_features(clean):
    rng = np.random.default_rng(0)
    frames, text = rng.standard_normal((4, 8)), rng.standard_normal(8)
    a = ClipSim(clean).compute({"clip_image": frames, "clip_text": text})
    assert ClipSim(clean).compute({"clip_image": frames * 7, "clip_text": text * 3}) == pytest.approx(a)
    assert ClipSim(clean).compute({"clip_image": frames, "clip_text": -text}) == pytest.approx(-a)


def test_consistency_by_hand(clean):
    # Angles 0, 90, 180 degrees: cosines 0 (neighbours) and -1 (the ends).
    frames = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    assert FrameConsistencyConsecutive(clean).compute({"clip_image": frames}) == pytest.approx(0.0)
    assert FrameConsistencyAllPairs(clean).compute({"clip_image": frames}) == pytest.approx(-1 / 3)


def test_all_pairs_against_loops(clean):
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((7, 5))
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(7) for j in range(7) if i != j]
    assert FrameConsistencyAllPairs(clean).compute({"clip_image": frames}) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("metric_class", [FrameConsistencyAllPairs, FrameConsistencyConsecutive])
def test_a_static_clip_scores_one(metric_class, clean):
    frame = np.random.default_rng(2).standard_normal(16).astype(np.float32)
    assert metric_class(clean).compute({"clip_image": np.tile(frame, (16, 1))}) == pytest.approx(
        1.0, abs=1e-12
    )


@pytest.mark.parametrize("metric_class", [FrameConsistencyAllPairs, FrameConsistencyConsecutive])
def test_one_frame_has_no_pairs(metric_class, clean):
    with pytest.raises(MetricError, match="1 frame"):
        metric_class(clean).compute({"clip_image": np.ones((1, 4))})


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"clip_text": np.ones(4)}, "clip_image"),
        ({"clip_image": np.ones((2, 4))}, "clip_text"),
        ({"clip_image": np.ones(4), "clip_text": np.ones(4)}, r"\[T, D\]"),
        ({"clip_image": np.ones((2, 3)), "clip_text": np.ones(4)}, "one CLIP model"),
        ({"clip_image": np.full((2, 4), np.nan), "clip_text": np.ones(4)}, "NaN"),
        ({"clip_image": np.zeros((2, 4)), "clip_text": np.ones(4)}, "zero"),
    ],
)
def test_bad_features_are_refused(features, message, clean):
    with pytest.raises(MetricError, match=message):
        ClipSim(clean).compute(features)
