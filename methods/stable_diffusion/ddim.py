"""DDIM without added noise (eta 0), written out: its schedule, and the guided UNet that follows it.

Sources: Song, Meng, Ermon, "Denoising Diffusion Implicit Models" (ICLR 2021), equation 12 with sigma = 0, on
the noise schedule of the checkpoint, and section 4.3 for inversion; Ho and Salimans, "Classifier-Free
Diffusion Guidance" (2022), in the form of Stable Diffusion.

Notation: abar_t is the product of (1 - beta_s) for s up to t; x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps.

Three settings differ from the defaults of diffusers' DDIMScheduler, and all three are those that Stable
Diffusion was trained and published with:

- no clipping of x_0 to [-1, 1] (`clip_sample=False`): x_0 is a latent here, not an image;
- the last step goes to abar_0, not to 1 (`set_alpha_to_one=False`): the network never saw a noise-free
  latent;
- timesteps are shifted by one (`steps_offset=1`): 50 steps are 981, 961, ..., 1.

A checkpoint with a terminal SNR of zero (`rescale_betas_zero_snr` in its scheduler file) learned to begin at
the last timestep, where the state is noise and nothing else. "Trailing" timesteps begin there (999, 979, ...,
19 for 50 steps; Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", WACV 2024,
section 3.3). "Leading" ones are refused: state 981 of such a checkpoint holds some of the clip, which noise
does not. Guidance is not rescaled, as that paper's section 3.4 would.

The settings are fixed here rather than read from the checkpoint's scheduler file, which may be that of
another sampler (PNDM for Stable Diffusion 1.x) and says nothing about DDIM.

Deviations: none in the numbers (tests compare with diffusers). Coefficients are computed in float64 and
latents are kept in float32 between the steps whatever the number format of the UNet; diffusers rounds both to
that format.

Shape suffixes: T frames, G guidance halves (2 with guidance, 1 without), B = G*T, C latent channels, H, W
latent height and width, L text tokens, D width of the text encoder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ...core.errors import RunFileError, WeightsError
from ..pipelines import Prediction, ends_in_noise

if TYPE_CHECKING:
    import torch

STEPS_OFFSET = 1

Spacing = Literal["leading", "trailing"]


@dataclass(frozen=True)
class DdimSchedule:
    """The timesteps of a sampling run and what a step does.

    Attributes:
        alphas_cumprod: abar_t of every training timestep, falling, in [0, 1); only the last may be 0.
        prediction: what the UNet predicts: the noise, the velocity or the clean latent.
        num_steps: DDIM steps.
        spacing: where their timesteps lie.
    """

    alphas_cumprod: tuple[float, ...]
    prediction: Prediction
    num_steps: int
    spacing: Spacing = "leading"

    def __post_init__(self) -> None:
        if self.prediction not in get_args(Prediction):
            raise WeightsError(
                f"the checkpoint predicts {self.prediction!r}; known: {', '.join(get_args(Prediction))}",
                "check prediction_type in scheduler/scheduler_config.json of the pipeline",
            )
        longest = len(self.alphas_cumprod)
        if not 1 <= self.num_steps < longest:
            raise RunFileError(
                f"num_steps is {self.num_steps}; this pipeline allows 1 to {longest - 1}",
                "change num_steps of the method in the run file",
            )

    def for_sampling(self) -> DdimSchedule:
        """This schedule, if clips can be sampled with it.

        Raises:
            RunFileError: the checkpoint begins at noise alone, and the timesteps begin later.
            WeightsError: it does, and predicts the noise, which there says nothing about the clip.
        """
        if not ends_in_noise(self.alphas_cumprod):
            return self
        if self.prediction == "epsilon":
            raise WeightsError(
                "the checkpoint predicts the noise, and its last timestep is noise alone, which says nothing "
                "about the clip",
                "check prediction_type (v_prediction) and rescale_betas_zero_snr in "
                "scheduler/scheduler_config.json of the pipeline",
            )
        if self.spacing == "leading":
            raise RunFileError(
                "the checkpoint has a terminal SNR of zero (rescale_betas_zero_snr): it begins at noise "
                f"alone, timestep {len(self.alphas_cumprod) - 1}; leading timesteps begin at "
                f"{self.timesteps[0]}",
                "set timesteps: trailing for the method; an upscaler needs another checkpoint",
            )
        return self

    @property
    def timesteps(self) -> tuple[int, ...]:
        """The timesteps at which the UNet is evaluated, falling: 981, 961, ..., 1 for 50 of 1000, or 999,
        979, ..., 19 (trailing)."""
        num_training = len(self.alphas_cumprod)
        if self.spacing == "trailing":
            ends = np.arange(num_training, 0, -num_training / self.num_steps)
            return tuple(int(end) - 1 for end in np.round(ends))
        stride = num_training // self.num_steps
        return tuple(step * stride + STEPS_OFFSET for step in reversed(range(self.num_steps)))

    def after(self, timestep: int) -> int:
        """Where the step at a timestep leads: to the next one of the list; below 0 at its end."""
        if self.spacing == "leading":
            return timestep - len(self.alphas_cumprod) // self.num_steps
        return max((other for other in self.timesteps if other < timestep), default=-1)

    def timestep_from_end(self, index: int) -> int:
        """The timestep `index` places before the last one: 0 is the last, num_steps - 1 the first."""
        return self.timesteps[self.num_steps - 1 - index]

    def timesteps_between(self, start: int, stop: int | None) -> tuple[int, ...]:
        """The timesteps that lead from the state at `start` to the state at `stop` (None: to the end).

        `start` is evaluated, `stop` is not: the result of denoising with them is the state *at* `stop`.
        """
        return tuple(t for t in self.timesteps if t <= start and (stop is None or t > stop))

    def alpha_bar(self, timestep: int) -> float:
        """abar at a timestep; below 0, where the last step ends, that of timestep 0."""
        return self.alphas_cumprod[max(timestep, 0)]

    def clean_and_noise(
        self, prediction_TCHW: torch.Tensor, latents_TCHW: torch.Tensor, timestep: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The clean latent x_0 and the noise eps that a prediction stands for.

        The velocity is v = sqrt(abar) eps - sqrt(1 - abar) x_0 (Salimans and Ho, "Progressive Distillation
        for Fast Sampling of Diffusion Models", ICLR 2022, appendix D).
        """
        signal = math.sqrt(self.alpha_bar(timestep))
        noise = math.sqrt(1.0 - self.alpha_bar(timestep))
        if self.prediction == "epsilon":
            return (latents_TCHW - noise * prediction_TCHW) / signal, prediction_TCHW
        if self.prediction == "v_prediction":
            return (
                signal * latents_TCHW - noise * prediction_TCHW,
                signal * prediction_TCHW + noise * latents_TCHW,
            )
        return prediction_TCHW, (latents_TCHW - signal * prediction_TCHW) / noise

    def noisy(self, clean_TCHW: torch.Tensor, noise_TCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """The state at `timestep` of clean latents under noise, [T,C,H,W]: x_t of the notation above."""
        abar = self.alpha_bar(timestep)
        return math.sqrt(abar) * clean_TCHW + math.sqrt(1.0 - abar) * noise_TCHW

    def target(self, clean_TCHW: torch.Tensor, noise_TCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """What a perfect network predicts for `noisy(...)`, [T,C,H,W]: the inverse of `clean_and_noise`."""
        if self.prediction == "epsilon":
            return noise_TCHW
        if self.prediction == "sample":
            return clean_TCHW
        abar = self.alpha_bar(timestep)
        return math.sqrt(abar) * noise_TCHW - math.sqrt(1.0 - abar) * clean_TCHW

    def step(self, prediction_TCHW: torch.Tensor, latents_TCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """One DDIM step: from the state at `timestep` to the state at the next one, [T,C,H,W].

        Args:
            prediction_TCHW: what the UNet gave for `latents_TCHW` at `timestep`, after guidance.
            latents_TCHW: the state at `timestep`.
        """
        clean_TCHW, noise_TCHW = self.clean_and_noise(prediction_TCHW, latents_TCHW, timestep)
        earlier = self.alpha_bar(self.after(timestep))
        return math.sqrt(earlier) * clean_TCHW + math.sqrt(1.0 - earlier) * noise_TCHW

    def inverse_step(
        self, prediction_TCHW: torch.Tensor, latents_TCHW: torch.Tensor, timestep: int
    ) -> torch.Tensor:
        """One step of DDIM inversion: to the state at `timestep` from the one that `step` leads to from
        there, [T,C,H,W].

        `step` solved for its input, with the noise that the UNet finds in the earlier state in place of the
        noise in the state that is looked for. It undoes `step` exactly where the noise does not depend on the
        state.

        Args:
            prediction_TCHW: what the UNet gave for `latents_TCHW` at `timestep`.
            latents_TCHW: the state that `step` leads to from `timestep`.
        """
        _, noise_TCHW = self.clean_and_noise(prediction_TCHW, latents_TCHW, timestep)
        earlier, later = self.alpha_bar(self.after(timestep)), self.alpha_bar(timestep)
        clean_TCHW = (latents_TCHW - math.sqrt(1.0 - earlier) * noise_TCHW) / math.sqrt(earlier)
        return math.sqrt(later) * clean_TCHW + math.sqrt(1.0 - later) * noise_TCHW

    def forward_jump(
        self, latents_TCHW: torch.Tensor, noise_TCHW: torch.Tensor, start: int, stop: int
    ) -> torch.Tensor:
        """Add noise from timestep `start` up to `stop` in one DDPM jump, [T,C,H,W].

        x_stop = sqrt(P) x_start + sqrt(1 - P) noise, with P the product of the per-step alpha_s = 1 - beta_s
        for s in [start, stop). The half-open interval is that of the Text2Video-Zero code; P = abar_stop /
        abar_start would be (start, stop]. With Stable Diffusion's schedule P differs by about 0.1%.
        """
        kept = math.prod(self._alpha(step) for step in range(start, stop))
        return math.sqrt(kept) * latents_TCHW + math.sqrt(1.0 - kept) * noise_TCHW

    def _alpha(self, timestep: int) -> float:
        before = self.alphas_cumprod[timestep - 1] if timestep > 0 else 1.0
        return self.alphas_cumprod[timestep] / before


def schedule_of(
    alphas_cumprod: Sequence[float], prediction: str, num_steps: int, spacing: Spacing = "leading"
) -> DdimSchedule:
    """A schedule from a checkpoint's values, with their types checked."""
    return DdimSchedule(
        alphas_cumprod=tuple(float(value) for value in alphas_cumprod),
        prediction=prediction,  # type: ignore[arg-type]  # checked in __post_init__
        num_steps=num_steps,
        spacing=spacing,
    )


class Denoiser:
    """A UNet that knows its prompt: all that a sampling method needs.

    guided = unconditional + scale * (conditional - unconditional), where "unconditional" is the negative
    prompt. The frames of one clip are the batch axis of the UNet; with guidance the batch is [negative prompt
    x T, prompt x T]. Attention across frames (`methods.stable_diffusion.attention`) is told T and never
    guesses.

    Args:
        unet: a diffusers UNet2DConditionModel.
        schedule: the DDIM schedule.
        text_GLD: embeddings of (negative prompt, prompt), or of the prompt alone when `guidance_scale` is 1.
        guidance_scale: at least 1.
        latent_shape_CHW: shape of one frame's latent.
    """

    def __init__(
        self,
        unet: Any,
        schedule: DdimSchedule,
        text_GLD: torch.Tensor,
        guidance_scale: float,
        latent_shape_CHW: tuple[int, int, int],
    ) -> None:
        assert text_GLD.shape[0] == (2 if guidance_scale > 1 else 1)
        self.unet = unet
        self.schedule = schedule
        self.latent_shape_CHW = latent_shape_CHW
        self._text_GLD = text_GLD
        self._guidance_scale = guidance_scale

    @property
    def device(self) -> torch.device:
        """Where the UNet is."""
        return self._text_GLD.device

    def predict(self, latents_TCHW: torch.Tensor, timestep: int) -> torch.Tensor:
        """The guided prediction of the UNet at a timestep, float32 [T,C,H,W]."""
        text_BLD = self._text_GLD.repeat_interleave(latents_TCHW.shape[0], dim=0)
        latents_BCHW = latents_TCHW.to(text_BLD.dtype).repeat(self._text_GLD.shape[0], 1, 1, 1)
        prediction_BCHW = self.unet(
            latents_BCHW, timestep, encoder_hidden_states=text_BLD, return_dict=False
        )[0].float()
        if self._guidance_scale <= 1:
            return prediction_BCHW
        negative_TCHW, positive_TCHW = prediction_BCHW.chunk(2)
        return negative_TCHW + self._guidance_scale * (positive_TCHW - negative_TCHW)

    def denoise(self, latents_TCHW: torch.Tensor, timesteps: Iterable[int] | None = None) -> torch.Tensor:
        """DDIM steps at the given timesteps, in their order; float32 [T,C,H,W] on the device of the model.

        Args:
            latents_TCHW: the state at the first of the timesteps, on any device.
            timesteps: None is all of the schedule, from noise to the end.
        """
        latents_TCHW = latents_TCHW.to(self.device).float()
        for timestep in self.schedule.timesteps if timesteps is None else timesteps:
            prediction_TCHW = self.predict(latents_TCHW, timestep)
            latents_TCHW = self.schedule.step(prediction_TCHW, latents_TCHW, timestep)
        return latents_TCHW

    def invert(self, latents_TCHW: torch.Tensor) -> torch.Tensor:
        """DDIM inversion: the noise from which `denoise` leads back to these latents.

        Tune-A-Video (section 3.3, and the released code) inverts with an empty prompt, without guidance and
        by the tuned network, and evaluates the noise at the timestep that a step leads *to*, on the state
        that it comes from. The prediction is turned into noise with the noise level of that timestep, so two
        networks that say the same in epsilon and in velocity have the same inversion (tested); the released
        code takes every prediction for epsilon, which is wrong for networks that predict the velocity (Stable
        Diffusion 2.x at 768 pixels). The error of a step falls with its length: more steps lead back more
        closely.

        Args:
            latents_TCHW: a clip's latents, scaled as the UNet expects them, on any device.

        Returns:
            float32 [T,C,H,W] on the device of the model: the state at the schedule's first timestep.
        """
        latents_TCHW = latents_TCHW.to(self.device).float()
        for timestep in reversed(self.schedule.timesteps):
            prediction_TCHW = self.predict(latents_TCHW, timestep)
            latents_TCHW = self.schedule.inverse_step(prediction_TCHW, latents_TCHW, timestep)
        return latents_TCHW
