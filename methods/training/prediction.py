"""Training a predictor on clips: FCA or its LoRA baseline learns to continue from given frames.

The frozen base's own objective, the velocity (or whatever it predicts) at one timestep for all latent frames,
with gradients for the trained parameters alone. All settings of the published training are unknown; they are
settings here (`methods.training.schedule`), and their defaults are ours. The loop is that of every training
here (`methods.training.loop`).

Shape suffixes: G clips, F latent frames, C latent channels, H, W latent height and width, L text tokens, D
width of the text encoder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from ...core.errors import RunFileError
from ...core.types import Frames
from ..cogvideox.pipeline import CogVideoX
from ..cogvideox.session import Guidance
from ..prediction.predictor import Predictor
from ..prediction.session import predicted_clip
from .loop import Listener, Predict, Preview, Training, Values
from .prediction_clips import PredictionClips
from .schedule import Batch, TrainingConfig


@dataclass(frozen=True, kw_only=True)
class PredictionPreview(Preview):
    """What is shown of a training of a predictor now and then.

    Attributes:
        given: (prompt, given frames [k,H,W,3]) of each clip; the seed of a clip is its number.
    """

    given: tuple[tuple[str, Frames], ...]
    guidance_scale: float = 6.0


class PredictionTraining(Training):
    """One training of a predictor: its objects, where it stands, its files.

    Args:
        predictor: fresh or from a file; trained in place. With `precision` float32 its pipeline must be
            loaded in float32.
        clips, config, work, listener: as of `Training`.
        preview: what to show now and then; needs the pipeline's VAE and text encoder on the device.

    Raises:
        RunFileError: the work folder holds a training of other settings, structure or clips; or the clips do
            not fit the predictor.
    """

    clips: PredictionClips
    preview: PredictionPreview | None
    checkpoint_every_s: ClassVar[float] = 300.0

    def __init__(
        self,
        predictor: Predictor,
        clips: PredictionClips,
        config: TrainingConfig,
        work: Path,
        preview: PredictionPreview | None = None,
        listener: Listener | None = None,
    ) -> None:
        pipeline = predictor.pipeline
        expected = pipeline.latent_shape_FCHW(predictor.num_frames)
        if tuple(clips.latents(0).shape) != expected:
            raise RunFileError(
                f"the clips have latents {list(clips.latents(0).shape)}, the predictor makes "
                f"{list(expected)}",
                "encode the clips with the predictor's num_frames and the pipeline's size",
            )
        on_cpu = pipeline.device.type == "cpu"
        super().__init__(clips, config, work, on_cpu, preview, listener)
        self.predictor, self.padding = predictor, pipeline.padding(expected[0])
        for parameter in predictor.trained().values():
            parameter.data = parameter.data.to(self.accelerator.device, torch.float32)
            parameter.requires_grad_(True)
        if config.gradient_checkpointing:
            pipeline.transformer.enable_gradient_checkpointing()
        self._begin(predictor, pipeline.alphas_cumprod, pipeline.schedule(1).prediction)

    def trained(self) -> dict[str, nn.Parameter]:
        """The predictor's own parameters; the base stays frozen."""
        return self.predictor.trained()

    def _values(self) -> Values:
        return self.predictor.values()

    def _set_values(self, values: Values) -> None:
        self.predictor.set_values(values)

    @property
    def result(self) -> Path:
        """The file of the predictor's parameters."""
        return self.work / self.predictor.file.file_name

    def _write_result(self) -> None:
        self.predictor.save(self.work, self.average)

    def _what(self) -> dict[str, Any]:
        return {
            "format": self.predictor.file.marker,
            "structure": self.predictor.settings.model_dump(mode="json"),
            "clips": self.clips.fingerprint,
        }

    @contextlib.contextmanager
    def _predicting(self, batch: Batch, mine: range) -> Iterator[Predict]:
        device = self.accelerator.device
        context = torch.stack([self.clips.context(batch.clips[i]) for i in mine]).to(device).float()
        text = torch.stack([self.clips.text(None if batch.dropped[i] else batch.clips[i]) for i in mine])
        text = text.to(device, self.predictor.pipeline.dtype)
        with contextlib.ExitStack() as stack:

            def predict(noisy: torch.Tensor, timestep_G: torch.Tensor) -> torch.Tensor:
                # Here and not earlier: it computes with what is trained, under autocast.
                stack.enter_context(self.predictor.given(context, text))
                prediction: torch.Tensor = self.model(noisy, timestep_G, text)
                return prediction

            yield predict

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
                clips.append(predicted_clip(self.predictor, given_THW3, text, schedule, guidance, number))
        return clips


def new_predictor(method: str, pipeline: CogVideoX, structure: Mapping[str, Any], seed: int) -> Predictor:
    """An untrained predictor: "fca" of an FcaConfig, or "lora" of LoraSettings.

    Raises:
        RunFileError: another method.
    """
    from ..prediction.config import FcaConfig, LoraSettings
    from ..prediction.fca_predictor import FcaPredictor
    from ..prediction.lora_predictor import LoraPredictor

    if method == "fca":
        return FcaPredictor(pipeline, FcaConfig.model_validate(structure), seed)
    if method == "lora":
        return LoraPredictor(pipeline, LoraSettings.model_validate(structure), seed)
    raise RunFileError(f"{method!r} is no method that trains here: allowed are fca and lora")
