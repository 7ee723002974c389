"""Measures how often a text-to-video method shows the motion that its prompt names.

The prompts are complete captions of held-out scenes with one sprite and a motion that `check.judge_motion`
can tell: four directions, growing, shrinking, bouncing, standing still. Turning changes no centroid or area.

Clips without coherent motion do not get each answer equally often (frames that jump about are often called
bouncing), so the level of chance is that of the zero-shot methods with the same prompts:

    python -m reelbench.worlds.sprites.motion_quality ddim-frames --num 40
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from .captions import captions
from .check import Judgement, judge, judge_motion
from .quality import Quality, held_out_scenes, share_of
from .scene import Scene

MOTION_BAR = 0.60
JUDGED_MOTIONS = frozenset(
    {"moves left", "moves right", "moves up", "moves down", "grows", "shrinks", "bounces", "stays still"}
)
_JUDGED_FRAMES = 4


def motion_scenes(num: int) -> list[tuple[Scene, str]]:
    """The first held-out scenes whose motion can be judged, each with one of its six complete captions."""
    return [(scene, captions(scene)[index % 6]) for index, scene in enumerate(_judged(num))]


def _judged(num: int) -> Iterator[Scene]:
    found = 0
    # One motion in three is not judged; the margin costs nothing, as scenes are a handful of numbers.
    for scene in held_out_scenes(4 * num + 40, single_sprite=True):
        if scene.motion in JUDGED_MOTIONS and found < num:
            found += 1
            yield scene


def judged_frames(clip_THWC: np.ndarray) -> list[Judgement]:
    """What four frames of a clip show, from the first to the last."""
    chosen = np.linspace(0, len(clip_THWC) - 1, _JUDGED_FRAMES).astype(int)
    return [judge(frame) for frame in clip_THWC[chosen]]


def _drawn_share(clip_THWC: np.ndarray, scene: Scene) -> float:
    wished = (scene.main.colour, scene.main.shape, scene.background)
    return float(np.mean([seen.shows(*wished) for seen in judged_frames(clip_THWC)]))


def judged_clips(
    clips: Sequence[np.ndarray],
    scenes: Sequence[Scene],
    settings: dict[str, Any] | None = None,
    motions: Sequence[str | None] | None = None,
) -> Quality:
    """What clips made from the prompts of scenes show.

    Args:
        clips: uint8 [T, H, W, 3], one for each scene.
        settings: recorded with the result, beside the share of frames drawn as prompted.
        motions: what `judge_motion` said of the clips, where that is known already.
    """
    hits, faults = 0, Counter[str]()
    motions = [judge_motion(clip) for clip in clips] if motions is None else motions
    for seen, scene in zip(motions, scenes, strict=True):
        hits += seen == scene.motion
        if seen != scene.motion:
            faults[f"{scene.motion} -> {seen}"] += 1
    drawn = float(np.mean([_drawn_share(clip, scene) for clip, scene in zip(clips, scenes, strict=True)]))
    recorded = {**(settings or {}), "split": "test", "frames_drawn_as_prompted": round(drawn, 4)}
    return share_of(hits, len(clips), MOTION_BAR, recorded, faults)


def motion_quality(
    method: str,
    num: int = 100,
    steps: int = 20,
    guidance_scale: float = 7.5,
    pipeline: str = "sprites/t2i",
    config: dict[str, Any] | None = None,
    save_to: Path | None = None,
) -> Quality:
    """Share of held-out prompts whose clip shows the motion that they name.

    Args:
        method: a registered method, or path/to/file.py:Class.
        steps, guidance_scale: of DDIM sampling; the seed of a clip is its number.
        config: further settings of the method.
        save_to: folder for the clips as mp4.
    """
    from ...core.registry import get
    from ...core.types import Sample
    from ...datasets.video import write_preview

    settings = {"num_frames": 16, "num_steps": steps, "guidance_scale": guidance_scale}
    cls = get("methods", method)
    session = cls(cls.Config(**{"weights": pipeline, **settings, **(config or {})})).load("cpu")
    chosen = motion_scenes(num)
    samples = [Sample(str(number), prompt, str(number)) for number, (_, prompt) in enumerate(chosen)]
    clips = list(session.generate(samples, None, list(range(num))))
    if save_to is not None:
        for number, clip in enumerate(clips):
            write_preview(save_to / f"{number:03d}.mp4", clip, 8.0)
    return judged_clips(clips, [scene for scene, _ in chosen], {"method": method, **settings})


def main(
    method: Annotated[str, typer.Argument(help="A registered method.")] = "simda",
    num: Annotated[int, typer.Option(help="Prompts.")] = 100,
    steps: Annotated[int, typer.Option(help="DDIM steps.")] = 20,
    guidance_scale: Annotated[float, typer.Option(help="Of classifier-free guidance.")] = 7.5,
    adapters: Annotated[str | None, typer.Option(help="Adapters, for methods that have any.")] = None,
    save_to: Annotated[Path | None, typer.Option(help="Folder for the clips.")] = None,
) -> None:
    """Measure the motion of a method on the embedded pipeline."""
    config = {} if adapters is None else {"adapters": adapters}
    got = motion_quality(method, num, steps, guidance_scale, config=config, save_to=save_to)
    typer.echo(f"{method}: {got.value:.1%} of {got.num}; {got.settings}; faults {got.faults}")


if __name__ == "__main__":
    from ...core.commands import run_command

    run_command(main)
