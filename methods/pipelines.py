"""What methods on any diffusers pipeline share: loading its folder, embeddings of prompts, sessions.

Importing this imports no torch.

Shape suffixes: T frames, H, W height and width, 3 RGB, G guidance halves (negative prompt and prompt, or the
prompt alone), L text tokens, D width of the text encoder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.contracts import Session
from ..core.errors import ClipRefusedError, ResourcesError, WeightsError
from ..core.types import Dtype, Frames, Sample
from ..core.weights_format import WeightsFormat
from ..core.weights_view import loaded_files, said

if TYPE_CHECKING:
    import torch


Prediction = Literal["epsilon", "v_prediction", "sample"]
"""What a denoising network predicts: the noise, the velocity or the clean latents."""

_NOISE_ALONE = 1e-6
"""abar below which a state is noise alone. diffusers' schedulers that cannot compute with 0 have 2^-24 in its
place; Stable Diffusion's last abar is 0.0047."""


def ends_in_noise(alphas_cumprod: Sequence[float]) -> bool:
    """Whether a checkpoint has a terminal SNR of zero: its last state is noise alone.

    Args:
        alphas_cumprod: abar of every training timestep, falling.
    """
    return alphas_cumprod[-1] < _NOISE_ALONE


def torch_device(device: str) -> torch.device:
    """torch's name of "cpu", "cuda" or "cuda:0".

    Raises:
        ResourcesError: a GPU is asked for and there is none.
    """
    import torch

    where = torch.device(device)
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ResourcesError(f"device {device!r} was asked for, but torch sees no GPU", "run on the CPU")
    return where


def unet_dtype(dtype: Dtype, device: torch.device) -> torch.dtype:
    """The number format of a pipeline with a UNet; "auto" is float16 on a GPU and float32 on a CPU."""
    import torch

    auto = "float16" if device.type == "cuda" else "float32"
    made: torch.dtype = getattr(torch, auto if dtype == "auto" else dtype)
    return made


def trained_size(unet: Any) -> tuple[int, int]:
    """Height and width of the latents that a UNet was trained at."""
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


@contextlib.contextmanager
def loading(
    folder: Path, weights_format: WeightsFormat, class_name: str, what: str = "pipeline"
) -> Iterator[Path]:
    """Within the block a library loads `folder`, from the path that is yielded: what is loaded and nothing
    beside it. No progress bar is shown, and the caller's random state is left alone.

    Args:
        class_name: of diffusers' pipeline, for the hint.
        what: how an error names the pipeline.

    Raises:
        WeightsError: whatever the block raised.
    """
    import torch

    try:
        with loaded_files(folder, weights_format) as view, _quiet(), torch.random.fork_rng(devices=[]):
            yield view
    except WeightsError:
        raise
    except Exception as error:  # the libraries raise many kinds; all mean that the folder does not load
        raise WeightsError(
            f"the {what} in {folder} cannot be loaded ({type(error).__name__}: {said(error, folder)})",
            f"check it with {class_name}.from_pretrained, or fetch it again",
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars of the libraries; what was set before is put back."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    shown = [
        library for library in (diffusers_logging, transformers_logging) if library.is_progress_bar_enabled()
    ]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


def spatial_factor(vae: Any) -> int:
    """Pixels per latent of a VAE, along one axis."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))


def refuse_non_finite(values: torch.Tensor, what: str) -> None:
    """Raises ClipRefusedError where values hold NaN or infinity; `what` names them, in the plural."""
    if not values.isfinite().all():
        raise ClipRefusedError(
            f"{what} hold NaN or infinity",
            "float16 overflows on some models and GPUs: set dtype to float32 or bfloat16 for the method",
        )


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as a denoising network sees it.

    Attributes:
        embedding_LD: hidden states of the text encoder.
        truncated: the prompt was longer than the network allows, and its end was left out.
    """

    embedding_LD: torch.Tensor
    truncated: bool


