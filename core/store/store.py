"""The store itself: what its parts share, failures of features, timings and remembered digests."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from ..atomic_write import write_text_atomic
from ..file_digests import FileDigests
from ..records import FailureInfo
from ..types import ClipRef
from .artifacts import Artifacts
from .clips import ClipCodec, Clips
from .feature_parts import FeatureParts
from .files import StoreFiles, checked, writing
from .leases import Leases, are_free, sweep_leases
from .work_folders import first_fault


class Store:
    """Clips, tunings, features and failures by key; safe for several processes that write at once.

    Args:
        read_only: nothing is made or moved; the folder need not be there.

    Raises:
        StoreError: the folder cannot be made.
    """

    def __init__(self, root: Path, codec: ClipCodec, *, read_only: bool = False) -> None:
        self.root = Path(root)
        self._codec = codec
        self.read_only = read_only
        self.files = StoreFiles(self.root, read_only)
        self.clips = Clips(self.files, codec)
        self.artifacts = Artifacts(self.files)
        self.features = FeatureParts(self.files)

    # -- failures of features ------------------------------------------------------------------

    def put_failure(self, key: str, error: BaseException | FailureInfo) -> None:
        """Record why the work under a key failed; the next run tries it again.

        Raises:
            StoreError: it cannot be written (a full disk).
        """
        info = error if isinstance(error, FailureInfo) else FailureInfo.of(error)
        path = self.files.path("failures", key, ".json")
        if self.files.barred(path) is not None:
            return  # and noted
        self.files.make_way(path)
        with writing(path):
            write_text_atomic(path, info.model_dump_json())

    def failure(self, key: str) -> FailureInfo | None:
        """Why the work under a key failed, None where nothing is recorded."""
        path = self.files.path("failures", key, ".json")
        try:
            return FailureInfo.model_validate_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            if (bar := self.files.barred(path)) is not None:
                return FailureInfo.of(bar)
            why = first_fault(error) if isinstance(error, ValidationError) else error
            self.files.quarantine(path, f"unreadable failure: {why}")
            return None

    # -- leases --------------------------------------------------------------------------------

    def leases(self) -> Leases:
        """Leases for a worker to take; see `leases`."""
        return Leases(self.files)

    def are_free(self, keys: Iterable[str]) -> bool:
        """Whether no worker of any run makes one of these keys."""
        return are_free(self.files, keys)

    def sweep(self) -> None:
        """Delete what killed processes left: temporary files and leases."""
        self.files.sweep()
        sweep_leases(self.files)

    # -- timings, for the plan's estimate ------------------------------------------------------

    def put_timing(self, key: str, seconds: float, size_bytes: int) -> None:
        """Remember what one unit of work took; `reelbench plan` estimates from the mean. Only an estimate: a
        disk that is full is no error."""
        known = self.timing(key) or {"count": 0, "seconds": 0.0, "bytes": 0}
        known = {
            "count": known["count"] + 1,
            "seconds": known["seconds"] + seconds,
            "bytes": known["bytes"] + size_bytes,
        }
        with contextlib.suppress(OSError):
            self.files.make_way(self._timing_path(key))
            write_text_atomic(self._timing_path(key), json.dumps(known))

    def timing(self, key: str) -> dict[str, float] | None:
        """{"count", "seconds", "bytes"} of the work remembered under a key, None when there is none."""
        try:
            known = json.loads(self._timing_path(key).read_text())
            timing = {name: float(known[name]) for name in ("count", "seconds", "bytes")}
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
        return timing if all(math.isfinite(value) and value >= 0 for value in timing.values()) else None

    def _timing_path(self, key: str) -> Path:
        return self.root / "cache" / "timings" / f"{checked(key)}.json"

    # -- digests -------------------------------------------------------------------------------

    def reference_digest(self, ref: ClipRef, files: FileDigests) -> str:
        """Digest of what a reference clip holds.

        Raises:
            OSError, VideoError: it is not there or cannot be read.
        """
        return self._codec.reference_digest(ref, files)

    def digests(self, kind: str) -> FileDigests:
        """The remembered digests of files ("weights", "videos"); of a store that is only read they are not
        written."""
        path = self.root / "cache" / f"{kind}_digests.json"
        self.files.make_way(path)
        return FileDigests(path, read_only=self.read_only)
