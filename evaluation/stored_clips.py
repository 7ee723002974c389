"""What is known of the clip files of an evaluation: their digests, and what they say of themselves."""

from __future__ import annotations

import ctypes
import functools
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.atomic_write import write_text_atomic
from ..core.errors import VideoError
from ..core.file_digests import FileDigests
from ..core.types import ClipRef
from .clip_list import StoredClip

_CLIPS_AT_ONCE = 256


@dataclass(frozen=True)
class ClipFacts:
    """A clip file.

    Attributes:
        digest: sha256 of its content; None when it cannot be read.
        fps: frames per second that the file states; None when it states none, as folders of frames do.
        width, height: pixels; None when it cannot be decoded.
        error: why it cannot be read or decoded.
        interlaced: whether its frames are marked as two fields of different times.
    """

    digest: str | None
    fps: float | None = None
    width: int | None = None
    height: int | None = None
    error: str | None = None
    interlaced: bool = False


class ClipCatalogue:
    """Facts of clip files, remembered by content, so that a second evaluation opens no file.

    Args:
        folder: where the digests and the facts are remembered.
    """

    def __init__(self, folder: Path) -> None:
        self._files = FileDigests(folder / "videos_digests.json")
        self._path = folder / "clip_facts.json"
        self._known: dict[str, ClipFacts] = {}
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            self._known = {key: ClipFacts(**facts) for key, facts in known.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            self._known = {}  # a cache: made anew

    def facts(self, clips: Iterable[StoredClip], num_threads: int) -> Mapping[StoredClip, ClipFacts]:
        """The facts of every clip; a file that cannot be read has an `error`, nothing is raised."""
        clips = list(clips)
        found: dict[StoredClip, ClipFacts] = {}
        with ThreadPoolExecutor(num_threads, thread_name_prefix="facts") as pool:
            for start in range(0, len(clips), _CLIPS_AT_ONCE):
                chunk = clips[start : start + _CLIPS_AT_ONCE]
                found |= zip(chunk, pool.map(self._facts, chunk), strict=True)
                release_free_memory()
        self._known |= {item.digest: item for item in found.values() if item.digest and not item.error}
        self._files.save()
        write_text_atomic(
            self._path, json.dumps({key: asdict(item) for key, item in sorted(self._known.items())})
        )
        return found

    def _facts(self, clip: StoredClip) -> ClipFacts:
        from ..datasets.video import clip_digest, probe

        try:
            digest = clip_digest(ClipRef(clip.path), self._files)
        except VideoError as error:
            return ClipFacts(None, error=error.message)
        except OSError as error:
            return ClipFacts(
                None, error=f"cannot read {str(error.filename or clip.path)!r}: {error.strerror}"
            )
        if digest in self._known:
            return self._known[digest]
        try:
            info = probe(clip.path)
        except VideoError as error:
            return ClipFacts(digest, error=error.message)
        return ClipFacts(digest, info.fps, info.width, info.height, interlaced=info.interlaced)


def release_free_memory() -> None:
    """Return the process's free heap to the system; some milliseconds.

    Decoders allocate and free megabytes for every clip. glibc keeps what is freed, and with small objects
    that live longer in between, a process that read thousands of clips on threads grew by a quarter of a MiB
    a clip, all of it free. Elsewhere than on glibc this does nothing.
    """
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    try:
        library = ctypes.CDLL("libc.so.6")
        return library if hasattr(library, "malloc_trim") else None
    except OSError:
        return None
