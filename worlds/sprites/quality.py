"""Measures the small models of this world on scenes that no training saw. The bars that were asked for:

* CLIP picks the right caption of a clip's middle frame among 16 for at least 90 % of the clips;
* the I3D names the motion of at least 95 % of the clips;
* the pipeline draws the prompted colour, shape and background for at least 85 % of 200 prompts, as judged
  by `check.py`.

Everything is read from the weights folder as a user would, in float32.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .captions import captions, still_caption
from .check import judge
from .render import render
from .scene import BACKGROUNDS, COLOURS, SHAPES, Scene, sample_scene

CLIP_BAR, I3D_BAR, T2I_BAR = 0.90, 0.95, 0.85


@dataclass(frozen=True)
class Quality:
    """One measured share of successes."""

    value: float
    num: int
    """How many clips or prompts were judged."""
    bar: float
    reached: bool
    settings: dict[str, Any]
    faults: dict[str, int]
    """What went wrong how often, most frequent first."""


def share_of(hits: int, num: int, bar: float, settings: dict[str, Any], faults: Counter[str]) -> Quality:
    """The quality of a model of which `num` answers were judged and `hits` were right."""
    value = hits / num
    return Quality(round(value, 4), num, bar, value >= bar, settings, dict(faults.most_common(12)))


def held_out_scenes(num: int, single_sprite: bool = False) -> Iterator[Scene]:
    """The first scenes of the test split; with `single_sprite` only those with one sprite."""
    index = found = 0
    while found < num:
        scene = sample_scene(index, "test")
        index += 1
        if scene.other is None or not single_sprite:
            found += 1
            yield scene


def sixteen_captions(scene: Scene) -> list[str]:
    """The true still caption first, then the 15 hardest wrong ones: one word's meaning differs.

    One that is true of the clip's second sprite is replaced by one that is wrong in colour and background.
    """
    colour, shape, background = scene.main.colour, scene.main.shape, scene.background
    shown = {(colour, shape, background)}
    if scene.other is not None:
        shown.add((scene.other.colour, scene.other.shape, background))
    wrong = [(c, shape, background) for c in COLOURS if c != colour]
    wrong += [(colour, s, background) for s in SHAPES if s != shape]
    wrong += [(colour, shape, b) for b in BACKGROUNDS if b != background]
    spare_colour = next(c for c in COLOURS if c != colour)
    spare_background = next(b for b in BACKGROUNDS if b != background)
    wrong = [(spare_colour, shape, spare_background) if w in shown else w for w in wrong]
    return [still_caption(*w) for w in [(colour, shape, background), *wrong]]


def clip_quality(folder: Path, num: int = 500) -> Quality:
    """Share of test clips whose middle frame is nearest to the true one of 16 captions."""
    import open_clip
    import torch
    from PIL import Image

    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    model.eval()
    hits, faults = 0, Counter[str]()
    with torch.inference_mode():
        for scene in held_out_scenes(num):
            frame = render(scene, frames=[8])[0]
            image = model.encode_image(preprocess(Image.fromarray(frame))[None], normalize=True)
            text = model.encode_text(tokenizer(sixteen_captions(scene)), normalize=True)
            chosen = int((image @ text.T).argmax())
            hits += chosen == 0
            if chosen:
                kind = "colour" if chosen <= 5 else "shape" if chosen <= 10 else "background"
                faults[kind + (" (two sprites)" if scene.other else "")] += 1
    settings = {"captions": 16, "frame": "8 of 16", "split": "test", "distractors": "one attribute changed"}
    return share_of(hits, num, CLIP_BAR, settings, faults)


def i3d_quality(folder: Path, num: int = 500) -> Quality:
    """Share of test clips (16 frames, 224 pixels, float32) whose motion is named."""
    motion = i3d_motion(folder)
    hits, faults = 0, Counter[str]()
    for scene in held_out_scenes(num):
        named = motion(render(scene))
        hits += named == scene.motion
        if named != scene.motion:
            faults[f"{scene.motion} -> {named}"] += 1
    return share_of(hits, num, I3D_BAR, {"frames": 16, "side": 224, "split": "test"}, faults)


def i3d_motion(folder: Path) -> Callable[[np.ndarray], str]:
    """Names the motion of a clip, uint8 [T, H, W, 3], by the I3D in a folder."""
    import torch

    from ...metrics.extractors.i3d.weights import i3d_classes, load_i3d
    from .train_i3d import i3d_input

    net, classes = load_i3d(folder), i3d_classes(folder)

    def motion(clip_THWC: np.ndarray) -> str:
        with torch.inference_mode():
            return classes[int(net(i3d_input(clip_THWC[None])).argmax())]

    return motion


def t2i_quality(
    folder: Path, num: int = 200, steps: int = 30, guidance_scale: float = 5.0, sheet: Path | None = None
) -> Quality:
    """Share of single-sprite test prompts that the pipeline draws as prompted.

    The prompts are the six complete captions in turn. `sheet`: where to draw the first 64 frames.
    """
    import torch
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    device = "cuda" if torch.cuda.is_available() else "cpu"
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None).to(device)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    scenes = list(held_out_scenes(num, single_sprite=True))
    prompts = [captions(scene)[i % 6] for i, scene in enumerate(scenes)]
    frames: list[np.ndarray] = []
    for start in range(0, num, 20):
        part = prompts[start : start + 20]
        generators = [torch.Generator("cpu").manual_seed(start + i) for i in range(len(part))]
        images = pipeline(
            part,
            height=64,
            width=64,
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            generator=generators,
            output_type="np",
        ).images
        frames += [np.rint(image * 255).astype(np.uint8) for image in images]
    hits, faults = 0, Counter[str]()
    for scene, frame in zip(scenes, frames, strict=True):
        seen = judge(frame)
        right = seen.shows(scene.main.colour, scene.main.shape, scene.background)
        hits += right
        for kind, want, got in (
            ("colour", scene.main.colour, seen.colour),
            ("shape", scene.main.shape, seen.shape),
            ("background", scene.background, seen.background),
        ):
            if want != got:
                faults[kind] += 1
                faults[f"{want} -> {got}"] += 1
    if sheet is not None:
        write_sheet(sheet, frames[:64])
    settings = {
        "scheduler": "DDIM",
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "split": "test",
        "seeds": "the prompt's number",
    }
    return share_of(hits, num, T2I_BAR, settings, faults)


def write_sheet(path: Path, frames: list[np.ndarray], columns: int = 16) -> None:
    """Writes frames of one size side by side as a picture."""
    padded = frames + [np.zeros_like(frames[0])] * (-len(frames) % columns)
    save_rows(path, [padded[i : i + columns] for i in range(0, len(padded), columns)])


def save_rows(path: Path, rows: Sequence[Sequence[np.ndarray]], times: int = 1) -> None:
    """Writes rows of frames, each as long as the others, as a picture, enlarged `times`."""
    from PIL import Image

    picture = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.repeat(times, axis=0).repeat(times, axis=1)).save(path)


def write_quality(weights: Path, measured: dict[str, Quality]) -> Path:
    """Merges measured qualities into `quality.json` beside the weights and returns its path."""
    path = weights / "quality.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    known |= {name: asdict(quality) for name, quality in measured.items()}
    path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    return path
