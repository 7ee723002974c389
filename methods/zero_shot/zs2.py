"""ZS²: dependency noise and temporal momentum attention on a text-to-image model, without training.

Source: "Fine-gained Zero-shot Video Sampling" (arXiv 2407.21475), and the authors' pseudocode (MIT licence,
read, not copied).

1. Dependency noise (section 3, `dependency_noise`): the initial noise of a frame resembles that of the frame
   before it by lambda.
2. Temporal momentum attention (section 4.1): self-attention looks at a running
   mean of the keys and values of the frames so far, with momentum mu.
3. DDIM on all frames together. One frame is plain DDIM (section 5), here bit for bit.

lambda = 0.01 and mu = 0.98 are the paper's (section 6.1), for all frames; its formulas have lambda_i and mu_i
(a list of either gives each frame its own). Number of steps and guidance scale are not given in the paper: 50
and 7.5 are assumed, as Stable Diffusion is commonly run. The paper makes 8 frames, the default here is 16.
Chaining of chunks into longer videos is left out.

The noise of frame i is sqrt(alpha) e_{i-1} + sqrt(1 - alpha) n with fresh n, so that every frame is standard
normal by itself; alpha is chosen so that the "KL divergence" between e_i and e_{i-1} is lambda. That
divergence is the authors' definition: both noise tensors are taken for log-probabilities,

    KL(e_i, e_{i-1}) = mean over C,H,W of exp(e_{i-1}) (e_{i-1} - e_i).

It is not a divergence between distributions, and it can be negative. Its expectation for the e_i above is
(1 - sqrt(alpha)) sqrt(e), sqrt(e) = 1.6487 being its value for independent tensors. A lambda beyond that is
out of reach and gives independent noise; "lambda to infinity" in the paper is 1.65.

Two ways to alpha:

closed form  solves the expectation: alpha = (1 - lambda / sqrt(e))^2. The default. At lambda 0.01 the frames'
             divergences were 0.004 to 0.021, with the search 0.0057 to 0.0107 (paper) and 0.0045 to 0.0091
             (pseudocode).
search       the two stages of the paper (algorithm 1): of several draws n keep the one whose divergence is
             nearest to lambda, then walk alpha up in steps that shrink. The result lies on the grid of steps
             and not on lambda. Variant "paper" is algorithm 1, "pseudocode" is the authors' listing.

Deviations of the search:
- alpha stays below 1. At the default lambda of 0.01 the walk of ten steps of 0.1 arrives at alpha = 1. What
  then happens is an accident of rounding: in float32 the sum is 1.0000001, the root of a negative number is
  NaN, the comparison with NaN is false and the step is refused; in float64 the paper's search accepts it and
  all frames share one noise, and the pseudocode goes on to NaN. Here a candidate of 1 or more is refused in
  any precision, which is what the published float32 runs do. lambda = 0 is exact in the closed form only.
- the pseudocode returns an alpha that was never tested; if it is not below 1, the best tested one is
  returned.
- alpha is per clip (the pseudocode's is per clip of a batch, without the reshape that broadcasting would
  need).

Deviation of attention: the paper's matrix form is followed, not the pseudocode's
(`methods.stable_diffusion.attention`).

Shape suffixes: T frames, C latent channels, H, W latent height and width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import AliasChoices, Field, model_validator

from ..stable_diffusion.ddim import Denoiser
from ..stable_diffusion.pipeline import PipelineConfig, ZeroShotMethod

if TYPE_CHECKING:
    import torch

Momentum = Annotated[float, Field(ge=0.0, le=1.0)]
Divergence = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
NoiseKind = Literal["closed-form", "two-stage-search"]
SearchVariant = Literal["paper", "pseudocode"]


class Zs2(ZeroShotMethod):
    """ZS²: dependency noise and temporal momentum attention on a text-to-image model, without training."""

    class Config(PipelineConfig):
        """Settings of ZS². `num_steps` 50 and `guidance_scale` 7.5 are assumed; the paper names neither."""

        # `lambda` is a keyword of Python but not of YAML: run files may write either.
        lambda_: Divergence | tuple[Divergence, ...] = Field(
            default=0.01, validation_alias=AliasChoices("lambda_", "lambda")
        )
        """Divergence between the noise of neighbouring frames, one for all or one for each frame from the
        second on: 0 is one noise, 1.65 and more independent."""

        mu: Momentum | tuple[Momentum, ...] = 0.98
        """Momentum, one for all frames or one for each from the second on: 0 is plain self-attention, 1 looks
        at frame 1 only."""

        noise: NoiseKind = "closed-form"
        """How alpha is found: solved for, or searched for as the paper does."""

        search_variant: SearchVariant = "paper"
        """Algorithm 1 of the paper or the authors' listing; they differ in the steps of the search."""

        search_precision: Literal["float32", "float64"] = "float32"
        """Number format in which the search computes."""

        search_draws: int = Field(default=10, ge=1)
        """Draws of the search's random stage."""

        search_iterations: int = Field(default=15, ge=1)
        """Iterations of the search's linear stage."""

        @model_validator(mode="after")
        def _one_value_for_each_frame(self) -> Self:
            for name, value in (("mu", self.mu), ("lambda", self.lambda_)):
                if isinstance(value, tuple) and len(value) != self.num_frames - 1:
                    raise ValueError(
                        f"{name} has {len(value)} values for {self.num_frames} frames; allowed: one number, "
                        f"or {self.num_frames - 1} (for the second frame to the last)"
                    )
            return self

    config: Config
    name: ClassVar[str] = "zs2"
    version: ClassVar[str] = "1"

    def sample_latents(self, denoiser: Denoiser, seed: int) -> torch.Tensor:
        """Latents of a clip, float32 [T,C,H,W]."""
        import torch

        from ..stable_diffusion.attention import TemporalMomentumAttention, self_attention

        config = self.config
        noise_TCHW = dependency_noise(
            seed,
            config.num_frames,
            denoiser.latent_shape_CHW,
            config.lambda_,
            kind=config.noise,
            variant=config.search_variant,
            num_draws=config.search_draws,
            num_iterations=config.search_iterations,
            dtype=torch.float64 if config.search_precision == "float64" else torch.float32,
        )
        with self_attention(denoiser.unet, TemporalMomentumAttention(config.num_frames, config.mu)):
            return denoiser.denoise(noise_TCHW)


