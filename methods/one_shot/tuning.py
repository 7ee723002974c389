"""Tuning a video model on one clip: the loop that one-shot methods share.

Source: Wu et al., "Tune-A-Video" (ICCV 2023), sections 3.3 and 5.1, and the authors' released code: the
image model's own objective. In every step fresh latents are drawn from the VAE's posterior of the same
frames, noise of one timestep for the whole clip (uniform over all timesteps) is added, and what the
checkpoint predicts (noise, velocity or clean latents) is regressed with the mean squared error. No prompt is
dropped; the learning rate is constant. SimDA's one-shot editing uses the same loop with other settings.

What is trained are float32 tensors, whatever the number format of the frozen networks; the products are in
the latter.

Everything random is drawn from (seed, step), so a tuning that is stopped and started again from its
checkpoint takes the very steps it would have taken: bit for bit on a CPU.

Shape suffixes: T frames, C latent channels, H, W latent height and width, L text tokens, D text width.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.errors import ClipRefusedError, RunFileError
from ...core.hashing import digest, digest_array
from ...core.seeds import generator
from ...core.types import Frames
from ..noise import draw
from ..resumable import ResumableRun, Stateful, Tensors
from ..stable_diffusion.pipeline import StableDiffusion
from .config import TuningConfig

_ENCODED_PIXELS = 2**21
"""Pixels that the VAE encodes at once: 8 frames of 512 by 512."""


@dataclass(frozen=True)
class LatentPosterior:
    """The VAE's posterior of a clip, of which every training step draws anew.

    Attributes:
        mean_TCHW, std_TCHW: float32 on the CPU, scaled as the UNet expects latents.
    """

    mean_TCHW: torch.Tensor
    std_TCHW: torch.Tensor

    def sample(self, noise_TCHW: torch.Tensor) -> torch.Tensor:
        """Latents for a draw of standard normal noise, [T,C,H,W]."""
        return self.mean_TCHW + self.std_TCHW * noise_TCHW


@torch.no_grad()
def encode_reference(pipeline: StableDiffusion, frames_THWC: Frames) -> LatentPosterior:
    """The posterior of a reference clip at the pipeline's size.

    As in the released code, an oblong clip is stretched. The filter of the published resizing, the video
    reader's, is not known for certain; bicubic with antialiasing is taken here.

    Args:
        frames_THWC: uint8 RGB of any size.
    """
    chunk = max(1, _ENCODED_PIXELS // (pipeline.height * pipeline.width))
    shift = getattr(pipeline.vae.config, "shift_factor", None) or 0.0
    scale = pipeline.vae.config.scaling_factor
    means, stds = [], []
    for start in range(0, len(frames_THWC), chunk):
        pixels_TCHW = _pixels(frames_THWC[start : start + chunk], pipeline.height, pipeline.width)
        pixels_TCHW = (pixels_TCHW / 127.5 - 1).to(pipeline.device, pipeline.dtype)
        posterior = pipeline.vae.encode(pixels_TCHW).latent_dist
        means.append(((posterior.mean.float() - shift) * scale).cpu())
        stds.append((posterior.std.float() * scale).cpu())
    return LatentPosterior(torch.cat(means), torch.cat(stds))


def _pixels(frames_THWC: Frames, height: int, width: int) -> torch.Tensor:
    """float32 [T,3,height,width], 0 to 255."""
    pixels_TCHW = torch.from_numpy(np.ascontiguousarray(frames_THWC)).permute(0, 3, 1, 2).float()
    if pixels_TCHW.shape[-2:] == (height, width):
        return pixels_TCHW
    resized_TCHW = torch.nn.functional.interpolate(
        pixels_TCHW, size=(height, width), mode="bicubic", antialias=True
    )
    return resized_TCHW.clamp(0, 255)


@dataclass(frozen=True)
class TuningProgress:
    """Where a tuning stands.

    Attributes:
        step: updates done.
        steps: updates in all.
        loss: of the last update.
        seconds_left: an estimate from the updates since this process began.
    """

    step: int
    steps: int
    loss: float
    seconds_left: float


Attached = Callable[[], AbstractContextManager[None]]
"""Makes the pipeline's UNet a video model with the tensors that are trained, within a block."""


