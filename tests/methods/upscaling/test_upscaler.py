"""The upscaler "latent-upscaler" on a tiny real folder: against diffusers' pipeline, and with adapters."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
import typer
from typer.testing import CliRunner

from reelbench.cli.train import upscaler as train_command
from reelbench.core.contracts import Upscaler
from reelbench.core.errors import ClipRefusedError, RunFileError, VideoError, WeightsError
from reelbench.core.types import Frames, WeightsRef
from reelbench.methods.adapters.adapters import AdapterConfig, Adapters, save_adapters
from reelbench.methods.noise import independent_noise
from reelbench.methods.upscaling.low_resolution import augmentation_noise, network_range
from reelbench.methods.upscaling.pipeline import load_upscaler
from reelbench.methods.upscaling.upscaler import LatentUpscaler
from reelbench.worlds.sprites.write import write_world

T = 3
PROMPT = "a red circle moves left"


def low_res_clip(height: int = 8, width: int = 8) -> Frames:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(T, height, width, 3), dtype=np.uint8)


def session(folder: str, adapters: str | None = None, **settings: Any) -> Any:
    defaults = {"weights": folder, "adapters": adapters, "num_steps": 3}
    return LatentUpscaler(LatentUpscaler.Config(**(defaults | settings))).load("cpu")


def untrained(folder: str, out: Path, shift: str = "paper") -> str:
    network = load_upscaler(folder, device="cpu").unet.network
    save_adapters(out, Adapters(network, AdapterConfig.model_validate({"latent_shift": shift})))
    return str(out)


class TestContract:
    def test_it_keeps_the_contract(self, make_upscaler: Callable[..., str]) -> None:
        folder = make_upscaler()
        made: Upscaler = LatentUpscaler(LatentUpscaler.Config(weights=folder, adapters="a/b"))
        assert (made.name, made.version) == ("latent-upscaler", "1")
        assert made.weights() == (WeightsRef("upscaler", folder), WeightsRef("adapters", "a/b"))
        alone = LatentUpscaler(LatentUpscaler.Config(weights=folder, adapters=None))
        assert alone.weights() == (WeightsRef("upscaler", folder),)
        frames = alone.load("cpu").upscale(low_res_clip(), PROMPT, 0)
        assert (frames.dtype, frames.shape) == (np.uint8, (T, 32, 32, 3))

    @pytest.mark.parametrize(
        "wrong", [{"noise_level": -1}, {"low_res_noise": "none"}, {"factor": 4}], ids=str
    )
    def test_settings_out_of_range_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(pydantic.ValidationError):
            LatentUpscaler.Config(**wrong)


class TestImageUpscaler:
    """Without adapters every frame is what diffusers' pipeline makes of it."""

    @pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
    @pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
    def test_frames_are_those_of_diffusers(
        self,
        make_upscaler: Callable[..., str],
        prediction: str,
        guidance_scale: float,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        from diffusers import StableDiffusionUpscalePipeline

        folder, clip, level = make_upscaler(prediction), low_res_clip(8, 12), 40
        got = session(folder, guidance_scale=guidance_scale, noise_level=level, negative_prompt="no").upscale(
            clip, PROMPT, 5
        )
        theirs: Any = StableDiffusionUpscalePipeline.from_pretrained(folder)
        theirs.set_progress_bar_config(disable=True)
        noise = augmentation_noise((T, 3, 8, 12), "per-frame", 5)
        # Their noise comes from a generator of theirs; ours is put in its place.
        module = sys.modules[StableDiffusionUpscalePipeline.__module__]
        monkeypatch.setattr(module, "randn_tensor", lambda shape, **_: noise)
        expected = theirs(
            [PROMPT] * T,
            image=network_range(clip),
            num_inference_steps=3,
            guidance_scale=guidance_scale,
            noise_level=level,
            negative_prompt=["no"] * T,
            latents=independent_noise(5, T, (4, 8, 12)),
            output_type="np",
        ).images
        assert got.shape == (T, 32, 48, 3)
        assert np.abs(got - np.rint(expected * 255)).max() <= 1

    def test_the_factor_is_that_of_the_vae(self, make_upscaler: Callable[..., str]) -> None:
        ready = session(make_upscaler(vae_levels=2))
        assert ready.factor == 2
        assert ready.upscale(low_res_clip(), PROMPT, 0).shape == (T, 16, 16, 3)
        assert ready.describe()["factor"] == 2

    def test_it_depends_on_frames_prompt_seed_and_noise_level(
        self, make_upscaler: Callable[..., str]
    ) -> None:
        ready = session(make_upscaler())
        base = ready.upscale(low_res_clip(), PROMPT, 0)
        assert np.array_equal(ready.upscale(low_res_clip(), PROMPT, 0), base)
        others = (
            ready.upscale(255 - low_res_clip(), PROMPT, 0),
            ready.upscale(low_res_clip(), "a blue square on sand", 0),
            ready.upscale(low_res_clip(), PROMPT, 1),
            session(make_upscaler(), noise_level=90).upscale(low_res_clip(), PROMPT, 0),
            session(make_upscaler(), low_res_noise="shared").upscale(low_res_clip(), PROMPT, 0),
        )
        assert not any(np.array_equal(other, base) for other in others)

    def test_half_precision(self, make_upscaler: Callable[..., str]) -> None:
        exact = session(make_upscaler()).upscale(low_res_clip(), PROMPT, 0).astype(int)
        ready = session(make_upscaler(), dtype="bfloat16")
        rough = ready.upscale(low_res_clip(), PROMPT, 0)
        assert ready.pipeline.unet.network.dtype == torch.bfloat16
        assert ready.pipeline.vae.dtype == torch.float32
        assert 0 < np.abs(rough - exact).mean() < 8


class TestAdapters:
    def test_untrained_adapters_change_nothing(
        self, make_upscaler: Callable[..., str], tmp_path: Path
    ) -> None:
        alone = session(make_upscaler()).upscale(low_res_clip(), PROMPT, 2)
        adapters = untrained(make_upscaler(), tmp_path, shift="off")
        assert np.array_equal(session(make_upscaler(), adapters).upscale(low_res_clip(), PROMPT, 2), alone)

    def test_latent_shift_leaves_the_first_frame(
        self, make_upscaler: Callable[..., str], tmp_path: Path
    ) -> None:
        alone = session(make_upscaler()).upscale(low_res_clip(), PROMPT, 2).astype(int)
        ready = session(make_upscaler(), untrained(make_upscaler(), tmp_path), guidance_scale=1.0)
        made = ready.upscale(low_res_clip(), PROMPT, 2)
        assert np.abs(made[0] - alone[0]).max() <= 1
        assert np.abs(made[1:] - alone[1:]).max() > 2
        assert ready.describe()["trainable_parameters"] > 0

    def test_trained_adapters_mix_frames_and_are_taken_off(
        self, make_upscaler: Callable[..., str], tmp_path: Path
    ) -> None:
        network = load_upscaler(make_upscaler(), device="cpu").unet.network
        adapters = Adapters(network, AdapterConfig(latent_shift="off"))
        generator = torch.Generator().manual_seed(1)
        for parameter in adapters.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
        save_adapters(tmp_path, adapters)
        ready = session(make_upscaler(), str(tmp_path), guidance_scale=3.0)
        clip, other = low_res_clip(), low_res_clip()
        other[1] = 255 - other[1]
        one, two = ready.upscale(clip, PROMPT, 0), ready.upscale(other, PROMPT, 0)
        assert not np.array_equal(one[0], two[0])  # the neighbour's change is seen
        assert np.array_equal(ready.upscale(clip, PROMPT, 0), one)
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in ready.pipeline.unet.modules())

    def test_adapters_of_another_model_are_refused(
        self, make_upscaler: Callable[..., str], tmp_path: Path
    ) -> None:
        from reelbench.methods.stable_diffusion.pipeline import load_pipeline

        save_adapters(tmp_path, Adapters(load_pipeline("sprites/t2i", device="cpu").unet, AdapterConfig()))
        with pytest.raises(WeightsError, match="do not fit this UNet"):
            session(make_upscaler(), str(tmp_path))


