"""What an edit keeps of its source: closed forms, and the edits of Sprites, of which the truth is known."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from reelbench.core.errors import MetricError, WeightsError
from reelbench.metrics.build import build_extractor, build_metric, extractors_needed
from reelbench.metrics.clips.kept_content import MotionAlignment, MotionCorrelation, StructureKept
from reelbench.metrics.extractors.flow.optical_flow import dis_flow, one_opencv_thread
from reelbench.metrics.extractors.pairs.edges import PairEdges, edge_correlation, edge_strength
from reelbench.metrics.extractors.pairs.flow import COLUMNS, PairFlow
from reelbench.metrics.protocol import Protocol, parse_protocol
from reelbench.metrics.signature import signature
from reelbench.worlds.sprites.editing import edit_scenes
from reelbench.worlds.sprites.render import render

METRICS = [MotionAlignment, MotionCorrelation, StructureKept]
FLOW, EDGES = PairFlow(PairFlow.Config()).load("cpu"), PairEdges(PairEdges.Config()).load("cpu")


def _texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).random((height, width, 3))
    smooth = gaussian_filter(noise, (2, 2, 0))
    return np.round(255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def _panning(num_frames: int, height: int, width: int, dx: int, dy: int, seed: int = 0) -> np.ndarray:
    """The texture's content moves by (dx, dy) pixels a frame."""
    margin = num_frames * max(abs(dx), abs(dy), 1)
    big = _texture(height + 2 * margin, width + 2 * margin, seed)
    places = [(margin - t * dy, margin - t * dx) for t in range(num_frames)]
    return np.stack([big[y : y + height, x : x + width] for y, x in places])


def _value(metric: type[Any], protocol: Protocol, generated: np.ndarray, reference: np.ndarray) -> float:
    session = FLOW if metric.needs == ("pair_flow",) else EDGES
    return metric(protocol).compute({metric.needs[0]: session.extract([(generated, reference)])[0]})


@pytest.fixture(scope="module")
def source() -> np.ndarray:
    return _panning(4, 96, 128, dx=3, dy=4)


@pytest.mark.parametrize(("metric", "best"), [*zip(METRICS, [0.0, 1.0, 1.0], strict=True)])
def test_the_source_itself_keeps_everything(
    clean: Protocol, source: np.ndarray, metric: type[Any], best: float
) -> None:
    assert _value(metric, clean, source, source.copy()) == pytest.approx(best, abs=1e-6)
    assert _value(metric, clean, source, _panning(4, 96, 128, -2, 3, seed=5)) < best - 0.5


def test_alignment_is_the_distance_of_the_flows(clean: Protocol, source: np.ndarray) -> None:
    """Motions (3, 4) and (3, -4) are 8 pixels of 96 apart; (3, 4) and none are 5. Textures may differ."""
    other = _panning(4, 96, 128, dx=3, dy=-4, seed=1)
    frozen = np.repeat(source[:1], 4, axis=0)
    assert _value(MotionAlignment, clean, other, source) == pytest.approx(-100 * 8 / 96, rel=0.05)
    assert _value(MotionAlignment, clean, frozen, source) == pytest.approx(-100 * 5 / 96, rel=0.02)
    assert _value(MotionAlignment, clean, source, frozen) == _value(MotionAlignment, clean, frozen, source)


@pytest.mark.parametrize(
    ("motion", "cosine"), [((3, 4), 1.0), ((6, 8), 1.0), ((4, -3), 0.0), ((-3, -4), -1.0), ((3, 0), 0.6)]
)
def test_correlation_is_the_cosine_of_the_motions(
    clean: Protocol, source: np.ndarray, motion: tuple[int, int], cosine: float
) -> None:
    """Whatever the speed and the texture are."""
    other = _panning(4, 96, 128, *motion, seed=1)
    assert _value(MotionCorrelation, clean, other, source) == pytest.approx(cosine, abs=0.08)


def test_correlation_of_what_does_not_move(clean: Protocol, source: np.ndarray) -> None:
    frozen = np.repeat(source[:1], 4, axis=0)
    assert _value(MotionCorrelation, clean, frozen, source) == 0
    with pytest.raises(MetricError, match="the source does not move"):
        _value(MotionCorrelation, clean, source, frozen)


def test_flow_features_against_loops(source: np.ndarray) -> None:
    """Of two textures, by plain loops over pixels."""
    other = _panning(3, 96, 128, dx=-1, dy=2, seed=3)
    row = FLOW.extract([(other, source[:3])])[0]
    assert (row.shape, row.dtype) == ((2, 4), np.float32)
    flow = dis_flow()
    for index in range(2):
        sums = np.zeros(4)
        with one_opencv_thread():
            ours = flow(other[index], other[index + 1])
            theirs = flow(source[index], source[index + 1])
        for gx, gy, rx, ry in np.concatenate([ours, theirs], axis=2).reshape(-1, 4).astype(float) * 100 / 96:
            sums += [
                ((gx - rx) ** 2 + (gy - ry) ** 2) ** 0.5,
                gx * rx + gy * ry,
                gx**2 + gy**2,
                rx**2 + ry**2,
            ]
        np.testing.assert_allclose(row[index], sums / (96 * 128), rtol=1e-5)


