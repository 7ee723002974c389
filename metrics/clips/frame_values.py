"""What metrics of values per frame (or per pair of frames) check before they average."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.errors import MetricError
from ...core.types import Features
from ..sets.features import Floats


def frame_values(metric: str, features: Mapping[str, Features], role: str, num_columns: int) -> Floats:
    """The values of a role in float64, one row for each frame.

    Args:
        metric: its label, for messages.
        role: "flow", "pair_pixels", ...
        num_columns: K of features [T, K]; features of one column may be [T].

    Returns:
        [T, K], T >= 1.

    Raises:
        MetricError: the role is missing, the shape is another, or a value is not finite.
    """
    if role not in features:
        raise MetricError(
            f"{metric} needs the features {role!r}, got {', '.join(sorted(features)) or 'none'}"
        )
    values = np.asarray(features[role], dtype=np.float64)
    expected = "[T]" if num_columns == 1 else f"[T, {num_columns}]"
    columns = values[:, None] if values.ndim == 1 and num_columns == 1 else values
    if columns.ndim != 2 or columns.shape[1] != num_columns or len(columns) == 0:
        raise MetricError(f"{metric}: {role} features must be {expected}, got {list(values.shape)}")
    if not np.isfinite(columns).all():
        raise MetricError(f"{metric}: {role} features are NaN or infinite")
    return columns
