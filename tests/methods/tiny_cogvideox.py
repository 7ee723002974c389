"""CogVideoX folders of the real classes with a few thousand random weights, one per published
configuration."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

_KEPT: list[tempfile.TemporaryDirectory[str]] = []

VARIANTS: dict[str, dict[str, Any]] = {
    "2b": {},
    "5b": {"use_rotary_positional_embeddings": True},
    "1.5": {"use_rotary_positional_embeddings": True, "patch_size_t": 2, "patch_bias": False},
    "i2v": {"use_rotary_positional_embeddings": True, "in_channels": 8},
    "i2v-1.5": {
        "use_rotary_positional_embeddings": True,
        "patch_size_t": 2,
        "patch_bias": False,
        "in_channels": 8,
        "ofs_embed_dim": 16,
    },
}
"""What sets the published models apart, at 32 by 32 pixels, 4 channels and 8 by 8 latents."""


@functools.cache
def cogvideox_folder(variant: str = "2b", scheduler: str = "ddim") -> str:
    """A pipeline folder; written once per process."""
    kept = tempfile.TemporaryDirectory(prefix="cogvideox-")
    _KEPT.append(kept)
    folder = Path(kept.name) / variant
    _write(folder, variant, scheduler)
    return str(folder)


def tiny_transformer(variant: str = "2b") -> Any:
    """The variant's transformer alone, with weights that make prompts and positions matter."""
    import torch
    from diffusers import CogVideoXTransformer3DModel

    settings: dict[str, Any] = {
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "in_channels": 4,
        "out_channels": 4,
        "time_embed_dim": 16,
        "text_embed_dim": 12,
        "num_layers": 2,
        "sample_width": 8,
        "sample_height": 8,
        "sample_frames": 16,
        "max_text_seq_length": 24,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformer: Any = CogVideoXTransformer3DModel(**(settings | VARIANTS[variant]))
        for weight in transformer.parameters():
            if weight.ndim > 1:
                weight.data.mul_(2.0)
    return transformer.eval()


def _write(folder: Path, variant: str, scheduler: str) -> None:
    import torch
    from diffusers import (
        AutoencoderKLCogVideoX,
        CogVideoXDDIMScheduler,
        CogVideoXDPMScheduler,
        CogVideoXImageToVideoPipeline,
        CogVideoXPipeline,
    )
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    letters = [(f"▁{letter}", -1.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    letters += [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *letters]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        vae: Any = AutoencoderKLCogVideoX(
            block_out_channels=(4, 4, 4),
            down_block_types=("CogVideoXDownBlock3D",) * 3,
            up_block_types=("CogVideoXUpBlock3D",) * 3,
            latent_channels=4,
            layers_per_block=1,
            norm_num_groups=2,
            sample_height=32,
            sample_width=32,
        )
        text_encoder: Any = T5EncoderModel(
            T5Config(
                vocab_size=len(vocabulary),
                d_model=12,
                d_kv=6,
                d_ff=16,
                num_layers=1,
                num_heads=2,
                pad_token_id=0,
            )
        )
        for module in (vae, text_encoder):
            for weight in module.parameters():
                if weight.ndim > 1:
                    weight.data.mul_(1.5)
    parts: dict[str, Any] = {
        "transformer": tiny_transformer(variant),
        "vae": vae,
        "text_encoder": text_encoder,
        "tokenizer": T5Tokenizer(vocab=vocabulary, extra_ids=0),
        "scheduler": (CogVideoXDDIMScheduler if scheduler == "ddim" else CogVideoXDPMScheduler)(
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            timestep_spacing="trailing",
            clip_sample=False,
            set_alpha_to_one=True,
        ),
    }
    kind = CogVideoXImageToVideoPipeline if variant.startswith("i2v") else CogVideoXPipeline
    kind(**parts).save_pretrained(folder, safe_serialization=True)
