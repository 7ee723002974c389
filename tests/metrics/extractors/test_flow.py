"""Optical flow of OpenCV, motion magnitude and warping error, against closed forms and plain loops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest

from reelbench.core.errors import MetricError, WeightsError
from reelbench.metrics.build import build_extractor, build_metric, extractors_needed, refuse_unavailable
from reelbench.metrics.clips.motion import MotionMagnitude, WarpingError
from reelbench.metrics.extractors.flow.features import COLUMNS, FlowFeatures, FlowFeaturesSession
from reelbench.metrics.extractors.flow.optical_flow import dis_flow, farneback_flow, one_opencv_thread, shrink
from reelbench.metrics.extractors.flow.warping import warp_back
from reelbench.metrics.protocol import Protocol, parse_protocol
from reelbench.metrics.signature import signature

ALGORITHMS = ["dis", "farneback"]


def _texture(height: int, width: int, seed: int = 0, low: int = 0, high: int = 255) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.round(low + smooth * (high - low)).astype(np.uint8)


def _panning(num_frames: int, height: int, width: int, dx: int, dy: int, seed: int = 0) -> np.ndarray:
    """The texture's content moves by (dx, dy) pixels a frame."""
    margin = num_frames * max(abs(dx), abs(dy))
    big = _texture(height + 2 * margin, width + 2 * margin, seed)
    places = [(margin - t * dy, margin - t * dx) for t in range(num_frames)]
    return np.stack([big[y : y + height, x : x + width] for y, x in places])


def _session(**config: Any) -> FlowFeaturesSession:
    return FlowFeatures(FlowFeatures.Config(**config)).load("cpu")


def _column(features: np.ndarray, name: str) -> np.ndarray:
    return features[:, COLUMNS.index(name)]


@pytest.mark.parametrize("make", [dis_flow, farneback_flow])
def test_flow_of_a_shifted_texture_is_the_shift(make: Callable[..., Any]) -> None:
    """Content that moves right and down has positive x and y; within 0.05 pixels away from the border."""
    first, second = _panning(2, 96, 128, dx=3, dy=2)
    field = make()(first, second)
    assert (field.shape, field.dtype) == ((96, 128, 2), np.float32)
    np.testing.assert_allclose(field[16:-16, 16:-16], np.broadcast_to([3, 2], (64, 96, 2)), atol=0.05)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_motion_is_the_shift_in_percent_of_the_shorter_side(clean: Protocol, algorithm: str) -> None:
    clip = _panning(4, 96, 128, dx=3, dy=4)  # 5 pixels of 96
    features = _session(algorithm=algorithm).extract([clip])[0]
    assert (features.shape, features.dtype) == ((3, 4), np.float32)
    assert MotionMagnitude(clean).compute({"flow": features}) == pytest.approx(100 * 5 / 96, rel=0.02)
    np.testing.assert_allclose(_column(features, "fast_motion"), 100 * 5 / 96, rtol=0.1)
    # All of it is explained: what is left is the difference of interpolation, 1e-5 at most.
    assert WarpingError(clean).compute({"flow": features}) < 1e-5
    # Out of sight are the 3 columns and 4 rows that leave the frame, and a few where the flow bends.
    inside = (96 - 4) * (128 - 3) / (96 * 128)
    np.testing.assert_allclose(_column(features, "visible"), inside, atol=0.03)


def test_motion_does_not_depend_on_the_size_of_the_video() -> None:
    clip = _panning(3, 96, 128, dx=2, dy=0)
    double = np.stack([cv2.resize(frame, (256, 192), interpolation=cv2.INTER_CUBIC) for frame in clip])
    sizes = {"native": _session(max_side=None), "shrunk": _session(max_side=128)}
    expected = 100 * 2 / 96
    for session in sizes.values():
        for frames in (clip, double):
            np.testing.assert_allclose(_column(session.extract([frames])[0], "motion"), expected, rtol=0.02)
    # The shorter side counts, whichever it is.
    tall = np.ascontiguousarray(clip.transpose(0, 2, 1, 3))
    np.testing.assert_allclose(_column(sizes["native"].extract([tall])[0], "motion"), expected, rtol=0.02)


