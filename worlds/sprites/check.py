"""Says what a frame shows by looking at its pixels: a judge that shares no blind spots with CLIP. Method:

* background: the base colour nearest to the median of the frame's border (a median, because a sprite may
  touch the border);
* colour: every pixel is compared with the palette; of the pixels that are nearer to a sprite's colour than
  to the background, the most frequent colour wins;
* shape: how far each pixel has gone from the background's colour to the sprite's gives a soft mask; its
  centroid and area place a template of every shape, at all rotations, and the best overlap wins.

Nothing depends on single pixels, so an autoencoder's blur and slight noise do no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .render import BACKGROUND_COLOURS, coverage
from .scene import COLOURS, MOTIONS, SHAPES

MIN_PIXELS = 20
"""A sprite of fewer pixels (of 64 x 64) counts as absent."""
MIN_OVERLAP = 0.55
"""A mask that overlaps no template this well (intersection over union) has no shape."""
MAX_BACKGROUND_DISTANCE = 60.0
"""A border whose median is further than this from every background's colour (RGB, Euclidean) has none."""

# Rotations after which a shape looks the same, as a fraction of a full turn; circles need one template.
_SYMMETRY = {"circle": 0, "ring": 0, "square": 4, "triangle": 3, "star": 5, "cross": 4}
_ANGLE_STEP = np.deg2rad(6.0)


@dataclass(frozen=True)
class Judgement:
    """What a frame shows; None where nothing of the kind was recognised."""

    colour: str | None
    shape: str | None
    background: str | None
    overlap: float
    """Intersection over union of the sprite's mask with the best template, 0 to 1."""
    area: float
    """Share of the frame that the sprite covers."""
    centre: tuple[float, float]
    """Centroid (x, y) as fractions of the side; (0.5, 0.5) without a sprite."""

    def shows(self, colour: str, shape: str, background: str) -> bool:
        """True when all three are as wished."""
        return (self.colour, self.shape, self.background) == (colour, shape, background)


@cache
def _area_of_unit(shape: str) -> float:
    """Area of a shape over the square of its radius, measured on a large drawing."""
    x, y, radius, angle = (np.array([v]) for v in (0.5, 0.5, 0.35, 0.0))
    cover = coverage(shape, x, y, radius, angle, 512)
    return float(cover.sum()) / (0.35 * 512) ** 2


@cache
def _angles(shape: str) -> tuple[float, ...]:
    if _SYMMETRY[shape] == 0:
        return (0.0,)
    turn = 2 * np.pi / _SYMMETRY[shape]
    count = int(np.ceil(turn / _ANGLE_STEP))
    return tuple(float(turn * i / count) for i in range(count))


def template_overlaps(mask_HW: np.ndarray) -> dict[str, float]:
    """Best soft intersection over union of a mask (values in [0, 1], square) with each shape."""
    size = mask_HW.shape[0]
    area = float(mask_HW.sum())
    grid = np.arange(size) + 0.5
    cx = float((mask_HW.sum(0) * grid).sum() / area / size)
    cy = float((mask_HW.sum(1) * grid).sum() / area / size)
    best: dict[str, float] = {}
    for shape in SHAPES:
        radius = np.sqrt(area / _area_of_unit(shape)) / size
        angles = np.array(_angles(shape))
        ones = np.ones_like(angles)
        drawn = coverage(shape, cx * ones, cy * ones, radius * ones, angles, size)
        both = np.minimum(drawn, mask_HW).sum((1, 2))
        either = np.maximum(drawn, mask_HW).sum((1, 2))
        best[shape] = float((both / either).max())
    return best


