"""Rendering and the pixel-level judge: they must agree, also on blurred and noisy frames."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from reelbench.worlds.sprites.check import judge, judge_motion
from reelbench.worlds.sprites.render import render
from reelbench.worlds.sprites.scene import MOTIONS, sample_scene, scene_of


def test_render_is_deterministic_and_of_the_promised_shape() -> None:
    scene = sample_scene(3, "train")
    clip = render(scene, 20, 64)
    assert clip.shape == (20, 64, 64, 3)
    assert clip.dtype == np.uint8
    np.testing.assert_array_equal(clip, render(scene, 20, 64))
    np.testing.assert_array_equal(clip[[4, 7]], render(scene, 20, 64, frames=[4, 7]))


def test_every_motion_but_stillness_changes_the_picture() -> None:
    for motion in MOTIONS:
        clip = render(scene_of("red", "square", "white", motion)).astype(int)
        changed = np.abs(np.diff(clip, axis=0)).max() > 0
        assert changed == (motion != "stays still"), motion


def test_the_passing_order_decides_which_sprite_is_whole() -> None:
    front = scene_of("red", "square", "white", "passes in front", variant=1)
    from dataclasses import replace

    behind = replace(front, motion="passes behind")
    red = [(np.abs(render(s).astype(int) - (230, 25, 35)).sum(-1) < 30).sum((1, 2)) for s in (front, behind)]
    assert red[0].min() > 1.15 * red[1].min()


@pytest.mark.parametrize(("blur", "noise"), [(0.0, 0.0), (1.0, 6.0), (1.4, 10.0)])
def test_the_judge_reads_rendered_frames(blur: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    right = total = 0
    for i in range(60):
        scene = sample_scene(i, "test")
        if scene.other is not None:
            continue
        frame = render(scene, frames=[i % 16])[0]
        if blur:
            frame = np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(blur)))
            frame = np.clip(frame + noise * rng.standard_normal(frame.shape), 0, 255).astype(np.uint8)
        right += judge(frame).shows(scene.main.colour, scene.main.shape, scene.background)
        total += 1
    assert right / total >= 0.98


def test_the_judge_sees_no_sprite_where_there_is_none() -> None:
    grey = np.full((64, 64, 3), 245, np.uint8)
    assert judge(grey).colour is None
    assert judge(grey).shape is None
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert judge(noise).shape is None


def test_the_judge_refuses_what_is_no_frame() -> None:
    with pytest.raises(ValueError, match="uint8"):
        judge(np.zeros((64, 64, 3), np.float32))


def test_motions_are_read_off_the_path() -> None:
    for motion in ("moves left", "moves right", "moves up", "moves down", "grows", "shrinks", "bounces"):
        assert judge_motion(render(scene_of("blue", "star", "sand", motion))) == motion
