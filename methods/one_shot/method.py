"""One-shot methods: a video model is tuned on one clip, and edits of the clip start from its inversion.

Tune-A-Video and SimDA's editing mode differ in the video model only. The rest is that of Wu et al.,
"Tune-A-Video" (ICCV 2023), section 3.3, which SimDA's released editing code took over:

1. tuning on the reference with its own prompt (`methods.one_shot.tuning`);
2. DDIM inversion by the tuned network, with an empty prompt and without guidance
   (`methods.stable_diffusion.ddim`);
3. DDIM from the inverted latents with guidance by the edited prompt.

As DDIM adds no noise, the seed of a sample has no effect where sampling starts from the inverted latents.

The tuning artifact holds the tuned model, in the number format of the pipeline, *and the inverted latents*
(float32): all edits share them, and sampling needs no reference.

Shape suffixes: T frames, C latent channels, H, W latent height and width.
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ...core.errors import ClipRefusedError, DatasetError, WeightsError
from ...core.frame_choice import chosen_frames, frames_needed
from ...core.hashing import canonical_json, digest
from ...core.tensor_files import own_entry
from ...core.types import Conditioning, Frames, Sample
from ..pipelines import MakeClip
from ..stable_diffusion.ddim import Denoiser
from ..stable_diffusion.pipeline import StableDiffusionMethod, StableDiffusionSession
from .config import OneShotConfig

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .tuning import TuningProgress

_INVERTED = "inverted_latents"


class OneShotMethod(StableDiffusionMethod):
    """A method that is tuned on each reference clip and edits it."""

    config: OneShotConfig
    conditioning: ClassVar[Conditioning] = Conditioning.TEXT_AND_REFERENCE

    def tuning_config(self) -> dict[str, Any]:
        """The part of the configuration that a tuning depends on (JSON-able).

        For `core.keys.tune_key`, as `method_key` of it: then other guidance or edits find the same tuning.
        """
        return self.config.tuning_settings()

    def reference_frames(self) -> int | None:
        """How many first frames of a reference are read at most; None where they are spread over all."""
        return frames_needed(**self.source_frames())

    def source_frames(self) -> dict[str, Any]:
        """Which frames a clip stands beside: arguments of `core.frame_choice.chosen_frames`."""
        config = self.config
        return {
            "num_frames": config.num_frames,
            "choice": config.frames,
            "start": config.start,
            "stride": config.stride,
        }


@dataclass(frozen=True)
class VideoModel:
    """A video model that a tuning makes of the pipeline's UNet.

    Attributes:
        trained: what a tuning trains: float32, by name.
        attached: within its block the pipeline's UNet is this model; it takes the prompts of the clips in a
            batch, the negative prompt of guidance first.
        to: casts everything, in place: to the UNet's number format, for sampling.
        stored: what an artifact holds of the model, by name.
        load: sets what `stored` gave, in the number formats that the model has; it takes the tensors, and
            where they come from, for the WeightsError that it raises where they are of another model.
    """

    trained: Mapping[str, nn.Parameter]
    attached: Callable[[Sequence[str]], AbstractContextManager[None]]
    to: Callable[[torch.dtype], Any]
    stored: Callable[[], Mapping[str, torch.Tensor]]
    load: Callable[[Mapping[str, torch.Tensor], str], None]


@dataclass(frozen=True)
class TunedClip:
    """What an artifact holds.

    Attributes:
        model: tensors by the names of `VideoModel.stored`.
        inverted_TCHW: the noise that the reference was inverted to, float32.
    """

    model: dict[str, torch.Tensor]
    inverted_TCHW: torch.Tensor


class OneShotSession(StableDiffusionSession):
    """A pipeline that is tuned on references, and makes one clip after the other from an artifact.

    Raises:
        WeightsError: the pipeline is missing, malformed or has a UNet that the method has no use for.
    """

    method: ClassVar[str]
    """The method's name, for errors."""

    format: ClassVar[str]
    """Written into every artifact; another name is another layout."""

    _config: OneShotConfig

    @abstractmethod
    def video_model(self, seed: int) -> VideoModel:
        """An untuned model in float32 on the device; the seed is that of its random initial values."""

    def tune(
        self,
        reference: Frames | None,
        prompt: str | None,
        seed: int,
        *,
        checkpoint: Path | None = None,
        progress: Callable[[TuningProgress], None] | None = None,
    ) -> bytes:
        """Tune on a reference clip; the same arguments give the same bytes on a CPU with one thread.

        Args:
            reference: uint8 [T,H,W,3] of any size and of at least as many frames as the settings ask for.
            prompt: what the reference shows, not the edit.
            seed: of initial values, timesteps and noise.
            checkpoint: file from which a tuning that was stopped resumes; see `tuning.tune_on_clip`.
            progress: called after every update.

        Returns:
            The artifact: safetensors with the tuned model and the inverted latents.

        Raises:
            DatasetError: there is no reference or no prompt.
            VideoError: the reference has too few frames.
            ClipRefusedError: the tuning came to NaN.
        """
        import torch

        from ..noise import draw
        from .tuning import encode_reference, tune_on_clip

        config, pipeline = self._config, self.pipeline
        if reference is None or prompt is None:
            raise DatasetError(
                f"{self.method} needs a reference clip and a prompt that says what it shows; "
                f"the {'clip' if reference is None else 'prompt'} is missing",
                "give a data set for editing, whose samples have both",
            )
        chosen = chosen_frames(len(reference), config.num_frames, config.frames, config.start, config.stride)
        clip = encode_reference(pipeline, reference[chosen])
        model = self.video_model(seed)
        tune_on_clip(
            pipeline,
            model.trained,
            lambda: model.attached([prompt]),
            clip,
            prompt,
            config.tuning,
            seed,
            checkpoint=checkpoint,
            progress=progress,
        )
        model.to(pipeline.dtype)
        latents_TCHW = clip.sample(draw(tuple(clip.mean_TCHW.shape), seed, "inversion posterior"))
        with torch.inference_mode(), model.attached([""]):
            inverted_TCHW = self.unguided().invert(latents_TCHW).cpu()
        if not torch.isfinite(inverted_TCHW).all():
            raise ClipRefusedError(
                "the inverted latents hold NaN or infinity",
                "set dtype of the method to float32 or bfloat16, or lower tuning.learning_rate",
            )
        return self._to_bytes(model, inverted_TCHW)

    def clip_maker(self, artifact: bytes | None) -> MakeClip:
        """Samples with the tuned model, from the inverted latents; see `ClipSession.clip_maker`."""
        import torch

        from ..noise import independent_noise

        if artifact is None:
            raise ValueError(f"{self.method} makes clips from a tuning artifact, but none was given")
        tuned, config = self.read(artifact), self._config
        model = self.video_model(seed=0)
        model.to(self.pipeline.dtype)
        model.load(tuned.model, "the tuning artifact")

        @torch.inference_mode()
        def clip(sample: Sample, seed: int) -> Frames:
            start_TCHW = tuned.inverted_TCHW
            if config.begin_with == "noise":
                start_TCHW = independent_noise(seed, config.num_frames, self.pipeline.latent_shape_CHW)
            with model.attached(self.prompts.halves(sample.prompt)):
                latents_TCHW = self.denoiser(sample.prompt).denoise(start_TCHW)
            return self.pipeline.decode(latents_TCHW)

        return clip

    def unguided(self) -> Denoiser:
        """The denoiser of the empty prompt without guidance: what inversion follows."""
        return Denoiser(
            unet=self.pipeline.unet,
            schedule=self.schedule,
            text_GLD=self.pipeline.encode_prompt("").embedding_LD[None],
            guidance_scale=1.0,
            latent_shape_CHW=self.pipeline.latent_shape_CHW,
        )

    def read(self, artifact: bytes) -> TunedClip:
        """The content of an artifact, after checks that it belongs to these settings.

        Raises:
            WeightsError: it is not an artifact of this method, or was tuned with other settings.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            facts = own_entry(io.BytesIO(artifact))
            if not facts:
                raise ValueError("it says nothing of a tuning")
            tensors = load(artifact)
        except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise WeightsError(
                f"the tuning artifact ({len(artifact)} bytes) is not a safetensors file of {self.method}",
                "remove it from the store and tune again",
            ) from error
        if facts.get("format") != self.format or _INVERTED not in tensors:
            raise WeightsError(
                f"the tuning artifact has the format {facts.get('format')!r}, expected {self.format!r}",
                "tune again with this version",
            )
        if facts.get("settings") != digest(self._config.tuning_settings()):
            raise WeightsError(
                "the tuning artifact was made with other settings of the method than these",
                "tune again; only guidance, negative prompt and begin_with may differ afterwards",
            )
        inverted_TCHW = tensors.pop(_INVERTED)
        expected = (self._config.num_frames, *self.pipeline.latent_shape_CHW)
        if tuple(inverted_TCHW.shape) != expected:
            raise WeightsError(
                f"the tuning artifact holds latents of {list(inverted_TCHW.shape)}; this pipeline has "
                f"{list(expected)}",
                "it was tuned on another pipeline; tune again",
            )
        return TunedClip(tensors, inverted_TCHW)

    def _to_bytes(self, model: VideoModel, inverted_TCHW: torch.Tensor) -> bytes:
        from safetensors.torch import save

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.stored().items()}
        tensors[_INVERTED] = inverted_TCHW.contiguous()
        # One entry, because safetensors writes several in an order that differs from process to process.
        facts = {"format": self.format, "settings": digest(self._config.tuning_settings())}
        return save(tensors, {"reelbench": canonical_json(facts)})
