"""Trains the small I3D of this world to name the motion of a clip.

Clips are 16 consecutive frames of 16, 20 or 24 of the training split. Most steps run on frames of 112 pixels,
where a step costs a quarter; the last ones at 224, on frames resized exactly as the extractor resizes them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...metrics.extractors.i3d.network import FRAME_SIDE, InceptionI3d
from .render import render
from .scene import MOTIONS, Split, local_generator, sample_scene
from .training import (
    Noted,
    TrainingRun,
    bfloat16_autocast,
    cosine_rate,
    half_precision_state,
    seeded_initialisation,
    training_device,
)

WIDTH_MULTIPLIER = 0.25
NUM_FRAMES = 16
BATCH = 16
PEAK_RATE = 3e-3
LARGE_PEAK_RATE = 7e-4
"""Of the steps at 224 pixels, which have a schedule of their own."""
SMALL_SIDE = 112
SMALL_SHARE = 0.92
"""Share of the steps that run on small frames."""


def clip_batch(count: int, split: Split, *parts: object) -> tuple[np.ndarray, Tensor]:
    """Random windows of clips: uint8 [B, 16, 64, 64, 3], and their motions as int64 [B]."""
    rng = local_generator(*parts)
    clips, labels = [], []
    for _ in range(count):
        scene = sample_scene(int(rng.integers(2**40)), split)
        length = int(rng.choice([16, 20, 24]))
        first = int(rng.integers(length - NUM_FRAMES + 1))
        clips.append(render(scene, length, frames=range(first, first + NUM_FRAMES)))
        labels.append(MOTIONS.index(scene.motion))
    return np.stack(clips), torch.tensor(labels)


def i3d_input(clips_BTHWC: np.ndarray, side: int = FRAME_SIDE) -> Tensor:
    """uint8 [B, T, H, W, 3] to float32 [B, 3, T, side, side] in [-1, 1], bilinear with anti-aliasing."""
    b, t, h, w, _ = clips_BTHWC.shape
    frames = torch.from_numpy(clips_BTHWC).permute(0, 1, 4, 2, 3).reshape(b * t, 3, h, w).float()
    frames = functional.interpolate(
        frames, size=(side, side), mode="bilinear", align_corners=False, antialias=True
    )
    video = frames.reshape(b, t, 3, side, side).transpose(1, 2) / 127.5 - 1
    return video.contiguous(memory_format=torch.channels_last_3d)


def train_i3d(work: Path, seed: int, steps: int) -> InceptionI3d:
    """Trains (or resumes) and returns the averaged network."""
    device = training_device()
    with seeded_initialisation("i3d", seed):
        net = InceptionI3d(WIDTH_MULTIPLIER, len(MOTIONS))
    net = net.to(device).to(memory_format=torch.channels_last_3d).train()
    optimizer = torch.optim.AdamW(
        [p for p in net.parameters() if p.requires_grad], lr=PEAK_RATE, weight_decay=1e-4
    )
    run = TrainingRun("i3d", work, seed, steps, {"net": net}, optimizer, 0.98)
    small_steps = round(SMALL_SHARE * steps)

    def rate(step: int) -> float:
        if step < small_steps:
            return cosine_rate(step, steps, PEAK_RATE, warmup=40)
        return cosine_rate(step - small_steps, steps - small_steps, LARGE_PEAK_RATE, warmup=10)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        clips, labels = clip_batch(BATCH, "train", "i3d-batch", seed, step)
        side = SMALL_SIDE if step < small_steps else FRAME_SIDE
        video, labels = i3d_input(clips, side).to(device), labels.to(device)
        with bfloat16_autocast(device):
            features = net.forward_body(video)
            # The pool spans the whole picture at either size, so the layers above see the same thing.
            logits = net.forward_tail(features, (features.shape[3], features.shape[4])).float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=0.02)
        return loss, {"accuracy": (logits.argmax(1) == labels).float().mean(), "side": float(side)}

    run.fit(loss_of, rate, max_norm=2.0, log_every=20)
    run.averages["net"].copy_to(net)
    _settle_statistics(net, seed)
    return net.eval()


@torch.no_grad()
def _settle_statistics(net: InceptionI3d, seed: int, batches: int = 12) -> None:
    """Measures the BatchNorm statistics anew: the running ones (decay 0.99) still remember small frames."""
    device = next(net.parameters()).device
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm3d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
    net.train()
    for batch in range(batches):
        clips, _ = clip_batch(BATCH, "train", "i3d-statistics", seed, batch)
        with bfloat16_autocast(device):
            net.forward_body(i3d_input(clips).to(device))
    for norm in norms:
        norm.momentum = 0.01


def save_i3d(net: InceptionI3d, folder: Path) -> None:
    """Writes the folder that the I3D extractor reads: `config.json` and `model.safetensors` (float16)."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "width_multiplier": net.width_multiplier,
        "num_classes": net.num_classes,
        "classes": list(MOTIONS),
    }
    save_file(half_precision_state(net), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
