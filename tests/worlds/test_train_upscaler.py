"""The Sprites upscaler: its trainings at a few steps, what is measured of it, and the committed weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reelbench.methods.upscaling.low_resolution import shrink
from reelbench.methods.upscaling.upscaler import LatentUpscaler
from reelbench.worlds.sprites import train_adapters, train_upscaler
from reelbench.worlds.sprites.commands import WEIGHTS
from reelbench.worlds.sprites.scene import split_of
from reelbench.worlds.sprites.train_adapters import UPSCALER_TRAINING, train_upscaler_adapters
from reelbench.worlds.sprites.train_upscaler import clean_latent_weights, new_unet, train_image_upscaler
from reelbench.worlds.sprites.train_vae import SCALING_FACTOR, UPSCALER, set_scale, train_upscaler_vae
from reelbench.worlds.sprites.upscaler_quality import (
    bicubic,
    held_out_pairs,
    held_out_scenes,
    judged_pairs,
    psnr,
    upscaler_quality,
    write_upscaler_sheet,
)

from .combinations import combination

pytestmark = pytest.mark.usefixtures("one_thread")


def test_from_nothing_to_weights_that_the_stage_and_diffusers_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_upscaler, "NUM_FRAMES", 20)
    monkeypatch.setattr(train_adapters, "UPSCALER_PREVIEW_STEPS", 1)
    tiny = UPSCALER_TRAINING.model_copy(update={"precision": "float32"})
    out, adapters = tmp_path / "weights" / "upscaler", tmp_path / "weights" / "upscaler-simda"
    vae = train_upscaler_vae(tmp_path, 0, 2)
    train_image_upscaler(tmp_path, 0, 2, vae, WEIGHTS / "t2i", out)
    train_upscaler_adapters(tmp_path / "adapters", 0, 2, out, adapters, 4, tiny, num_previews=1)
    log = (tmp_path / "adapters" / "training" / "log.jsonl").read_text().splitlines()
    assert {"psnr", "excess", "flicker"} <= json.loads(log[-1]).keys()

    from diffusers import StableDiffusionUpscalePipeline

    assert json.loads((out / "vae" / "config.json").read_text())["scaling_factor"] == SCALING_FACTOR
    theirs: Any = StableDiffusionUpscalePipeline.from_pretrained(out)
    assert theirs.text_encoder.dtype == theirs.unet.dtype == torch.float32
    assert theirs.config.max_noise_level == 350
    config = LatentUpscaler.Config(weights=str(out), adapters=str(adapters), num_steps=1)
    session: Any = LatentUpscaler(config).load("cpu")
    clip, prompt = held_out_pairs(1)[0]
    assert session.upscale(shrink(clip, 2), prompt, 0).shape == (16, 64, 64, 3)


def test_rescaled_latents_decode_to_the_same_frames() -> None:
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae: Any = AutoencoderKL(**UPSCALER.config).eval()
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.no_grad():
        before = vae.encode(images).latent_dist
        decoded = vae.decode(before.mode()).sample
        set_scale(vae, 0.5)
        after = vae.encode(images).latent_dist
        torch.testing.assert_close(vae.decode(after.mode()).sample, decoded, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.mode() * SCALING_FACTOR, before.mode() / 0.5, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(after.std * SCALING_FACTOR, before.std / 0.5, atol=1e-4, rtol=1e-4)


def test_neighbouring_noise_levels_begin_alike() -> None:
    table = new_unet(0, torch.device("cpu")).class_embedding.weight
    assert len(table) == 351
    near, far = (table[100] - table[101]).norm(), (table[100] - table[300]).norm()
    assert 0 < near < 0.3 * far


def test_weighted_errors_of_the_velocity_are_errors_of_the_clean_latents() -> None:
    signal = torch.linspace(0.94, 0.01, 1000)
    weight = clean_latent_weights(signal)
    assert float(weight.mean()) == pytest.approx(1, abs=1e-5)
    clean, noise, fault = torch.tensor([2.0, -1.0]), torch.tensor([0.5, 0.3]), 0.1
    errors = []
    for t in (100, 900):
        a = signal[t]
        noisy = a.sqrt() * clean + (1 - a).sqrt() * noise
        velocity = a.sqrt() * noise - (1 - a).sqrt() * clean + fault
        errors.append((a.sqrt() * noisy - (1 - a).sqrt() * velocity - clean).square().mean())
    assert float(weight[900] / weight[100]) == pytest.approx(float(errors[1] / errors[0]), rel=1e-3)


class TestMeasure:
    def test_clips_are_held_out(self) -> None:
        for scene, (clip, prompt) in zip(held_out_scenes(6), held_out_pairs(6), strict=True):
            assert split_of(*combination(scene)) == "test"
            assert clip.shape == (16, 64, 64, 3)
            assert scene.main.shape in prompt or scene.main.colour in prompt

    def test_the_true_clip_is_perfect(self) -> None:
        clip = held_out_pairs(1)[0][0]
        assert psnr(clip, clip) == float("inf")
        assert judged_pairs([clip], [clip]) == {"psnr": float("inf"), "excess": 0.0, "flicker": 0.0}

    def test_noise_of_known_size_has_its_psnr(self) -> None:
        clip = np.full((4, 64, 64, 3), 128, np.uint8)
        signs = np.random.default_rng(0).choice([-10, 10], size=clip.shape)
        assert psnr((clip + signs).astype(np.uint8), clip) == pytest.approx(20 * np.log10(25.5))

    def test_flicker_is_seen_and_a_steady_fault_is_not_flicker(self) -> None:
        clip = held_out_pairs(1)[0][0] // 2 + 40
        steady = clip + np.uint8(10)
        assert judged_pairs([steady], [clip])["flicker"] == judged_pairs([steady], [clip])["excess"] == 0
        flickering = clip.copy()
        flickering[::2] += 10
        seen = judged_pairs([flickering], [clip])
        assert seen["flicker"] == pytest.approx(10)
        assert 0 < seen["excess"] <= 10

    def test_the_sheet_shows_every_version_of_a_clip(self, tmp_path: Path) -> None:
        from PIL import Image

        true = [clip for clip, _ in held_out_pairs(3)]
        made = {
            name: [np.full_like(clip, level) for clip in true]
            for name, level in (("bicubic", 10), ("frame_by_frame", 20), ("with_adapters", 30))
        }
        for num in (1, 3):
            write_upscaler_sheet(tmp_path / "sheet.png", true[:num], made, 2)
            sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
            assert sheet.shape == (5 * 64 * 3, num * 4 * 64 * 3, 3)
            assert [int(sheet[row * 192 + 96, 0, 0]) for row in (1, 2, 3)] == [10, 20, 30]
            assert np.array_equal(sheet[-192::3, :192:3], true[0][0])

    def test_bicubic_beats_repeated_pixels(self) -> None:
        true = [clip for clip, _ in held_out_pairs(6)]
        low = [shrink(clip, 2) for clip in true]
        assert bicubic(low[0], 2).shape == true[0].shape
        repeated = judged_pairs([clip.repeat(2, axis=1).repeat(2, axis=2) for clip in low], true)
        assert judged_pairs([bicubic(clip, 2) for clip in low], true)["psnr"] > repeated["psnr"] + 1


@pytest.mark.skipif(not (WEIGHTS / "upscaler").is_dir(), reason="no upscaler has been committed")
def test_the_committed_upscaler_draws_what_is_there_and_its_adapters_flicker_less() -> None:
    """A small sample; over the 24 clips of quality.json it is 0.3 dB above bicubic."""
    measured = upscaler_quality(num=2)
    assert measured.value > measured.bar - 1
    with_adapters, alone = (measured.settings[name] for name in ("with_adapters", "frame_by_frame"))
    assert with_adapters["flicker"] < alone["flicker"]
    files = [p for part in ("upscaler", "upscaler-simda") for p in (WEIGHTS / part).rglob("*.safetensors")]
    assert sum(p.stat().st_size for p in files) < 4 * 2**20
