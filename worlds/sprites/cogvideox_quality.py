"""Measures what the embedded CogVideoX shows for held-out prompts, by the judges that look at pixels alone.

The scenes are those of `motion_quality`. The prompt is a caption or the label in the manner of
Something-Something V2. Clips are enlarged to 64 pixels before they are judged; real clips, made as small as
the model's and enlarged again, are all judged right.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn.functional import interpolate

from ...core.types import Frames, Sample
from ...methods.cogvideox.text_to_video import CogVideoXTextToVideo
from .cogvideox_data import NUM_FRAMES
from .layouts import wordings
from .motion_quality import judged_clips, motion_scenes
from .quality import Quality, write_sheet
from .scene import Scene

Wording = Literal["caption", "label"]
WORDINGS: tuple[Wording, ...] = ("caption", "label")

_JUDGED_SIZE = 64
_SHEET_CLIPS = 32
_SHEET_FRAMES = (0, 3, 6, 9, 12, 15)


def enlarge(frames_THW3: Frames, size: int = _JUDGED_SIZE) -> Frames:
    """Frames at a larger size, uint8 [T, size, size, 3], by bilinear interpolation."""
    pixels_T3HW = torch.from_numpy(frames_THW3).permute(0, 3, 1, 2).float()
    larger = interpolate(pixels_T3HW, size=(size, size), mode="bilinear", align_corners=False)
    return larger.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def prompted_scenes(num: int, wording: Wording) -> list[tuple[Scene, str]]:
    """The first held-out scenes whose motion can be judged, with their prompts."""
    chosen = motion_scenes(num)
    if wording == "caption":
        return chosen
    return [(scene, wordings(scene)[0]) for scene, _ in chosen]


def sample_clips(
    folder: Path, prompts: Sequence[str], num_steps: int, guidance_scale: float, first_seed: int = 0
) -> list[Frames]:
    """One clip of 16 frames for each prompt, uint8; the seed of a clip is its number."""
    config = CogVideoXTextToVideo.Config(
        base=str(folder.resolve()), num_frames=NUM_FRAMES, num_steps=num_steps, guidance_scale=guidance_scale
    )
    session = CogVideoXTextToVideo(config).load("cuda" if torch.cuda.is_available() else "cpu")
    samples = [Sample(str(number), prompt, str(number)) for number, prompt in enumerate(prompts)]
    return list(session.generate(samples, None, range(first_seed, first_seed + len(samples))))


def cogvideox_quality(
    folder: Path,
    num: int = 100,
    num_steps: int = 30,
    guidance_scale: float = 5.0,
    wording: Wording = "label",
    sheet: Path | None = None,
) -> Quality:
    """Share of held-out prompts whose clip shows the motion that they name; see `judged_clips`.

    Args:
        folder: of the pipeline.
        sheet: where to write a picture of some frames of the first 32 clips, two clips in a row.
    """
    chosen = prompted_scenes(num, wording)
    clips = sample_clips(folder, [prompt for _, prompt in chosen], num_steps, guidance_scale)
    if sheet is not None:
        write_clip_sheet(sheet, clips[:_SHEET_CLIPS])
    settings = {
        "method": "cogvideox",
        "num_frames": NUM_FRAMES,
        "num_steps": num_steps,
        "guidance_scale": guidance_scale,
        "prompt": wording,
        "seeds": "the prompt's number",
    }
    return judged_clips([enlarge(clip) for clip in clips], [scene for scene, _ in chosen], settings)


def write_clip_sheet(path: Path, clips: Sequence[Frames]) -> None:
    """Writes six frames of each clip side by side, two clips in a row, enlarged."""
    frames: list[np.ndarray] = []
    for clip in clips:
        frames += list(enlarge(clip[list(_SHEET_FRAMES)]))
    write_sheet(path, frames, columns=2 * len(_SHEET_FRAMES))
