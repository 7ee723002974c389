"""What clip metrics share: the checks of features, and the mean of values per frame. All in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...core.contracts import ClipMetric
from ...core.errors import MetricError
from ...core.types import Features

Floats = npt.NDArray[np.float64]


def unit_rows(metric: str, features: Mapping[str, Features], role: str, ndim: int) -> Floats:
    """The features of a role, each row scaled to length 1.

    Args:
        metric: its label, for messages.
        role: "clip_image" ([T, D], ndim 2) or "clip_text" ([D], ndim 1).

    Raises:
        MetricError: the role is missing, of another shape, not finite, or has a row of length 0.
    """
    rows = directed_rows(metric, features, role, ndim)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def directed_rows(metric: str, features: Mapping[str, Features], role: str, ndim: int) -> Floats:
    """As `unit_rows`, each row at its own length."""
    rows = _values(metric, features, role)
    if rows.ndim != ndim or 0 in rows.shape:
        expected = "[T, D]" if ndim == 2 else "[D]"
        raise MetricError(f"{metric}: {role} features must be {expected}, got {list(rows.shape)}")
    length = np.linalg.norm(rows, axis=-1)
    if not np.isfinite(length).all() or not (length > 0).all():
        raise MetricError(f"{metric}: {role} features are NaN, infinite or zero")
    return rows


def _values(metric: str, features: Mapping[str, Features], role: str) -> Floats:
    if role not in features:
        raise MetricError(
            f"{metric} needs the features {role!r}, got {', '.join(sorted(features)) or 'none'}"
        )
    return np.asarray(features[role], dtype=np.float64)


class FrameMetric(ClipMetric):
    """The mean over a clip of one value per frame, or per pair of neighbouring frames."""

    version: ClassVar[str] = "1"
    formula: ClassVar[str] = "mean-over-frames"
    columns: ClassVar[tuple[str, ...]]
    """What its feature [T, K] holds of each frame; a feature of one column may be [T]."""
    column: ClassVar[str]
    """The one that is averaged."""

    def compute(self, features: Mapping[str, Features]) -> float:
        """The value of one clip.

        Args:
            features: the role of `needs`, [T, K] with the columns of `columns`, T >= 1.

        Raises:
            MetricError: the role is missing, the shape is another, or a value is not finite.
        """
        return self._of_column(self._frames(features)[:, self.columns.index(self.column)])

    def _of_column(self, values_T: Floats) -> float:
        return float(values_T.mean())

    def _frames(self, features: Mapping[str, Features]) -> Floats:
        """[T, K] checked."""
        (role,), num_columns = self.needs, len(self.columns)
        values = _values(self.label, features, role)
        columns = values[:, None] if values.ndim == 1 and num_columns == 1 else values
        if columns.ndim != 2 or columns.shape[1] != num_columns or len(columns) == 0:
            expected = "[T]" if num_columns == 1 else f"[T, {num_columns}]"
            raise MetricError(f"{self.label}: {role} features must be {expected}, got {list(values.shape)}")
        if not np.isfinite(columns).all():
            raise MetricError(f"{self.label}: {role} features are NaN or infinite")
        return columns
