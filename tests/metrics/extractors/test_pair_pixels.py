"""PSNR and SSIM of pairs, against scikit-image and torchmetrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reelbench.core.errors import MetricError
from reelbench.metrics.build import build_extractor, build_metric, extractors_needed
from reelbench.metrics.clips.pairs import Psnr, Ssim
from reelbench.metrics.extractors.pairs.similarity import PairPixels, ssim
from reelbench.metrics.protocol import Protocol, parse_protocol
from reelbench.metrics.signature import signature

session = PairPixels(PairPixels.Config()).load("cpu")


def _clip(seed: int, num_frames: int = 3, height: int = 40, width: int = 56) -> np.ndarray:
    """Smooth pictures, so that SSIM has structure to see."""
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).random((num_frames, height, width, 3))
    smooth = gaussian_filter(noise, (0, 2, 2, 0))
    return np.round(255 * (smooth - smooth.min()) / (smooth.max() - smooth.min())).astype(np.uint8)


def _noisy(clip: np.ndarray, deviation: float, seed: int = 9) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, deviation, clip.shape)
    return np.clip(np.round(clip + noise), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    clip = _clip(0)
    return _noisy(clip, 12.0), clip


def test_psnr_agrees_with_scikit_image(clean: Protocol, pair: tuple[np.ndarray, np.ndarray]) -> None:
    from skimage.metrics import peak_signal_noise_ratio

    row = session.extract([pair])[0]
    assert (row.shape, row.dtype) == ((3, 2), np.float32)
    expected = np.mean([peak_signal_noise_ratio(b, a, data_range=255) for a, b in zip(*pair, strict=True)])
    assert Psnr(clean).compute({"pair_pixels": row}) == pytest.approx(expected, abs=1e-5)


def test_ssim_agrees_with_scikit_image(clean: Protocol, pair: tuple[np.ndarray, np.ndarray]) -> None:
    from skimage.metrics import structural_similarity

    choices = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = [structural_similarity(a, b, channel_axis=2, **choices) for a, b in zip(*pair, strict=True)]
    assert 0.3 < np.mean(expected) < 0.95
    for (ours, theirs), value in zip(zip(*pair, strict=True), expected, strict=True):
        assert ssim(ours, theirs) == pytest.approx(value, abs=1e-10)
    row = session.extract([pair])[0]
    assert Ssim(clean).compute({"pair_pixels": row}) == pytest.approx(np.mean(expected), abs=1e-7)


def test_ssim_agrees_with_torchmetrics_inside_the_frame(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """torchmetrics averages over places where the window reaches over the border too (by reflection): its map
    is ours where it does not, and its mean is another number."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    ours, theirs = (torch.from_numpy(clip).permute(0, 3, 1, 2).double() for clip in pair)
    means, maps = structural_similarity_index_measure(
        ours, theirs, data_range=255.0, reduction="none", return_full_image=True
    )
    found = session.extract([pair])[0][:, 1]
    np.testing.assert_allclose(found, maps[..., 5:-5, 5:-5].mean(dim=(1, 2, 3)), atol=1e-7)
    assert np.abs(found - means.numpy()).min() > 1e-3


def test_equal_frames_are_finite(clean: Protocol) -> None:
    clip = _clip(1)
    features = {"pair_pixels": session.extract([(clip, clip.copy())])[0]}
    np.testing.assert_array_equal(features["pair_pixels"], [[0, 1]] * 3)
    assert Psnr(clean).compute(features) == 100
    assert Ssim(clean).compute(features) == 1


def test_psnr_is_the_mean_of_the_frames_psnr(clean: Protocol) -> None:
    """Frames off by a constant c have the MSE c^2. No frame counts as more than an equal one."""
    clip = np.full((3, 12, 12, 3), 100, dtype=np.uint8)
    other = clip + np.array([0, 1, 51], dtype=np.uint8)[:, None, None, None]
    row = session.extract([(other, clip)])[0]
    assert row[:, 0].tolist() == [0, 1, 2601]
    expected = (100 + 20 * np.log10(255) + 20 * np.log10(5)) / 3
    assert Psnr(clean).compute({"pair_pixels": row}) == pytest.approx(expected, abs=1e-9)
    tiny = np.array([[1e-9, 1.0]], dtype=np.float32)
    assert Psnr(clean).compute({"pair_pixels": tiny}) == 100


def test_ssim_of_opposed_frames_is_negative() -> None:
    frame = _clip(2)[0].astype(np.float64)
    assert ssim(frame, 255 - frame) < -0.3
    assert ssim(frame, frame) == 1


