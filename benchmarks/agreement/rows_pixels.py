"""Metrics of pixels: PSNR, SSIM, flickering, warping."""

from __future__ import annotations

from typing import Any

import numpy as np
from row import row
from rows_frames import pictures


def noisy() -> np.ndarray:
    """The pictures with noise, uint8."""
    noise = np.random.default_rng(6).normal(0, 8, pictures().shape)
    return np.clip(np.rint(pictures() + noise), 0, 255).astype(np.uint8)


def measured(extractor: str, metric: str, content: Any) -> float:
    """A metric through its extractor, under `clean`."""
    from reelbench.metrics.build import build_extractor, build_metric
    from reelbench.metrics.protocol import load_protocol

    clean = load_protocol("clean")
    (features,) = build_extractor(extractor, clean).load("cpu").extract([content])
    return float(build_metric(metric, clean).compute({extractor: features}))


@row("metric", "PSNR", "torchmetrics, frame by frame", 1e-4, "dB")
def psnr() -> float:
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio

    theirs = [
        float(
            peak_signal_noise_ratio(
                torch.from_numpy(a).double(), torch.from_numpy(b).double(), data_range=255.0
            )
        )
        for a, b in zip(noisy(), pictures(), strict=True)
    ]
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
