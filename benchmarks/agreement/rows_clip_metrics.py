"""Metrics of one clip."""

from __future__ import annotations

from functools import cache

import numpy as np
from row import row


@cache
def clip_features() -> dict[str, np.ndarray]:
    """Features of 16 frames that drift, and of a caption; float32, not of unit length."""
    rng = np.random.default_rng(5)
    frames = np.cumsum(rng.normal(size=(16, 64)), axis=0) + 3 * rng.normal(size=64)
    return {"clip_image": frames.astype(np.float32), "clip_text": rng.normal(size=64).astype(np.float32)}


def of_clip(metric: str) -> float:
    from reelbench.metrics.build import build_metric
    from reelbench.metrics.protocol import load_protocol

    return float(build_metric(metric, load_protocol("clean")).compute(clip_features()))


@row("metric", "CLIPSIM", "scikit-learn's cosine_similarity, averaged", 1e-6, "absolute")
def clipsim() -> float:
    from sklearn.metrics.pairwise import cosine_similarity

    found = clip_features()
    theirs = cosine_similarity(found["clip_image"].astype(np.float64), found["clip_text"][None]).mean()
    return abs(of_clip("clipsim") - float(theirs))


@row(
    "metric",
    "frame consistency, all pairs",
    "scikit-learn's cosine_similarity off the diagonal",
    1e-6,
    "absolute",
)
def all_pairs() -> float:
    from sklearn.metrics.pairwise import cosine_similarity

    cosines = cosine_similarity(clip_features()["clip_image"].astype(np.float64))
    theirs = cosines[~np.eye(len(cosines), dtype=bool)].mean()
    return abs(of_clip("frame_consistency_all_pairs") - float(theirs))


@row(
    "metric",
    "frame consistency, first and previous (VBench)",
    "its definition on scikit-learn's cosines",
    1e-6,
    "absolute",
)
def first_and_previous() -> float:
    from sklearn.metrics.pairwise import cosine_similarity

    cosines = np.maximum(cosine_similarity(clip_features()["clip_image"].astype(np.float64)), 0)
    theirs = np.mean([(cosines[t, t - 1] + cosines[t, 0]) / 2 for t in range(1, len(cosines))])
    return abs(of_clip("frame_consistency_first_and_previous") - float(theirs))
