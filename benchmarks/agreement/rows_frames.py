"""Decoding and resizing."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from row import largest, row

from reelbench.core.types import ClipRef
from reelbench.datasets.video import read_clip, read_lossless, write_lossless, write_preview


@cache
def pictures() -> np.ndarray:
    """Frames with edges and gradients, uint8 [4, 240, 320, 3]."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:240, 0:320]
    frames = []
    for t in range(4):
        base = 127 + 60 * np.sin((x + 5 * t) / 17) + 60 * np.cos(y / 23)
        colour = np.stack([base, np.roll(base, 40, 0), 255 - base], -1) + rng.normal(0, 12, (240, 320, 3))
        colour[60:120, 80 + 6 * t : 160 + 6 * t] = rng.integers(0, 256, 3)
        frames.append(colour)
    return np.clip(np.stack(frames), 0, 255).astype(np.uint8)


@row("decode", "PyAV, H.264 4:2:0", "OpenCV's own FFmpeg", 2.0, "levels")
def decode_h264() -> float:
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        write_preview(path, np.tile(pictures(), (4, 1, 1, 1)), 8.0)
        ours = read_clip(ClipRef(path))
        capture = cv2.VideoCapture(str(path))
        theirs = []
        while (read := capture.read())[0]:
            theirs.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    return largest(ours, np.stack(theirs)) if len(theirs) == len(ours) else float("inf")


@row("decode", "frames stored losslessly (FFV1)", "the frames that were written", 0.0, "levels")
def decode_lossless() -> float:
    with tempfile.TemporaryDirectory() as folder:
        write_lossless(Path(folder) / "clip.mkv", pictures(), 8.0)
        return largest(read_lossless(Path(folder) / "clip.mkv"), pictures())


# -- resize ------------------------------------------------------------------------------------


def resized(**settings: Any) -> np.ndarray:
    """Our frames after one step, float32 [T, 224, 224, 3]."""
    from reelbench.metrics.extractors.backbone import resize_frames
    from reelbench.metrics.settings import ResizeStep

    step = ResizeStep(size=224, **settings)
    return resize_frames(pictures(), (step,), 224).permute(0, 2, 3, 1).numpy()


@row(
    "resize", "bilinear, antialiased, squash (`clean`)", "Pillow in float, channel by channel", 5e-3, "levels"
)
def resize_clean() -> float:
    from PIL import Image

    def resize(channel: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(channel.astype(np.float32))
        return np.asarray(picture.resize((224, 224), Image.Resampling.BILINEAR))

    theirs = [np.stack([resize(frame[..., c]) for c in range(3)], -1) for frame in pictures()]
    return largest(resized(), theirs)


@row(
    "resize",
    "bilinear without antialias (`stylegan-v`, `tats`)",
    "OpenCV INTER_LINEAR in float",
    5e-3,
    "levels",
)
def resize_plain() -> float:
    import cv2

    theirs = [
        cv2.resize(frame.astype(np.float32), (224, 224), interpolation=cv2.INTER_LINEAR)
        for frame in pictures()
    ]
    return largest(resized(antialias=False), theirs)


@row("resize", "TensorFlow 1's corner phase (`tf-reference`)", "its definition in float64", 5e-3, "levels")
def resize_corner() -> float:
    def axis(length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        at = np.arange(224) * (length / 224)
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, length - 1), at - low

    top, bottom, wy = axis(240)
    left, right, wx = axis(320)
    x = pictures().astype(np.float64)
    rows = x[:, top] * (1 - wy)[None, :, None, None] + x[:, bottom] * wy[None, :, None, None]
    theirs = rows[:, :, left] * (1 - wx)[None, None, :, None] + rows[:, :, right] * wx[None, None, :, None]
    return largest(resized(antialias=False, phase="corner"), theirs)


@row(
    "resize",
    "CLIP's transform (bicubic, crop, 8-bit)",
    "open_clip's own transform on Pillow images",
    1.01,
    "levels",
)
def resize_clip() -> float:
    from open_clip.transform import image_transform
    from PIL import Image

    transform = image_transform(224, is_train=False, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    theirs = (
        np.stack([transform(Image.fromarray(frame)).permute(1, 2, 0).numpy() for frame in pictures()]) * 255
    )
    ours = resized(geometry="short-side-crop", filter="bicubic", quantise="round")
    return largest(ours, theirs)
