"""FVMD's features: PIPs++ in its authors' layout at random weights, and the histograms of motion by plain
loops."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reelbench.core.errors import MetricError, WeightsError
from reelbench.metrics.build import build_extractor
from reelbench.metrics.extractors.backbone import reference_precision
from reelbench.metrics.extractors.points.motion import PointMotionSession, load_pips
from reelbench.metrics.extractors.points.motion_histograms import grid, motion_features
from reelbench.metrics.extractors.points.pips_network import PipsPlusPlus, _around, _at, _waves
from reelbench.metrics.protocol import Protocol, load_protocol
from reelbench.metrics.settings import TrackingSettings


@pytest.fixture(scope="module")
def network() -> PipsPlusPlus:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PipsPlusPlus().eval()


# -- the tracker ----------------------------------------------------------------------------------


def test_tensors_have_the_authors_names_and_shapes(network: PipsPlusPlus) -> None:
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(shapes) == 82
    for name, shape in {
        "fnet.conv1.weight": (64, 3, 7, 7),
        "fnet.layer1.1.conv2.weight": (64, 64, 3, 3),
        "fnet.layer2.0.downsample.0.weight": (96, 64, 1, 1),
        "fnet.layer4.0.conv1.weight": (128, 128, 3, 3),
        "fnet.conv2.weight": (256, 416, 3, 3),
        "fnet.conv3.weight": (128, 256, 1, 1),
        "delta_block.first_block_conv.conv.weight": (128, 718, 3),
        "delta_block.basicblock_list.2.conv1.conv.weight": (256, 128, 3),
        "delta_block.basicblock_list.7.conv2.conv.weight": (1024, 1024, 3),
        "delta_block.dense.weight": (2, 1024),
        "norm.weight": (128,),
    }.items():
        assert shapes[name] == shape, name


def test_points_start_where_they_are_put_and_move(network: PipsPlusPlus) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(4, 3, 128, 136, generator=generator) * 2 - 1
    points = torch.tensor([[10.0, 20.0], [50.0, 30.0], [80.0, 60.0]])
    with reference_precision("cpu"):
        places = network(frames, points, num_rounds=2)
        assert places.shape == (4, 3, 2)
        torch.testing.assert_close(places[0], points)
        assert (places[1:] - points).abs().max() > 1e-3
        # Points do not see each other.
        alone = network(frames, points[1:2], num_rounds=1)
        torch.testing.assert_close(
            alone[:, 0], network(frames, points, num_rounds=1)[:, 1], rtol=0, atol=1e-2
        )


def at_by_hand(plane: np.ndarray, x: float, y: float, *, border: bool) -> float:
    height, width = plane.shape
    total = 0.0
    for column in (math.floor(x), math.floor(x) + 1):
        for row in (math.floor(y), math.floor(y) + 1):
            weight = (1 - abs(x - column)) * (1 - abs(y - row))
            if border:
                total += weight * plane[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
            elif 0 <= row < height and 0 <= column < width:
                total += weight * plane[row, column]
    return total


def test_features_at_a_place_are_bilinear_with_the_border_outside() -> None:
    maps = np.random.default_rng(0).normal(size=(1, 2, 5, 7)).astype(np.float32)
    places = [(2.25, 3.5), (-1.0, 1.2), (6.6, 4.9)]
    found = _at(torch.from_numpy(maps), torch.tensor([places]))[0].numpy()
    expected = [[at_by_hand(maps[0, c], x, y, border=True) for c in range(2)] for x, y in places]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_likeness_is_read_in_windows_whose_first_axis_goes_along_x() -> None:
    rng = np.random.default_rng(1)
    levels = [
        rng.normal(size=(1, 1, 12, 10)).astype(np.float32),
        rng.normal(size=(1, 1, 6, 5)).astype(np.float32),
    ]
    x, y = 4.3, 7.1
    found = _around([torch.from_numpy(level) for level in levels], torch.tensor([[[x, y]]]))[0, 0].numpy()
    expected = [
        at_by_hand(level[0, 0], x / 2**number + i, y / 2**number + j, border=False)
        for number, level in enumerate(levels)
        for i in range(-3, 4)
        for j in range(-3, 4)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_velocities_are_waves_of_falling_frequency() -> None:
    waves = _waves(torch.tensor([[[0.5, -2.0]]]))[0, 0].numpy()
    frequencies = [10000 ** -(k / 31) for k in range(32)]
    expected = [f(v * w) for v in (0.5, -2.0) for f in (math.sin, math.cos) for w in frequencies]
    np.testing.assert_allclose(waves, expected, atol=1e-6)


def test_checkpoints_are_read_as_their_authors_write_them(network: PipsPlusPlus, tmp_path: Path) -> None:
    tensors = network.state_dict()
    checkpoint = {
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-4}]},
        "model_state_dict": tensors,
    }
    torch.save(checkpoint, tmp_path / "pips2_weights.pth")
    save_file(tensors, tmp_path / "other.safetensors")
    for path in (tmp_path, tmp_path / "other.safetensors"):
        loaded = load_pips(path)
        assert loaded.training is False
        assert all(torch.equal(value, tensors[name]) for name, value in loaded.state_dict().items())


def test_other_weights_are_refused(tmp_path: Path, clean: Protocol) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"PIPs\+\+"):
        build_extractor("point_motion", clean, {"pips": str(tmp_path / "x.pth")}).load("cpu")
    with pytest.raises(WeightsError, match="no file pips"):
        build_extractor("point_motion", clean, {"pips": str(tmp_path)}).load("cpu")
    with pytest.raises(WeightsError, match="no weights are named"):
        build_extractor("point_motion", clean).load("cpu")


def test_other_numbers_of_frames_are_refused(clean: Protocol) -> None:
    extractor = build_extractor("point_motion", load_protocol("predicted"), {"pips": "x/y"})
    with pytest.raises(MetricError, match="defined for 16 frames, the protocol measures 14"):
        extractor.load("cpu")
    session = PointMotionSession(None, TrackingSettings().resize, "cpu")
    with pytest.raises(MetricError, match="at least 16 frames, the clip has 8"):
        session.extract_one(np.zeros((8, 20, 20, 3), np.uint8))


def test_frames_reach_the_tracker_as_pillow_resizes_them() -> None:
    from PIL import Image

    seen: dict[str, Any] = {}

    def tracker(frames: Any, points: Any) -> Any:
        seen.update(frames=frames.numpy(), points=points.numpy())
        return points.expand(16, -1, -1)

    clip = np.random.default_rng(0).integers(0, 256, (18, 30, 50, 3), dtype=np.uint8)
    features = PointMotionSession(tracker, TrackingSettings().resize, "cpu").extract_one(clip)
    assert (features.shape, features.dtype, features.max()) == ((1024,), np.float32, 0.0)
    resized = np.asarray(Image.fromarray(clip[3]).resize((256, 256), Image.Resampling.BILINEAR))
    expected = resized.transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(seen["frames"][3], expected, atol=1e-6)
    assert len(seen["frames"]) == 16
    np.testing.assert_allclose(
        seen["points"][[0, 19, 20, 399]], [[8, 8], [248, 8], [8, 8 + 240 / 19], [248, 248]]
    )


# -- the histograms -------------------------------------------------------------------------------


def histograms_by_loops(vectors: np.ndarray) -> np.ndarray:
    out = np.zeros((4, 4, 4, 8))
    for t in range(16):
        for point in range(400):
            row, column = divmod(point, 20)
            dx, dy = map(float, vectors[t, point])
            direction = min(int((math.atan2(dx, dy) + math.pi) // (math.pi / 4)), 7)
            weight = math.ceil(min(math.log2(min(math.hypot(dx, dy), 255) + 1), 8)) / 8
            out[t // 4, row // 5, column // 5, direction] += weight
    return out.ravel()


def test_histograms_against_loops() -> None:
    rng = np.random.default_rng(0)
    places = np.cumsum(rng.normal(0, 6, (16, 400, 2)), axis=0).astype(np.float32) + grid(256, 256)
    velocity = np.concatenate([np.zeros((1, 400, 2)), np.diff(places, axis=0)])
    acceleration = np.concatenate([np.zeros((2, 400, 2)), np.diff(velocity[1:], axis=0)])
    expected = np.concatenate([histograms_by_loops(velocity), histograms_by_loops(acceleration)])
    found = motion_features(places)
    assert found.shape == (1024,)
    assert np.count_nonzero(np.abs(found - expected) > 1e-5) <= 4  # at the edges of a bin float32 may differ
    np.testing.assert_allclose(found.sum(), expected.sum(), rtol=1e-3)


def test_standing_points_have_empty_histograms_and_steady_ones_no_acceleration() -> None:
    """Whole pixels: any length above 0, a rounding error too, counts 1/8, as in the released code."""
    still = np.repeat(grid(256, 256)[None], 16, axis=0)
    assert motion_features(still).max() == 0
    steady = np.round(still) + np.arange(16, dtype=np.float32)[:, None, None] * np.float32([2.0, 0.0])
    features = motion_features(steady)
    # log2(2 + 1), up to 2, of 8: 1/4 for each of 100 points of a cube, of 75 in the first: frame 0 has none.
    assert set(features[:512]) == {0.0, 18.75, 25.0}
    assert features[512:].max() == 0
