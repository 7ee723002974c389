"""A store whose clips are plain .npy files: the core knows no video library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelbench.core.atomic_write import atomic_path
from reelbench.core.store import ClipCodec, Store


def _write(path: Path, frames: np.ndarray, fps: float) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, frames)


@pytest.fixture
def codec() -> ClipCodec:
    return ClipCodec(
        write_lossless=_write,
        read_lossless=np.load,
        write_preview=_write,
        reference_digest=lambda ref, files: files.digest(ref.path),
    )


@pytest.fixture
def store(tmp_path: Path, codec: ClipCodec) -> Store:
    return Store(tmp_path / "store", codec)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)
