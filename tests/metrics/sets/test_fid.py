"""FID over the frames of clips: the distance of all frames, errors and exchanges by whole sources."""

from __future__ import annotations

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.protocol import Protocol, parse_protocol
from reelbench.metrics.sets.fid import ClipFid, Fid
from reelbench.metrics.sets.frechet import frechet_distance
from reelbench.metrics.sets.fvd import Fvd


def features(n: int, t: int = 4, d: int = 6, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    """Frames that resemble the others of their clip."""
    rng = np.random.default_rng(seed)
    clips = rng.normal(size=(n, 1, d)) + 0.1 * rng.normal(size=(n, t, d))
    return np.asarray(clips + shift, dtype=np.float32)


SOURCES = [f"s{index}" for index in range(40)]


def test_the_value_is_the_distance_of_all_frames(clean: Protocol) -> None:
    ours, theirs = features(40), features(40, shift=0.5, seed=1)
    estimate = ClipFid(clean).compute(ours, theirs, SOURCES, SOURCES)
    expected = frechet_distance(ours.reshape(-1, 6), theirs.reshape(-1, 6))
    assert estimate.value == pytest.approx(expected, rel=1e-12)
    assert ClipFid(clean).value(ours, theirs) == pytest.approx(expected, rel=1e-12)
    assert (estimate.n, estimate.n_reference, estimate.num_sources) == (40, 40, 40)
    assert estimate.notes[0] == "160 frames of 40 generated clips, 160 frames of 40 reference clips"
    assert "N = 40 generated, 40 reference: below 400" in estimate.notes[1]


def test_identical_sets_have_no_distance(clean: Protocol) -> None:
    same = features(10)
    assert ClipFid(clean).compute(same, same, SOURCES[:10], SOURCES[:10]).value == pytest.approx(0, abs=1e-9)


def test_the_error_is_of_clips_and_not_of_frames(clean: Protocol) -> None:
    """Frames that repeat change neither value nor error; as independent rows they would halve the error."""
    ours, theirs = features(40, t=1), features(40, t=1, shift=0.5, seed=1)
    one = ClipFid(clean).compute(ours, theirs, SOURCES, SOURCES)
    four = ClipFid(clean).compute(ours.repeat(4, 1), theirs.repeat(4, 1), SOURCES, SOURCES)
    population = parse_protocol({"name": "t", "version": "1", "frechet": {"ddof": 0}})
    rows = [side.repeat(4, 1).reshape(-1, 6) for side in (ours, theirs)]
    singly = Fvd(population).compute(*rows, *[[f"f{i}" for i in range(160)]] * 2)
    assert four.standard_error == pytest.approx(one.standard_error, rel=0.1)
    assert singly.standard_error < 0.8 * one.standard_error


def test_a_clip_of_fewer_frames_counts_with_those_it_has(clean: Protocol) -> None:
    ours, theirs = features(10), features(12, seed=1)
    ours[3, 2:] = np.nan
    estimate = ClipFid(clean).compute(ours, theirs, SOURCES[:10], SOURCES[:12])
    rows = np.concatenate([ours.reshape(-1, 6)[:14], ours.reshape(-1, 6)[16:]])
    assert estimate.value == pytest.approx(frechet_distance(rows, theirs.reshape(-1, 6)), rel=1e-12)
    assert estimate.notes[0].startswith("38 frames of 10 generated clips, 48 frames of 12")


def test_one_clip_has_a_value_and_no_error(clean: Protocol) -> None:
    estimate = ClipFid(clean).compute(features(1), features(1, seed=1), ["a"], ["b"])
    assert (estimate.n, estimate.standard_error, estimate.low) == (1, None, None)


def test_one_frame_is_too_few(clean: Protocol) -> None:
    with pytest.raises(MetricError, match="FID: 1 frames on the generated side"):
        Fid(clean).compute(features(1, t=1), features(4), ["a"], SOURCES[:4])


def test_fewer_frames_than_dimensions_have_no_interval(clean: Protocol) -> None:
    ours, theirs = (features(4, t=2, d=20, seed=seed) for seed in (0, 1))
    estimate = ClipFid(clean).compute(ours, theirs, SOURCES[:4], SOURCES[:4])
    assert estimate.low is None
    assert any("fewer frames than the 20 feature dimensions" in note for note in estimate.notes)


def test_systems_are_compared_by_exchanging_whole_clips(clean: Protocol) -> None:
    a, b, theirs = features(12), features(12, shift=1.0, seed=2), features(12, seed=1)
    metric = ClipFid(clean)
    found = metric.compare([a], [b], theirs, SOURCES[:12], SOURCES[:12])
    assert found.difference == pytest.approx(metric.value(a, theirs) - metric.value(b, theirs), rel=1e-9)
    assert (found.n, found.num_sources) == (12, 12)
    assert found.p_value < 0.01
    short = b.copy()
    short[0, 1:] = np.nan
    with pytest.raises(MetricError, match="equally many frames"):
        metric.compare([a], [short], theirs, SOURCES[:12], SOURCES[:12])


def test_features_of_whole_clips_are_refused(clean: Protocol) -> None:
    with pytest.raises(MetricError, match=r"must be \[N, T, D\]"):
        Fid(clean).compute(np.zeros((3, 4)), np.zeros((3, 4)), SOURCES[:3], SOURCES[:3])


def test_clips_that_follow_their_own_references_are_told(clean: Protocol) -> None:
    theirs = features(40, seed=1)
    followed = theirs + 0.2 * features(40, seed=2)
    estimate = ClipFid(clean).compute(followed, theirs, SOURCES, SOURCES)
    assert any("clips follow their own references" in note for note in estimate.notes)
    fresh = ClipFid(clean).compute(features(40, seed=3), theirs, SOURCES, SOURCES)
    assert not any("follow their own" in note for note in fresh.notes)
