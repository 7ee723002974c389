"""The CLIP metrics on features made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.clips.consistency import (
    FrameConsistencyAllPairs,
    FrameConsistencyConsecutive,
    FrameConsistencyFirstAndPrevious,
)
from reelbench.metrics.clips.text import ClipScore, ClipSim, PickScore, TextualAlignment
from reelbench.metrics.protocol import Protocol

ROOT = np.sqrt(0.5)
CONSISTENCIES = [FrameConsistencyAllPairs, FrameConsistencyConsecutive, FrameConsistencyFirstAndPrevious]


def test_clipsim_is_the_mean_cosine(clean: Protocol) -> None:
    frames = np.array([[1, 0], [0, 1], [ROOT, ROOT]], dtype=np.float32)
    value = ClipSim(clean).compute({"clip_image": frames, "clip_text": np.array([1, 0], dtype=np.float32)})
    assert value == pytest.approx((1 + 0 + ROOT) / 3, rel=1e-6)


def test_clipsim_does_not_depend_on_length_of_features(clean: Protocol) -> None:
    rng = np.random.default_rng(0)
    frames, text = rng.standard_normal((4, 8)), rng.standard_normal(8)
    a = ClipSim(clean).compute({"clip_image": frames, "clip_text": text})
    assert ClipSim(clean).compute({"clip_image": frames * 7, "clip_text": text * 3}) == pytest.approx(a)
    assert ClipSim(clean).compute({"clip_image": frames, "clip_text": -text}) == pytest.approx(-a)


def test_clipscore_clips_negatives_frame_by_frame(clean: Protocol) -> None:
    # Hessel et al. 2021, equation 1, for every frame: 2.5 max(cos, 0).
    frames = np.array([[1, 0], [ROOT, ROOT], [-1, 0]])
    features = {"clip_image": frames * 3, "clip_text_depicts": np.array([2.0, 0])}
    assert ClipScore(clean).compute(features) == pytest.approx(2.5 * (1 + ROOT + 0) / 3, rel=1e-12)
    features["clip_text_depicts"] = np.array([0, -1.0])
    assert ClipScore(clean).compute(features) == 0.0


@pytest.mark.parametrize(
    ("metric_class", "image", "text"),
    [(TextualAlignment, "clip_image", "clip_text_scaled"), (PickScore, "pick_image", "pick_text")],
)
def test_logits_keep_the_length_of_the_caption_and_not_of_the_frames(
    metric_class: type[Any], image: str, text: str, clean: Protocol
) -> None:
    frames, caption = np.array([[2.0, 0], [0, 5.0], [-1, 0]]), np.array([60.0, 80.0])
    metric = metric_class(clean)
    assert metric.needs == (image, text)
    assert metric.compute({image: frames, text: caption}) == pytest.approx((60 + 80 - 60) / 3)
    assert metric.compute({image: frames * 9, text: caption * 2}) == pytest.approx(2 * (60 + 80 - 60) / 3)
    with pytest.raises(MetricError, match="one CLIP model"):
        metric.compute({image: np.ones((2, 3)), text: caption})
    with pytest.raises(MetricError, match=text):
        metric.compute({image: frames})
    with pytest.raises(MetricError, match="NaN"):
        metric.compute({image: frames, text: np.array([np.inf, 0])})


def test_textual_alignment_is_the_scaled_clipsim(clean: Protocol) -> None:
    rng = np.random.default_rng(4)
    frames, text = rng.standard_normal((6, 8)), rng.standard_normal(8)
    clipsim = ClipSim(clean).compute({"clip_image": frames, "clip_text": text})
    scaled = text / np.linalg.norm(text) * 100.0
    value = TextualAlignment(clean).compute({"clip_image": frames, "clip_text_scaled": scaled})
    assert value == pytest.approx(100 * clipsim)


def test_first_and_previous_against_loops(clean: Protocol) -> None:
    frames = np.random.default_rng(5).standard_normal((6, 3))
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    pairs = [(unit[t] @ unit[t - 1], unit[t] @ unit[0]) for t in range(1, 6)]
    assert min(min(pair) for pair in pairs) < 0  # so that clipping is seen
    wanted = np.mean([(max(a, 0) + max(b, 0)) / 2 for a, b in pairs])
    assert FrameConsistencyFirstAndPrevious(clean).compute({"clip_image": frames}) == pytest.approx(wanted)


def test_consistency_by_hand(clean: Protocol) -> None:
    # Angles 0, 90, 180 degrees: cosines 0 (neighbours) and -1 (the ends).
    frames = np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32)
    assert FrameConsistencyConsecutive(clean).compute({"clip_image": frames}) == pytest.approx(0.0)
    assert FrameConsistencyAllPairs(clean).compute({"clip_image": frames}) == pytest.approx(-1 / 3)


def test_all_pairs_against_loops(clean: Protocol) -> None:
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((7, 5))
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    pairs = [unit[i] @ unit[j] for i in range(7) for j in range(7) if i != j]
    assert FrameConsistencyAllPairs(clean).compute({"clip_image": frames}) == pytest.approx(np.mean(pairs))


@pytest.mark.parametrize("metric_class", CONSISTENCIES)
def test_a_static_clip_scores_one(metric_class: type[Any], clean: Protocol) -> None:
    frame = np.random.default_rng(2).standard_normal(16).astype(np.float32)
    assert metric_class(clean).compute({"clip_image": np.tile(frame, (16, 1))}) == pytest.approx(
        1.0, abs=1e-12
    )


@pytest.mark.parametrize("metric_class", CONSISTENCIES)
def test_one_frame_has_no_pairs(metric_class: type[Any], clean: Protocol) -> None:
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
def test_bad_features_are_refused(features: dict[str, np.ndarray], message: str, clean: Protocol) -> None:
    with pytest.raises(MetricError, match=message):
        ClipSim(clean).compute(features)
