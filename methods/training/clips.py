"""A data set's clips, encoded once: what every training here reads.

Clips are kept in float16 in part files, written whole or not at all: encoding that is killed resumes with the
next part, and training reads single clips without loading a part. A subclass of `ClipEncoder` says what is
kept of a clip, one of `TrainingClips` gives it back. A clip that cannot be read, or is too short, is left out
and named in the part's metadata.

Shape suffixes: T frames, C latent channels, H, W latent height and width, 3 RGB.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar

import torch

from ...core.atomic_write import atomic_path
from ...core.errors import DatasetError, VideoError
from ...core.hashing import digest, digest_array
from ...core.types import Frames, Sample

ReadFrames = Callable[[Sample, int], Frames]
"""(sample, number of frames) -> its frames, uint8 [T,H,W,3]; VideoError where it has none. Its text (`str`)
says how it reads, and is part of the parts' names."""

Tensors = dict[str, torch.Tensor]


class TrainingClips:
    """Latents and captions of clips, read from part files.

    Args:
        parts: the files, in order.

    Raises:
        DatasetError: not one clip is in them.
    """

    def __init__(self, parts: Sequence[Path]) -> None:
        from safetensors import safe_open

        self._handles: list[Any] = [safe_open(path, framework="pt") for path in parts]
        self._metadata: list[dict[str, str]] = [handle.metadata() for handle in self._handles]
        samples = [json.loads(part["samples"]) for part in self._metadata]
        self.samples: tuple[tuple[str, str], ...] = tuple((id, text) for part in samples for id, text in part)
        """(id, caption) of every clip."""
        self.left_out: tuple[tuple[str, str], ...] = tuple(
            (id, why) for part in self._metadata for id, why in json.loads(part["left_out"])
        )
        """(id, reason) of the clips that could not be read."""
        self.fingerprint: str = digest([[part["key"], part["samples"]] for part in self._metadata])
        """Changes with the clips, their captions and how they were encoded."""
        self._ends = list(accumulate(len(part) for part in samples))
        if not self.samples:
            first = f"; first: {self.left_out[0][0]}: {self.left_out[0][1]}" if self.left_out else ""
            raise DatasetError(
                f"none of the {len(self.left_out)} clips of the data set can be trained on{first}",
                "check the data set with `reelbench doctor`, or ask for fewer frames",
            )

    def __len__(self) -> int:
        return len(self.samples)

    def latents(self, index: int) -> torch.Tensor:
        """Latents of a clip, float16 [T,C,H,W], scaled as the network expects them."""
        return self._row("latents", index)

    def caption(self, index: int) -> str:
        """The caption of a clip."""
        return self.samples[index][1]

    def _place(self, index: int) -> tuple[int, int]:
        """The number of a clip's part, and its number in there."""
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    def _row(self, name: str, index: int) -> torch.Tensor:
        part, row = self._place(index)
        values: torch.Tensor = self._handles[part].get_slice(name)[row]
        return values


class ClipEncoder(ABC):
    """Writes part files.

    Args:
        num_frames: T of a clip.
        seed: of the draws from the VAE's posterior.
    """

    clips_per_part: ClassVar[int] = 256

    def __init__(self, num_frames: int, seed: int) -> None:
        self.num_frames, self.seed = num_frames, seed

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What the tensors depend on besides samples, reading, number of frames and seed; JSON-able."""

    @abstractmethod
    def clip(self, sample: Sample, frames_THW3: Frames) -> Tensors:
        """What is kept of a clip; the same names and shapes for every clip."""

    def part(self, captions: Sequence[str]) -> tuple[Tensors, dict[str, str]]:
        """What is kept of a whole part, whose clips have these captions: tensors and metadata."""
        return {}, {}

    def encode(
        self,
        samples: Sequence[Sample],
        read: ReadFrames,
        folder: Path,
        progress: Callable[[int, int], None] | None = None,
        process: int = 0,
        num_processes: int = 1,
    ) -> list[Path]:
        """Encode clips into part files in `folder`; parts that are there already are kept.

        Args:
            progress: called with (clips done, clips in all) after each part.
            process, num_processes: several processes share the parts.

        Returns:
            All part files in order. Those of other processes may not be there yet.
        """
        settings = {"frames": self.num_frames, "seed": self.seed, "reading": str(read), **self.settings()}
        paths = []
        for number, start in enumerate(range(0, len(samples), self.clips_per_part)):
            part = samples[start : start + self.clips_per_part]
            key = digest({**settings, "samples": [[s.id, s.prompt, s.source] for s in part]})
            # The key in the name: parts of other settings lie beside these and are never taken for them.
            paths.append(folder / f"part-{number:05d}-{key[:16]}.safetensors")
            if number % num_processes == process and not paths[-1].is_file():
                self._write_part(part, read, key, paths[-1])
            if progress is not None:
                progress(start + len(part), len(samples))
        return paths

    @torch.no_grad()
    def _write_part(self, samples: Sequence[Sample], read: ReadFrames, key: str, path: Path) -> None:
        from safetensors.torch import save_file

        kept: list[tuple[str, str]] = []
        left_out: list[tuple[str, str]] = []
        rows: list[Tensors] = []
        for sample in samples:
            try:
                frames_THW3 = read(sample, self.num_frames)
            except VideoError as error:
                left_out.append((sample.id, error.message))
                continue
            rows.append(self.clip(sample, frames_THW3))
            kept.append((sample.id, sample.prompt))
        tensors, metadata = self.part([caption for _, caption in kept])
        for name in rows[0] if rows else ():
            tensors[name] = torch.stack([row[name] for row in rows]).contiguous()
        metadata |= {"key": key, "samples": json.dumps(kept), "left_out": json.dumps(left_out)}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata)


def fingerprint(module: Any) -> str:
    """Of a network: names, shapes and the first numbers of all its parameters. Hashing all of a large text
    encoder would take longer than encoding many clips."""
    return digest(
        [
            [name, list(value.shape), digest_array(value.detach().flatten()[:256].float().cpu().numpy())]
            for name, value in module.state_dict().items()
        ]
    )
