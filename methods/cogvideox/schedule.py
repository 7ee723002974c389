"""The noise schedule and the samplers of CogVideoX: DDIM, and DPM-Solver++ with noise.

Sources: Song, Meng, Ermon, "Denoising Diffusion Implicit Models" (ICLR 2021), equation 12 with sigma = 0; Lu
et al., "DPM-Solver++" (2022), the second-order multistep form of its stochastic solver; Lin et al., "Common
Diffusion Noise Schedules and Sample Steps are Flawed" (WACV 2024), for the noise-only last timestep and the
trailing timesteps; Salimans and Ho (ICLR 2022) for the velocity.

Notation: abar_t is the product of 1 - beta up to timestep t, x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps,
lambda_t = log(sqrt(abar_t) / sqrt(1 - abar_t)). Unlike in Stable Diffusion abar of the last timestep may be
0: the start of sampling is noise and nothing else, lambda is minus infinity there, and a prediction of the
noise would say nothing about the clip. The last step ends at the checkpoint's final abar, which is 1 for
CogVideoX.

Deviation: a step leads to the next timestep of the list. diffusers' schedulers compute where it leads from
the whole-number stride, which is another timestep wherever the number of steps does not divide that of the
training timesteps, or the spacing is "linspace". Where both agree, tests compare the numbers. Coefficients
are float64 here.

Shape suffixes: F latent frames, C latent channels, H, W latent height and width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ...core.errors import RunFileError, WeightsError
from ..pipelines import Prediction, ends_in_noise

if TYPE_CHECKING:
    import torch

Sampler = Literal["ddim", "dpm"]
Spacing = Literal["trailing", "leading", "linspace"]


@dataclass(frozen=True)
class VideoSchedule:
    """The timesteps of a sampling run and what a step does.

    Attributes:
        alphas_cumprod: abar_t of every training timestep, falling, in [0, 1); only the last may be 0.
        final_alpha: abar at which the last step ends.
        prediction: what the transformer predicts: the noise, the velocity or the clean latents.
        timesteps: at which the transformer is evaluated, falling.
        sampler: "ddim" adds no noise, "dpm" adds noise at every step.
    """

    alphas_cumprod: tuple[float, ...]
    final_alpha: float
    prediction: Prediction
    timesteps: tuple[int, ...]
    sampler: Sampler = "ddim"

    def __post_init__(self) -> None:
        if self.prediction not in get_args(Prediction):
            raise WeightsError(
                f"the checkpoint predicts {self.prediction!r}; known: {', '.join(get_args(Prediction))}",
                "check prediction_type in scheduler/scheduler_config.json of the pipeline",
            )
        if self.prediction == "epsilon" and self.alphas_cumprod[-1] == 0:
            raise WeightsError(
                "the checkpoint predicts the noise, and its last timestep is noise alone, which says nothing "
                "about the clip",
                "check prediction_type (v_prediction) and rescale_betas_zero_snr in "
                "scheduler/scheduler_config.json of the pipeline",
            )

    def alpha_after(self, index: int) -> float:
        """abar of the state that the step with this number leads to; steps count from 0."""
        last = index + 1 >= len(self.timesteps)
        return self.final_alpha if last else self.alphas_cumprod[self.timesteps[index + 1]]

    def noisy(self, clean_FCHW: torch.Tensor, noise_FCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """The state at `timestep` of clean latents under noise: x_t of the notation above."""
        abar = self.alphas_cumprod[timestep]
        return math.sqrt(abar) * clean_FCHW + math.sqrt(1 - abar) * noise_FCHW

    def target(self, clean_FCHW: torch.Tensor, noise_FCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """What a perfect network predicts for `noisy(...)`."""
        if self.prediction == "epsilon":
            return noise_FCHW
        if self.prediction == "sample":
            return clean_FCHW
        abar = self.alphas_cumprod[timestep]
        return math.sqrt(abar) * noise_FCHW - math.sqrt(1 - abar) * clean_FCHW

    def clean(self, prediction_FCHW: torch.Tensor, latents_FCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """The clean latents x_0 that a prediction stands for."""
        abar = self.alphas_cumprod[timestep]
        signal, noise = math.sqrt(abar), math.sqrt(1 - abar)
        if self.prediction == "epsilon":
            return (latents_FCHW - noise * prediction_FCHW) / signal
        if self.prediction == "v_prediction":
            return signal * latents_FCHW - noise * prediction_FCHW
        return prediction_FCHW

    def step(
        self,
        index: int,
        clean_FCHW: torch.Tensor,
        latents_FCHW: torch.Tensor,
        earlier_clean_FCHW: torch.Tensor | None,
        noise_FCHW: torch.Tensor | None,
    ) -> torch.Tensor:
        """The state after the step with this number.

        Args:
            index: of the step, from 0.
            clean_FCHW: x_0 as found at this timestep, after guidance.
            latents_FCHW: the state at this timestep.
            earlier_clean_FCHW: x_0 as found one step before; None in the first step. Read by "dpm".
            noise_FCHW: standard normal, read by "dpm" alone.
        """
        now, after = self.alphas_cumprod[self.timesteps[index]], self.alpha_after(index)
        if self.sampler == "ddim":
            keep = math.sqrt((1 - after) / (1 - now))
            return keep * latents_FCHW + (math.sqrt(after) - math.sqrt(now) * keep) * clean_FCHW
        assert noise_FCHW is not None
        if after == 1:
            return clean_FCHW
        # exp(-h) with h = lambda_after - lambda_now: 0 where the state was noise alone.
        shrink = math.sqrt(now / (1 - now)) * math.sqrt((1 - after) / after)
        estimate = clean_FCHW
        if earlier_clean_FCHW is not None and index > 0 and index + 1 < len(self.timesteps):
            ratio = self._ratio(index)
            estimate = (1 + ratio) * clean_FCHW - ratio * earlier_clean_FCHW
        return (
            math.sqrt((1 - after) / (1 - now)) * shrink * latents_FCHW
            + math.sqrt(after) * (1 - shrink**2) * estimate
            + math.sqrt(1 - after) * math.sqrt(1 - shrink**2) * noise_FCHW
        )

    def _ratio(self, index: int) -> float:
        """1 / (2 r) with r the last step's length in lambda over this one's; 0 after a step from noise."""
        before, now = (self.alphas_cumprod[self.timesteps[i]] for i in (index - 1, index))
        if before == 0:
            return 0.0
        return (_lambda(self.alpha_after(index)) - _lambda(now)) / (2 * (_lambda(now) - _lambda(before)))


def _lambda(abar: float) -> float:
    return 0.5 * math.log(abar / (1 - abar))


def spaced_timesteps(num_training: int, num_steps: int, spacing: Spacing, offset: int = 0) -> tuple[int, ...]:
    """The timesteps of a run, falling.

    Args:
        num_training: training timesteps.
        num_steps: of the run.
        spacing: "trailing" begins at the last timestep (999, 979, ..., 19 for 50 of 1000), "leading" ends at
            `offset` (980, ..., 0), "linspace" does both.
        offset: of "leading".

    Raises:
        RunFileError: more steps than there are timesteps, or none.
    """
    if not 1 <= num_steps <= num_training:
        raise RunFileError(
            f"num_steps is {num_steps}; this pipeline allows 1 to {num_training}",
            "change num_steps of the method in the run file",
        )
    if spacing == "trailing":
        values = np.round(np.arange(num_training, 0, -num_training / num_steps)) - 1
    elif spacing == "leading":
        values = np.arange(num_steps)[::-1] * (num_training // num_steps) + offset
    else:
        values = np.round(np.linspace(0, num_training - 1, num_steps))[::-1]
    return tuple(int(value) for value in values)


def schedule_of(scheduler: Any, num_steps: int, sampler: Sampler | Literal["auto"] = "auto") -> VideoSchedule:
    """The schedule of a checkpoint.

    Args:
        scheduler: diffusers' scheduler of the pipeline.
        num_steps: of the run.
        sampler: "auto" is the checkpoint's own.

    Raises:
        WeightsError: the checkpoint's scheduler names a prediction or a spacing that is not known, or its
            last timestep is noise alone and its spacing leaves that out.
        RunFileError: the number of steps does not fit.
    """
    spacing = scheduler.config.get("timestep_spacing", "leading")
    if spacing not in get_args(Spacing):
        raise WeightsError(
            f"the scheduler's timestep_spacing is {spacing!r}; known: {', '.join(get_args(Spacing))}",
            "check scheduler/scheduler_config.json of the pipeline",
        )
    if sampler == "auto":
        sampler = "dpm" if "DPM" in type(scheduler).__name__ else "ddim"
    alphas = tuple(float(value) for value in scheduler.alphas_cumprod.double())
    timesteps = spaced_timesteps(
        len(alphas), num_steps, spacing, int(scheduler.config.get("steps_offset", 0))
    )
    if ends_in_noise(alphas) and spacing == "leading":
        raise WeightsError(
            "the checkpoint has a terminal SNR of zero (rescale_betas_zero_snr): it begins at noise alone, "
            f"timestep {len(alphas) - 1}; its timestep_spacing {spacing!r} begins at {timesteps[0]}",
            "set timestep_spacing to trailing in scheduler/scheduler_config.json of the pipeline",
        )
    return VideoSchedule(
        alphas_cumprod=alphas,
        final_alpha=float(scheduler.final_alpha_cumprod),
        prediction=scheduler.config.get("prediction_type", "epsilon"),
        timesteps=timesteps,
        sampler=sampler,
    )
