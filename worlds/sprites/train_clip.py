"""Trains the small CLIP of this world: a residual image tower and a text transformer, in open_clip's format.

Pairs are a random frame and a random caption of a training clip. A frame shows no motion, so pairs match when
colour, shape and background of their main sprites are equal, and the loss is a cross-entropy against all
matching pairs: otherwise a batch of 192 would call many true captions wrong.

The last steps add a wrong caption for every frame, with one attribute changed, and show two sprites more
often; there the change takes the other one's colour or shape. The first steps alone do not learn which colour
goes with which of two shapes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .captions import captions
from .render import render
from .scene import BACKGROUNDS, COLOURS, SHAPES, Scene, Sprite, local_generator, sample_scene
from .tokenizer import MAX_LENGTH, build_tokenizer, save_tokenizer, token_ids
from .training import (
    Noted,
    TrainingRun,
    bfloat16_autocast,
    cosine_rate,
    half_precision_state,
    seeded_initialisation,
    training_device,
)

BATCH = 192
PEAK_RATE = 1.5e-3
HARD_STEPS = 500
"""The last steps, with a wrong caption for every frame and a learning rate of their own."""
HARD_PEAK_RATE = 8e-4
MODEL_NAME = "sprites-rn-small"
# The words of a caption matter in this order; the later, shorter captions are drawn less often.
_CAPTION_WEIGHTS = np.array([2.0] * 10 + [1.0] * 7 + [0.3] * 3)


def clip_config(vocab_size: int) -> dict[str, Any]:
    """The content of `open_clip_config.json`."""
    return {
        "model_cfg": {
            "embed_dim": 128,
            "vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
            "text_cfg": {
                "context_length": MAX_LENGTH,
                "vocab_size": vocab_size,
                "hf_tokenizer_name": MODEL_NAME,
                "tokenizer_kwargs": {"clean": "canonicalize"},
                "width": 128,
                "heads": 4,
                "layers": 3,
            },
        },
        "preprocess_cfg": {
            "size": 64,
            "mode": "RGB",
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
            "interpolation": "bicubic",
            "resize_mode": "shortest",
        },
    }


def build_clip(vocab_size: int, seed: int) -> Any:
    """An untrained open_clip model of the configuration, weights from the seed."""
    from open_clip.model import CLIP

    cfg = clip_config(vocab_size)["model_cfg"]
    text_cfg = {
        k: v for k, v in cfg["text_cfg"].items() if k not in ("hf_tokenizer_name", "tokenizer_kwargs")
    }
    with seeded_initialisation("clip", seed):
        return CLIP(cfg["embed_dim"], cfg["vision_cfg"], text_cfg)


@dataclass(frozen=True)
class PairBatch:
    """Frames with true captions, and as many wrong ones behind them when they are hard."""

    images: Tensor
    """float32 [B, 3, 64, 64] in [-1, 1]."""
    texts: list[str]
    """B true captions in the order of the frames; hard batches have B wrong ones after them."""
    match: Tensor
    """bool [B, len(texts)]: the caption names the main sprite and the background of the frame."""
    ignore: Tensor
    """bool [B, len(texts)]: the caption fits the frame's second sprite; neither right nor wrong."""


def pair_batch(count: int, hard: bool, *parts: object) -> PairBatch:
    """Random pairs of the training split."""
    rng = local_generator(*parts)
    weights = _CAPTION_WEIGHTS / _CAPTION_WEIGHTS.sum()
    frames: list[np.ndarray] = []
    texts: list[str] = []
    keys: list[int] = []
    other_keys: list[int] = []
    wrong_texts: list[str] = []
    wrong_keys: list[int] = []
    while len(frames) < count:
        scene = sample_scene(int(rng.integers(2**40)), "train")
        if hard and scene.other is None and rng.random() < 0.5:
            continue
        frames.append(render(scene, frames=[int(rng.integers(16))])[0])
        texts.append(captions(scene)[int(rng.choice(20, p=weights))])
        keys.append(shown_key(scene.main, scene.background))
        other_keys.append(shown_key(scene.other, scene.background) if hard and scene.other else -1)
        if hard:
            wrong = one_attribute_changed(scene, rng)
            wrong_texts.append(captions(wrong)[int(rng.integers(7))])
            wrong_keys.append(shown_key(wrong.main, wrong.background))
    images = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1
    columns = torch.tensor(keys + wrong_keys)[None, :]
    return PairBatch(
        images.contiguous(memory_format=torch.channels_last),
        texts + wrong_texts,
        torch.tensor(keys)[:, None] == columns,
        torch.tensor(other_keys)[:, None] == columns,
    )


