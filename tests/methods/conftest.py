"""Tiny Stable Diffusion folders with random weights, of the real classes, for all tests of methods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.types import Sample


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from threads, and on a busy machine waiting for one is very slow."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a pipeline folder (32 px frames, 8x8x4 latents, 16 text tokens), one per prediction type."""
    folders: dict[str, Path] = {}

    def make(prediction: str = "epsilon") -> Path:
        if prediction not in folders:
            folders[prediction] = _write(tmp_path_factory.mktemp("pipelines") / prediction, prediction)
        return folders[prediction]

    return make


def _write(folder: Path, prediction: str) -> Path:
    import torch
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet: Any = UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=24,
            attention_head_dim=2,
            norm_num_groups=8,
        )
        vae = _vae(3)
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocabulary),
                hidden_size=24,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=16,
                bos_token_id=0,
                eos_token_id=1,
                pad_token_id=1,
            )
        )
        _amplify(unet, vae, text_encoder)
    pipe: Any = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16),
        unet=unet,
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            prediction_type=prediction,
            skip_prk_steps=True,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def _vae(levels: int, **changes: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8,) * levels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=4,
        norm_num_groups=4,
        **changes,
    )


def _amplify(*modules: Any) -> None:
    """Default initial weights are so small that prompts and frames would hardly matter."""
    for module in modules:
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.data.mul_(1.5)


@pytest.fixture(scope="session")
def make_upscaler(
    make_pipeline: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., str]:
    """Writes an upscaler of factor 2**(vae_levels - 1), trained, as it were, for 8 pixels."""
    folders: dict[tuple[Any, ...], str] = {}

    def make(prediction: str = "v_prediction", vae_levels: int = 3, labels: int | None = 100) -> str:
        key = (prediction, vae_levels, labels)
        if key not in folders:
            folder = tmp_path_factory.mktemp("upscaler")
            folders[key] = str(_write_upscaler(folder, make_pipeline("epsilon"), *key))
        return folders[key]

    return make


def _write_upscaler(
    folder: Path, pipeline: Path, prediction: str, vae_levels: int, labels: int | None
) -> Path:
    import torch
    from diffusers import (
        DDIMScheduler,
        DDPMScheduler,
        StableDiffusionUpscalePipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTokenizer

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        unet: Any = UNet2DConditionModel(
            sample_size=8,
            in_channels=7,
            out_channels=4,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=24,
            attention_head_dim=2,
            norm_num_groups=8,
            num_class_embeds=labels,
            use_linear_projection=True,
        )
        vae = _vae(vae_levels, scaling_factor=0.08333)
        _amplify(unet, vae)
    betas = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"}
    ddim = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
    pipe: Any = StableDiffusionUpscalePipeline(
        vae=vae,
        text_encoder=CLIPTextModel.from_pretrained(pipeline / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(pipeline / "tokenizer"),
        unet=unet,
        low_res_scheduler=DDPMScheduler(**betas),
        scheduler=DDIMScheduler(**betas, prediction_type=prediction, **ddim),
        max_noise_level=350,
    )
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def pipeline_folder(make_pipeline: Callable[..., Path]) -> str:
    """A tiny pipeline that predicts the noise."""
    return str(make_pipeline("epsilon"))


@pytest.fixture
def sample() -> Callable[..., Sample]:
    """Makes samples from prompts."""

    def make(prompt: str = "a red circle moves left over grass") -> Sample:
        return Sample(id=f"id of {prompt[:20]}", prompt=prompt, source="source")

    return make
