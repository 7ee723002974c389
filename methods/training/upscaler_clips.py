"""Clips at two sizes, encoded once: what training an upscaler's adapters reads.

As `methods.training.clips`, whose part files these are, with one tensor more: beside the latents of a clip
its low resolution, made from the very frames that were encoded, by area. 16 frames of 512 by 512 at factor 4
take 2.75 MiB.

Shape suffixes: T frames, C latent channels, H, W height and width, h, w those of latents and low
resolution, 3 RGB.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from ...core.atomic_write import atomic_path
from ...core.errors import VideoError
from ...core.hashing import digest
from ...core.types import Sample
from ..frames import fit_frames
from ..upscaling.low_resolution import shrink
from ..upscaling.pipeline import UpscalePipeline
from .clips import (
    CLIPS_PER_PART,
    ClipEncoding,
    TrainingClips,
    digest_module,
    encode_frames,
    read_frames,
)


class UpscalingClips(TrainingClips):
    """Latents, low resolution and captions of clips, read from the part files of `encode_upscaling_clips`."""

    def low_res(self, index: int) -> torch.Tensor:
        """The low resolution of a clip, uint8 [T,h,w,3]."""
        part = bisect_right(self._ends, index)
        first = self._ends[part - 1] if part else 0
        low_res: torch.Tensor = self._handles[part].get_slice("low_res")[index - first]
        return low_res


def encode_upscaling_clips(
    pipeline: UpscalePipeline,
    samples: Sequence[Sample],
    encoding: ClipEncoding,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Encode clips into part files in `folder`; parts that are there already are kept.

    Args:
        pipeline: at the size of the clips (`UpscalePipeline.at`).
        samples: with references; each is brought to that size.
        progress: called with (clips done, clips in all) after each part.

    Returns:
        The part files in order.
    """
    settings = {
        "encoding": [encoding.num_frames, encoding.frames, encoding.seed],
        "size": [pipeline.height, pipeline.width],
        "low resolution": f"area, 1/{pipeline.factor}",
        "vae": digest_module(pipeline.vae),
    }
    paths = []
    for number, start in enumerate(range(0, len(samples), CLIPS_PER_PART)):
        part = samples[start : start + CLIPS_PER_PART]
        key = digest({**settings, "samples": [[s.id, s.prompt, s.source] for s in part]})
        paths.append(folder / f"part-{number:05d}-{key[:16]}.safetensors")
        if not paths[-1].is_file():
            _write_part(pipeline, part, encoding, key, paths[-1])
        if progress is not None:
            progress(start + len(part), len(samples))
    return paths


def _write_part(
    pipeline: UpscalePipeline, samples: Sequence[Sample], encoding: ClipEncoding, key: str, path: Path
) -> None:
    from safetensors.torch import save_file

    channels, height, width = pipeline.latent_shape_CHW
    latents = [torch.empty(0, encoding.num_frames, channels, height, width, dtype=torch.float16)]
    low_res = [torch.empty(0, encoding.num_frames, height, width, 3, dtype=torch.uint8)]
    kept: list[list[str]] = []
    left_out: list[list[str]] = []
    for sample in samples:
        try:
            frames_T3HW = fit_frames(read_frames(sample, encoding), pipeline.height, pipeline.width)
        except VideoError as error:
            left_out.append([sample.id, error.message])
            continue
        frames_THW3 = np.rint(frames_T3HW.permute(0, 2, 3, 1).numpy()).astype(np.uint8)
        latents.append(
            encode_frames(pipeline, frames_THW3, (encoding.seed, "posterior", sample.id)).half().cpu()[None]
        )
        low_res.append(torch.from_numpy(shrink(frames_THW3, pipeline.factor))[None])
        kept.append([sample.id, sample.prompt])
    metadata = {"key": key, "samples": json.dumps(kept), "left_out": json.dumps(left_out)}
    with atomic_path(path) as temporary:
        save_file({"latents": torch.cat(latents), "low_res": torch.cat(low_res)}, temporary, metadata)
