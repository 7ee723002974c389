"""The committed small models: loaded as a user loads them, and good enough on a small held-out sample.

The full figures are in `worlds/sprites/weights/quality.json`, measured by `reelbench world quality`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import reelbench
from reelbench.reports.recorded.tables import read_recorded
from reelbench.reports.tables.measurement import format_measurement
from reelbench.worlds.sprites import commands, quality
from reelbench.worlds.sprites.scene import MOTIONS

WEIGHTS = commands.WEIGHTS
MIB = 2**20


def test_weights_are_small_enough_to_commit() -> None:
    files = [p for p in WEIGHTS.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 50 * MIB
    assert max(p.stat().st_size for p in files) < 13 * MIB


def test_recorded_quality_covers_the_models_that_are_shipped() -> None:
    recorded = json.loads((WEIGHTS / "quality.json").read_text())
    assert set(recorded) == set(commands.MODELS)
    for entry in recorded.values():
        assert entry["reached"] == (entry["value"] >= entry["bar"])
    assert recorded["t2i"]["num"] >= 200


def test_readme_says_of_simda_with_and_without_its_layout_prior_what_was_recorded() -> None:
    recorded = json.loads((WEIGHTS / "quality.json").read_text())
    root = Path(reelbench.__file__).resolve().parent
    readme = (root / "README.md").read_text(encoding="utf-8")

    def measured(name: str) -> str:
        folder = root / "docs" / "benchmark" / ("" if name == "simda" else name)
        rows = [
            row for row in read_recorded(folder, "summary") if row["method"] == name and row["seed"] is None
        ]
        found = {row["metric"]: format_measurement(row["value"], row["standard_error"]) for row in rows}
        return f"{found['fvd']} | {found['clipsim']}"

    for name in ("simda", "simda-paper"):
        value, num = recorded[name]["value"], recorded[name]["num"]
        drawn = recorded[name]["settings"]["frames_drawn_as_prompted"]
        (line,) = (line for line in readme.splitlines() if f"(`{name}`)" in line and line.count("|") == 8)
        assert f"| {round(value * num)} of {num} | {drawn:.0%} | {measured(name)} |" in line
        assert f"| {commands.STEPS[name]:,} |" in line


def test_open_clip_loads_the_clip_and_it_picks_captions() -> None:
    assert quality.clip_quality(WEIGHTS / "clip", num=60).value >= 0.85


def test_open_clips_tokenizer_takes_any_script_and_any_length() -> None:
    import open_clip

    tokenizer = open_clip.get_tokenizer(f"local-dir:{WEIGHTS / 'clip'}")
    tokens = tokenizer(["Красный круг", "红色圆圈 🎈", "word " * 500, ""])
    assert tokens.shape == (4, 32)
    vocabulary = json.loads((WEIGHTS / "clip" / "vocab.json").read_text())
    assert int(tokens.max()) < len(vocabulary)


def test_the_i3d_names_motions() -> None:
    from reelbench.metrics.extractors.i3d.weights import i3d_classes

    assert i3d_classes(WEIGHTS / "i3d") == MOTIONS
    assert quality.i3d_quality(WEIGHTS / "i3d", num=24).value >= 0.85


def test_diffusers_loads_the_pipeline_and_it_draws_what_is_prompted(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    measured = quality.t2i_quality(WEIGHTS / "t2i", num=16, steps=20, sheet=sheet)
    assert measured.value >= 0.7
    assert sheet.exists()


def test_the_sixteen_captions_differ_and_only_the_first_is_true() -> None:
    for scene in quality.held_out_scenes(100):
        texts = quality.sixteen_captions(scene)
        assert len(texts) == 16
        assert texts[0] not in texts[1:]
        if scene.other is not None:
            from reelbench.worlds.sprites.captions import still_caption

            assert still_caption(scene.other.colour, scene.other.shape, scene.background) not in texts


def test_latents_have_about_unit_deviation() -> None:
    import torch
    from diffusers import AutoencoderKL

    from reelbench.worlds.sprites.render import render

    vae = AutoencoderKL.from_pretrained(WEIGHTS / "t2i", subfolder="vae")
    frames = np.stack([render(s, frames=[8])[0] for s in quality.held_out_scenes(24)])
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        posterior = vae.encode(images).latent_dist
        restored = vae.decode(posterior.mode()).sample
    assert posterior.mode().shape[1:] == (4, 16, 16)
    assert float((posterior.mode() * vae.config.scaling_factor).std()) == pytest.approx(1, abs=0.3)
    assert float((restored - images).abs().mean()) < 0.06
