"""Folders of small videos on both sides, as a user has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelbench.datasets.video import write_lossless


def moving_noise(seed: int, num_frames: int = 18, size: int = 32, speed: int = 1) -> np.ndarray:
    """A noise picture that shifts from frame to frame, uint8 [T, H, W, 3]."""
    picture = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return np.stack([np.roll(picture, speed * t, axis=1) for t in range(num_frames)])


class Folders:
    """`generated/`, `other/`, `real/` with clips a to f, and captions."""

    names = "abcdef"

    def __init__(self, root: Path) -> None:
        self.root = root
        self.generated, self.other, self.real = root / "generated", root / "other", root / "real"
        for number, folder in enumerate((self.generated, self.other, self.real)):
            folder.mkdir()
            for index, name in enumerate(self.names):
                frames = moving_noise(100 * number + index, speed=1 + number)
                write_lossless(folder / f"{name}.mkv", frames, 8.0)
        self.captions = root / "captions.csv"
        self.captions.write_text(
            "name,caption\n" + "".join(f"{name},a clip called {name}\n" for name in self.names)
        )

    def write(self, path: str, frames: np.ndarray, fps: float = 8.0) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        write_lossless(self.root / path, frames, fps)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)
