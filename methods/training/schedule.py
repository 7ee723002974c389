"""What a training on videos draws at each step, what it regresses, and how fast it learns: pure functions.

Nothing here holds a state, so a training that is resumed, or shared by several processes, has nothing to
restore.

Shape suffixes: G clips, F frames or latent frames, C latent channels, H, W latent height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from ...core.contracts import FrozenConfig
from ...core.seeds import generator
from ..pipelines import Prediction

_BLIND_PART = 20
"""Blind clips get one of the noisiest timesteps: one in this many of all."""


class TrainingConfig(FrozenConfig):
    """Settings of a training."""

    steps: int = Field(default=20_000, ge=1)
    """Updates of the adapters."""

    batch_size: int = Field(default=4, ge=1)
    """Clips in an update, over all processes."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """Of the trained matrices; the rest is AdamW's, see `methods.training.optimizer`."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak; reached after the warm-up, then a half cosine down to a fiftieth of it."""

    warmup_steps: int = Field(default=200, ge=0)
    """Updates in which the learning rate rises linearly."""

    weight_decay: float = Field(default=1e-2, ge=0)
    """Of both optimizers."""

    max_gradient_norm: float = Field(default=1.0, gt=0)
    """Longer gradients are shortened to this."""

    prompt_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of clips trained without their prompt, for guidance."""

    max_timestep_weight: float = Field(default=1.0, ge=1, allow_inf_nan=False)
    """Weight of a timestep is 1 / abar_t, cut at this; 1 weighs all alike, as the paper's objective does."""

    blind_share: float = Field(default=0.0, ge=0, le=1)
    """Share of clips that are shown to the network as noise alone, at the noisiest twentieth of the
    timesteps."""

    average_decay: float = Field(default=0.999, ge=0, lt=1)
    """Of the exponential average of the adapters; 0 keeps the last state."""

    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format of the networks' products; the adapters themselves are always float32."""

    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""

    seed: int = 0
    """Of batches, timesteps, noise and dropped prompts."""


def timestep_weights(alphas_cumprod: Sequence[float], max_weight: float) -> np.ndarray:
    """The root of each timestep's weight min(1 / abar_t, max_weight), float64, of mean one.

    The root says how often a timestep is drawn, and again how much its loss counts: drawing alone would leave
    updates to the few large losses at little noise, weighing alone leaves noisy timesteps rare. 1 / abar_t
    turns the loss on the noise into about that on the clean latent (Salimans and Ho, "Progressive
    Distillation for Fast Sampling of Diffusion Models", ICLR 2022, section 4).
    """
    root = np.sqrt(np.minimum(1.0 / np.asarray(alphas_cumprod, np.float64), max_weight))
    mean: np.ndarray = root / root.mean()
    return mean


@dataclass(frozen=True)
class Batch:
    """What one update trains on, before any of it is on a device.

    Attributes:
        clips: numbers of the clips.
        timesteps: one for each clip.
        dropped: whether the clip's prompt is left out.
        blind: whether the network sees noise alone.
    """

    clips: tuple[int, ...]
    timesteps: tuple[int, ...]
    dropped: tuple[bool, ...]
    blind: tuple[bool, ...]


def batch_of(step: int, config: TrainingConfig, num_clips: int, weights: np.ndarray) -> Batch:
    """The batch of a step, a pure function of (seed, step).

    Timesteps are drawn in proportion to `weights`, from equal stretches of that distribution, one each, in
    random order: the loss is less noisy than with free draws.
    """
    rng = generator(config.seed, "training batch", step)
    size = config.batch_size
    clips = rng.integers(num_clips, size=size)
    share = (rng.permutation(size) + rng.random(size)) / size
    timesteps = np.minimum(np.searchsorted(np.cumsum(weights / weights.sum()), share), len(weights) - 1)
    dropped = rng.random(size) < config.prompt_dropout
    blind = rng.random(size) < config.blind_share
    noisiest = len(weights) - 1 - rng.integers(max(1, len(weights) // _BLIND_PART), size=size)
    timesteps = np.where(blind, noisiest, timesteps)
    return Batch(*(tuple(values.tolist()) for values in (clips, timesteps, dropped, blind)))


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then a half cosine down to a fiftieth."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))


def noisy_and_target(
    clean_GFCHW: torch.Tensor,
    noise_GFCHW: torch.Tensor,
    abar_G: torch.Tensor,
    blind_G: torch.Tensor,
    prediction: Prediction,
) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network sees, and what it should predict (Salimans & Ho 2022, appendix D).

    Args:
        abar_G: of each clip's timestep.
        blind_G: bool; such a clip is hidden: only noise is seen of it.
    """
    signal, sigma = (x.float().view(-1, 1, 1, 1, 1) for x in (abar_G.sqrt(), (1 - abar_G).sqrt()))
    noisy = torch.where(blind_G.view(-1, 1, 1, 1, 1), 0.0, signal) * clean_GFCHW + sigma * noise_GFCHW
    # The noise that makes the noisy latents of the clip: not what was drawn where the clip is hidden.
    noise = (noisy - signal * clean_GFCHW) / sigma
    target = {
        "epsilon": noise,
        "v_prediction": signal * noise - sigma * clean_GFCHW,
        "sample": clean_GFCHW,
    }[prediction]
    return noisy, target