def test_motion_does_not_depend_on_the_size_of_the_video(clean: Protocol, source: np.ndarray) -> None:
    """Neither on that of both, nor on the source's, which is brought to the generated clip's."""
    other = _panning(4, 96, 128, dx=3, dy=0, seed=1)
    double = [np.stack([cv2.resize(frame, (256, 192)) for frame in clip]) for clip in (other, source)]
    expected = _value(MotionAlignment, clean, other, source)
    assert _value(MotionAlignment, clean, *double) == pytest.approx(expected, rel=0.03)
    assert _value(MotionAlignment, clean, other, double[1]) == pytest.approx(expected, rel=0.03)
    shrunk = PairFlow(PairFlow.Config(max_side=96)).load("cpu").extract([(other, source)])[0]
    assert -shrunk[:, COLUMNS.index("endpoint_error")].mean() == pytest.approx(expected, rel=0.03)


def test_colours_brightness_and_turned_contrast_keep_the_structure(
    clean: Protocol, source: np.ndarray
) -> None:
    darker = (source // 2).astype(np.uint8)
    turned, swapped = 255 - source, np.ascontiguousarray(source[..., ::-1])
    for edit in (darker, turned, swapped):
        assert _value(StructureKept, clean, edit, source) > 0.99


def test_structure_goes_down_as_things_move_away() -> None:
    frame = np.full((64, 64, 3), 90, np.uint8)
    frame[20:36, 20:36] = (220, 60, 40)
    values = [edge_correlation(frame, np.roll(frame, shift, axis=1)) for shift in (0, 1, 2, 4, 8)]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1.0)
    assert values[-1] < 0.5
    assert abs(edge_correlation(frame, np.roll(frame, 28, axis=(0, 1)))) < 0.1


def test_frames_without_edges_agree_with_each_other_alone() -> None:
    flat, textured = np.full((32, 32, 3), 70, np.uint8), _texture(32, 32)
    assert edge_correlation(flat, flat + np.uint8(9)) == 1
    assert edge_correlation(flat, textured) == 0
    one_off = np.full((64, 64, 3), 70, np.uint8)
    one_off[30, 30, 0] += 1
    assert edge_strength(one_off).std() == pytest.approx(0.0044, abs=1e-4)  # as the threshold's comment says


def test_edge_strength_of_a_ramp_is_its_slope() -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 2, (48, 64, 3))
    np.testing.assert_allclose(edge_strength(ramp)[8:-8, 8:-8], 2 * 3**0.5, rtol=1e-3)


def test_structure_does_not_depend_on_the_size_of_the_video(clean: Protocol, source: np.ndarray) -> None:
    other = np.roll(source, 2, axis=1)
    double = [np.stack([cv2.resize(frame, (256, 192)) for frame in clip]) for clip in (other, source)]
    expected = _value(StructureKept, clean, other, source)
    assert 0.1 < expected < 0.9
    assert _value(StructureKept, clean, *double) == pytest.approx(expected, abs=0.03)
    assert _value(StructureKept, clean, other, double[1]) == pytest.approx(expected, abs=0.03)


def _as_generated(clip: np.ndarray, seed: int) -> np.ndarray:
    """Slightly blurred and noisy, as a decoder gives it."""
    noise = np.random.default_rng(seed).normal(0, 4, clip.shape)
    blurred = gaussian_filter(clip.astype(float), (0, 0.6, 0.6, 0))
    return np.clip(np.round(blurred + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sprites() -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """(kind, source, true edit, edit of another video) of eight videos, one of each motion."""
    edits = edit_scenes(8)
    sources = [render(edit.source, 8) for edit in edits]
    targets = [_as_generated(render(edit.target, 8), seed) for seed, edit in enumerate(edits)]
    others = [targets[(index + 12) % len(targets)] for index in range(len(targets))]
    return list(zip([edit.edit for edit in edits], sources, targets, others, strict=True))


def test_true_edits_keep_what_other_clips_do_not(
    clean: Protocol, sprites: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]
) -> None:
    """Of every kind: on average 3 times the structure; motion in the source's direction against none."""
    for kind in ("style", "object", "background", "multiple"):
        rows = [row[1:] for row in sprites if row[0] == kind]
        kept = np.array([[_value(StructureKept, clean, clip, src) for clip in clips] for src, *clips in rows])
        assert kept[:, 0].mean() > 3 * kept[:, 1].mean()
        moving = [(src, *clips) for src, *clips in rows if not np.array_equal(src[0], src[-1])]
        motion = np.array(
            [[_value(MotionCorrelation, clean, clip, src) for clip in clips] for src, *clips in moving]
        )
        assert motion[:, 0].mean() > 0.4
        assert abs(motion[:, 1].mean()) < 0.2


def test_a_frozen_clip_shows_in_the_correlation_and_not_in_the_alignment(
    clean: Protocol, sprites: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]
) -> None:
    """What the docstring warns of."""
    moving = [(src, true) for _, src, true, _ in sprites if not np.array_equal(src[0], src[-1])]
    frozen = [(src, np.repeat(true[:1], len(true), axis=0)) for src, true in moving]
    alignment, correlation = (
        np.array([[_value(metric, clean, clip, src) for src, clip in pairs] for pairs in (moving, frozen)])
        for metric in (MotionAlignment, MotionCorrelation)
    )
    assert alignment[0].mean() < alignment[1].mean()
    assert (correlation[0] > correlation[1]).all()
    assert (correlation[1] == 0).all()


