"""The clips of a store, and what is refused at its door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ClipRefusedError, ReelbenchError, StoreError
from ..file_digests import FileDigests
from ..hashing import digest_array
from ..records import ClipRecord
from ..types import ClipRef, Frames
from .files import StoreFiles, writing
from .work_folders import WorkFolders


@dataclass(frozen=True)
class ClipCodec:
    """How clips are written and read; given from above, since the core knows no video library."""

    write_lossless: Callable[[Path, Frames, float], None]
    read_lossless: Callable[[Path], Frames]
    write_preview: Callable[[Path, Frames, float], None]
    reference_digest: Callable[[ClipRef, FileDigests], str]
    """Digest of what a reference clip holds; OSError or VideoError where it is not there."""


def check_clip(frames: Any, *, num_frames: int | None = None) -> Frames:
    """The store's door: what is not a fit clip is refused, never stored.

    Args:
        frames: should be uint8 [T, H, W, 3].
        num_frames: the length that was asked for.

    Raises:
        ClipRefusedError: of the wrong type or shape, not finite, too short, or black throughout.
    """
    array = np.asarray(frames)
    if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
        raise ClipRefusedError("the clip holds NaN or infinite values", "try float32, or another seed")
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or 0 in array.shape:
        raise ClipRefusedError(
            f"a clip must be uint8 [T, H, W, 3], got {array.dtype} {list(array.shape)}",
            "this is a defect of the method that made it",
        )
    if num_frames is not None and len(array) != num_frames:
        raise ClipRefusedError(f"the clip has {len(array)} frames, {num_frames} were asked for")
    if not array.any():
        raise ClipRefusedError(
            "every pixel of the clip is black, which is what a NaN in the decoder looks like",
            "try float32, or another seed",
        )
    return array


class Clips(WorkFolders[ClipRecord]):
    """Clips by key: video, preview and record."""

    def __init__(self, files: StoreFiles, codec: ClipCodec) -> None:
        super().__init__(files, "clips", ClipRecord, "clip.mkv")
        self._codec = codec

    def preview_path(self, key: str) -> Path:
        """The video for browsers."""
        return self.folder(key) / "preview.mp4"

    def write_preview(self, key: str, frames: Frames, fps: float) -> None:
        """Write the video for browsers anew.

        Raises:
            StoreError: it cannot be written (a full disk).
        """
        with writing(self.folder(key)):
            self._codec.write_preview(self.preview_path(key), frames, fps)

    def put(self, key: str, frames: Frames, fps: float, **fields: Any) -> ClipRecord:
        """Store a clip: video, preview, then the record.

        Args:
            fields: the rest of the `ClipRecord`.

        Raises:
            ClipRefusedError: the clip is not fit to be stored; see `check_clip`.
            StoreError: it cannot be written (a full disk), or its record must be left alone.
        """
        frames = check_clip(frames)
        self._begin(key)
        self._files.make_way(self.preview_path(key))
        with writing(self.folder(key)):
            self.folder(key).mkdir(parents=True, exist_ok=True)
            self._codec.write_lossless(self.path(key), frames, fps)
            self._codec.write_preview(self.preview_path(key), frames, fps)
            size_bytes = self.path(key).stat().st_size + self.preview_path(key).stat().st_size
        record = ClipRecord(
            key=key,
            status="done",
            content_digest=digest_array(frames),
            num_frames=frames.shape[0],
            height=frames.shape[1],
            width=frames.shape[2],
            fps=fps,
            size_bytes=size_bytes,
            **fields,
        )
        return self._write(record)

    def load(self, record: ClipRecord) -> Frames:
        """The frames of a stored clip, checked against the digest in its record.

        Raises:
            StoreError: the video is damaged; its record goes to quarantine, so that the next run makes the
                clip again.
        """
        path = self.path(record.key)
        try:
            frames = self._codec.read_lossless(path)
        except Exception as error:
            # Without the hint, which is for videos that people have: a stored clip is made again.
            why = error.message if isinstance(error, ReelbenchError) else str(error)
            self._distrust(record.key, f"clip.mkv cannot be read: {why}")
            raise StoreError(
                f"the stored clip {path} cannot be read ({why})",
                "run the same command again: it is made anew",
            ) from error
        if digest_array(frames) != record.content_digest:
            self._distrust(record.key, "clip.mkv does not match its digest")
            raise StoreError(
                f"the stored clip {path} is not what was written (digest differs)",
                "run the same command again: it is made anew",
            )
        return frames
