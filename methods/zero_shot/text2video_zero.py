"""Text2Video-Zero: one image's latent, shifted from frame to frame, under cross-frame attention.

Source: Khachatryan et al., "Text2Video-Zero: Text-to-Image Diffusion Models are Zero-Shot Video Generators"
(ICCV 2023), its parts on motion dynamics in latent codes and on cross-frame attention, with the settings of
the authors' code. No code was copied; the authors' repository is under CreativeML OpenRAIL-M.

1. Denoise one latent from noise down to t0, keeping the states at t1 and at t0 (t1 is the noisier one).
2. Copy the state at t0 to the frames 2 to T and shift frame k by k times a constant flow.
3. Add noise from t0 back up to t1, fresh for every frame: this gives the frames freedom to differ.
4. Denoise frame 1's own state at t1 and these together from t1 to the end; every frame attends to frame 1.

Deviations and choices:
- t0 and t1 count from the end of the list of DDIM steps. 44 and 47 of 50 steps (timesteps 881 and 941) are
  the authors' and only defined for 50; for other numbers of steps they are scaled in proportion, kept apart.
  With few steps something else comes of it (`notes` says so while planning): up to 25 steps t1 is the first
  one, so that frame 1's state at t1 is the initial noise, where two steps come before it in the authors'
  code; up to 12 both would fall on one step, and t0 is moved to the next.
- The flow is given in pixels of a 512 by 512 image, as in the authors' code where 512 is fixed: at another
  size it is the same fraction of the image. Positive values look ahead, so the content moves left and up.
- Noise is drawn from t0 to t1 with the product of alpha_s over [t0, t1), as in the authors' code.
- The whole clip is one chunk. The authors' wrapper makes chunks of 8, each seeded again and led by frame 1,
  whose copy is dropped, so that its frame 1 is a re-noised copy; here frame 1 is the anchor itself.
- The authors' wrapper appends a quality suffix to every prompt, which changes CLIP scores; off by default
  here.
- No background smoothing: it is optional, off by default in the authors' code, and needs a
  salient object model that the paper does not ship.

Shape suffixes: T frames, C latent channels, H, W latent height and width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from ...core.contracts import Session
from ..stable_diffusion.ddim import Denoiser
from ..stable_diffusion.pipeline import PipelineConfig, ZeroShotMethod, ZeroShotSession

if TYPE_CHECKING:
    import torch

_FLOW_PIXELS = 512
"""The side of the image, in pixels, in which the flow is given."""

_REFERENCE_STEPS, _REFERENCE_T0, _REFERENCE_T1 = 50, 44, 47


class Text2VideoZero(ZeroShotMethod):
    """Text2Video-Zero: one image's latent, shifted from frame to frame, under cross-frame attention."""

    class Config(PipelineConfig):
        """Settings of Text2Video-Zero."""

        num_steps: int = Field(default=50, ge=2, le=999)
        """DDIM steps; at least 2, as t0 and t1 differ."""

        t0: int | None = Field(default=None, ge=0)
        """The less noisy state, counted from the end of the steps (0: the last); None is 44 of 50, scaled."""

        t1: int | None = Field(default=None, ge=1)
        """The noisier state, counted from the end of the steps; None is 47 of 50, scaled."""

        motion_x: float = Field(default=12.0, allow_inf_nan=False)
        """Flow from frame to frame along x, in pixels of a 512-pixel image; positive moves content left."""

        motion_y: float = Field(default=12.0, allow_inf_nan=False)
        """Flow from frame to frame along y, in pixels of a 512-pixel image; positive moves content up."""

        prompt_suffix: str = ""
        """Words appended to every prompt after a comma. The authors' demo appends words of quality."""

        @model_validator(mode="after")
        def _states_in_order(self) -> Self:
            t0, t1 = self.states()
            if not 0 <= t0 < t1 < self.num_steps:
                raise ValueError(
                    f"t0={t0} and t1={t1} of {self.num_steps} steps; allowed: 0 <= t0 < t1 < num_steps"
                )
            return self

        def states(self) -> tuple[int, int]:
            """t0 and t1 as indices from the end of the list of steps, defaults filled in."""
            last = self.num_steps - 1
            scale = self.num_steps / _REFERENCE_STEPS
            t1 = min(int(_REFERENCE_T1 * scale + 0.5), last) if self.t1 is None else self.t1
            t0 = min(int(_REFERENCE_T0 * scale + 0.5), t1 - 1) if self.t0 is None else self.t0
            return t0, t1

    config: Config
    name: ClassVar[str] = "text2video-zero"
    version: ClassVar[str] = "1"

    def notes(self) -> tuple[str, ...]:
        """What becomes of t0 and t1 with few steps, where nobody chose them."""
        num_steps = self.config.num_steps
        t0, t1 = self.config.states()
        if (self.config.t0, self.config.t1) != (None, None) or t1 < num_steps - 1:
            return ()
        moved = t0 < int(_REFERENCE_T0 * num_steps / _REFERENCE_STEPS + 0.5)
        return (
            f"of {num_steps} steps, t1 is number 1 and t0 number {num_steps - t0}"
            + (" (both would be number 1 and are kept apart)" if moved else "")
            + ": nothing is denoised before t1, and frame 1 starts there from the initial noise. Of the "
            f"authors' {_REFERENCE_STEPS} steps they are number {_REFERENCE_STEPS - _REFERENCE_T1} and "
            f"{_REFERENCE_STEPS - _REFERENCE_T0}. Take more than 25 steps, or set t0 and t1",
        )

    def load(self, device: str) -> Session:
        """A session that appends the suffix to every prompt."""
        return ZeroShotSession(self.config, device, self.sample_latents, self.config.prompt_suffix)

    def sample_latents(self, denoiser: Denoiser, seed: int) -> torch.Tensor:
        """Latents of a clip, float32 [T,C,H,W]."""
        import torch

        from ..noise import draw, initial_noise
        from ..stable_diffusion.attention import CrossFrameAttention, self_attention

        num_frames, schedule, shape_CHW = self.config.num_frames, denoiser.schedule, denoiser.latent_shape_CHW
        t0, t1 = (schedule.timestep_from_end(index) for index in self.config.states())

        # 1. One frame from noise to t0. A single frame attends to itself, so plain attention serves.
        first_1CHW = initial_noise(seed, 0, shape_CHW)[None]
        first_at_t1 = denoiser.denoise(first_1CHW, schedule.timesteps_between(schedule.timesteps[0], t1))
        if num_frames == 1:
            return denoiser.denoise(first_at_t1, schedule.timesteps_between(t1, None))
        first_at_t0 = denoiser.denoise(first_at_t1, schedule.timesteps_between(t1, t0))

        # 2. The other frames are shifted copies,
        others_TCHW = shift(first_at_t0, num_frames, self.config.motion_x, self.config.motion_y)

        # 3. with fresh noise up to t1.
        noise = [draw(shape_CHW, seed, "forward noise", frame) for frame in range(1, num_frames)]
        others_TCHW = schedule.forward_jump(others_TCHW, torch.stack(noise).to(others_TCHW), t0, t1)

        # 4. All frames together from t1 to the end.
        clip_TCHW = torch.cat([first_at_t1, others_TCHW])
        with self_attention(denoiser.unet, CrossFrameAttention(num_frames)):
            return denoiser.denoise(clip_TCHW, schedule.timesteps_between(t1, None))