def one_attribute_changed(scene: Scene, rng: np.random.Generator) -> Scene:
    """The scene with another colour, shape or background; with two sprites, with one of the other's."""
    main, other = scene.main, scene.other
    if other is not None and rng.random() < 0.8:
        if rng.random() < 0.5:
            swapped = replace(main, colour=other.colour)
        else:
            swapped = replace(main, shape=other.shape)
        if swapped != main and (swapped.colour, swapped.shape) != (other.colour, other.shape):
            return replace(scene, main=swapped)
    kind = int(rng.integers(3))
    if kind == 0:
        return replace(scene, main=replace(main, colour=_another(list(COLOURS), main.colour, rng)))
    if kind == 1:
        return replace(scene, main=replace(main, shape=_another(SHAPES, main.shape, rng)))
    return replace(scene, background=_another(BACKGROUNDS, scene.background, rng))


def _another(words: Sequence[str], but: str, rng: np.random.Generator) -> str:
    rest = [word for word in words if word != but]
    return rest[int(rng.integers(len(rest)))]


def shown_key(sprite: Sprite, background: str) -> int:
    """A number for a sprite on a background, equal only for equal colour, shape and background."""
    at = list(COLOURS).index(sprite.colour) * len(SHAPES) + SHAPES.index(sprite.shape)
    return at * len(BACKGROUNDS) + BACKGROUNDS.index(background)


def contrastive_loss(logits_BT: Tensor, match_BT: Tensor) -> Tensor:
    """Cross-entropy of frames over all captions, and of the frames' own captions over the frames.

    The target is uniform over the matching ones. Wrong captions (columns from B on) have no row of their own.
    """
    target = match_BT.float() / match_BT.sum(1, keepdim=True)
    own_logits, own = logits_BT[:, : len(logits_BT)].T, match_BT[:, : len(logits_BT)].T
    own_target = own.float() / own.sum(1, keepdim=True)
    return (
        functional.cross_entropy(logits_BT, target) + functional.cross_entropy(own_logits, own_target)
    ) / 2


def train_clip(work: Path, seed: int, steps: int) -> Any:
    """Trains (or resumes) and returns the averaged open_clip model."""
    device = training_device()
    tokenizer = build_tokenizer()
    model = build_clip(len(tokenizer), seed).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.02, betas=(0.9, 0.98))
    run = TrainingRun("clip", work, seed, steps, {"model": model}, optimizer, 0.98)
    plain_steps = max(0, steps - HARD_STEPS)

    def rate(step: int) -> float:
        if step >= plain_steps:
            return cosine_rate(step - plain_steps, HARD_STEPS, HARD_PEAK_RATE, warmup=30)
        return cosine_rate(step, plain_steps, PEAK_RATE, warmup=60)

    def loss_of(step: int) -> tuple[Tensor, Noted]:
        batch = pair_batch(BATCH, step >= plain_steps, "clip-batch", seed, step)
        match, ignore = batch.match.to(device), batch.ignore.to(device)
        with bfloat16_autocast(device):
            image_features = model.encode_image(batch.images.to(device))
            text_features = model.encode_text(token_ids(tokenizer, batch.texts).to(device))
        image_features = functional.normalize(image_features.float(), dim=-1)
        text_features = functional.normalize(text_features.float(), dim=-1)
        scale = model.logit_scale.exp()
        logits = scale * image_features @ text_features.T
        hit = match.gather(1, logits.argmax(1, keepdim=True)).float().mean()
        loss = contrastive_loss(logits.masked_fill(ignore & ~match, -1e4), match)
        return loss, {"batch_accuracy": hit, "scale": scale}

    @torch.no_grad()
    def limit_scale() -> None:
        model.logit_scale.clamp_(0, 4.6)  # exp(4.6) = 100, CLIP's own limit

    run.fit(loss_of, rate, log_every=20, after_update=limit_scale)
    run.averages["model"].copy_to(model)
    return model.eval()


def save_clip(model: Any, folder: Path) -> None:
    """Writes a folder that `open_clip.create_model_and_transforms('local-dir:<folder>')` loads."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    save_tokenizer(tokenizer, folder)
    config = clip_config(len(tokenizer))
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(half_precision_state(model), folder / "open_clip_model.safetensors", metadata={"format": "pt"})
