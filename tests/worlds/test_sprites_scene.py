"""Scenes and captions: deterministic, disjoint splits, nothing untrue."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from reelbench.worlds.sprites.captions import captions
from reelbench.worlds.sprites.scene import (
    COLOURS,
    MOTIONS,
    SHAPES,
    SPLITS,
    sample_scene,
    scene_of,
    split_of,
)

from .combinations import combination


def test_a_scene_depends_on_index_split_and_seed_only() -> None:
    first = [sample_scene(i, "train") for i in range(20)]
    assert first == [sample_scene(i, "train") for i in range(20)]
    assert first != [sample_scene(i, "test") for i in range(20)]
    assert first != [sample_scene(i, "train", seed=1) for i in range(20)]


def test_splits_share_no_combination() -> None:
    seen = {split: {combination(sample_scene(i, split)) for i in range(800)} for split in SPLITS}
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validate"]
    assert not seen["validate"] & seen["test"]
    for split, combinations in seen.items():
        assert {split_of(*c) for c in combinations} == {split}


def test_every_split_has_every_motion_and_round_shapes_never_turn() -> None:
    for split in SPLITS:
        scenes = [sample_scene(i, split) for i in range(600)]
        counts = Counter(scene.motion for scene in scenes)
        assert set(counts) == set(MOTIONS)
        assert min(counts.values()) > 20
        assert not any(s.motion.startswith("turns") and s.main.shape in ("circle", "ring") for s in scenes)


def test_sprites_stay_inside_the_frame() -> None:
    for i in range(300):
        scene = sample_scene(i, "test")
        for x, y in (scene.start, scene.end):
            assert 0.13 < x < 0.87
            assert 0.13 < y < 0.87


def test_captions_say_nothing_untrue() -> None:
    for i in range(300):
        scene = sample_scene(i, "test")
        shown = [scene.main] + ([scene.other] if scene.other else [])
        texts = captions(scene)
        assert len(texts) == len(set(texts)) == 20
        for text in texts:
            # Backgrounds may carry a colour word of their own: "the green grass", "the blue water".
            words = set(re.findall(r"[a-z]+", text.replace("green grass", "").replace("blue water", "")))
            assert words & set(COLOURS) <= {s.colour for s in shown}
            assert words & set(SHAPES) <= {s.shape for s in shown}
        for text in texts[:6]:
            assert scene.main.colour in text
            assert scene.main.shape in text
            assert scene.background in text


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="purple"):
        scene_of("purple", "circle", "grass", "grows")
    with pytest.raises(ValueError, match="nowhere"):
        sample_scene(0, "nowhere")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="-1"):
        sample_scene(-1, "test")
