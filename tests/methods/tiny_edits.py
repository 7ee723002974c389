"""One-shot methods at tiny size: a session, a reference clip and what it shows."""

from __future__ import annotations

from typing import Any

import numpy as np

SOURCE = "a red circle moves left"


def edit_session(method: Any, folder: str, **settings: Any) -> Any:
    """A session of three frames, three steps and two updates on a tiny pipeline."""
    tuning = {"steps": 2, "learning_rate": 1e-2, "gradient_checkpointing": False}
    tuning |= settings.pop("tuning", {})
    defaults = {"weights": folder, "num_frames": 3, "stride": 1, "start": 0, "num_steps": 3}
    return method(method.Config(**(defaults | settings), tuning=tuning)).load("cpu")


def reference(num_frames: int = 3, seed: int = 0) -> np.ndarray:
    """Random frames of 32 by 32 pixels."""
    return np.random.default_rng(seed).integers(0, 256, (num_frames, 32, 32, 3), dtype=np.uint8)
