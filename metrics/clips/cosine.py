"""Cosines and logits of CLIP features, checked and in float64."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.errors import MetricError
from ...core.types import Features
from ..sets.features import Floats


def unit_rows(metric: str, features: Mapping[str, Features], role: str, ndim: int) -> Floats:
    """The features of a role in float64, each row scaled to length 1.

    Args:
        role: "clip_image" ([T, D], ndim 2) or "clip_text" ([D], ndim 1).

    Raises:
        MetricError: the role is missing, of another shape, not finite, or has a row of length 0.
    """
    array, length = _checked(metric, features, role, ndim)
    return array / length


def frame_cosines(metric: str, features: Mapping[str, Features], frames: str, text: str) -> Floats:
    """[T] cosine of every frame with the caption.

    Args:
        frames, text: the roles, [T, D] and [D]; any length, not zero.

    Raises:
        MetricError: a role is missing, the shapes do not fit, or features are not finite.
    """
    frames_TD, text_D = unit_rows(metric, features, frames, 2), unit_rows(metric, features, text, 1)
    _check_one_model(metric, frames_TD, text_D)
    return frames_TD @ text_D


def frame_logits(metric: str, features: Mapping[str, Features], frames: str, text: str) -> Floats:
    """[T] inner product of every frame's unit features with the caption's scaled ones.

    Args:
        frames, text: the roles, [T, D] of any length and [D] of length exp(logit_scale).

    Raises:
        MetricError: as for `frame_cosines`.
    """
    frames_TD, (text_D, _) = unit_rows(metric, features, frames, 2), _checked(metric, features, text, 1)
    _check_one_model(metric, frames_TD, text_D)
    return frames_TD @ text_D


def _check_one_model(metric: str, frames_TD: Floats, text_D: Floats) -> None:
    if frames_TD.shape[1] != len(text_D):
        raise MetricError(
            f"{metric}: frames have {frames_TD.shape[1]} dimensions, the caption {len(text_D)}; "
            "both must come from one CLIP model"
        )


def _checked(metric: str, features: Mapping[str, Features], role: str, ndim: int) -> tuple[Floats, Floats]:
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
    return array, length
