"""Scenes of the Sprites world: what is in a clip, how it moves, and which split it belongs to.

A scene is a handful of numbers; `render.py` turns it into pixels and `captions.py` into words. Every
scene is a pure function of (index, split, seed), so no list of scenes has to be kept anywhere.

The splits share no combination: the hash of (colour, shape, background, motion) of the main sprite says
whether it belongs to `train` (80 %), `validate` (10 %) or `test` (10 %). A held-out clip therefore shows a
combination that no training clip showed, though each of its words occurs in training.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

Split = Literal["train", "validate", "test"]

SPLITS: tuple[Split, ...] = ("train", "validate", "test")

# Saturated colours for sprites, muted ones for backgrounds: the two sets stay apart in RGB even after
# the blur of an autoencoder, which is what lets `check.py` judge a frame without a learned model.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (230, 25, 35),
    "yellow": (250, 225, 20),
    "green": (10, 205, 50),
    "cyan": (20, 225, 235),
    "blue": (30, 45, 235),
    "magenta": (225, 30, 215),
}
SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "ring")
BACKGROUNDS: tuple[str, ...] = ("white", "black", "grass", "water", "sand", "brick")
MOTIONS: tuple[str, ...] = (
    "moves left",
    "moves right",
    "moves up",
    "moves down",
    "grows",
    "shrinks",
    "turns clockwise",
    "turns counter-clockwise",
    "passes in front",
    "passes behind",
    "bounces",
    "stays still",
)
"""The class list of the I3D of this world, in the order of its logits."""

# Turning a circle or a ring cannot be seen, so these never turn.
_ROUND = frozenset({"circle", "ring"})
_TWO_SPRITES = frozenset({"passes in front", "passes behind"})


@dataclass(frozen=True)
class Sprite:
    """One coloured shape. `radius` is that of its bounding circle as a fraction of the frame's side."""

    colour: str
    shape: str
    radius: float
    tilt: float
    """Resting angle in radians, positive clockwise on the screen."""


@dataclass(frozen=True)
class Scene:
    """All that a clip shows. Positions and sizes are fractions of the frame's side, y points down."""

    main: Sprite
    other: Sprite | None
    """The sprite that is passed, at rest; None unless the motion is a passing one."""
    other_at: tuple[float, float]
    background: str
    motion: str
    start: tuple[float, float]
    end: tuple[float, float]
    growth: float
    """Radius in the last frame over radius in the first."""
    turn: float
    """Radians from the first to the last frame, positive clockwise."""
    bounces: float
    """Number of half sine waves of the bouncing path."""
    bounce_height: float
    phase: float
    """Phase of the bounce as a fraction of one half wave."""
    texture_seed: int


@cache
def split_of(colour: str, shape: str, background: str, motion: str) -> Split:
    """The only split in which this combination may occur."""
    digest = hashlib.sha256(f"sprites/split|{colour}|{shape}|{background}|{motion}".encode()).digest()
    bucket = digest[0] * 256 + digest[1]
    return "test" if bucket % 10 == 0 else "validate" if bucket % 10 == 1 else "train"


