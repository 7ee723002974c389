"""Cosines of CLIP features, checked and in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..core.errors import MetricError
from ..core.types import Features
from .features import Floats


def unit_rows(metric: str, features: Mapping[str, Features], role: str, ndim: int) -> Floats:
    """The features of a role in float64, each row scaled to length 1.

    Args:
        role: "clip_image" ([T, D], ndim 2) or "clip_text" ([D], ndim 1).

    Raises:
        MetricError: the role is missing, of another shape, not finite, or has a row of length 0.
    """
    if role not in features:
        raise MetricError(
            f"{metric} needs the features {role!r}, got {', '.join(sorted(features)) or 'none'}"
        )
    array = np.asarray(features[role], dtype=np.float64)
    if array.ndim != ndim or 0 in array.shape:
        expected = "[T, D]" if ndim == 2 else "[D]"
        raise MetricError(f"{metric}: {role} features must be {expected}, got {list(array.shape)}")
    length = np.linalg.norm(array, axis=-1, keepdims=True)
    if not np.isfinite(length).all() or not (length > 0).all():
        raise MetricError(f"{metric}: {role} features are NaN, infinite or zero")
    return array / length
