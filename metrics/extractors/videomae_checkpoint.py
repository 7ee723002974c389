"""VideoMAE checkpoints of the authors' own format, as transformers' network.

VideoMAE and VideoMAE v2 publish fine-tuned networks as one `torch.save` file: a state dict, often under the
key "module" or "model"; cd-fvd uses that of ViT-g/14 tuned on Something-Something v2. The network differs
from transformers' in names and the LayerNorms' epsilon (1e-6) alone. Names and arithmetic are those of the
code that cd-fvd carries; no published file was at hand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import WeightsError
from .backbone import load_into, read_tensors

if TYPE_CHECKING:
    from torch import Tensor

_NUM_HEADS = {384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16}
"""By width: ViT-S, B, L, H as everywhere, g as cd-fvd builds it. A state dict does not say it."""

_NUM_FRAMES = 16
_IMAGE_SIZE = 224
_EPSILON = 1e-6

_RENAMED = (
    (r"^patch_embed\.proj\.", "videomae.embeddings.patch_embeddings.projection."),
    (r"^blocks\.(\d+)\.norm1\.", r"videomae.encoder.layer.\1.layernorm_before."),
    (r"^blocks\.(\d+)\.norm2\.", r"videomae.encoder.layer.\1.layernorm_after."),
    (r"^blocks\.(\d+)\.attn\.q_bias$", r"videomae.encoder.layer.\1.attention.attention.query.bias"),
    (r"^blocks\.(\d+)\.attn\.v_bias$", r"videomae.encoder.layer.\1.attention.attention.value.bias"),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"videomae.encoder.layer.\1.attention.output.dense."),
    (r"^blocks\.(\d+)\.mlp\.fc1\.", r"videomae.encoder.layer.\1.intermediate.dense."),
    (r"^blocks\.(\d+)\.mlp\.fc2\.", r"videomae.encoder.layer.\1.output.dense."),
    (r"^fc_norm\.", "fc_norm."),
    (r"^head\.", "classifier."),
)
_QKV = re.compile(r"^blocks\.(\d+)\.attn\.qkv\.weight$")


def load_authors_checkpoint(
    path: Path, *, image_size: int = _IMAGE_SIZE, num_heads: int | None = None
) -> Any:
    """transformers' VideoMAEForVideoClassification with the file's weights, in evaluation mode on the CPU.

    Args:
        path: the file; read with weights_only.
        image_size: side of the square input in pixels; positions are not stored, so any would load.
        num_heads: of attention; None goes by the width, as the published networks do.

    Raises:
        WeightsError: the file cannot be read, is not a fine-tuned network of this format, or has a width for
            which the number of heads is not known.
    """
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    tensors = read_tensors(path, nested=("model", "module"))
    try:
        width, _, tubelet, patch, _ = tensors["patch_embed.proj.weight"].shape
        num_labels, hidden = len(tensors["head.weight"]), len(tensors["blocks.0.mlp.fc1.weight"])
    except (KeyError, ValueError):
        raise WeightsError(
            f"{path}: not a fine-tuned VideoMAE; found {', '.join(sorted(tensors)[:3])}, ...",
            "patch_embed.proj, blocks.<n>, fc_norm and head are expected",
        ) from None
    heads = num_heads or _NUM_HEADS.get(width)
    if heads is None:
        known = ", ".join(map(str, _NUM_HEADS))
        raise WeightsError(f"{path}: no VideoMAE of width {width} is known; known: {known}")
    depth = 1 + max(int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name)))
    network = VideoMAEForVideoClassification(
        VideoMAEConfig(
            image_size=image_size,
            patch_size=patch,
            num_frames=_NUM_FRAMES,
            tubelet_size=tubelet,
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=hidden,
            layer_norm_eps=_EPSILON,
            use_mean_pooling=True,
            num_labels=num_labels,
        )
    )
    network.fc_norm.eps = _EPSILON
    return load_into(network, _renamed(tensors), f"{path}: the tensors do not fit VideoMAE")


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, value in tensors.items():
        qkv = _QKV.match(name)
        if qkv:
            for part, rows in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[f"videomae.encoder.layer.{qkv[1]}.attention.attention.{part}.weight"] = rows
            continue
        for pattern, replacement in _RENAMED:
            name, count = re.subn(pattern, replacement, name)
            if count:
                break
        renamed[name] = value
    return renamed
