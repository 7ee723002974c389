"""What training on text-video prediction reads: latents of clips and of their first frames, and their
prompts.

Each clip is decoded once, brought to the pipeline's size and encoded by the VAE, one draw from the posterior;
its first frames are encoded by themselves (`methods.prediction.context_latents`); its prompt is encoded by the text
encoder, once for all clips of a part that share it. All is kept in float16. So training needs neither VAE nor
text encoder on the GPU, and a killed encoding goes on with the next part.

A clip that cannot be read, or that is too short, is left out and named in the part's metadata.

Shape suffixes: F latent frames, C latent channels, H, W latent height and width, L text tokens, D width of
the text encoder, T frames, 3 RGB.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ...core.atomic_write import atomic_path
from ...core.errors import DatasetError, RunFileError, TooShortError, VideoError
from ...core.hashing import digest, digest_array
from ...core.seeds import derive_seed
from ...core.types import Frames, Sample
from ...datasets.video import read_clip
from ..cogvideox.pipeline import CogVideoX
from ..prediction.context_latents import encode_given
from ..prediction.fca_config import ContextEncoding

_CLIPS_PER_PART = 64

ReadFrames = Callable[[Sample, int], Frames]
"""(sample, number of frames) -> its frames: how a data set's clips are read."""


class PredictionClips:
    """Clips for training, read from the part files of `encode_prediction_clips`.

    Args:
        parts: the files, in order.

    Raises:
        DatasetError: not one clip is in them.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        from safetensors import safe_open

        self._handles: list[Any] = [safe_open(path, framework="pt") for path in parts]
        metadata = [handle.metadata() for handle in self._handles]
        self.samples: tuple[tuple[str, str], ...] = tuple(
            (id, prompt) for part in metadata for id, prompt in json.loads(part["samples"])
        )
        """(id, prompt) of every clip."""
        self.left_out: tuple[tuple[str, str], ...] = tuple(
            (id, why) for part in metadata for id, why in json.loads(part["left_out"])
        )
        """(id, reason) of the clips that could not be read."""
        self.fingerprint: str = digest([[part["key"], part["samples"]] for part in metadata])
        """Changes with the clips, their prompts and how they were encoded."""
        self._ends = list(accumulate(len(json.loads(part["samples"])) for part in metadata))
        self._texts = [json.loads(part["texts"]) for part in metadata]
        if not self.samples:
            first = f"; first: {self.left_out[0][0]}: {self.left_out[0][1]}" if self.left_out else ""
            raise DatasetError(
                f"none of the {len(self.left_out)} clips of the data set can be trained on{first}",
                "check the data set with `reelbench doctor`, or ask for fewer frames",
            )

    def __len__(self) -> int:
        return len(self.samples)

    def latents(self, index: int) -> torch.Tensor:
        """Latents of a clip, float16 [F,C,H,W], scaled as the transformer expects them."""
        return self._row("latents", index)

    def context(self, index: int) -> torch.Tensor:
        """Latents of a clip's given frames, float16 [F,C,H,W]."""
        return self._row("context", index)

    def text(self, index: int | None) -> torch.Tensor:
        """Embedding of a clip's prompt, float16 [L,D]; of the empty prompt for None."""
        part, row = (0, 0) if index is None else self._place(index)
        number = 0 if index is None else self._texts[part][row]
        text: torch.Tensor = self._handles[part].get_slice("text")[number]
        return text

    def _place(self, index: int) -> tuple[int, int]:
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    def _row(self, name: str, index: int) -> torch.Tensor:
        part, row = self._place(index)
        values: torch.Tensor = self._handles[part].get_slice(name)[row]
        return values


@dataclass(frozen=True)
class PredictionEncoding:
    """How a clip becomes latents.

    Attributes:
        num_frames: of a clip, given ones included; 8k or 8k+1.
        num_context_frames: how many first frames are given.
        context: how these become latents.
        seed: of the draws from the VAE's posterior.
    """

    num_frames: int = 16
    num_context_frames: int = 2
    context: ContextEncoding = "each"
    seed: int = 0