def test_fast_motion_is_of_the_fastest_twentieth() -> None:
    """A small square moves over a still ground: the mean hides it, the fastest pixels show it."""
    ground, square = _texture(128, 128, seed=1), _texture(40, 40, seed=2)
    clip = np.stack([ground, ground])
    clip[0, 40:80, 40:80] = square
    clip[1, 40:80, 44:84] = square
    row = _session().extract([clip])[0]
    assert _column(row, "motion")[0] < 0.7
    assert _column(row, "fast_motion")[0] == pytest.approx(100 * 4 / 128, rel=0.1)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_static_clip_has_neither_motion_nor_error(clean: Protocol, algorithm: str) -> None:
    clip = np.repeat(_texture(64, 80)[None], 4, axis=0)
    features = {"flow": _session(algorithm=algorithm).extract([clip])[0]}
    # Farnebäck's polynomials leave a little at the border.
    assert MotionMagnitude(clean).compute(features) <= (0 if algorithm == "dis" else 5e-3)
    assert WarpingError(clean).compute(features) <= (0 if algorithm == "dis" else 1e-6)
    assert _column(features["flow"], "visible").min() >= (1 if algorithm == "dis" else 0.99)


@pytest.mark.parametrize("step", [5, 10, 40])
def test_flicker_of_a_static_clip_is_the_warping_error(clean: Protocol, step: int) -> None:
    """Frames without texture have no flow, so that the error is exactly the squared step; a textured scene
    that changes its brightness gives it within 2 %."""
    flat = np.stack([np.full((48, 64, 3), 100 + step * (t % 2), dtype=np.uint8) for t in range(4)])
    scene = np.repeat(_texture(96, 96, low=20, high=200)[None], 4, axis=0)
    scene[1::2] += np.uint8(step)
    exact, close = ({"flow": row} for row in _session().extract([flat, scene]))
    assert WarpingError(clean).compute(exact) == pytest.approx((step / 255) ** 2, rel=1e-5)
    assert MotionMagnitude(clean).compute(exact) == 0
    assert WarpingError(clean).compute(close) == pytest.approx((step / 255) ** 2, rel=0.02)


def _by_loops(
    first: np.ndarray, second: np.ndarray, forward: np.ndarray, backward: np.ndarray
) -> tuple[float, float]:
    """The definition, pixel by pixel."""
    height, width = first.shape[:2]
    first, second = first / 255.0, second / 255.0

    def sample(image: np.ndarray, x: float, y: float) -> np.ndarray:
        x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
        x0, y0 = int(x), int(y)
        x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
        top = image[y0, x0] * (x0 + 1 - x) + image[y0, x1] * (x - x0)
        bottom = image[y1, x0] * (x0 + 1 - x) + image[y1, x1] * (x - x0)
        return top * (y0 + 1 - y) + bottom * (y - y0)

    errors, everywhere = [], []
    for y, x in itertools.product(range(height), range(width)):
        w = forward[y, x].astype(np.float64)
        v = sample(backward.astype(np.float64), x + w[0], y + w[1])
        error = np.mean((sample(second, x + w[0], y + w[1]) - first[y, x]) ** 2)
        everywhere.append(error)
        if not (-0.5 <= x + w[0] <= width - 0.5 and -0.5 <= y + w[1] <= height - 0.5):
            continue
        if (w + v) @ (w + v) > 0.01 * (w @ w + v @ v) + 0.5:
            continue
        across = forward[y, x + 1] - forward[y, x] if x + 1 < width else np.zeros(2)
        down = forward[y + 1, x] - forward[y, x] if y + 1 < height else np.zeros(2)
        if across @ across + down @ down > 0.01 * (w @ w) + 0.002:
            continue
        errors.append(error)
    return np.mean(errors or everywhere), len(errors) / len(everywhere)


