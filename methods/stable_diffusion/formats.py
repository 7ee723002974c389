"""What the methods' pipelines must be, and which of their files are loaded; read without torch.

Safety checkers, feature extractors, image encoders and watermarks are not named here: they are not loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.weights_format import SCHEDULER, TOKENIZER, NamedFiles, PipelineFolder, network, text_encoder
from ...core.weights_tree import Tree
from ..weights_file import trained_file, trained_structure

FRAMES_PER_LATENT = 4
"""Frames that the VAE of every published CogVideoX merges into one latent frame."""

Configs = Mapping[str, Mapping[str, Any]]


def _text_to_image_fault(configs: Configs) -> str | None:
    takes, gives = (configs["unet"].get(f"{side}_channels", 4) for side in ("in", "out"))
    latents = configs["vae"].get("latent_channels", 4)
    if takes == gives == latents:
        return None
    return (
        f"the UNet takes {takes} channels and gives {gives}, the VAE has {latents}: not a text-to-image "
        "model (inpainting, depth, upscaling?)"
    )


def _upscaler_fault(configs: Configs) -> str | None:
    takes, gives = (configs["unet"].get(f"{side}_channels", 4) for side in ("in", "out"))
    latents = configs["vae"].get("latent_channels", 4)
    if takes != latents + 3 or gives != latents:
        return (
            f"the UNet takes {takes} channels and gives {gives}; an upscaler with this VAE of {latents} "
            f"channels takes {latents + 3} and gives {latents}"
        )
    if configs["unet"].get("num_class_embeds") is None:
        return (
            "the UNet has no class labels (num_class_embeds), so it cannot be told the noise level of the "
            "low resolution"
        )
    return None


def _text_to_video_fault(configs: Configs) -> str | None:
    return _cogvideox_fault(configs, "a text-to-video", 1)


def _image_to_video_fault(configs: Configs) -> str | None:
    return _cogvideox_fault(configs, "an image-to-video", 2)


def _cogvideox_fault(configs: Configs, model: str, halves: int) -> str | None:
    takes, gives = (configs["transformer"].get(f"{side}_channels", 16) for side in ("in", "out"))
    latents = configs["vae"].get("latent_channels", 16)
    if takes != halves * latents or gives != latents:
        return (
            f"the transformer takes {takes} channels and gives {gives}, the VAE has {latents}: not {model} "
            f"model, which takes {halves * latents}"
        )
    # The VAE's blocks halve the number of frames until the ratio is reached, or until there are no more.
    blocks = len(configs["vae"].get("block_out_channels", range(4)))
    merged = min(int(configs["vae"].get("temporal_compression_ratio", 4)), 2 ** (blocks - 1))
    if merged != FRAMES_PER_LATENT:
        return (
            f"the VAE merges {merged} frames into one latent frame; only {FRAMES_PER_LATENT} are known here, "
            "as in every published CogVideoX, whose VAE has at least three blocks"
        )
    return None


_UNET_PARTS = {
    "unet": network("UNet2DConditionModel"),
    "vae": network("AutoencoderKL", "AutoencoderTiny"),
    "text_encoder": text_encoder("CLIPTextModel"),
    "tokenizer": TOKENIZER,
    "scheduler": SCHEDULER,
}
_NOT_WITH_A_UNET = {"text_encoder_2": "it has two text encoders, as SDXL has"}

STABLE_DIFFUSION = PipelineFolder(
    "a Stable Diffusion 1.x or 2.x pipeline",
    parts=_UNET_PARTS,
    not_with=_NOT_WITH_A_UNET,
    fault=_text_to_image_fault,
    pipeline_class="StableDiffusionPipeline",
)

UPSCALER = PipelineFolder(
    "a latent upscaler",
    parts={**_UNET_PARTS, "low_res_scheduler": SCHEDULER},
    not_with=_NOT_WITH_A_UNET,
    fault=_upscaler_fault,
    pipeline_class="StableDiffusionUpscalePipeline",
)

_COGVIDEOX_PARTS = {
    "transformer": network("CogVideoXTransformer3DModel"),
    "vae": network("AutoencoderKLCogVideoX"),
    "text_encoder": text_encoder("T5EncoderModel"),
    "tokenizer": TOKENIZER,
    "scheduler": SCHEDULER,
}

COGVIDEOX = PipelineFolder(
    "a CogVideoX pipeline (text to video)",
    parts=_COGVIDEOX_PARTS,
    fault=_text_to_video_fault,
    pipeline_class="CogVideoXPipeline",
)

COGVIDEOX_I2V = PipelineFolder(
    "a CogVideoX pipeline (image to video)",
    parts=_COGVIDEOX_PARTS,
    fault=_image_to_video_fault,
    pipeline_class="CogVideoXImageToVideoPipeline",
)


@dataclass(frozen=True)
class TrainedFile(NamedFiles):
    """Trained parameters, which say in their metadata of which format they are.

    Attributes:
        marker: that format.
    """

    marker: str = ""

    def files(self, tree: Tree) -> tuple[str, ...]:
        names = super().files(tree)
        if tree.path is not None:
            trained_structure(trained_file(tree.path, self.required[0]), self.marker)
        return names


ADAPTERS_FILE = "adapters.safetensors"
"""Of trained adapters in a folder."""

ADAPTERS_FORMAT = "reelbench-simda-1"
"""Written into every file of adapters; another number is another layout."""

ADAPTERS = TrainedFile(
    f"trained adapters: a folder with {ADAPTERS_FILE}, or such a file",
    required=(ADAPTERS_FILE,),
    marker=ADAPTERS_FORMAT,
)


def trained_parameters(file_name: str, marker: str) -> TrainedFile:
    """The format of a predictor's trained parameters."""
    what = f"trained parameters: a folder with {file_name}, or such a file"
    return TrainedFile(what, required=(file_name,), marker=marker)
