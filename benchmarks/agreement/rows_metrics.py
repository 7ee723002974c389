"""Metrics of one clip: CLIPSIM, consistency, PSNR, SSIM, flickering, warping."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from row import row
from rows_frames import pictures

from reelbench.metrics.build import build_extractor, build_metric
from reelbench.metrics.protocol import load_protocol

CLEAN = load_protocol("clean")

# -- of CLIP's features ------------------------------------------------------------------------


@cache
def clip_features() -> dict[str, np.ndarray]:
    """Features of 16 frames that drift, and of a caption; float32, not of unit length."""
    rng = np.random.default_rng(5)
    frames = np.cumsum(rng.normal(size=(16, 64)), axis=0) + 3 * rng.normal(size=64)
    return {"clip_image": frames.astype(np.float32), "clip_text": rng.normal(size=64).astype(np.float32)}


def of_clip(metric: str) -> float:
    return float(build_metric(metric, CLEAN).compute(clip_features()))


def cosines(others: np.ndarray | None = None) -> np.ndarray:
    """By scikit-learn, of every frame with each of the others, or with all frames; float64."""
    from sklearn.metrics.pairwise import cosine_similarity

    return np.asarray(cosine_similarity(clip_features()["clip_image"].astype(np.float64), others))


@row("metric", "CLIPSIM", "scikit-learn's cosine_similarity, averaged", 1e-6, "absolute")
def clipsim() -> float:
    return abs(of_clip("clipsim") - float(cosines(clip_features()["clip_text"][None]).mean()))


@row(
    "metric",
    "frame consistency, all pairs",
    "scikit-learn's cosine_similarity off the diagonal",
    1e-6,
    "absolute",
)
def all_pairs() -> float:
    found = cosines()
    theirs = found[~np.eye(len(found), dtype=bool)].mean()
    return abs(of_clip("frame_consistency_all_pairs") - float(theirs))


@row(
    "metric",
    "frame consistency, first and previous (VBench)",
    "its definition on scikit-learn's cosines",
    1e-6,
    "absolute",
)
def first_and_previous() -> float:
    found = np.maximum(cosines(), 0)
    theirs = np.mean([(found[t, t - 1] + found[t, 0]) / 2 for t in range(1, len(found))])
    return abs(of_clip("frame_consistency_first_and_previous") - float(theirs))


# -- of pixels ----------------------------------------------------------------------------------


def noisy() -> np.ndarray:
    """The pictures with noise, uint8."""
    noise = np.random.default_rng(6).normal(0, 8, pictures().shape)
    return np.clip(np.rint(pictures() + noise), 0, 255).astype(np.uint8)


def measured(extractor: str, metric: str, content: Any) -> float:
    """A metric through its extractor, under `clean`."""
    (features,) = build_extractor(extractor, CLEAN).load("cpu").extract([content])
    return float(build_metric(metric, CLEAN).compute({extractor: features}))


@row("metric", "PSNR", "torchmetrics, frame by frame", 1e-4, "dB")
def psnr() -> float:
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio

    pairs = zip(torch.from_numpy(noisy()).double(), torch.from_numpy(pictures()).double(), strict=True)
    theirs = [float(peak_signal_noise_ratio(a, b, data_range=255.0)) for a, b in pairs]
    return abs(measured("pair_pixels", "psnr", (noisy(), pictures())) - float(np.mean(theirs)))


@row("metric", "SSIM", "scikit-image, Gaussian window, frame by frame", 1e-6, "absolute")
def ssim() -> float:
    from skimage.metrics import structural_similarity

    theirs = [
        structural_similarity(
            a,
            b,
            channel_axis=-1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255,
        )
        for a, b in zip(noisy(), pictures(), strict=True)
    ]
    return abs(measured("pair_pixels", "ssim", (noisy(), pictures())) - float(np.mean(theirs)))


@row("metric", "temporal flickering", "numpy, from VBench's formula", 1e-7, "absolute")
def flickering() -> float:
    frames = pictures().astype(np.float64)
    theirs = 1 - np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3)).mean() / 255
    return abs(measured("pixel_difference", "temporal_flickering", pictures()) - float(theirs))


@row(
    "metric",
    "warping error of a still picture that brightens",
    "the known difference, squared",
    1e-5,
    "absolute",
)
def warping() -> float:
    still = np.clip(pictures()[:1], 20, 220)
    clip = np.concatenate([still, still + 10])
    return abs(measured("flow", "warping_error", clip) - (10 / 255) ** 2)
