"""Weights of another kind are refused by `plan`, in words that name what is expected and what was found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.errors import WeightsError
from reelbench.core.run_file_loading import parse_run_file
from reelbench.methods.stable_diffusion.pipeline import load_pipeline
from reelbench.stages.planning import look_at_run

from .tiny_cogvideox import cogvideox_folder

TINY = Path(__file__).parents[1] / "plugins" / "tiny.py"
SPRITES = Path(__file__).parents[2] / "worlds" / "sprites" / "weights"


def refused(
    message: str, method: dict[str, Any], weights: dict[str, str] | None = None, metric: str = ""
) -> None:
    """A plan with this method, or this metric, must be refused."""
    run = parse_run_file(
        {
            "name": "wrong",
            "methods": [method],
            "datasets": [{"name": f"{TINY}:Words"}],
            "metrics": [metric or f"{TINY}:Steadiness"],
            "weights": weights or {},
        }
    )
    with pytest.raises(WeightsError, match=message):
        look_at_run(run)


@pytest.fixture
def changed(pipeline_folder: str, tmp_path: Path) -> Callable[..., str]:
    """A pipeline of which some JSON files are changed."""

    def change(changes: dict[str, dict[str, Any]]) -> str:
        folder = Path(shutil.copytree(pipeline_folder, tmp_path / "changed", dirs_exist_ok=True))
        for name, values in changes.items():
            path = folder / name
            path.write_text(json.dumps(json.loads(path.read_text()) | values))
        return str(folder)

    return change


PIPELINES = {
    "AnimateDiff": (
        {
            "model_index.json": {
                "_class_name": "AnimateDiffPipeline",
                "unet": ["diffusers", "UNetMotionModel"],
                "motion_adapter": ["diffusers", "MotionAdapter"],
            }
        },
        "holds a AnimateDiffPipeline.*its unet is a UNetMotionModel, UNet2DConditionModel is expected",
    ),
    "ModelScope": (
        {
            "model_index.json": {
                "_class_name": "TextToVideoSDPipeline",
                "unet": ["diffusers", "UNet3DConditionModel"],
            }
        },
        "its unet is a UNet3DConditionModel, UNet2DConditionModel is expected",
    ),
    "another UNet than the index says": (
        {"unet/config.json": {"_class_name": "UNet3DConditionModel"}},
        "its unet is a UNet3DConditionModel, UNet2DConditionModel is expected",
    ),
    "SDXL": (
        {"model_index.json": {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}},
        "it has two text encoders",
    ),
    "SD 3": (
        {"model_index.json": {"unet": [None, None], "transformer": ["diffusers", "SD3Transformer2DModel"]}},
        "names no unet",
    ),
    "inpainting": ({"unet/config.json": {"in_channels": 9}}, "takes 9 channels.*not a text-to-image model"),
    "another text encoder": (
        {"model_index.json": {"text_encoder": ["transformers", "T5EncoderModel"]}},
        "its text_encoder is a T5EncoderModel, CLIPTextModel is expected",
    ),
}


@pytest.mark.parametrize("kind", PIPELINES)
def test_a_pipeline_of_another_kind(changed: Callable[..., str], kind: str) -> None:
    changes, message = PIPELINES[kind]
    folder = changed(changes)
    refused(message, {"name": "zs2"}, {"pipeline": folder})
    # The worker says the same, before anything is loaded.
    with pytest.raises(WeightsError, match=message):
        load_pipeline(folder, device="cpu")


def test_the_methods_backbones_are_not_mixed_up(pipeline_folder: str) -> None:
    video = cogvideox_folder()
    refused(
        "CogVideoXPipeline, which is not a Stable Diffusion", {"name": "zs2", "config": {"weights": video}}
    )
    refused(
        "StableDiffusionPipeline, which is not a CogVideoX.*names no transformer",
        {"name": "cogvideox", "config": {"base": pipeline_folder}},
    )
    refused("not an image-to-video model", {"name": "cogvideox-i2v", "config": {"base": video}})
    refused("not a text-to-video model", {"name": "fca", "config": {"base": cogvideox_folder("i2v")}})
    upscaled = {"name": "zs2", "upscale": {"name": "latent-upscaler", "config": {"weights": pipeline_folder}}}
    refused("not a latent upscaler.*low_res_scheduler", upscaled)


def test_trained_parameters_of_another_method(tmp_path: Path) -> None:
    file = str(SPRITES / "lora" / "lora.safetensors")
    refused("its format is 'reelbench-cogvideox-lora-1'", {"name": "fca", "config": {"trained": file}})
    refused("its format is 'reelbench-cogvideox-lora-1'", {"name": "simda", "config": {"adapters": file}})
    refused("holds no fca.safetensors", {"name": "fca", "config": {"trained": str(SPRITES / "lora")}})
    refused("holds no adapters.safetensors", {"name": "simda", "config": {"adapters": str(SPRITES / "t2i")}})


def test_extractors_weights_of_another_kind() -> None:
    i3d, clip, t2i = (str(SPRITES / name) for name in ("i3d", "clip", "t2i"))
    drift = {"name": f"{TINY}:Drift"}
    refused("holds no open_clip_config", drift, {"clip": i3d}, "clipsim")
    refused("holds no open_clip_config", drift, {"clip": f"{i3d}/model.safetensors"}, "clipsim")
    refused(
        r"is not a CLIP checkpoint: no tensor visual\.",
        drift,
        {"clip": f"RN50:{i3d}/model.safetensors"},
        "clipsim",
    )
    refused("holds no config.json", drift, {"i3d": clip}, "fvd")
    refused(
        "is not I3D weights: no tensor Conv3d_1a_7x7",
        drift,
        {"i3d": f"{clip}/open_clip_model.safetensors"},
        "fvd",
    )
    refused("there is none", drift, {"pickscore": t2i}, "pickscore")
    refused("no file raft", drift, {"raft": t2i}, "warping_error")
    refused("no file alexnet", drift, {"lpips": t2i}, "lpips")