class GuidedPrompts:
    """Embeddings of prompts as classifier-free guidance needs them.

    Args:
        pipeline: with `encode_prompt(prompt) -> EncodedPrompt`.
        guidance_scale: 1 switches guidance off.
        negative_prompt: what guidance leads away from; encoded once.
    """

    def __init__(self, pipeline: Any, guidance_scale: float, negative_prompt: str) -> None:
        self._pipeline, self._guided, self._negative_prompt = pipeline, guidance_scale > 1, negative_prompt
        self._negative: EncodedPrompt | None = None
        self.num_truncated = 0
        """How many prompts were too long so far; the negative one does not count."""

    def halves(self, prompt: str) -> list[str]:
        """The texts of the guidance halves: the negative prompt, if there is guidance, and the prompt."""
        return [self._negative_prompt, prompt] if self._guided else [prompt]

    def __call__(self, prompt: str) -> torch.Tensor:
        """Embeddings of the texts of `halves`, [G,L,D]."""
        import torch

        positive = self._pipeline.encode_prompt(prompt)
        self.num_truncated += positive.truncated
        if not self._guided:
            return positive.embedding_LD[None]
        if self._negative is None:
            self._negative = self._pipeline.encode_prompt(self._negative_prompt)
        return torch.stack([self._negative.embedding_LD, positive.embedding_LD])


MakeClip = Callable[[Sample, int], Frames]
"""(sample, seed) -> clip [T,H,W,3]; it depends on the arguments alone."""


class ClipSession(Session):
    """A session that makes one clip after the other."""

    trainable_parameters: int = 0
    """How many numbers were trained for the method."""

    def clip_maker(self, artifact: bytes | None) -> MakeClip:
        """What makes the clips of a call; by default the method tunes nothing.

        Raises:
            ValueError: an artifact is given and the method tunes nothing, or none is and it needs one.
            WeightsError: the artifact does not belong to these settings or to this pipeline.
        """
        if artifact is not None:
            raise ValueError("this method tunes nothing, but a tuning artifact was given")
        return self._clip

    def _clip(self, sample: Sample, seed: int) -> Frames:
        """The clip [T,H,W,3] of one sample, of a method that tunes nothing."""
        raise NotImplementedError

    def generate(
        self, samples: Sequence[Sample], artifact: bytes | None, seeds: Sequence[int]
    ) -> Iterator[Frames]:
        """One clip [T,H,W,3] uint8 for each sample, in order, lazily.

        An exception concerns the sample that was due: the iterator can be asked for the next one afterwards.

        Args:
            artifact: of a tuning; see `clip_maker`.
            seeds: one for each sample.

        Raises:
            ValueError: the numbers of samples and seeds differ; or see `clip_maker`.
            WeightsError: see `clip_maker`.
            ClipRefusedError: on iteration; the clip holds NaN.
            DatasetError: on iteration; the method needs given frames and the sample has too few.
        """
        if len(samples) != len(seeds):
            raise ValueError(f"{len(samples)} samples but {len(seeds)} seeds")
        # Not a generator function: that would be over after the first exception.
        return map(self.clip_maker(artifact), samples, seeds)

    def describe(self) -> dict[str, Any]:
        """Facts for the record."""
        return {"trainable_parameters": self.trainable_parameters, "truncated_prompts": 0}


class PipelineSession(ClipSession):
    """A session on a pipeline.

    Args:
        pipeline: with `encode_prompt`, `height`, `width` and `dtype`.
        guidance_scale, negative_prompt: as of `GuidedPrompts`.
    """

    def __init__(self, pipeline: Any, guidance_scale: float, negative_prompt: str) -> None:
        self.pipeline = pipeline
        self.prompts = GuidedPrompts(pipeline, guidance_scale, negative_prompt)

    def describe(self) -> dict[str, Any]:
        """Facts for the record: trained parameters, frame size, number format, prompts that were too long so
        far."""
        return {
            "trainable_parameters": self.trainable_parameters,
            "height": self.pipeline.height,
            "width": self.pipeline.width,
            "dtype": str(self.pipeline.dtype).removeprefix("torch."),
            "truncated_prompts": self.prompts.num_truncated,
        }
