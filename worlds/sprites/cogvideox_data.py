"""Clips and words for the embedded CogVideoX: frames of 32 pixels, their captions, their tokens.

The frames are drawn at 64 pixels, as the data sets of this world are written, and made smaller by the very
function that the methods use on what they read. Captions are this world's own and its labels in the manner
of Something-Something V2, filled in or with "something" for the things.

Shape suffixes: N clips, T frames, H height, W width, K wordings, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...methods.frames import fit_frames
from .layouts import wordings
from .render import background, render
from .scene import Scene, Split, local_generator, sample_scene
from .tokenizer import token_ids
from .training import save_whole

SIZE = 32
NUM_FRAMES = 16
_FIRST_SCENE = 50_000_000
"""From here on scenes are in no data set that this model is measured on; Epic-Kitchens' layout has them."""

WINDOW_SHARE = 0.3
"""Share of the clips that are 16 frames out of 20 or 24, as a reader may cut them from a longer video."""
NUM_COMPLETE = 6
"""Captions that name colour, shape, background and motion; they come first."""


@dataclass(frozen=True)
class ClipPool:
    """Training clips in memory.

    Attributes:
        frames_NTHW3: uint8.
        backdrops_NHW3: uint8, the background of each clip without its sprites.
        single_N: bool, whether a clip shows one sprite only.
        tokens_NKL: int16; wordings 0 the label, 1 the template, then the twenty captions.
    """

    frames_NTHW3: Tensor
    backdrops_NHW3: Tensor
    single_N: Tensor
    tokens_NKL: Tensor

    def __len__(self) -> int:
        return len(self.frames_NTHW3)


def shrink(frames_THW3: np.ndarray, size: int = SIZE) -> Tensor:
    """Frames at the size of the model, uint8 [T, size, size, 3]."""
    return fit_frames(frames_THW3, size, size).round().to(torch.uint8).permute(0, 2, 3, 1)


def pool_scene(number: int, seed: int, split: Split = "train") -> Scene:
    """The scene of a clip of the pool."""
    return sample_scene(_FIRST_SCENE + number, split, seed)


def pool_frames(scene: Scene, number: int, seed: int) -> np.ndarray:
    """Sixteen frames of 64 pixels, uint8: the whole motion, or a stretch of a longer clip."""
    rng = local_generator("cogvideox-window", seed, number)
    length = int(rng.choice([20, 24])) if rng.random() < WINDOW_SHARE else NUM_FRAMES
    first = int(rng.integers(length - NUM_FRAMES + 1))
    return render(scene, length, frames=range(first, first + NUM_FRAMES))


def draw_wording(rng: np.random.Generator) -> int:
    """The number of a wording: half of the time the label, mostly complete captions otherwise."""
    kind = rng.random()
    if kind < 0.5:
        return 0
    if kind < 0.55:
        return 1
    if kind < 0.88:
        return 2 + int(rng.integers(NUM_COMPLETE))
    return 2 + NUM_COMPLETE + int(rng.integers(20 - NUM_COMPLETE))


def clip_pool(tokenizer: Any, num: int, seed: int, cache: Path) -> ClipPool:
    """Draws the training clips, or reads them from the cache file when it is there."""
    names = ("frames_NTHW3", "backdrops_NHW3", "single_N", "tokens_NKL")
    if cache.is_file():
        saved = torch.load(cache, weights_only=True, mmap=True)
        if len(saved["frames_NTHW3"]) == num:
            return ClipPool(**{name: saved[name] for name in names})
    frames = torch.empty((num, NUM_FRAMES, SIZE, SIZE, 3), dtype=torch.uint8)
    backdrops = torch.empty((num, SIZE, SIZE, 3), dtype=torch.uint8)
    single = torch.empty(num, dtype=torch.bool)
    texts: list[str] = []
    for number in range(num):
        scene = pool_scene(number, seed)
        frames[number] = shrink(pool_frames(scene, number, seed))
        empty = np.rint(background(scene.background, scene.texture_seed, 64)).astype(np.uint8)
        backdrops[number] = shrink(empty[None])[0]
        single[number] = scene.other is None
        texts += wordings(scene)
    tokens = token_ids(tokenizer, texts).to(torch.int16)
    pool = ClipPool(frames, backdrops, single, tokens.reshape(num, -1, tokens.shape[1]))
    save_whole(cache, {name: getattr(pool, name) for name in names})
    return pool


def as_pixels(frames: Tensor) -> Tensor:
    """uint8 [..., T, H, W, 3] to float32 [..., 3, T, H, W] in [-1, 1]."""
    return (frames.float() / 127.5 - 1).movedim(-1, -4)