def tune_on_clip(
    pipeline: StableDiffusion,
    trained: Mapping[str, nn.Parameter],
    attached: Attached,
    clip: LatentPosterior,
    prompt: str,
    config: TuningConfig,
    seed: int,
    *,
    checkpoint: Path | None = None,
    checkpoint_every_s: float = 120.0,
    progress: Callable[[TuningProgress], None] | None = None,
) -> None:
    """Train tensors in place, on one clip with its prompt.

    Args:
        trained: float32 tensors by name, on the device of the pipeline.
        attached: puts them to work in `pipeline.unet`.
        clip, prompt: the reference, and what it shows.
        seed: of timesteps, noise and draws from the posterior.
        checkpoint: file to resume from where it exists, written every `checkpoint_every_s` seconds and at the
            end. Removing it is the caller's business. A damaged file counts as none.
        progress: called after every update; an exception from it ends the tuning and reaches the caller.

    Raises:
        RunFileError: the checkpoint is of another tuning, or the precision does not fit the pipeline.
        ClipRefusedError: the loss is NaN or infinite.
    """
    compute = _compute_dtype(pipeline, config)
    tuning = _Tuning(pipeline, trained, clip, prompt, config, seed, compute)
    run = ResumableRun(
        checkpoint,
        tuning.identity,
        "is the checkpoint of another tuning (other settings, clip, prompt or seed)",
        config.steps,
        tuning.state,
        pipeline.device,
        checkpoint_every_s,
    )
    first, began = run.step, time.monotonic()
    for parameter in trained.values():
        parameter.requires_grad_(True)
    try:
        with _gradient_checkpointing(pipeline.unet, config.gradient_checkpointing), attached():
            while run.step < run.steps:
                loss = tuning.update(run.step)
                run.step += 1
                if run.is_due:
                    run.save()
                if progress is not None:
                    left_s = (time.monotonic() - began) / (run.step - first) * (run.steps - run.step)
                    progress(TuningProgress(run.step, run.steps, loss, left_s))
    finally:
        for parameter in trained.values():
            parameter.requires_grad_(False)
            parameter.grad = None


class _Tuning:
    """The state of a tuning and its update."""

    def __init__(
        self,
        pipeline: StableDiffusion,
        trained: Mapping[str, nn.Parameter],
        clip: LatentPosterior,
        prompt: str,
        config: TuningConfig,
        seed: int,
        compute: torch.dtype,
    ) -> None:
        self._pipeline, self._trained, self._clip = pipeline, trained, clip
        self._config, self._seed, self._compute = config, seed, compute
        self._schedule = pipeline.schedule(1)
        self._optimizer = torch.optim.AdamW(
            list(trained.values()),
            lr=config.learning_rate,
            betas=config.betas,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
        )
        self._scaler = torch.amp.GradScaler(pipeline.device.type, enabled=compute == torch.float16)
        with torch.no_grad():
            text_LD = pipeline.encode_prompt(prompt).embedding_LD
        self._text_TLD = text_LD.expand(len(clip.mean_TCHW), -1, -1)
        self.state: dict[str, Stateful] = {
            "trained": Tensors(trained),
            "optimizer": self._optimizer,
            "scaler": self._scaler,
        }
        self.identity = digest(
            {
                # A tuning of fewer steps is the beginning of one of more.
                "config": config.model_dump(exclude={"steps"}),
                "prompt": prompt,
                "seed": seed,
                "clip": [digest_array(part.numpy()) for part in (clip.mean_TCHW, clip.std_TCHW)],
                "trained": {name: list(parameter.shape) for name, parameter in trained.items()},
            }
        )

    def update(self, step: int) -> float:
        """One update of what is trained; the loss before it."""
        schedule, device = self._schedule, self._pipeline.device
        shape = tuple(self._clip.mean_TCHW.shape)
        clean_TCHW = self._clip.sample(draw(shape, self._seed, "tuning posterior", step)).to(device)
        noise_TCHW = draw(shape, self._seed, "tuning noise", step).to(device)
        timestep = int(generator(self._seed, "tuning timestep", step).integers(len(schedule.alphas_cumprod)))
        noisy_TCHW = schedule.noisy(clean_TCHW, noise_TCHW, timestep)
        target_TCHW = schedule.target(clean_TCHW, noise_TCHW, timestep)
        mixed = self._compute != torch.float32
        with torch.autocast(device.type, dtype=self._compute, enabled=mixed):
            prediction_TCHW = self._pipeline.unet(
                noisy_TCHW.to(self._pipeline.dtype),
                timestep,
                encoder_hidden_states=self._text_TLD,
                return_dict=False,
            )[0]
        loss = nn.functional.mse_loss(prediction_TCHW.float(), target_TCHW)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise ClipRefusedError(
                f"the loss of the tuning is {value} at step {step + 1}",
                "lower tuning.learning_rate, or set tuning.precision and dtype to bfloat16 or float32",
            )
        self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(list(self._trained.values()), self._config.max_gradient_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)
        return value


def _compute_dtype(pipeline: StableDiffusion, config: TuningConfig) -> torch.dtype:
    if config.precision == "auto":
        return pipeline.dtype
    compute: torch.dtype = getattr(torch, config.precision)
    if pipeline.dtype not in (torch.float32, compute):
        raise RunFileError(
            f"tuning.precision is {config.precision}, but the pipeline is loaded in "
            f"{str(pipeline.dtype).removeprefix('torch.')}",
            f"set dtype of the method to float32 or {config.precision}, or tuning.precision to auto",
        )
    return compute


@contextmanager
def _gradient_checkpointing(unet: Any, enabled: bool) -> Iterator[None]:
    before = unet.is_gradient_checkpointing
    if enabled:
        unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        if enabled and not before:
            unet.disable_gradient_checkpointing()
