"""Loading a Stable Diffusion folder: what it gives, and what it says when something is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from reelbench.core.errors import ClipRefusedError, ResourcesError, RunFileError, WeightsError
from reelbench.methods.stable_diffusion.pipeline import load_pipeline


def test_the_size_is_the_one_the_unet_was_trained_at(pipeline_folder: str) -> None:
    pipeline = load_pipeline(pipeline_folder, device="cpu")
    assert (pipeline.height, pipeline.width) == (32, 32)
    assert pipeline.latent_shape_CHW == (4, 8, 8)
    assert pipeline.dtype == torch.float32


def test_another_size_and_number_format_can_be_asked_for(pipeline_folder: str) -> None:
    pipeline = load_pipeline(pipeline_folder, device="cpu", dtype="bfloat16", height=16, width=48)
    assert pipeline.latent_shape_CHW == (4, 4, 12)
    assert pipeline.unet.dtype == torch.bfloat16


def test_a_size_that_does_not_fit_the_vae_is_refused(pipeline_folder: str) -> None:
    with pytest.raises(RunFileError, match="multiples of 4"):
        load_pipeline(pipeline_folder, device="cpu", height=30)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(pipeline_folder: str) -> None:
    with pytest.raises(ResourcesError, match="no GPU"):
        load_pipeline(pipeline_folder, device="cuda")


def test_the_schedule_is_that_of_the_checkpoint(make_pipeline: Callable[..., Path]) -> None:
    schedule = load_pipeline(str(make_pipeline("v_prediction")), device="cpu").schedule(50)
    assert schedule.prediction == "v_prediction"
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    assert schedule.alphas_cumprod == pytest.approx(torch.cumprod(1 - betas, 0).tolist(), rel=1e-4)


def test_loading_leaves_the_global_random_state_alone(pipeline_folder: str) -> None:
    before = torch.random.get_rng_state()
    load_pipeline(pipeline_folder, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("prompt", "truncated"),
    [("a cat", False), ("", False), ("word " * 500, True), ("赤い円が左に動く", True), ("红", False)],
)
def test_prompts_of_any_length_and_script(pipeline_folder: str, prompt: str, truncated: bool) -> None:
    encoded = load_pipeline(pipeline_folder, device="cpu").encode_prompt(prompt)
    assert encoded.embedding_LD.shape == (16, 24)
    assert encoded.truncated == truncated
    assert torch.isfinite(encoded.embedding_LD).all()


def test_embeddings_are_those_of_diffusers(pipeline_folder: str) -> None:
    from diffusers import StableDiffusionPipeline

    theirs = StableDiffusionPipeline.from_pretrained(pipeline_folder, safety_checker=None)
    expected, _ = theirs.encode_prompt("a red circle", "cpu", 1, do_classifier_free_guidance=False)
    ours = load_pipeline(pipeline_folder, device="cpu").encode_prompt("a red circle")
    torch.testing.assert_close(ours.embedding_LD, expected[0])


def test_decoding_in_parts_gives_the_same_frames(
    pipeline_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = load_pipeline(pipeline_folder, device="cpu")
    latents = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = pipeline.decode(latents)
    monkeypatch.setattr("reelbench.methods.stable_diffusion.pipeline._DECODED_PIXELS", 2 * 32 * 32)
    parts = pipeline.decode(latents)
    assert whole.shape == parts.shape == (5, 32, 32, 3)
    assert whole.dtype == np.uint8
    assert np.abs(whole.astype(int) - parts).max() <= 1


def test_latents_with_nan_are_refused(pipeline_folder: str) -> None:
    latents = torch.zeros(2, 4, 8, 8)
    latents[1, 0, 0, 0] = float("nan")
    with pytest.raises(ClipRefusedError, match="latents"):
        load_pipeline(pipeline_folder, device="cpu").decode(latents)


class TestFolderThatIsNoPipeline:
    @pytest.fixture
    def copy(self, pipeline_folder: str, tmp_path: Path) -> Path:
        return Path(shutil.copytree(pipeline_folder, tmp_path / "copy"))

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"model_index\.json is missing"):
            load_pipeline(str(tmp_path), device="cpu")

    def test_a_missing_part_is_named(self, copy: Path) -> None:
        shutil.rmtree(copy / "vae")
        (copy / "scheduler" / "scheduler_config.json").unlink()
        with pytest.raises(WeightsError) as caught:
            load_pipeline(str(copy), device="cpu")
        for missing in ("vae/config.json", "vae/*.safetensors", "scheduler/scheduler_config.json"):
            assert missing in caught.value.message
        assert "unet" not in caught.value.message

    def test_pickled_weights_are_not_read(self, copy: Path) -> None:
        weights = next((copy / "unet").glob("*.safetensors"))
        weights.rename(copy / "unet" / "diffusion_pytorch_model.bin")
        with pytest.raises(WeightsError, match=r"unet/\*\.safetensors") as caught:
            load_pipeline(str(copy), device="cpu")
        assert "safe_serialization" in (caught.value.hint or "")

    def test_truncated_weights(self, copy: Path) -> None:
        weights = next((copy / "unet").glob("*.safetensors"))
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(WeightsError, match="cannot be loaded"):
            load_pipeline(str(copy), device="cpu")

    def test_another_kind_of_pipeline(self, copy: Path) -> None:
        index = copy / "model_index.json"
        parts = json.loads(index.read_text())
        parts["_class_name"] = "StableDiffusionXLPipeline"
        parts["text_encoder_2"] = parts["text_encoder"]
        index.write_text(json.dumps(parts))
        with pytest.raises(WeightsError, match="StableDiffusionXLPipeline"):
            load_pipeline(str(copy), device="cpu")

    def test_a_damaged_index(self, copy: Path) -> None:
        (copy / "model_index.json").write_text("{")
        with pytest.raises(WeightsError, match="not JSON"):
            load_pipeline(str(copy), device="cpu")

    def test_half_precision_files_are_found(self, copy: Path) -> None:
        for part in ("unet", "vae", "text_encoder"):
            for weights in (copy / part).glob("*.safetensors"):
                weights.rename(weights.with_name(weights.stem + ".fp16.safetensors"))
        assert load_pipeline(str(copy), device="cpu").latent_shape_CHW == (4, 8, 8)
