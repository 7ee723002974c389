"""The latents of a data set's clips, encoded once: what training on videos reads.

Each clip is decoded once, brought to the pipeline's size (shorter side resized with antialiasing, centre
crop) and encoded by the VAE; one draw from the posterior is kept, in float16. Parts of a few hundred clips
are files of their own, written atomically: encoding that is killed goes on with the next part, and training
reads single clips from the parts without loading them. 16 frames of 256 by 256 take 128 KiB.

A clip that cannot be read, or that is too short, is left out and named in the part's metadata.

Shape suffixes: T frames, C latent channels, H, W height and width, 3 RGB.
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
from ...core.errors import DatasetError, VideoError
from ...core.hashing import digest, digest_array
from ...core.types import Frames, Sample
from ...datasets.video import read_clip
from ..frames import fit_frames
from ..noise import draw
from ..stable_diffusion.pipeline import StableDiffusion

CLIPS_PER_PART = 256
"""Clips in one file of latents."""


class TrainingClips:
    """Latents and captions of clips, read from the part files of `encode_clips`.

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
            (id, caption) for part in metadata for id, caption in json.loads(part["samples"])
        )
        """(id, caption) of every clip."""
        self.left_out: tuple[tuple[str, str], ...] = tuple(
            (id, why) for part in metadata for id, why in json.loads(part["left_out"])
        )
        """(id, reason) of the clips that could not be read."""
        self.fingerprint: str = digest([[part["key"], part["samples"]] for part in metadata])
        """Changes with the clips, their captions and how they were encoded."""
        self._ends = list(accumulate(len(json.loads(part["samples"])) for part in metadata))
        if not self.samples:
            first = f"; first: {self.left_out[0][0]}: {self.left_out[0][1]}" if self.left_out else ""
            raise DatasetError(
                f"none of the {len(self.left_out)} clips of the data set can be trained on{first}",
                "check the data set with `reelbench doctor`, or ask for fewer frames",
            )

    def __len__(self) -> int:
        return len(self.samples)

    def latents(self, index: int) -> torch.Tensor:
        """Latents of a clip, float16 [T,C,H,W], scaled as the UNet expects them."""
        part = bisect_right(self._ends, index)
        first = self._ends[part - 1] if part else 0
        latents: torch.Tensor = self._handles[part].get_slice("latents")[index - first]
        return latents

    def caption(self, index: int) -> str:
        """The caption of a clip."""
        return self.samples[index][1]


@dataclass(frozen=True)
class ClipEncoding:
    """How a clip becomes latents.

    Attributes:
        num_frames: T.
        frames: which frames of a video make the clip: "spread" evenly over all of it, or its "first" ones.
        seed: of the draws from the VAE's posterior.
    """

    num_frames: int
    frames: Literal["spread", "first"] = "spread"
    seed: int = 0


def encode_clips(
    pipeline: StableDiffusion,
    samples: Sequence[Sample],
    encoding: ClipEncoding,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
    process: int = 0,
    num_processes: int = 1,
) -> list[Path]:
    """Encode clips into part files in `folder`; parts that are there already are kept.

    Args:
        samples: with references. progress: called with (clips done, clips in all) after each part. process,
        num_processes: several processes share the parts; the list that is returned names all of them.

    Returns:
        The part files in order. Those of other processes may not be there yet.
    """
    settings = {
        "encoding": [encoding.num_frames, encoding.frames, encoding.seed],
        "size": [pipeline.height, pipeline.width],
        "vae": digest_module(pipeline.vae),
    }
    paths = []
    for number, start in enumerate(range(0, len(samples), CLIPS_PER_PART)):
        part = samples[start : start + CLIPS_PER_PART]
        key = digest({**settings, "samples": [[s.id, s.prompt, s.source] for s in part]})
        # The key in the name: parts of other settings lie beside these and are never taken for them.
        paths.append(folder / f"part-{number:05d}-{key[:16]}.safetensors")
        if number % num_processes == process and not paths[-1].is_file():
            _write_part(pipeline, part, encoding, key, paths[-1])
        if progress is not None:
            progress(start + len(part), len(samples))
    return paths


def _write_part(
    pipeline: StableDiffusion, samples: Sequence[Sample], encoding: ClipEncoding, key: str, path: Path
) -> None:
    from safetensors.torch import save_file

    kept: list[list[str]] = []
    left_out: list[list[str]] = []
    latents = [torch.empty(0, encoding.num_frames, *pipeline.latent_shape_CHW, dtype=torch.float16)]
    for sample in samples:
        try:
            frames_THW3 = read_frames(sample, encoding)
        except VideoError as error:
            left_out.append([sample.id, error.message])
            continue
        seed_parts = (encoding.seed, "posterior", sample.id)
        latents.append(encode_frames(pipeline, frames_THW3, seed_parts).half().cpu()[None])
        kept.append([sample.id, sample.prompt])
    metadata = {"key": key, "samples": json.dumps(kept), "left_out": json.dumps(left_out)}
    with atomic_path(path) as temporary:
        save_file({"latents": torch.cat(latents)}, temporary, metadata)


def read_frames(sample: Sample, encoding: ClipEncoding) -> Frames:
    """The frames of a sample's clip, uint8 [T,H,W,3].

    Raises:
        VideoError: it has none, cannot be read, or is too short.
    """
    if sample.reference is None:
        raise VideoError(f"the sample {sample.id!r} has no clip", "train on a data set with videos")
    if encoding.frames == "first":
        return read_clip(sample.reference, num_frames=encoding.num_frames)
    frames_THW3 = read_clip(sample.reference)
    if len(frames_THW3) < encoding.num_frames:
        raise VideoError(f"{len(frames_THW3)} frames, too few for {encoding.num_frames}")
    return frames_THW3[np.rint(np.linspace(0, len(frames_THW3) - 1, encoding.num_frames)).astype(int)]


@torch.no_grad()
def encode_frames(
    pipeline: StableDiffusion, frames_THW3: Frames, seed_parts: tuple[int | str, ...]
) -> torch.Tensor:
    """Latents of frames, float32 [T,C,H,W], drawn from the VAE's posterior.

    Args:
        seed_parts: the seed, and what tells its draw from others.
    """
    pixels_T3HW = fit_frames(frames_THW3, pipeline.height, pipeline.width)
    pixels_T3HW = (pixels_T3HW / 127.5 - 1).to(pipeline.device, pipeline.dtype)
    posterior = pipeline.vae.encode(pixels_T3HW).latent_dist
    noise = draw(tuple(posterior.mean.shape), int(seed_parts[0]), *seed_parts[1:]).to(pipeline.device)
    sample_TCHW = posterior.mean.float() + posterior.std.float() * noise
    shift = getattr(pipeline.vae.config, "shift_factor", None) or 0.0
    return (sample_TCHW - shift) * pipeline.vae.config.scaling_factor


def digest_module(module: Any) -> str:
    """Digest of a module's numbers."""
    return digest(
        [
            [name, digest_array(value.detach().float().cpu().numpy())]
            for name, value in module.state_dict().items()
        ]
    )
