"""A one-shot method with its pipeline on a device: tuning on a reference, and clips from what it gave.

Which video model is tuned is the subclass's business (`VideoModel`).

The tuning artifact holds the tuned model, in the number format of the pipeline, *and the inverted latents*
(float32, four numbers for each 8 by 8 patch of a frame): they follow from the tuning and the reference alone,
so all edits share them, and sampling needs no reference.

Shape suffixes: T frames, C latent channels, H, W latent height and width.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import nn

from ...core.errors import ClipRefusedError, DatasetError, WeightsError
from ...core.hashing import canonical_json, digest
from ...core.types import Frames, Sample
from ..noise import draw
from ..stable_diffusion.guidance import Denoiser
from ..stable_diffusion.inversion import invert
from ..stable_diffusion.session import TextToVideoSession
from .one_shot import OneShotConfig, sample_latents
from .reference_latents import chosen_frames, encode
from .tuning import TuningProgress, tune_on_clip

_INVERTED = "inverted_latents"


class VideoModel(Protocol):
    """A video model that a tuning makes of the pipeline's UNet."""

    @property
    def trained(self) -> Mapping[str, nn.Parameter]:
        """What a tuning trains: float32, by name."""
        ...

    def attached(self, prompts: Sequence[str]) -> AbstractContextManager[None]:
        """Within the block the pipeline's UNet is this model.

        Args:
            prompts: of the clips in a batch, the negative prompt of guidance first.
        """
        ...

    def to(self, dtype: torch.dtype) -> Any:
        """Cast everything, in place: to the UNet's number format, for sampling."""
        ...

    def stored(self) -> dict[str, torch.Tensor]:
        """What an artifact holds of the model, by name."""
        ...

    def load(self, tensors: Mapping[str, torch.Tensor], source: str) -> None:
        """Set what `stored` gave, in the number formats that the model has.

        Raises:
            WeightsError: they are of another model; `source` says where they come from.
        """
        ...


@dataclass(frozen=True)
class TunedClip:
    """What an artifact holds.

    Attributes:
        model: tensors by the names of `VideoModel.stored`.
        inverted_TCHW: the noise that the reference was inverted to, float32.
    """

    model: dict[str, torch.Tensor]
    inverted_TCHW: torch.Tensor


class OneShotSession(TextToVideoSession):
    """Loads a pipeline, tunes on references, and makes one clip after the other from an artifact.

    Args:
        config: of the method.
        device: "cpu", "cuda" or "cuda:0".

    Raises:
        WeightsError: the pipeline is missing, malformed or has a UNet that the method has no use for.
    """

    method: ClassVar[str]
    """The method's name, for errors."""

    format: ClassVar[str]
    """Written into every artifact; another name is another layout."""

    def __init__(self, config: OneShotConfig, device: str) -> None:
        super().__init__(config, device, sample_latents)
        self._settings = config
        self._digest = digest(config.tuning_settings())

    @abstractmethod
    def video_model(self, seed: int) -> VideoModel:
        """An untuned model in float32 on the device; the seed is that of its random initial values."""

    @property
    @abstractmethod
    def trainable_parameters(self) -> int:
        """How many numbers a tuning trains."""

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
            checkpoint: file from which a tuning that was stopped goes on; see `tuning.tune_on_clip`.
            progress: called after every update.

        Returns:
            The artifact: safetensors with the tuned model and the inverted latents.

        Raises:
            DatasetError: there is no reference or no prompt.
            VideoError: the reference has too few frames.
            ClipRefusedError: the tuning came to NaN.
        """
        settings, pipeline = self._settings, self.pipeline
        if reference is None or prompt is None:
            raise DatasetError(
                f"{self.method} needs a reference clip and a prompt that says what it shows; "
                f"the {'clip' if reference is None else 'prompt'} is missing",
                "give a data set for editing, whose samples have both",
            )
        chosen = chosen_frames(
            len(reference), settings.num_frames, settings.frames, settings.start, settings.stride
        )
        clip = encode(pipeline, reference[chosen])
        model = self.video_model(seed)
        tune_on_clip(
            pipeline,
            model.trained,
            lambda: model.attached([prompt]),
            clip,
            prompt,
            settings.tuning,
            seed,
            checkpoint=checkpoint,
            progress=progress,
        )
        model.to(pipeline.dtype)
        latents_TCHW = clip.sample(draw(tuple(clip.mean_TCHW.shape), seed, "inversion posterior"))
        with torch.inference_mode(), model.attached([""]):
            inverted_TCHW = invert(self.unguided(), latents_TCHW).cpu()
        if not torch.isfinite(inverted_TCHW).all():
            raise ClipRefusedError(
                "the inverted latents hold NaN or infinity",
                "set dtype of the method to float32 or bfloat16, or lower tuning.learning_rate",
            )
        return self._to_bytes(model, inverted_TCHW)

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily.

        An exception concerns the sample that was due: the iterator can be asked for the next one afterwards.

        Args:
            samples: their prompts are the edits.
            artifact: what `tune` gave for the reference of these samples.
            seeds: one for each sample; of no effect unless sampling begins with noise.

        Raises:
            ValueError: the numbers of samples and seeds differ, or there is no artifact.
            WeightsError: the artifact is not one, or was tuned with other settings or on another pipeline.
            ClipRefusedError: on iteration; the clip holds NaN.
        """
        if len(samples) != len(seeds):
            raise ValueError(f"{len(samples)} samples but {len(seeds)} seeds")
        if artifact is None:
            raise ValueError(f"{self.method} makes clips from a tuning artifact, but none was given")
        tuned, settings = self.read(artifact), self._settings
        model = self.video_model(seed=0)
        model.to(self.pipeline.dtype)
        model.load(tuned.model, "the tuning artifact")

        @torch.inference_mode()
        def clip(sample: Sample, seed: int) -> Frames:
            inverted_TCHW = tuned.inverted_TCHW if settings.begin_with == "inversion" else None
            guided = settings.guidance_scale > 1
            with model.attached([settings.negative_prompt, sample.prompt] if guided else [sample.prompt]):
                latents_TCHW = sample_latents(self._denoiser(sample.prompt), settings, seed, inverted_TCHW)
            return self.pipeline.decode(latents_TCHW)

        # Not a generator function: that would be over after the first exception.
        return map(clip, samples, seeds)

    def describe(self) -> dict[str, Any]:
        """Facts for the record: what training-free methods tell, and the number of trained parameters."""
        return {**super().describe(), "trainable_parameters": self.trainable_parameters}

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
            facts = _facts(artifact)
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
        if facts.get("settings") != self._digest:
            raise WeightsError(
                "the tuning artifact was made with other settings of the method than these",
                "tune again; only guidance, negative prompt and begin_with may differ afterwards",
            )
        inverted_TCHW = tensors.pop(_INVERTED)
        expected = (self._settings.num_frames, *self.pipeline.latent_shape_CHW)
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
        return save(tensors, {"reelbench": canonical_json({"format": self.format, "settings": self._digest})})


def _facts(artifact: bytes) -> dict[str, Any]:
    """Our entry in the header of safetensors bytes, which `safetensors.torch.load` passes over."""
    length = int.from_bytes(artifact[:8], "little")
    facts = json.loads(json.loads(artifact[8 : 8 + length])["__metadata__"]["reelbench"])
    return dict(facts)