class TestRefusals:
    @pytest.mark.parametrize(("height", "width"), [(8, 9), (7, 8)])
    def test_a_size_that_does_not_fit(
        self, make_upscaler: Callable[..., str], height: int, width: int
    ) -> None:
        with pytest.raises(RunFileError, match=f"{height} by {width} pixels .* multiples of 2"):
            session(make_upscaler()).upscale(low_res_clip(height, width), PROMPT, 0)

    @pytest.mark.parametrize(
        "wrong",
        [np.zeros((0, 8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros((2, 8, 8, 3), np.float32)],
        ids=["no frames", "one picture", "float"],
    )
    def test_what_is_no_clip(self, make_upscaler: Callable[..., str], wrong: Any) -> None:
        with pytest.raises(VideoError, match="uint8"):
            session(make_upscaler()).upscale(wrong, PROMPT, 0)

    def test_a_noise_level_that_has_no_label(self, make_upscaler: Callable[..., str]) -> None:
        with pytest.raises(RunFileError, match="noise_level is 100; this upscaler knows 0 to 99"):
            session(make_upscaler(), noise_level=100)

    def test_a_text_to_image_folder(self, pipeline_folder: str) -> None:
        with pytest.raises(WeightsError, match="low_res_scheduler"):
            session(pipeline_folder)

    def test_a_unet_without_noise_levels(self, make_upscaler: Callable[..., str]) -> None:
        with pytest.raises(WeightsError, match="no class labels"):
            session(make_upscaler(labels=None))

    def test_a_unet_of_other_channels(self, make_upscaler: Callable[..., str], tmp_path: Path) -> None:
        from diffusers import AutoencoderKL

        copy = Path(shutil.copytree(make_upscaler(), tmp_path / "copy"))
        shutil.rmtree(copy / "vae")
        AutoencoderKL(latent_channels=3, norm_num_groups=4, block_out_channels=(8,)).save_pretrained(
            copy / "vae"
        )
        with pytest.raises(WeightsError, match="takes 7 channels"):
            session(str(copy))

    def test_a_folder_that_lacks_a_part(self, make_upscaler: Callable[..., str], tmp_path: Path) -> None:
        copy = Path(shutil.copytree(make_upscaler(), tmp_path / "copy"))
        shutil.rmtree(copy / "vae")
        with pytest.raises(WeightsError, match=r"vae/config\.json"):
            session(str(copy))
        index = json.loads((copy / "model_index.json").read_text())
        (copy / "model_index.json").write_text(json.dumps(index | {"text_encoder_2": index["text_encoder"]}))
        with pytest.raises(WeightsError, match="two text encoders"):
            session(str(copy))

    def test_nan_is_refused_and_the_session_stays_usable(self, make_upscaler: Callable[..., str]) -> None:
        ready = session(make_upscaler())
        expected = ready.upscale(low_res_clip(), PROMPT, 0)
        bias = ready.pipeline.unet.network.conv_out.bias
        kept = bias.clone()
        bias.fill_(float("nan"))
        with pytest.raises(ClipRefusedError, match="NaN"):
            ready.upscale(low_res_clip(), PROMPT, 0)
        bias.copy_(kept)
        assert np.array_equal(ready.upscale(low_res_clip(), PROMPT, 0), expected)

    def test_the_unet_asks_for_its_pictures(self, make_upscaler: Callable[..., str]) -> None:
        unet = load_upscaler(make_upscaler(), device="cpu").unet
        latents, text = torch.zeros(4, 4, 8, 8), torch.zeros(4, 16, 24)
        with pytest.raises(ValueError, match="conditioned"):
            unet(latents, 1, encoder_hidden_states=text)
        pictures = unet.conditioned(torch.zeros(3, 3, 8, 8), torch.zeros(3, dtype=torch.int64))
        with pictures, pytest.raises(ValueError, match="no multiple"):
            unet(latents, 1, encoder_hidden_states=text)


class TestTrainingCommand:
    def test_from_videos_to_adapters_that_the_stage_takes(
        self, make_upscaler: Callable[..., str], tmp_path: Path
    ) -> None:
        counts = {"train": 3, "validate": 1, "test": 1}
        root = write_world(tmp_path / "world", ("webvid",), counts, show_progress=False)["webvid"]
        command = typer.Typer()
        command.command()(train_command)
        tiny = ["--num-frames", "3", "--size", "32", "--precision", "float32", "--max-noise-level", "40"]
        places = ["--root", str(root), "--upscaler", make_upscaler(), "--work", str(tmp_path / "work")]
        done = CliRunner().invoke(command, [*places, *tiny, "--steps", "2"])
        assert done.exit_code == 0, done.output
        assert str(tmp_path / "work" / "adapters.safetensors") in done.output
        ready = session(make_upscaler(), str(tmp_path / "work"))
        assert ready.upscale(low_res_clip(), PROMPT, 0).shape == (T, 32, 32, 3)
        odd = CliRunner().invoke(command, [*places, "--size", "30"])
        assert odd.exit_code == 2
        unknown = CliRunner().invoke(command, [*places, *tiny, "--max-noise-level", "100"])
        assert unknown.exit_code == 2
        assert "this upscaler knows 0 to 99" in unknown.output
