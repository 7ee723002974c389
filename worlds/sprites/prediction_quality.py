"""Measures what a prediction method shows on held-out Sprites clips in the layout of Something-Something V2.

Two frames and the label are given. The scenes have one sprite and a motion that the judge of pixels can tell
(`motion_quality`), and the judge is right about the true clip. Measured are

- the share of clips that show the motion that the label names;
- the same share among the clips whose two given frames do not tell the motion: neither of the two floors,
  which read no text, shows it (standing still is told by repeating, even motion by going on evenly);
- PSNR over the predicted frames at the method's own frame size, and that of repeating the last given frame;
  also among the clips in which something moves, since a still one is repeated without any error.

    python -m reelbench.worlds.sprites.prediction_quality fca --num 100
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from ...core.types import Frames, Sample
from ...datasets.video import seer_frames
from .check import judge_motion
from .cogvideox_data import NUM_FRAMES, shrink
from .cogvideox_quality import enlarge, write_clip_sheet
from .layouts import ssv2_label, world_clips
from .motion_quality import JUDGED_MOTIONS, judged_clips
from .quality import Quality
from .render import render
from .scene import Scene
from .upscaler_quality import psnr

MOTION_BAR = 0.70
NUM_GIVEN = 2
FLOORS = ("repeat-last-frame", "constant-velocity")
SAMPLING: dict[str, Any] = {"num_steps": 20, "guidance_scale": 2.0}
"""How the embedded FCA and LoRA are sampled, unless told otherwise."""


@dataclass(frozen=True)
class HeldOutClip:
    """A clip to predict.

    Attributes:
        scene: what it shows.
        label: its prompt.
        frames_THW3: uint8, 16 frames of 64 pixels, the given ones included.
        is_told: whether a floor shows the motion, so that no text is needed.
    """

    scene: Scene
    label: str
    frames_THW3: Frames
    is_told: bool

    @property
    def given_THW3(self) -> Frames:
        """The frames that a method gets."""
        return self.frames_THW3[:NUM_GIVEN]


def held_out_clips(num: int, blended: bool = False, seed: int = 0) -> list[HeldOutClip]:
    """The first clips of the validation split, with one sprite, whose motion the judge tells rightly.

    Args:
        blended: all frames of a clip blended to 16, as Seer reads it, and not the first 16 of them.
    """
    found: list[tuple[Scene, Frames]] = []
    # About half of the clips do; the margin costs nothing, as nothing is drawn before it is needed.
    for clip in world_clips("ssv2", "validate", 4 * num + 40, 0, seed):
        scene = clip.scene
        if len(found) == num or scene.other is not None or scene.motion not in JUDGED_MOTIONS:
            continue
        frames_THW3 = render(scene, clip.num_frames)
        frames_THW3 = seer_frames(frames_THW3, NUM_FRAMES) if blended else frames_THW3[:NUM_FRAMES]
        if judge_motion(frames_THW3) == scene.motion:
            found.append((scene, frames_THW3))
    floors = [predict(name, {}, [(scene, frames[:NUM_GIVEN]) for scene, frames in found]) for name in FLOORS]
    told = [
        any(judge_motion(made[number]) == scene.motion for made in floors)
        for number, (scene, _) in enumerate(found)
    ]
    return [
        HeldOutClip(scene, ssv2_label(scene)[0], frames, is_told)
        for (scene, frames), is_told in zip(found, told, strict=True)
    ]


def predict(
    method: str, config: Mapping[str, Any], given: Sequence[tuple[Scene, Frames]], prompts: str = "label"
) -> list[Frames]:
    """One clip of 16 frames by a method for each scene and its given frames; the seed is the number.

    Args:
        method: a registered method, or path/to/file.py:Class.
        config: its settings.
        given: scenes, and the frames that the method gets.
        prompts: "label"; "none" leaves the prompts empty.
    """
    import torch

    from ...core.registry import get

    cls = get("methods", method)
    session = cls(cls.Config(**config)).load("cuda" if torch.cuda.is_available() else "cpu")
    samples = [
        Sample(
            str(number),
            ssv2_label(scene)[0] if prompts == "label" else "",
            str(number),
            num_context_frames=len(frames),
            context=frames,
        )
        for number, (scene, frames) in enumerate(given)
    ]
    return list(session.generate(samples, None, list(range(len(samples)))))


def prediction_quality(
    method: str,
    num: int = 100,
    config: Mapping[str, Any] | None = None,
    blended: bool = False,
    prompts: str = "label",
    sheet: Path | None = None,
) -> Quality:
    """What a method predicts on held-out clips.

    Args:
        method: a registered method.
        num: clips.
        config: settings of the method.
        blended: see `held_out_clips`.
        prompts: "none" leaves the prompts empty, to see what the given frames alone give.
        sheet: where to write a picture: each clip above its true one.

    Returns:
        `value` is the share of clips with the motion of the label. `settings` hold that share among clips
        whose given frames do not tell (`untold_motion` of `num_untold`), the share of frames drawn as
        labelled, and `psnr` over predicted frames beside that of repeating the last given one, of all clips
        and of those that do not stand still (`moving_`).
    """
    settings = {**({} if method in FLOORS else SAMPLING), **(config or {})}
    held_out = held_out_clips(num, blended)
    clips = predict(method, settings, [(one.scene, one.given_THW3) for one in held_out], prompts)
    size = clips[0].shape[1]
    true = [shrink(one.frames_THW3, size).numpy() for one in held_out]
    if sheet is not None:
        pairs = [clip for pair in zip(clips[:16], true[:16], strict=True) for clip in pair]
        write_clip_sheet(sheet, pairs)
    judged = [clip if size >= 64 else enlarge(clip) for clip in clips]
    motions = [judge_motion(clip) for clip in judged]
    got = judged_clips(judged, [one.scene for one in held_out], motions=motions)
    pairs_seen = zip(motions, held_out, strict=True)
    untold = [seen == one.scene.motion for seen, one in pairs_seen if not one.is_told]
    shown = {name: value for name, value in settings.items() if name not in ("base", "trained")}
    recorded = {
        "method": method,
        **shown,
        "split": "validate",
        "reading": "seer" if blended else "first",
        "prompt": prompts,
        "seeds": "the clip's number",
        "frames_drawn_as_prompted": got.settings["frames_drawn_as_prompted"],
        "untold_motion": round(float(np.mean(untold)), 4) if untold else None,
        "num_untold": len(untold),
        **_psnr_beside_repeating(clips, true),
    }
    return Quality(got.value, got.num, MOTION_BAR, got.value >= MOTION_BAR, recorded, got.faults)


def _psnr_beside_repeating(clips: Sequence[Frames], true: Sequence[Frames]) -> dict[str, float | None]:
    """Means over clips of the PSNR over a clip's predicted frames, in dB."""
    repeated = [np.repeat(clip[NUM_GIVEN - 1 : NUM_GIVEN], NUM_FRAMES, axis=0) for clip in true]
    made, floor = (
        np.array([psnr(a[NUM_GIVEN:], b[NUM_GIVEN:]) for a, b in zip(some, true, strict=True)])
        for some in (clips, repeated)
    )
    moves = np.isfinite(floor)
    # A perfect clip (repeating where nothing moves) is infinite: it counts as 60 dB.
    means = {"psnr": np.minimum(made, 60), "psnr_of_repeating": np.minimum(floor, 60)}
    means |= {f"moving_{name}": values[moves] for name, values in means.items()}
    return {name: round(float(values.mean()), 3) if len(values) else None for name, values in means.items()}