def test_a_reference_of_another_size_is_resized(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Bilinear, antialiased, squashed, not rounded; the generated clip is left as it is."""
    import torch

    generated, _ = pair
    reference = _clip(5, height=90, width=70)
    x = torch.from_numpy(reference).permute(0, 3, 1, 2).float()
    resized = torch.nn.functional.interpolate(x, size=(40, 56), mode="bilinear", antialias=True)
    pixels = resized.permute(0, 2, 3, 1).numpy().astype(np.float64)
    row = session.extract([(generated, reference)])[0]
    np.testing.assert_allclose(row[:, 0], ((generated - pixels) ** 2).mean(axis=(1, 2, 3)), rtol=1e-5)
    expected = [ssim(ours, theirs) for ours, theirs in zip(generated, pixels, strict=True)]
    np.testing.assert_allclose(row[:, 1], expected, atol=1e-5)


def test_the_protocol_can_refuse_other_sizes(pair: tuple[np.ndarray, np.ndarray]) -> None:
    protocol = parse_protocol({"name": "t", "version": "1", "pair": {"resize": "refuse"}})
    extractor = build_extractor("pair_pixels", protocol)
    assert extractor.config == PairPixels.Config(resize="refuse")
    strict = extractor.load("cpu")
    assert strict.extract([pair])[0].tobytes() == session.extract([pair])[0].tobytes()
    with pytest.raises(MetricError, match="generated clip is 40 x 56, its reference 90 x 70"):
        strict.extract([(pair[0], _clip(5, height=90, width=70))])
    assert "pair:refuse" in signature(build_metric("psnr", protocol), protocol, {}, 3, 3)


@pytest.mark.parametrize(
    ("generated", "reference", "message"),
    [
        (_clip(0), _clip(0, num_frames=4), "the generated clip has 3 frames, its reference 4"),
        (_clip(0, height=10), _clip(0), "at least 11 pixels a side, got 10 x 56"),
        (_clip(0).astype(np.float32), _clip(0), r"\(generated clip\) takes clips uint8"),
        (_clip(0), _clip(0)[0], r"\(reference clip\) takes clips uint8"),
    ],
)
def test_pairs_that_do_not_compare_are_refused(
    generated: np.ndarray, reference: np.ndarray, message: str
) -> None:
    with pytest.raises(MetricError, match=message):
        session.extract([(generated, reference)])


def test_features_depend_on_their_pair_alone(clips: list[np.ndarray]) -> None:
    pairs = [(clips[0], clips[1]), (clips[2], clips[3]), (clips[4], clips[5]), (clips[6], clips[0])]
    pairs = [(a[:4], b[:4]) for a, b in pairs]
    together = [row.tobytes() for row in session.extract(pairs)]
    assert [session.extract([pair])[0].tobytes() for pair in pairs] == together
    # Nor does a frame depend on the clip's others.
    assert session.extract([(pairs[1][0][2:], pairs[1][1][2:])])[0].tobytes() == together[1][16:]


def test_threads_of_torch_move_no_bit(clips: list[np.ndarray]) -> None:
    import torch

    pair = (clips[2][:2], clips[5][:2])
    before, rows = torch.get_num_threads(), set()
    try:
        for num_threads in (1, 3):
            torch.set_num_threads(num_threads)
            rows.add(session.extract([pair])[0].tobytes())
            assert torch.get_num_threads() == num_threads
    finally:
        torch.set_num_threads(before)
    assert len(rows) == 1


def test_a_long_clip_is_not_held_a_second_time() -> None:
    """30 frames of 256 x 256: a float64 copy of each would take 47 MB. One frame is at work at a time."""
    import tracemalloc

    clip = np.zeros((30, 256, 256, 3), dtype=np.uint8)
    session.extract([(clip[:1], clip[:1])])
    tracemalloc.start()
    try:
        session.extract([(clip, clip)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30e6


@pytest.mark.parametrize("metric", [Psnr, Ssim])
def test_the_metrics_read_pairs_and_refuse_what_they_cannot_use(clean: Protocol, metric: type[Any]) -> None:
    needs = extractors_needed([build_metric(metric.name, clean)])
    assert (needs.pair, needs.generated, needs.reference, needs.prompt) == (("pair_pixels",), (), (), ())
    for features, message in (
        ({}, "needs the features 'pair_pixels'"),
        ({"pair_pixels": np.zeros((3, 3), np.float32)}, r"\[T, 2\], got \[3, 3\]"),
        ({"pair_pixels": np.full((3, 2), np.inf, np.float32)}, "NaN or infinite"),
    ):
        with pytest.raises(MetricError, match=message):
            metric(clean).compute(features)