_FIRST_STEP = 0.1
_NEARLY_ONE = 1.0 - 1e-6
"""Ten steps of 0.1 are 1.0000001 in float32 and 0.9999999999999999 in float64; both count as 1."""


def kl(new: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
    """The authors' divergence of `new` from `previous`, a scalar; both of one shape, any float type."""
    return (previous.exp() * (previous - new)).mean()


def blend(previous: torch.Tensor, fresh: torch.Tensor, alpha: float) -> torch.Tensor:
    """sqrt(alpha) previous + sqrt(1 - alpha) fresh, for alpha in [0, 1]."""
    return math.sqrt(alpha) * previous + math.sqrt(1.0 - alpha) * fresh


def closed_form_alpha(divergence: float) -> float:
    """The alpha in [0, 1] whose expected divergence is `divergence` (lambda, at least 0)."""
    return max(0.0, 1.0 - divergence / math.sqrt(math.e)) ** 2


def nearest_draw(
    previous_CHW: torch.Tensor, draws: Sequence[torch.Tensor], divergence: float
) -> torch.Tensor:
    """The random stage: the draw whose divergence from `previous_CHW` is nearest to `divergence`."""
    return min(draws, key=lambda fresh: abs(kl(fresh, previous_CHW).item() - divergence))


def search_alpha(
    previous_CHW: torch.Tensor,
    fresh_CHW: torch.Tensor,
    divergence: float,
    *,
    num_iterations: int = 15,
    variant: SearchVariant = "paper",
) -> float:
    """The linear stage: alpha in [0, 1), in the precision of the tensors.

    paper:       from alpha = 0 and a step of 0.1, go up while (KL - lambda)^2 falls, else halve the step.
    pseudocode:  from alpha = 0.1 and a step of 0.1, go up while |KL - lambda| at alpha does not rise above
                 the best so far (that of the random stage at first), else go back 0.8 steps and take a fifth
                 of the step.
    """

    def error(alpha: float) -> float:
        if alpha >= _NEARLY_ONE:
            return math.inf
        return abs(kl(blend(previous_CHW, fresh_CHW, alpha), previous_CHW).item() - divergence)

    step = _FIRST_STEP
    if variant == "paper":
        alpha, best = 0.0, error(0.0)
        for _ in range(num_iterations):
            candidate = error(alpha + step)
            if candidate < best:
                alpha, best = alpha + step, candidate
            else:
                step /= 2
        return alpha

    alpha, best_alpha, best = _FIRST_STEP, 0.0, error(0.0)
    for _ in range(num_iterations):
        candidate = error(alpha)
        if candidate <= best:
            best_alpha, best = alpha, candidate
            alpha += step
        else:
            alpha -= 0.8 * step
            step *= 0.2
    return alpha if 0.0 <= alpha < _NEARLY_ONE else best_alpha


def dependency_noise(
    seed: int,
    num_frames: int,
    shape_CHW: tuple[int, int, int],
    divergence: float | Sequence[float],
    *,
    kind: NoiseKind = "closed-form",
    variant: SearchVariant = "paper",
    num_draws: int = 10,
    num_iterations: int = 15,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """Initial noise of a clip, float32 [T,C,H,W] on the CPU.

    Frame 0 is `initial_noise(seed, 0)`, and the fresh noise of frame i is `initial_noise(seed, i)` (in the
    search, one of the draws is), so with a large divergence this is the noise of independent frames.

    Args:
        divergence: lambda, at least 0; one for all frames, or one for each from the second on.
        kind, variant: how alpha is found.
        num_draws: draws of the random stage; the paper's first draw before the loop counts as one more.
        num_iterations: iterations of the linear stage.
        dtype: precision in which the search computes; None is float32.
    """
    import torch

    from ..noise import draw, initial_noise

    dtype = dtype or torch.float32
    frames = [initial_noise(seed, 0, shape_CHW)]
    lambdas = [divergence] * (num_frames - 1) if isinstance(divergence, float | int) else divergence
    for frame, own in enumerate(lambdas, 1):
        previous_CHW, fresh_CHW = frames[-1], initial_noise(seed, frame, shape_CHW)
        if kind == "closed-form":
            alpha = closed_form_alpha(own)
        else:
            more = range(1, num_draws + (variant == "paper"))
            draws = [fresh_CHW, *(draw(shape_CHW, seed, "search draw", frame, index) for index in more)]
            fresh_CHW = nearest_draw(previous_CHW.to(dtype), [item.to(dtype) for item in draws], own)
            alpha = search_alpha(
                previous_CHW.to(dtype), fresh_CHW, own, num_iterations=num_iterations, variant=variant
            )
        frames.append(blend(previous_CHW.to(dtype), fresh_CHW.to(dtype), alpha).float())
    return torch.stack(frames)