def shift(first_1CHW: torch.Tensor, num_frames: int, motion_x: float, motion_y: float) -> torch.Tensor:
    """Copies of a latent for the frames 2 to T, shifted further from frame to frame.

    Frame k (counted from 0) looks k * motion / 512 of the image ahead, so content moves towards smaller
    coordinates. The nearest latent is taken and the border is reflected. Coordinates are those of the
    authors' code: pixel i of 512 lies at i / 512 (not at its centre), which moves the grid back by half a
    pixel of 512; this is why a flow of 12 at 64 latents gives the shifts 0, 1, 3, 4, 6, 7, 9, 10
    (1.5 k - 1/16, rounded).

    Args:
        first_1CHW: one latent, [1,C,H,W].
        num_frames: T.
        motion_x, motion_y: flow from frame to frame in pixels of a 512 by 512 image.

    Returns:
        [T-1,C,H,W].
    """
    import torch
    from torch.nn.functional import grid_sample

    def coordinates(size: int, motion: float) -> torch.Tensor:
        """Where the frames 1 to T-1 look along one axis, [T-1,size], in grid_sample's -1 to 1."""
        site = torch.arange(size, dtype=torch.float64)
        frame = torch.arange(1, num_frames, dtype=torch.float64)
        fraction = ((site + 0.5) / size)[None] + (frame[:, None] * motion - 0.5) / _FLOW_PIXELS
        return (2.0 * fraction - 1.0).to(first_1CHW)

    height, width = first_1CHW.shape[-2:]
    x_TW, y_TH = coordinates(width, motion_x), coordinates(height, motion_y)
    grid_THW2 = torch.stack(
        [
            x_TW[:, None, :].expand(-1, height, -1),
            y_TH[:, :, None].expand(-1, -1, width),
        ],
        dim=-1,
    )
    copies_TCHW = first_1CHW.expand(num_frames - 1, -1, -1, -1)
    return grid_sample(copies_TCHW, grid_THW2, mode="nearest", padding_mode="reflection", align_corners=False)
