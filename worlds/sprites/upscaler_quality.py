"""Measures the Sprites upscaler: clips shrunken from 64 to 32 pixels and enlarged again, on held-out scenes.

- PSNR against the true clip, the mean over clips of each clip's PSNR over all of its pixels, and that of
  bicubic enlargement, which is what an upscaler must beat.
- Stability, in levels of 255: `excess`, the mean absolute difference between consecutive frames less the true
  clip's, which flicker makes larger; and `flicker`, the mean absolute difference between the two clips'
  frame-to-frame changes, which also sees wrong changes that cancel in the mean.

    python -m reelbench.worlds.sprites.upscaler_quality --num 40 --sheet sheet.png
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ...core.types import Frames
from .captions import captions
from .quality import Quality, held_out_scenes, save_rows
from .render import render


def held_out_pairs(num: int) -> list[tuple[Frames, str]]:
    """The first clips of the test split, 16 frames of 64 pixels, each with one of its complete captions."""
    return [(render(scene), captions(scene)[index % 6]) for index, scene in enumerate(held_out_scenes(num))]


def bicubic(frames_Thw3: Frames, factor: int) -> Frames:
    """Frames enlarged by bicubic interpolation, uint8."""
    from PIL import Image

    height, width = frames_Thw3.shape[1] * factor, frames_Thw3.shape[2] * factor
    return np.stack(
        [
            np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
            for frame in frames_Thw3
        ]
    )


def psnr(clip_THW3: Frames, true_THW3: Frames) -> float:
    """Peak signal-to-noise ratio over all pixels of a clip in dB; infinite for equal clips."""
    error = np.square(clip_THW3.astype(np.float64) - true_THW3).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def judged_pairs(clips: Sequence[Frames], true_clips: Sequence[Frames]) -> dict[str, float]:
    """PSNR in dB, and `excess` and `flicker` in levels of 255, each the mean over clips."""
    rows = []
    for clip, true in zip(clips, true_clips, strict=True):
        change, true_change = (np.diff(c.astype(np.float64), axis=0) for c in (clip, true))
        excess = np.abs(change).mean() - np.abs(true_change).mean()
        rows.append((psnr(clip, true), excess, np.abs(change - true_change).mean()))
    means = np.mean(rows, axis=0)
    return dict(zip(("psnr", "excess", "flicker"), (float(value) for value in means), strict=True))


def upscaler_quality(
    upscaler: str = "sprites/upscaler",
    adapters: str = "sprites/upscaler-simda",
    num: int = 24,
    config: Mapping[str, Any] | None = None,
    sheet: Path | None = None,
) -> Quality:
    """PSNR of enlarged held-out clips over that of bicubic enlargement, and what the adapters add.

    Args:
        config: further settings of the upscaler; the seed of a clip is its number.
        sheet: where to write a picture: low resolution, bicubic, frame by frame, with adapters, true.

    Returns:
        `value` is the PSNR with adapters in dB, `bar` that of bicubic enlargement. `settings` hold PSNR and
        stability of the three.
    """
    from ...methods.upscaling.low_resolution import shrink
    from ...methods.upscaling.upscaler import LatentUpscaler

    pairs = held_out_pairs(num)
    true_clips = [clip for clip, _ in pairs]
    made: dict[str, list[Frames]] = {}
    factor = 1
    for name, location in (("frame_by_frame", None), ("with_adapters", adapters)):
        settings = {"weights": upscaler, "adapters": location, **(config or {})}
        session: Any = LatentUpscaler(LatentUpscaler.Config(**settings)).load("cpu")
        factor = session.factor
        made[name] = [
            session.upscale(shrink(clip, factor), prompt, seed) for seed, (clip, prompt) in enumerate(pairs)
        ]
    made["bicubic"] = [bicubic(shrink(clip, factor), factor) for clip in true_clips]
    measured = {name: judged_pairs(clips, true_clips) for name, clips in made.items()}
    if sheet is not None:
        write_upscaler_sheet(sheet, true_clips, made, factor)
    value, bar = measured["with_adapters"]["psnr"], measured["bicubic"]["psnr"]
    rounded = {name: {k: round(v, 3) for k, v in values.items()} for name, values in measured.items()}
    shown = LatentUpscaler.Config(**(config or {})).model_dump(
        include={"num_steps", "guidance_scale", "noise_level", "low_res_noise"}
    )
    recorded = {"unit": "dB", "split": "test", "factor": factor, **shown, **rounded}
    return Quality(round(value, 3), num, round(bar, 3), value > bar, recorded, {})


def write_upscaler_sheet(
    path: Path,
    true_clips: Sequence[Frames],
    made: Mapping[str, Sequence[Frames]],
    factor: int,
    num_clips: int = 3,
) -> None:
    """Writes clips side by side as a picture, tripled in size: a row per version, every fifth frame."""
    from ...methods.upscaling.low_resolution import shrink

    versions: list[list[Frames]] = [[] for _ in range(5)]
    for number, true in enumerate(true_clips[:num_clips]):
        low = shrink(true, factor).repeat(factor, axis=1).repeat(factor, axis=2)
        order = (low, *(made[name][number] for name in ("bicubic", "frame_by_frame", "with_adapters")), true)
        for row, clip in zip(versions, order, strict=True):
            row.extend(clip[::5])
    save_rows(path, versions, times=3)


def main(
    upscaler: Annotated[str, typer.Option(help="Location of the image upscaler.")] = "sprites/upscaler",
    adapters: Annotated[str, typer.Option(help="Location of the adapters.")] = "sprites/upscaler-simda",
    num: Annotated[int, typer.Option(help="Clips.")] = 40,
    steps: Annotated[int, typer.Option(help="DDIM steps.")] = 20,
    guidance_scale: Annotated[float, typer.Option(help="Of classifier-free guidance.")] = 1.0,
    noise_level: Annotated[int, typer.Option(help="Of the low resolution's augmentation.")] = 20,
    sheet: Annotated[Path | None, typer.Option(help="Picture to write.")] = None,
) -> None:
    """Measure the upscaler at other settings than its own."""
    config = {"num_steps": steps, "guidance_scale": guidance_scale, "noise_level": noise_level}
    got = upscaler_quality(upscaler, adapters, num, config, sheet)
    typer.echo(f"{got.value} dB, bicubic {got.bar} dB; {got.settings}")


if __name__ == "__main__":
    from ...core.commands import run_command

    run_command(main)
