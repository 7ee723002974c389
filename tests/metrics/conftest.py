"""Tiny random weights in the formats of the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from reelbench.metrics.protocol import Protocol, load_protocol


@pytest.fixture(scope="session")
def clean() -> Protocol:
    return load_protocol("clean")


@pytest.fixture(scope="session")
def i3d_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An I3D of width 1/16 and 12 classes at random weights, with lively BatchNorm statistics."""
    import torch
    from safetensors.torch import save_file

    from reelbench.metrics.extractors.i3d.network import InceptionI3d

    folder = tmp_path_factory.mktemp("i3d")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = InceptionI3d(width_multiplier=0.0625, num_classes=12)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.05, 0.5)
    config = {"width_multiplier": 0.0625, "num_classes": 12, "classes": [f"motion {k}" for k in range(12)]}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(network.state_dict(), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of one layer and 32 dimensions at random weights, as open_clip's local-dir reads it."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("clip")
    model_cfg = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = open_clip.CLIP(**model_cfg)
    config = {"model_cfg": model_cfg, "preprocess_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(
        {name: value.contiguous() for name, value in network.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


@pytest.fixture(scope="session")
def clips() -> list[np.ndarray]:
    """Seven noisy clips of 16 frames and different sizes."""
    rng = np.random.default_rng(7)
    shapes = [
        (16, 64, 64),
        (16, 64, 64),
        (16, 48, 80),
        (16, 80, 48),
        (16, 64, 64),
        (16, 240, 260),
        (16, 64, 64),
    ]
    return [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]