@dataclass(frozen=True)
class ClipReader:
    """Which frames of a sample's reference make a clip. It should be what the benchmark reads.

    Attributes:
        frames: "first" takes the first ones; "spread" spreads them over the whole clip; "seer" blends all to
            so many, as a protocol of `frames: seer` does (`datasets.video.temporal_interpolation`): with the stride
            that the sample's clip has for this, and grey behind a shorter one.
        stride: of "first": every so many frames.
        fps: of "first" and "spread": the clip is resampled to this rate first; None keeps the stored frames.

    Raises:
        RunFileError: a stride or a rate is given where it would not be applied.
    """

    frames: Literal["first", "spread", "seer"] = "first"
    stride: int | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.stride is not None and self.frames != "first":
            raise RunFileError(f"a stride is of the first frames, not of {self.frames!r}; got {self.stride}")
        if self.fps is not None and self.frames == "seer":
            raise RunFileError(f"'seer' blends all frames, whatever their rate; got {self.fps:g} fps")

    def __str__(self) -> str:
        return f"{self.frames}, stride {self.stride}, fps {self.fps}"

    def __call__(self, sample: Sample, num_frames: int) -> Frames:
        """The frames of a sample's clip, uint8 [num_frames,H,W,3].

        Raises:
            VideoError: there is no reference, or it cannot be read, or is too short.
        """
        ref, given = sample.reference, sample.num_context_frames
        if ref is None:
            raise VideoError(f"the sample {sample.id!r} has no clip", "train on a data set with videos")
        if self.frames == "first":
            return read_clip(ref, num_frames, self.stride, self.fps, num_given=given)
        if self.frames == "seer":
            return read_clip(ref, num_frames, ref.blend_stride, frames="seer", num_given=given)
        frames_THW3 = read_clip(ref, fps=self.fps, num_given=given)
        if len(frames_THW3) < num_frames:
            raise TooShortError(f"{len(frames_THW3)} frames, too few for {num_frames}")
        return frames_THW3[np.rint(np.linspace(0, len(frames_THW3) - 1, num_frames)).astype(int)]


def encode_prediction_clips(
    pipeline: CogVideoX,
    samples: Sequence[Sample],
    encoding: PredictionEncoding,
    folder: Path,
    read: ReadFrames | None = None,
    progress: Callable[[int, int], None] | None = None,
    process: int = 0,
    num_processes: int = 1,
) -> list[Path]:
    """Encode clips into part files in `folder`; parts that are there already are kept.

    Args:
        samples: with references.
        read: how their frames are chosen; the first ones by default. Its text (`str`) is part of the parts'
            names, so that clips that were read in another way are not taken for these.
        progress: called with (clips done, clips in all) after each part.
        process, num_processes: several processes share the parts; the list that is returned names all.

    Returns:
        The part files in order. Those of other processes may not be there yet.
    """
    read = ClipReader() if read is None else read
    settings = {
        "encoding": [encoding.num_frames, encoding.num_context_frames, encoding.context, encoding.seed],
        "reading": str(read),
        "size": [pipeline.height, pipeline.width],
        "vae": _fingerprint(pipeline.vae),
        "text_encoder": _fingerprint(pipeline.text_encoder),
        "num_tokens": pipeline.transformer.config.max_text_seq_length,
    }
    paths = []
    for number, start in enumerate(range(0, len(samples), _CLIPS_PER_PART)):
        part = samples[start : start + _CLIPS_PER_PART]
        key = digest({**settings, "samples": [[s.id, s.prompt, s.source] for s in part]})
        # The key in the name: parts of other settings lie beside these and are never taken for them.
        paths.append(folder / f"part-{number:05d}-{key[:16]}.safetensors")
        if number % num_processes == process and not paths[-1].is_file():
            _write_part(pipeline, part, encoding, read, key, paths[-1])
        if progress is not None:
            progress(start + len(part), len(samples))
    return paths


def _write_part(
    pipeline: CogVideoX,
    samples: Sequence[Sample],
    encoding: PredictionEncoding,
    read: ReadFrames,
    key: str,
    path: Path,
) -> None:
    from safetensors.torch import save_file

    kept: list[list[str]] = []
    left_out: list[list[str]] = []
    prompts = [""]
    latents: list[torch.Tensor] = []
    context: list[torch.Tensor] = []
    for sample in samples:
        try:
            frames_THW3 = read(sample, encoding.num_frames)
        except VideoError as error:
            left_out.append([sample.id, error.message])
            continue
        seed = derive_seed(encoding.seed, "posterior", sample.id)
        latents.append(pipeline.encode(frames_THW3, seed).half().cpu())
        given_THW3 = frames_THW3[: encoding.num_context_frames]
        context.append(encode_given(pipeline, given_THW3, encoding.context).half().cpu())
        if sample.prompt not in prompts:
            prompts.append(sample.prompt)
        kept.append([sample.id, sample.prompt])
    text = torch.stack([pipeline.encode_prompt(prompt).embedding_LD.half().cpu() for prompt in prompts])
    empty = torch.empty(0, *pipeline.latent_shape_FCHW(encoding.num_frames), dtype=torch.float16)
    tensors = {
        "latents": torch.stack(latents) if latents else empty,
        "context": torch.stack(context) if context else empty,
        "text": text,
    }
    metadata = {
        "key": key,
        "samples": json.dumps(kept),
        "left_out": json.dumps(left_out),
        "texts": json.dumps([prompts.index(prompt) for _, prompt in kept]),
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata)


def _fingerprint(module: Any) -> str:
    """Of a network: names, shapes and the first numbers of all its parameters, as hashing all of a large text
    encoder would take longer than encoding many clips."""
    return digest(
        [
            [name, list(value.shape), digest_array(value.detach().flatten()[:256].float().cpu().numpy())]
            for name, value in module.state_dict().items()
        ]
    )