@pytest.mark.parametrize("session", [FLOW, EDGES])
def test_features_depend_on_their_pair_alone(clips: list[np.ndarray], session: Any) -> None:
    """Not on neighbours, threads of OpenCV, or other pairs on other threads."""
    pairs = [(clips[a][:4], clips[b][:4]) for a, b in ((0, 1), (2, 3), (4, 5), (6, 0))]
    together = [row.tobytes() for row in session.extract(pairs)]
    assert [session.extract([pair])[0].tobytes() for pair in pairs] == together
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(3)
        with ThreadPoolExecutor(3) as pool:
            rows = list(pool.map(lambda pair: session.extract([pair])[0].tobytes(), pairs))
    finally:
        cv2.setNumThreads(before)
    assert rows == together


@pytest.mark.parametrize(
    ("session", "generated", "reference", "message"),
    [
        (FLOW, (3, 32, 32, 3), (4, 32, 32, 3), "the generated clip has 3 frames, its reference 4"),
        (FLOW, (1, 32, 32, 3), (1, 32, 32, 3), "at least 2 frames, these have 1"),
        (FLOW, (2, 15, 32, 3), (2, 32, 32, 3), "at least 16 pixels a side, the clip's are 15 x 32"),
        (EDGES, (3, 32, 32, 3), (4, 32, 32, 3), "the generated clip has 3 frames, its reference 4"),
        (EDGES, (2, 15, 32, 3), (2, 32, 32, 3), "at least 16 pixels a side, got 15 x 32"),
    ],
)
def test_pairs_that_do_not_compare_are_refused(
    session: Any,
    generated: tuple[int, int, int, int],
    reference: tuple[int, int, int, int],
    message: str,
) -> None:
    with pytest.raises(MetricError, match=message):
        session.extract([(np.zeros(generated, np.uint8), np.zeros(reference, np.uint8))])


def test_the_protocol_says_how_pairs_are_made(clean: Protocol, source: np.ndarray) -> None:
    protocol = parse_protocol(
        {
            "name": "t",
            "version": "1",
            "flow": {"algorithm": "farneback", "max_side": 64},
            "pair": {"resize": "refuse"},
        }
    )
    flow, edges = (
        build_extractor("pair_flow", protocol, {"raft": "unused"}),
        build_extractor("pair_edges", protocol),
    )
    assert flow.config == PairFlow.Config(algorithm="farneback", max_side=64, resize="refuse")
    assert (flow.weights(), flow.config.weights, flow.resources().num_gpus) == ((), "", 0)
    assert edges.config == PairEdges.Config(resize="refuse")
    for extractor in (flow, edges):
        with pytest.raises(MetricError, match="the protocol refuses that"):
            extractor.load("cpu").extract([(source[:, :64, :64], source)])
    line = signature(build_metric("motion_alignment", protocol), protocol, {}, 3)
    assert "pair:refuse|flow:farneback|side:max64|minus-mean-endpoint-error" in line
    assert "frames:16|rate:8fps" in line
    needs = extractors_needed(build_metric(metric.name, clean) for metric in METRICS)
    assert (needs.pair, needs.generated, needs.reference, needs.prompt) == (
        ("pair_edges", "pair_flow"),
        (),
        (),
        (),
    )
    with pytest.raises(WeightsError, match=r"pair_flow: the protocol's flow.algorithm is 'raft'"):
        build_extractor(
            "pair_flow", parse_protocol({"name": "t", "version": "1", "flow": {"algorithm": "raft"}})
        )


@pytest.mark.parametrize("metric", METRICS)
def test_the_metrics_refuse_what_they_cannot_use(clean: Protocol, metric: type[Any]) -> None:
    (role,) = metric.needs
    for features, message in (
        ({}, f"needs the features '{role}'"),
        ({role: np.zeros((3, 3), np.float32)}, r"must be \[T"),
        ({role: np.full((3, 4) if role == "pair_flow" else 3, np.nan, np.float32)}, "NaN or infinite"),
    ):
        with pytest.raises(MetricError, match=message):
            metric(clean).compute(features)