def judge_background(frame_HWC: np.ndarray) -> str | None:
    """The background whose base colour is nearest to the border's median; None when none is near."""
    f = np.asarray(frame_HWC, np.float32)
    edge = max(2, f.shape[0] // 16)
    border = np.concatenate(
        [part.reshape(-1, 3) for part in (f[:edge], f[-edge:], f[edge:-edge, :edge], f[edge:-edge, -edge:])]
    )
    middle = np.median(border, axis=0)
    distances = {k: float(np.linalg.norm(middle - np.array(v))) for k, v in BACKGROUND_COLOURS.items()}
    name = min(distances, key=lambda k: distances[k])
    return name if distances[name] <= MAX_BACKGROUND_DISTANCE else None


def sprite_mask(frame_HWC: np.ndarray, background: str | None) -> tuple[str | None, np.ndarray]:
    """The dominant sprite's colour and its soft mask, float32 [H, W] in [0, 1] (zeros without one)."""
    f = np.asarray(frame_HWC, np.float32)
    size = f.shape[0]
    floor = (
        np.array(BACKGROUND_COLOURS[background], np.float32)
        if background
        else np.median(f.reshape(-1, 3), axis=0)
    )
    names = list(COLOURS)
    palette = np.array([COLOURS[n] for n in names], np.float32)
    to_colour = np.linalg.norm(f[:, :, None] - palette, axis=-1)
    nearest, distance = to_colour.argmin(-1), to_colour.min(-1)
    is_sprite = distance < np.linalg.norm(f - floor, axis=-1)
    # A mixed edge pixel may be near a third colour; only well-matched pixels have a vote.
    votes = np.bincount(nearest[is_sprite & (distance < 100)], minlength=len(names))
    if votes.max() < MIN_PIXELS * (size / 64) ** 2:
        return None, np.zeros((size, size), np.float32)
    chosen = int(votes.argmax())
    towards = palette[chosen] - floor
    share = ((f - floor) @ towards) / float(towards @ towards)
    # Anything far off the line between the two colours is some other thing in the picture.
    off_line = np.linalg.norm(f - floor - share[..., None] * towards, axis=-1)
    mask = np.clip(1.15 * share - 0.1, 0, 1) * (off_line < 80)
    mask[share < 0.3] = 0
    return names[chosen], mask.astype(np.float32)


def judge(frame_HWC: np.ndarray) -> Judgement:
    """What a square uint8 RGB frame [H, W, 3] shows. Raises ValueError for another shape or type."""
    frame = np.asarray(frame_HWC)
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.shape[0] != frame.shape[1] or frame.dtype != np.uint8:
        raise ValueError(f"a square uint8 frame [H, W, 3] is needed, got {frame.dtype} {list(frame.shape)}")
    background = judge_background(frame)
    colour, mask = sprite_mask(frame, background)
    if colour is None:
        return Judgement(None, None, background, 0.0, 0.0, (0.5, 0.5))
    overlaps = template_overlaps(mask)
    shape = max(overlaps, key=lambda k: overlaps[k])
    overlap = overlaps[shape]
    size = frame.shape[0]
    grid = (np.arange(size) + 0.5) / size
    total = float(mask.sum())
    centre = (float((mask.sum(0) * grid).sum() / total), float((mask.sum(1) * grid).sum() / total))
    return Judgement(
        colour, shape if overlap >= MIN_OVERLAP else None, background, overlap, total / size**2, centre
    )


def judge_motion(clip_THWC: np.ndarray) -> str | None:
    """The motion of a clip with one sprite, from the path of its centroid and area.

    Tells the four directions, growing, shrinking, bouncing and 'stays still' apart (a turning sprite
    counts as still: its centroid and area rest). None without a sprite in most frames. uint8 [T, H, W, 3].
    """
    judgements = [judge(frame) for frame in clip_THWC]
    seen = [j for j in judgements if j.colour is not None]
    if len(seen) < max(2, len(judgements) // 2):
        return None
    x, y = (np.array([j.centre[i] for j in seen]) for i in (0, 1))
    area = np.array([j.area for j in seen])
    dx, dy = x[-1] - x[0], y[-1] - y[0]
    growth = area[-1] / area[0]
    travelled = float(np.abs(np.diff(y)).sum())
    if travelled > 0.25 and travelled > 1.6 * abs(dy):
        return MOTIONS[10]
    if growth > 1.5 or growth < 1 / 1.5:
        return "grows" if growth > 1 else "shrinks"
    if max(abs(dx), abs(dy)) < 0.08:
        return "stays still"
    if abs(dx) >= abs(dy):
        return "moves right" if dx > 0 else "moves left"
    return "moves down" if dy > 0 else "moves up"
