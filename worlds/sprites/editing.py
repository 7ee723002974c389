"""Edits of Sprites: a scene, and the same scene with something else in it that moves in the same way.

The kinds are those of LOVEU-TGVE-2023, mapped to what a scene has:

* style: another colour (recolour), since flat shapes have no other style;
* object: another shape (reshape);
* background: another background;
* multiple: colour and background, or shape and background, in turn from video to video.

Everything else stays, so an edit is known pixel for pixel, and its caption differs in the changed words only.
Neither a source nor an edit shows a combination (colour, shape, background, motion) of the training split.
Motions are those that `check.judge_motion` tells apart, each equally often.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from ...datasets.edit_list import EDIT_KINDS, EditKind
from .captions import captions
from .motion_quality import JUDGED_MOTIONS
from .scene import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, Scene, local_generator, scene_of, split_of

NUM_FRAMES = 16
"""Frames of a written clip: what the embedded methods take at stride 1, so that they see the whole motion."""

_MOTIONS = tuple(motion for motion in MOTIONS if motion in JUDGED_MOTIONS)
_NUM_COMPLETE_CAPTIONS = 6
_Words = tuple[str, str, str]


@dataclass(frozen=True)
class EditScene:
    """One edit of a video.

    Attributes:
        id: of the sample that the data sets make of it, "sprite-003:object".
        video: name of the source video, "sprite-003".
        source: what the video shows; `render(source, NUM_FRAMES)` gives its frames.
        edit: kind of the edit.
        target: what the edited video should show.
        source_prompt, prompt: captions of the two, alike but for the changed words.
    """

    id: str
    video: str
    source: Scene
    edit: EditKind
    target: Scene
    source_prompt: str
    prompt: str


def edit_scenes(num_videos: int, seed: int = 0) -> list[EditScene]:
    """The edits of the written data sets in their order: four of each video, in the order of EDIT_KINDS.

    Fewer videos are a prefix of more.

    Raises:
        ValueError: `num_videos` is negative.
    """
    if num_videos < 0:
        raise ValueError(f"num_videos = {num_videos}: allowed are numbers from 0")
    return [edit for number in range(num_videos) for edit in _edits(number, seed)]


def _edits(number: int, seed: int) -> Iterator[EditScene]:
    """The four edits of video `number`."""
    turn, place = divmod(number, len(_MOTIONS))
    motion = _MOTIONS[place]
    combinations = _combinations(motion)
    shuffled = local_generator("edit sources", seed, motion).permutation(len(combinations))
    words = combinations[int(shuffled[turn % len(combinations)])]
    rng = local_generator("edit", seed, number)
    source = scene_of(words[0], words[1], words[2], motion, variant=int(rng.integers(2**31)))
    video, wording = f"sprite-{number:03d}", number % _NUM_COMPLETE_CAPTIONS
    multiple = ((0, 2), (1, 2))[(turn + place) % 2]
    for kind, changed in zip(EDIT_KINDS, ((0,), (1,), (2,), multiple), strict=True):
        target = _changed(source, _draw(_held_out(words, changed, motion), rng))
        yield EditScene(
            id=f"{video}:{kind}",
            video=video,
            source=source,
            edit=kind,
            target=target,
            source_prompt=captions(source)[wording],
            prompt=captions(target)[wording],
        )


@cache
def _combinations(motion: str) -> list[_Words]:
    """The (colour, shape, background) of the test split of which every kind of edit is held out too."""
    return [
        words
        for words in _all_words()
        if split_of(*words, motion) == "test"
        and all(_held_out(words, changed, motion) for changed in ((0,), (1,), (2,), (0, 2), (1, 2)))
    ]


def _held_out(words: _Words, changed: tuple[int, ...], motion: str) -> list[_Words]:
    """What the words become when those at `changed` become others, and no training clip shows the result."""
    return [
        other
        for other in _all_words()
        if all((other[i] != words[i]) == (i in changed) for i in range(3))
        and split_of(*other, motion) != "train"
    ]


@cache
def _all_words() -> list[_Words]:
    return [(c, s, b) for c in COLOURS for s in SHAPES for b in BACKGROUNDS]


def _draw(choices: list[_Words], rng: np.random.Generator) -> _Words:
    return choices[int(rng.integers(len(choices)))]


def _changed(scene: Scene, words: _Words) -> Scene:
    """The scene with other words; its placement, motion and texture stay."""
    colour, shape, background = words
    return replace(scene, main=replace(scene.main, colour=colour, shape=shape), background=background)