def _smooth_field(height: int, width: int, seed: int, scale: float, sigma: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((height, width, 2)).astype(np.float32)
    field = cv2.GaussianBlur(noise, (0, 0), sigma)
    return field / np.abs(field).max() * scale


@pytest.mark.parametrize(("scale", "sigma"), [(2.0, 12), (4.0, 4), (0.3, 2)])
def test_warping_error_against_loops(scale: float, sigma: int) -> None:
    first, second = _texture(28, 36, seed=3), _texture(28, 36, seed=4)
    forward = _smooth_field(28, 36, 5, scale, sigma)
    backward = -forward + _smooth_field(28, 36, 6, 1.0, 3)
    found = warp_back(first, second, forward, backward)
    error, visible = _by_loops(first, second, forward, backward)
    assert 0 < visible < 1  # so that the conditions are seen to act
    assert found.visible == pytest.approx(visible, abs=1e-12)
    assert found.error == pytest.approx(error, rel=1e-5)


def test_a_pair_without_visible_pixels_counts_with_all_of_them(clean: Protocol) -> None:
    first, second = _texture(20, 20, seed=1), _texture(20, 20, seed=2)
    apart = np.full((20, 20, 2), 3.0, dtype=np.float32)  # both flows point the same way: nothing agrees
    found = warp_back(first, second, apart, apart)
    assert found.visible == 0
    assert found.error == pytest.approx(_by_loops(first, second, apart, apart)[0], rel=1e-5)
    assert found.error > 0.01
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    assert WarpingError(clean).compute({"flow": _session().extract([noise])[0]}) > 0.05


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_features_depend_on_their_clip_alone(clips: list[np.ndarray], algorithm: str) -> None:
    """Not on neighbours, OpenCV's threads, or other clips on other threads of the process."""
    session = _session(algorithm=algorithm)
    chosen = [clip[:4] for clip in clips]
    together = [row.tobytes() for row in session.extract(chosen)]
    assert [session.extract([clip])[0].tobytes() for clip in chosen] == together
    before = cv2.getNumThreads()
    try:
        for num_threads in (1, 2, 5):
            cv2.setNumThreads(num_threads)
            with ThreadPoolExecutor(4) as pool:
                rows = list(pool.map(lambda clip: session.extract([clip])[0].tobytes(), chosen))
            assert rows == together
            assert cv2.getNumThreads() == num_threads
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("make", [dis_flow, farneback_flow])
def test_opencvs_flow_itself_does_not_depend_on_its_threads(make: Callable[..., Any]) -> None:
    first, second = _panning(2, 160, 200, dx=5, dy=3)
    before = cv2.getNumThreads()
    fields = set()
    try:
        for num_threads in (1, 2, 3, 8):
            cv2.setNumThreads(num_threads)
            fields.add(make()(first, second).tobytes())
    finally:
        cv2.setNumThreads(before)
    assert len(fields) == 1


def test_opencvs_threads_are_put_back_by_the_last_one_out() -> None:
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        outer, inner = one_opencv_thread(), one_opencv_thread()
        outer.__enter__()
        inner.__enter__()
        assert cv2.getNumThreads() == 1
        outer.__exit__(None, None, None)
        assert cv2.getNumThreads() == 1
        inner.__exit__(None, None, None)
        assert cv2.getNumThreads() == 3
        with pytest.raises(ZeroDivisionError), one_opencv_thread():
            raise ZeroDivisionError
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_frames_are_shrunk_by_their_longer_side() -> None:
    frame = _texture(90, 120)
    assert shrink(frame, 60).shape == (45, 60, 3)
    assert shrink(np.ascontiguousarray(frame.transpose(1, 0, 2)), 60).shape == (60, 45, 3)
    assert shrink(frame, 120) is frame
    assert shrink(frame, None) is frame
    # A half is the mean of four pixels.
    means = frame.reshape(45, 2, 60, 2, 3).astype(np.float64).mean(axis=(1, 3))
    np.testing.assert_allclose(shrink(frame, 60), means, atol=0.5)


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.uint8), "at least 2 frames, the clip has 1"),
        (np.zeros((2, 15, 64, 3), np.uint8), "at least 16 pixels a side, the clip's are 15 x 64"),
        (np.zeros((2, 20, 640, 3), np.uint8), "measured at 8 x 256"),
        (np.zeros((2, 32, 32), np.uint8), r"\[2, 32, 32\]"),
    ],
)
def test_clips_without_flow_are_refused(clip: np.ndarray, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        _session().extract([clip])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("shape", [(16, 16), (16, 250), (250, 16), (17, 33)])
def test_the_smallest_frames_have_flow(algorithm: str, shape: tuple[int, int]) -> None:
    rows = _session(algorithm=algorithm).extract([_panning(3, *shape, dx=1, dy=0)])[0]
    assert np.isfinite(rows).all()


def test_the_protocol_says_how_flow_is_made(clean: Protocol) -> None:
    protocol = parse_protocol(
        {"name": "t", "version": "1", "flow": {"algorithm": "farneback", "max_side": 64}}
    )
    extractor = build_extractor("flow", protocol, {"raft": "unused"})
    assert extractor.config == FlowFeatures.Config(algorithm="farneback", max_side=64)
    assert (extractor.weights(), extractor.config.weights, extractor.resources().num_gpus) == ((), "", 0)
    clip = _panning(2, 96, 128, dx=2, dy=0)
    row = extractor.load("cpu").extract([clip])[0]
    assert row.tobytes() == _session(algorithm="farneback", max_side=64).extract([clip])[0].tobytes()
    assert row.tobytes() != _session(algorithm="farneback").extract([clip])[0].tobytes()
    assert "flow:farneback|side:max64" in signature(build_metric("warping_error", protocol), protocol, {}, 4)
    needs = extractors_needed(build_metric(name, clean) for name in ("motion_magnitude", "warping_error"))
    assert (needs.generated, needs.reference, needs.pair) == (("flow",), (), ())


def test_raft_without_weights_is_refused_before_any_work(clean: Protocol) -> None:
    raft = parse_protocol({"name": "t", "version": "1", "flow": {"algorithm": "raft"}})
    with pytest.raises(WeightsError, match=r"'raft', and no weights are named(.|\n)*weights: \{raft:"):
        build_extractor("flow", raft)
    with pytest.raises(WeightsError, match="no weights are named"):
        FlowFeatures(FlowFeatures.Config(algorithm="raft")).load("cpu")
    metric = build_metric("warping_error", clean)
    refuse_unavailable([metric], {})  # the default algorithm has no weights
    with pytest.raises(WeightsError, match=r"warping_error: no weights at .*nowhere\.pth"):
        refuse_unavailable([metric], {"raft": "./nowhere.pth"})


def test_motion_has_no_better_direction(clean: Protocol) -> None:
    assert build_metric("motion_magnitude", clean).higher_is_better is None
    assert build_metric("warping_error", clean).higher_is_better is False


@pytest.mark.parametrize("metric", [MotionMagnitude, WarpingError])
def test_the_metrics_are_means_over_pairs_of_their_column(clean: Protocol, metric: type[Any]) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = {"motion_magnitude": 4.0, "warping_error": 6.0}[metric.name]
    assert metric(clean).compute({"flow": rows}) == expected
    with pytest.raises(MetricError, match=r"must be \[T, 4\], got \[3, 3\]"):
        metric(clean).compute({"flow": rows[:, :3]})
    with pytest.raises(MetricError, match="needs the features 'flow'"):
        metric(clean).compute({})
