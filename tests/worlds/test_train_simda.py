"""Training SimDA on Sprites: the whole way at a few clips and steps, and how motion is judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelbench.core.types import Sample
from reelbench.methods.adapters.adapters import PRESETS, load_adapters
from reelbench.methods.adapters.simda import SimDA
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.worlds.sprites.commands import WEIGHTS
from reelbench.worlds.sprites.motion_quality import JUDGED_MOTIONS, judged_clips, motion_scenes
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.scene import split_of
from reelbench.worlds.sprites.train_adapters import SIMDA_TRAINING, train_simda

from .combinations import combination


def test_prompts_are_held_out_and_name_motions_that_can_be_judged() -> None:
    chosen = motion_scenes(40)
    assert len(chosen) == 40
    assert motion_scenes(10) == chosen[:10]
    for scene, _ in chosen:
        assert scene.other is None
        assert scene.motion in JUDGED_MOTIONS
        assert split_of(*combination(scene)) == "test"
    assert {scene.motion for scene, _ in chosen} == JUDGED_MOTIONS


def test_real_clips_pass_the_judge_and_shuffled_ones_do_not() -> None:
    scenes = [scene for scene, _ in motion_scenes(24)]
    real = [render(scene) for scene in scenes]
    measured = judged_clips(real, scenes)
    assert measured.value >= 0.95
    assert measured.reached
    assert measured.settings["frames_drawn_as_prompted"] >= 0.9
    rng = np.random.default_rng(0)
    shuffled = judged_clips([clip[rng.permutation(16)] for clip in real], scenes)
    assert shuffled.value < 0.5
    assert not shuffled.reached
    assert sum(shuffled.faults.values()) >= 10


@pytest.mark.parametrize("paper", [False, True])
def test_from_clips_on_disk_to_adapters_that_the_method_loads(tmp_path: Path, paper: bool) -> None:
    out = tmp_path / "weights"
    tiny = SIMDA_TRAINING.model_copy(update={"precision": "float32"})
    file = train_simda(
        tmp_path,
        0,
        2,
        WEIGHTS / "t2i",
        out,
        num_clips=6,
        preview_every_steps=9,
        training=tiny,
        num_previews=0,
        paper=paper,
    )
    assert file == out / "adapters.safetensors"
    log = [json.loads(line) for line in (tmp_path / "training" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 2
    config = SimDA.Config(weights=str(WEIGHTS / "t2i"), adapters=str(out), num_steps=2, num_frames=16)
    session: Any = SimDA(config).load("cpu")
    frames = next(session.generate([Sample("a", motion_scenes(1)[0][1], "a")], None, [0]))
    assert frames.shape == (16, 64, 64, 3)
    assert session.describe()["trainable_parameters"] > 0
    assert (session.adapters.config == PRESETS["paper"]) == paper


def test_the_committed_adapters_are_those_of_the_paper_or_have_wider_parts_and_a_layout_prior() -> None:
    unet = load_pipeline(str(WEIGHTS / "t2i"), device="cpu").unet
    paper = load_adapters(WEIGHTS / "simda-paper", unet)
    assert paper.config == PRESETS["paper"]
    ours = load_adapters(WEIGHTS / "simda", unet)
    assert ours.config.layout_words
    assert ours.num_parameters > 3 * paper.num_parameters


@pytest.mark.skipif(not (WEIGHTS / "simda").is_dir(), reason="no adapters have been committed")
def test_the_committed_adapters_move_things_as_prompted() -> None:
    """A small sample; the full figure is in quality.json."""
    from reelbench.worlds.sprites.motion_quality import motion_quality

    # Half the steps of the recorded figure, and so few prompts that one of them is an eighth.
    assert motion_quality("simda", num=8, steps=10).value >= 0.25
    assert (WEIGHTS / "simda" / "adapters.safetensors").stat().st_size < 4 * 2**20
