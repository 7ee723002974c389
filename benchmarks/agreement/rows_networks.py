"""The backbones, at random weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from row import largest, row


def same(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """[C, T, H, W] zero-padded as TensorFlow's SAME, then all windows: [C, t, h, w, kt, kh, kw]."""
    pads = [(0, 0)]
    for n, k, s in zip(x.shape[1:], kernel, stride, strict=True):
        total = max((int(np.ceil(n / s)) - 1) * s + k - n, 0)
        pads.append((total // 2, total - total // 2))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, pads), kernel, axis=(1, 2, 3))
    return windows[:, :: stride[0], :: stride[1], :: stride[2]]


def numpy_i3d(state: dict[str, np.ndarray], video_CTHW: np.ndarray) -> np.ndarray:
    """I3D in float64 with numpy alone, written down from the reference graph (BatchNorm epsilon 1e-3)."""

    def unit(x: np.ndarray, name: str, kernel: tuple[int, ...] = (1, 1, 1), stride: int = 1) -> np.ndarray:
        weight = state[f"{name}.conv3d.weight"].astype(np.float64)
        windows = same(x, kernel, (stride,) * 3)
        y = np.tensordot(weight, windows, axes=([1, 2, 3, 4], [0, 4, 5, 6]))
        if f"{name}.bn.running_mean" not in state:
            return y + state[f"{name}.conv3d.bias"][:, None, None, None]
        mean, var, shift = (
            state[f"{name}.bn.{key}"].astype(np.float64)[:, None, None, None]
            for key in ("running_mean", "running_var", "bias")
        )
        return np.maximum((y - mean) / np.sqrt(var + 1e-3) + shift, 0)

    def pool(x: np.ndarray, kernel: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
        return same(x, kernel, stride).max(axis=(4, 5, 6))

    def mixed(x: np.ndarray, name: str) -> np.ndarray:
        three = (3, 3, 3)
        return np.concatenate(
            [
                unit(x, f"{name}.b0"),
                unit(unit(x, f"{name}.b1a"), f"{name}.b1b", three),
                unit(unit(x, f"{name}.b2a"), f"{name}.b2b", three),
                unit(pool(x, three, (1, 1, 1)), f"{name}.b3b"),
            ]
        )

    x = pool(unit(video_CTHW.astype(np.float64), "Conv3d_1a_7x7", (7, 7, 7), 2), (1, 3, 3), (1, 2, 2))
    x = unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3", (3, 3, 3))
    x = pool(x, (1, 3, 3), (1, 2, 2))
    x = pool(mixed(mixed(x, "Mixed_3b"), "Mixed_3c"), (3, 3, 3), (2, 2, 2))
    for letter in "bcdef":
        x = mixed(x, f"Mixed_4{letter}")
    x = pool(x, (2, 2, 2), (2, 2, 2))
    x = mixed(mixed(x, "Mixed_5b"), "Mixed_5c")
    x = np.lib.stride_tricks.sliding_window_view(x, (2, 7, 7), axis=(1, 2, 3)).mean(axis=(4, 5, 6))
    return unit(x, "logits").mean(axis=(1, 2, 3))


@row(
    "network",
    "I3D, float32 (1/16 of its width, 17 frames)",
    "the same graph in numpy, float64",
    1e-5,
    "relative",
)
def network_i3d() -> float:
    import torch

    from reelbench.metrics.extractors.i3d.network import InceptionI3d

    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        network = InceptionI3d(width_multiplier=0.0625, num_classes=12).eval()
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.5)
                module.bias.normal_(0, 0.1)
        video = torch.rand(1, 3, 17, 224, 224) * 2 - 1
        ours = network(video)[0].numpy()
        state = {name: value.numpy() for name, value in network.state_dict().items()}
    theirs = numpy_i3d(state, video[0].numpy())
    return largest(ours, theirs) / float(np.abs(theirs).max())


def vision_as_transformers(tensors: dict[str, Any], num_layers: int) -> dict[str, Any]:
    """open_clip's image tower under the names of transformers' CLIPVisionModelWithProjection."""
    import torch

    renamed = {
        "visual_projection.weight": tensors["visual.proj"].T,
        "vision_model.embeddings.class_embedding": tensors["visual.class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": tensors["visual.conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": tensors["visual.positional_embedding"],
    }
    for kind in ("weight", "bias"):
        renamed[f"vision_model.pre_layrnorm.{kind}"] = tensors[f"visual.ln_pre.{kind}"]
        renamed[f"vision_model.post_layernorm.{kind}"] = tensors[f"visual.ln_post.{kind}"]
        for layer in range(num_layers):
            old, new = f"visual.transformer.resblocks.{layer}", f"vision_model.encoder.layers.{layer}"
            parts = torch.chunk(tensors[f"{old}.attn.in_proj_{kind}"], 3)
            for name, part in zip("qkv", parts, strict=True):
                renamed[f"{new}.self_attn.{name}_proj.{kind}"] = part
            for theirs, ours in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                renamed[f"{new}.{theirs}.{kind}"] = tensors[f"{old}.{ours}.{kind}"]
    return {name: value.contiguous() for name, value in renamed.items()}


@row(
    "network",
    "CLIP ViT-B/32 by open_clip, full size, unit features",
    "transformers' CLIP at the same weights",
    1e-5,
    "absolute",
)
def network_clip() -> float:
    import open_clip
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        network = open_clip.create_model("ViT-B-32").eval()
        config = CLIPVisionConfig(
            hidden_size=768,
            intermediate_size=3072,
            num_hidden_layers=12,
            num_attention_heads=12,
            image_size=224,
            patch_size=32,
            projection_dim=512,
            hidden_act="gelu",
        )
        other = CLIPVisionModelWithProjection(config).eval()
        other.load_state_dict(vision_as_transformers(network.state_dict(), 12), strict=True)
        frames = torch.randn(2, 3, 224, 224)
        ours = network.encode_image(frames, normalize=True)
        theirs = torch.nn.functional.normalize(other(pixel_values=frames).image_embeds, dim=-1)
    return largest(ours, theirs)


@row(
    "network",
    "DINO's ViT (2 of 12 blocks, 128 wide), class token",
    "transformers' ViT at the same weights",
    1e-5,
    "absolute",
)
def network_dino() -> float:
    import tempfile
    from pathlib import Path

    import torch
    from transformers import ViTConfig, ViTModel

    from reelbench.metrics.extractors.frames.dino import load_dino

    config = ViTConfig(
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
        image_size=224,
        layer_norm_eps=1e-6,
    )
    with torch.random.fork_rng(), torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        other = ViTModel(config).eval()
        other.save_pretrained(folder)
        frames = torch.randn(2, 3, 224, 224)
        ours = load_dino(Path(folder))[0](frames)
        theirs = other(pixel_values=frames).last_hidden_state[:, 0]
    return largest(ours, theirs)