def main(
    method: Annotated[str, typer.Argument(help="A registered method.")] = "fca",
    num: Annotated[int, typer.Option(help="Clips.")] = 100,
    base: Annotated[str, typer.Option(help="Of methods that have one.")] = "sprites/cogvideox",
    trained: Annotated[
        str | None, typer.Option(help="Trained parameters, for fca and cogvideox-lora.")
    ] = None,
    steps: Annotated[int, typer.Option(help="DDIM steps.")] = SAMPLING["num_steps"],
    guidance_scale: Annotated[float, typer.Option(help="Of guidance.")] = SAMPLING["guidance_scale"],
    blended: Annotated[bool, typer.Option(help="Clips as Seer reads them.")] = False,
    prompts: Annotated[str, typer.Option(help="label, or none.")] = "label",
    sheet: Annotated[Path | None, typer.Option(help="Picture to write.")] = None,
) -> None:
    """Measure a prediction method on held-out clips."""
    config: dict[str, Any] = {}
    if method not in FLOORS:
        config = {"base": base, "num_steps": steps, "guidance_scale": guidance_scale}
        if trained is not None:
            config["trained"] = trained
    got = prediction_quality(method, num, config, blended, prompts, sheet)
    typer.echo(f"{method}: {got.value:.1%} of {got.num}; {got.settings}; faults {got.faults}")


if __name__ == "__main__":
    from ...core.commands import run_command

    run_command(main)
