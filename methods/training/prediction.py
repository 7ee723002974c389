"""Training a predictor on clips: FCA or its LoRA baseline learns to go on from given frames.

The frozen base's own objective, the velocity (or whatever it predicts) at one timestep for all latent frames,
with gradients for the trained parameters alone. All settings of the published training are unknown; they are
settings here (`methods.training.schedule`), and their defaults are ours. The loop is that of every training
here (`methods.training.loop`).

Shape suffixes: G clips, F latent frames, C latent channels, H, W latent height and width, L text tokens, D
width of the text encoder.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...core.errors import RunFileError
from ...core.types import Frames
from ..cogvideox.sampling import Guidance
from ..noise import draw
from ..prediction.predictor import Predictor
from ..prediction.predictor_file import save_trained
from .listener import Listener
from .loop import Training, Values, noisy_and_target
from .prediction_clips import PredictionClips
from .schedule import Batch, TrainingConfig


@dataclass(frozen=True)
class PredictionPreview:
    """What is shown of a training now and then; none of it changes the result.

    Attributes:
        given: (prompt, given frames [k,H,W,3]) of each clip; the seed of a clip is its number.
        every_steps: updates between previews.
        num_steps: of the sampler.
        guidance_scale: of classifier-free guidance.
        fps: frames per second of the files.
    """

    given: tuple[tuple[str, Frames], ...]
    every_steps: int
    num_steps: int = 20
    guidance_scale: float = 6.0
    fps: float = 8.0


class PredictionTraining(Training):
    """One training of a predictor: its objects, where it stands, its files.

    Args:
        predictor: fresh or from a file; trained in place. With `precision` float32 its pipeline must be
            loaded in float32.
        clips: what to train on.
        config: the settings.
        work: folder for checkpoint, log, previews and the result.
        preview: what to show now and then; needs the pipeline's VAE and text encoder on the device.
        listener: who hears of log and previews.
        checkpoint_every_s: seconds between checkpoints.

    Raises:
        RunFileError: the work folder holds a training of other settings, structure or clips; or the clips do
            not fit the predictor.
    """

    def __init__(
        self,
        predictor: Predictor,
        clips: PredictionClips,
        config: TrainingConfig,
        work: Path,
        preview: PredictionPreview | None = None,
        listener: Listener | None = None,
        checkpoint_every_s: float = 300.0,
    ) -> None:
        pipeline = predictor.pipeline
        self.predictor, self.clips, self.preview = predictor, clips, preview
        expected = pipeline.latent_shape_FCHW(predictor.num_frames)
        if tuple(clips.latents(0).shape) != expected:
            raise RunFileError(
                f"the clips have latents {list(clips.latents(0).shape)}, the predictor makes "
                f"{list(expected)}",
                "encode the clips with the predictor's num_frames and the pipeline's size",
            )
        super().__init__(config, work, pipeline.device.type == "cpu", preview, listener, checkpoint_every_s)
        for parameter in predictor.trained().values():
            parameter.data = parameter.data.to(self.accelerator.device, torch.float32)
            parameter.requires_grad_(True)
        if config.gradient_checkpointing:
            pipeline.transformer.enable_gradient_checkpointing()
        self._prediction = pipeline.schedule(1).prediction
        self._begin(predictor, pipeline.alphas_cumprod, len(clips))

    def trained(self) -> dict[str, nn.Parameter]:
        return self.predictor.trained()

    def _values(self) -> Values:
        return self.predictor.values()

    def _set_values(self, values: Values) -> None:
        self.predictor.set_values(values)

    @property
    def result(self) -> Path:
        return self.work / self.predictor.file_name

    def _write_result(self) -> None:
        save_trained(self.work, self.predictor, self.average)

    def _what(self) -> dict[str, Any]:
        return {
            "format": self.predictor.format,
            "structure": self.predictor.settings.model_dump(mode="json"),
            "clips": self.clips.fingerprint,
        }

    def _descend(self, batch: Batch, mine: range) -> torch.Tensor:
        accelerator, device = self.accelerator, self.accelerator.device
        context = torch.stack([self.clips.context(batch.clips[i]) for i in mine]).to(device).float()
        text = torch.stack([self.clips.text(None if batch.dropped[i] else batch.clips[i]) for i in mine])
        text = text.to(device, self.predictor.pipeline.dtype)
        timestep_G = torch.tensor([batch.timesteps[i] for i in mine], device=device)
        clean = torch.stack([self.clips.latents(batch.clips[i]) for i in mine]).to(device).float()
        padding = self.predictor.pipeline.padding(clean.shape[1])
        # What stands in the padding is left out after sampling, and counts for nothing in the loss.
        padded = torch.cat([clean[:, :1].expand(-1, padding, -1, -1, -1), clean], dim=1)
        shape = tuple(padded.shape[1:])
        noise = torch.stack([draw(shape, self.config.seed, "noise", self.step, i) for i in mine]).to(device)
        blind_G = torch.tensor([batch.blind[i] for i in mine], device=device)
        noisy, target = noisy_and_target(padded, noise, self._abars[timestep_G], blind_G, self._prediction)
        with contextlib.ExitStack() as stack, self._attention():
            with accelerator.autocast():
                stack.enter_context(self.predictor.given(context, text))
                prediction = self.model(noisy, timestep_G, text)
            error = (prediction.float() - target)[:, padding:].square().mean((1, 2, 3, 4))
            loss = (error * self._clip_weights(batch, mine)).mean()
            # The backward pass belongs in here: gradient checkpointing calls the transformer again.
            accelerator.backward(loss)
        return loss.detach()

    def _preview_clips(self) -> list[Frames]:
        assert self.preview is not None
        return self.sample(self.preview)

    @torch.no_grad()
    def sample(self, preview: PredictionPreview) -> list[Frames]:
        """A clip for each of the preview's prompts with the averaged parameters."""
        pipeline = self.predictor.pipeline
        schedule, guidance = pipeline.schedule(preview.num_steps), Guidance(preview.guidance_scale)
        clips = []
        with self._averaged(), self.accelerator.autocast(), self._attention():
            for number, (prompt, given_THW3) in enumerate(preview.given):
                prompts = [prompt] if preview.guidance_scale <= 1 else ["", prompt]
                text = torch.stack([pipeline.encode_prompt(one).embedding_LD for one in prompts])
                clips.append(self.predictor.clip(given_THW3, text, schedule, guidance, number))
        return clips