def local_generator(*parts: object) -> np.random.Generator:
    """A generator of its own for whatever the parts name, the same on every machine."""
    digest = hashlib.sha256("|".join(["sprites", *map(str, parts)]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def sample_scene(index: int, split: Split, seed: int = 0) -> Scene:
    """The scene number `index` of a split.

    Colour, shape and background are drawn again until the combination falls into `split`; the motion is drawn
    once, so that every split has all motions equally often.

    Raises ValueError for an unknown split or a negative index.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: allowed are {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"scene index {index} is negative: indices start at 0")
    rng = local_generator("scene", seed, split, index)
    motion = MOTIONS[int(rng.integers(len(MOTIONS)))]
    shapes = [s for s in SHAPES if not (motion.startswith("turns") and s in _ROUND)]
    colours = tuple(COLOURS)
    while True:
        colour = colours[int(rng.integers(len(colours)))]
        shape = shapes[int(rng.integers(len(shapes)))]
        background = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
        if split_of(colour, shape, background, motion) == split:
            break
    return _arrange(rng, colour, shape, background, motion)


def scene_of(colour: str, shape: str, background: str, motion: str, variant: int = 0) -> Scene:
    """A scene of a wished combination, with placement drawn from `variant`. Raises ValueError for words
    outside the vocabulary."""
    for word, allowed in (
        (colour, tuple(COLOURS)),
        (shape, SHAPES),
        (background, BACKGROUNDS),
        (motion, MOTIONS),
    ):
        if word not in allowed:
            raise ValueError(f"unknown word {word!r}: allowed are {', '.join(allowed)}")
    rng = local_generator("variant", variant, colour, shape, background, motion)
    return _arrange(rng, colour, shape, background, motion)


def _arrange(rng: np.random.Generator, colour: str, shape: str, background: str, motion: str) -> Scene:
    """Draws places, sizes and speeds that make the motion unambiguous within 16 of at most 24 frames."""

    def uniform(low: float, high: float) -> float:
        return float(rng.uniform(low, high))

    def sign() -> float:
        return 1.0 if rng.random() < 0.5 else -1.0

    radius = uniform(0.15, 0.22)
    tilt = uniform(-0.12, 0.12)
    x, y = uniform(0.3, 0.7), uniform(0.3, 0.7)
    start, end = (x, y), (x, y)
    growth, turn, bounces, height, phase = 1.0, 0.0, 0.0, 0.0, 0.0
    other, other_at = None, (0.5, 0.5)

    if motion in ("moves left", "moves right", "moves up", "moves down"):
        travel = uniform(0.3, 0.54)
        middle = uniform(0.23 + travel / 2, 0.77 - travel / 2)
        low, high = middle - travel / 2, middle + travel / 2
        if motion == "moves left":
            start, end = (high, y), (low, y)
        elif motion == "moves right":
            start, end = (low, y), (high, y)
        elif motion == "moves up":
            start, end = (x, high), (x, low)
        else:
            start, end = (x, low), (x, high)
    elif motion in ("grows", "shrinks"):
        ratio = uniform(1.6, 2.1)
        small = uniform(0.12, 0.14)
        radius, growth = (small, ratio) if motion == "grows" else (small * ratio, 1 / ratio)
    elif motion in ("turns clockwise", "turns counter-clockwise"):
        # At most 0.14 rad a frame over 16 frames: well below half of the star's 72 degree symmetry.
        radius = uniform(0.17, 0.24)
        turn = uniform(1.2, 2.1) * (1 if motion == "turns clockwise" else -1)
        tilt = uniform(-np.pi, np.pi)
    elif motion in _TWO_SPRITES:
        # The two overlap only partly in the crossing direction, so the hidden one is never quite gone.
        radius = uniform(0.15, 0.18)
        colours = [c for c in COLOURS if c != colour]
        other = Sprite(
            colours[int(rng.integers(len(colours)))],
            SHAPES[int(rng.integers(len(SHAPES)))],
            uniform(0.16, 0.19),
            uniform(-0.12, 0.12),
        )
        other_at = (uniform(0.44, 0.56), uniform(0.4, 0.6))
        lane = other_at[1] + sign() * uniform(0.08, 0.13)
        reach = sign() * uniform(0.24, 0.3)
        start, end = (other_at[0] - reach, lane), (other_at[0] + reach, lane)
    elif motion == "bounces":
        bounces, height, phase = uniform(1.8, 2.8), uniform(0.25, 0.45), uniform(0, 1)
        radius = min(radius, 0.19)
        y = uniform(0.68, 0.78)
        start = end = (x, y)

    return Scene(
        main=Sprite(colour, shape, radius, tilt),
        other=other,
        other_at=other_at,
        background=background,
        motion=motion,
        start=start,
        end=end,
        growth=growth,
        turn=turn,
        bounces=bounces,
        bounce_height=height,
        phase=phase,
        texture_seed=int(rng.integers(2**31)),
    )
