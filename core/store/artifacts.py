"""What tunings made, under their keys.

```
<root>/artifacts/<ab>/<key>/artifact.safetensors
<root>/artifacts/<ab>/<key>/record.json     written last: its existence with status "done" means complete
<root>/artifacts/<ab>/<key>/checkpoint.pt   while it is being tuned: the method's, from which it resumes
<root>/artifacts/<ab>/<key>/elapsed.json    while it is being tuned: seconds that earlier attempts took
```
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from ..atomic_write import write_bytes_atomic, write_text_atomic
from ..errors import StoreError
from ..records import TuneRecord
from .files import StoreFiles, writing
from .work_folders import WorkFolders


class Artifacts(WorkFolders[TuneRecord]):
    """Tunings by key: artifact and record, and a checkpoint until they are there."""

    def __init__(self, files: StoreFiles) -> None:
        super().__init__(files, "artifacts", TuneRecord, "artifact.safetensors")

    def checkpoint_path(self, key: str) -> Path:
        """Where the method keeps its state while it tunes; the folder is there afterwards.

        Raises:
            StoreError: the folder cannot be made.
        """
        path = self.folder(key) / "checkpoint.pt"
        self._files.make_way(path)
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, key: str, artifact: bytes, **fields: Any) -> TuneRecord:
        """Store an artifact, then its record; the checkpoint is deleted.

        Args:
            fields: the rest of the `TuneRecord`.

        Raises:
            StoreError: it cannot be written (a full disk), or its record must be left alone.
        """
        self._begin(key)
        with writing(self.path(key)):
            write_bytes_atomic(self.path(key), artifact)
        record = TuneRecord(
            key=key,
            status="done",
            content_digest=hashlib.sha256(artifact).hexdigest(),
            size_bytes=len(artifact),
            **fields,
        )
        self._write(record)
        for name in ("checkpoint.pt", "elapsed.json"):
            with contextlib.suppress(OSError):
                (self.folder(key) / name).unlink()
        return record

    def load(self, record: TuneRecord) -> bytes:
        """The bytes of an artifact, checked against the digest in its record.

        Raises:
            StoreError: it is damaged; its record goes to quarantine, so that the next run tunes again.
        """
        path = self.path(record.key)
        with writing(path):
            artifact = path.read_bytes()
        if hashlib.sha256(artifact).hexdigest() != record.content_digest:
            self._distrust(record.key, "the artifact does not match its digest")
            raise StoreError(
                f"the stored tuning {path} is not what was written (digest differs)",
                "run the same command again: it is tuned anew",
            )
        return artifact

    def elapsed_s(self, key: str) -> float:
        """Seconds that earlier attempts of an unfinished tuning took, as far as they were noted."""
        try:
            seconds = float(json.loads((self.folder(key) / "elapsed.json").read_text())["seconds"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return 0.0
        return seconds if math.isfinite(seconds) and seconds >= 0 else 0.0

    def note_elapsed(self, key: str, seconds: float) -> None:
        """Remember how long an unfinished tuning has taken; a full disk is no reason to stop it."""
        with contextlib.suppress(OSError):
            write_text_atomic(self.folder(key) / "elapsed.json", json.dumps({"seconds": seconds}))
