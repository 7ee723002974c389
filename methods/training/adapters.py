"""Training adapters on videos: an image model learns to make clips from text.

Source: Xing et al., "SimDA" (CVPR 2024): the frozen image model's own objective (the noise, or the
velocity, predicted at one timestep for all frames of a clip), with gradients for the adapters alone.
Learning rate, batch, steps, dropping of prompts and frame rate of the published training are not known: all
are settings here, and their defaults are ours. The loop is that of every training
(`methods.training.loop`); the average of the adapters is `adapters.safetensors`.

Deviation that is off by default: `max_timestep_weight` above 1 gives more weight to timesteps with more
noise, since motion is decided there and a frozen image model already knows the rest.

Shape suffixes: G clips, T frames, C latent channels, H, W latent height and width, L text tokens, D text
width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.seeds import derive_seed
from ...core.types import Frames
from ..adapters.adapters import Adapters, save_adapters
from ..noise import independent_noise
from ..pipelines import ends_in_noise
from ..stable_diffusion.ddim import Denoiser
from ..stable_diffusion.pipeline import StableDiffusion
from .clips import TrainingClips
from .loop import Listener, Predict, Preview, Training, Values
from .schedule import Batch, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PreviewConfig(Preview):
    """What is shown of a training of adapters now and then.

    Attributes:
        prompts: one clip each; the seed of a clip is its number.
        judge: turns (clips, prompts) into numbers for the log.
    """

    prompts: tuple[str, ...]
    judge: Callable[[Sequence[Frames], Sequence[str]], Mapping[str, float]] | None = None


class VideoUNet(nn.Module):
    """A UNet with its adapters as one module: what accelerate wraps.

    The adapters must be attached (`Adapters.attached`) while it is called.

    Args:
        unet: frozen.
        adapters: what is trained.
    """

    def __init__(self, unet: Any, adapters: Adapters) -> None:
        super().__init__()
        self.unet = unet
        self.adapters = adapters

    def forward(
        self, latents_GTCHW: torch.Tensor, timestep_G: torch.Tensor, text_GLD: torch.Tensor
    ) -> torch.Tensor:
        """The prediction for each frame, [G,T,C,H,W]."""
        num_frames = latents_GTCHW.shape[1]
        prediction_BCHW = self.unet(
            latents_GTCHW.flatten(0, 1),
            timestep_G.repeat_interleave(num_frames),
            encoder_hidden_states=text_GLD.repeat_interleave(num_frames, dim=0),
            return_dict=False,
        )[0]
        return prediction_BCHW.unflatten(0, (-1, num_frames))


class VideoTraining(Training):
    """One training of adapters: its objects, where it stands, its files.

    Args:
        pipeline: the frozen image model. With `precision` float32 it must be loaded in float32.
        adapters: fresh or from a file; trained in place.
        clips, config, work, preview, listener: as of `Training`.

    Raises:
        RunFileError: the work folder holds a training of other settings, adapters or clips.
    """

    preview: PreviewConfig | None

    def __init__(
        self,
        pipeline: StableDiffusion,
        adapters: Adapters,
        clips: TrainingClips,
        config: TrainingConfig,
        work: Path,
        preview: PreviewConfig | None = None,
        listener: Listener | None = None,
    ) -> None:
        on_cpu = pipeline.device.type == "cpu"
        super().__init__(clips, config, work, on_cpu, preview, listener)
        self.pipeline, self.adapters = pipeline, adapters
        adapters.to(self.accelerator.device).float().requires_grad_(True)
        if config.gradient_checkpointing:
            pipeline.unet.enable_gradient_checkpointing()
        model = VideoUNet(pipeline.unet, adapters)
        self._begin(model, pipeline.alphas_cumprod, pipeline.schedule(1).prediction)

    def trained(self) -> dict[str, nn.Parameter]:
        """The adapters' parameters; the UNet stays frozen."""
        return dict(self.adapters.named_parameters())

    def _values(self) -> Values:
        return {name: value.detach().clone() for name, value in self.adapters.state_dict().items()}

    def _set_values(self, values: Values) -> None:
        self.adapters.load_state_dict(values)

    @property
    def result(self) -> Path:
        """The file of the trained adapters."""
        return self.work / "adapters.safetensors"

    def _write_result(self) -> None:
        save_adapters(self.work, self.adapters, self.average)

    def _what(self) -> dict[str, Any]:
        return {
            "adapters": self.adapters.config.model_dump(mode="json"),
            "clips": self.clips.fingerprint,
        }

    @contextlib.contextmanager
    def _predicting(self, batch: Batch, mine: range) -> Iterator[Predict]:
        captions = ["" if batch.dropped[i] else self.clips.caption(batch.clips[i]) for i in mine]
        with torch.no_grad():
            text_GLD = torch.stack(
                [self.pipeline.encode_prompt(caption).embedding_LD for caption in captions]
            )
        with self._attached(captions):
            yield lambda noisy, timestep_G: self.model(noisy.to(self.pipeline.dtype), timestep_G, text_GLD)

    def _attached(self, prompts: Sequence[str]) -> contextlib.AbstractContextManager[None]:
        """The adapters in the network, for clips of these prompts."""
        _, height, width = self.pipeline.latent_shape_CHW
        return self.adapters.attached(self.pipeline.unet, self._num_frames, height, width, prompts)

    @property
    def _num_frames(self) -> int:
        return int(self.clips.latents(0).shape[0])

    def _preview_clips(self) -> list[Frames]:
        assert self.preview is not None
        return self.sample(self.preview.prompts, self.preview.num_steps, self.preview.guidance_scale)

    def _judged(self, clips: Sequence[Frames]) -> Mapping[str, float]:
        if self.preview is None or self.preview.judge is None:
            return {}
        return self.preview.judge(clips, self.preview.prompts)

    @torch.no_grad()
    def sample(self, prompts: Sequence[str], num_steps: int, guidance_scale: float) -> list[Frames]:
        """A clip for each prompt with the averaged adapters; the seed of a clip is its number."""
        alphas = self.pipeline.alphas_cumprod
        schedule = self.pipeline.schedule(num_steps, "trailing" if ends_in_noise(alphas) else "leading")
        clips = []
        with self._averaged(), self.accelerator.autocast(), self._attention():
            for number, prompt in enumerate(prompts):
                texts = [prompt] if guidance_scale <= 1 else ["", prompt]
                text_GLD = torch.stack([self.pipeline.encode_prompt(text).embedding_LD for text in texts])
                shape = self.pipeline.latent_shape_CHW
                denoiser = Denoiser(self.pipeline.unet, schedule, text_GLD, guidance_scale, shape)
                noise = independent_noise(derive_seed("preview", number), self._num_frames, shape)
                with self._attached(texts):
                    latents = denoiser.denoise(noise, schedule.timesteps)
                clips.append(self.pipeline.decode(latents))
        return clips
