"""What tunings made, under their keys: part of the store.

```
<root>/<ab>/<key>/artifact.safetensors
<root>/<ab>/<key>/record.json     written last: its existence with status "done" means complete
<root>/<ab>/<key>/checkpoint.pt   while it is being tuned: the method's, to go on from
<root>/<ab>/<key>/elapsed.json    while it is being tuned: seconds that earlier attempts took
```
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .atomic_write import atomic_path, write_text_atomic
from .errors import StoreError
from .records import TuneRecord

Quarantine = Callable[[Path, str], None]
"""Moves a damaged file aside, with the reason."""


class Artifacts:
    """Tunings by key; safe for several processes that write at once.

    Args:
        root: the folder.
        quarantine: called with a record that cannot be trusted.
        failed: makes a `StoreError` of an OSError at a path.
    """

    def __init__(
        self, root: Path, quarantine: Quarantine, failed: Callable[[Path, OSError], StoreError]
    ) -> None:
        self._root = root
        self._quarantine = quarantine
        self._failed = failed

    def folder(self, key: str) -> Path:
        """Where a tuning lies."""
        return self._root / key[:2] / key

    def path(self, key: str) -> Path:
        """The artifact itself."""
        return self.folder(key) / "artifact.safetensors"

    def checkpoint_path(self, key: str) -> Path:
        """Where the method keeps its state while it tunes; the folder is there afterwards.

        Raises:
            StoreError: the folder cannot be made.
        """
        folder = self.folder(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._failed(folder, error) from error
        return folder / "checkpoint.pt"

    def record(self, key: str) -> TuneRecord | None:
        """The record of a tuning, None when there is none or it was damaged (and is now in quarantine)."""
        path = self.folder(key) / "record.json"
        try:
            record = TuneRecord.model_validate_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            self._quarantine(path, f"unreadable or malformed: {error}")
            return None
        if record.key != key:
            self._quarantine(path, f"belongs to key {record.key}")
            return None
        if record.status == "done" and not self.path(key).is_file():
            self._quarantine(path, "says done, but the artifact is not there")
            return None
        return record

    def put(self, key: str, artifact: bytes, **fields: Any) -> TuneRecord:
        """Store an artifact, then its record; the checkpoint is deleted.

        Args:
            fields: the rest of the `TuneRecord`.

        Raises:
            StoreError: it cannot be written (a full disk).
        """
        record = TuneRecord(
            key=key,
            status="done",
            content_digest=hashlib.sha256(artifact).hexdigest(),
            size_bytes=len(artifact),
            **fields,
        )
        try:
            with atomic_path(self.path(key)) as temporary:
                temporary.write_bytes(artifact)
            write_text_atomic(self.folder(key) / "record.json", record.model_dump_json(indent=1))
        except OSError as error:
            raise self._failed(self.path(key), error) from error
        for name in ("checkpoint.pt", "elapsed.json"):
            with contextlib.suppress(OSError):
                (self.folder(key) / name).unlink()
        return record

    def put_failure(self, record: TuneRecord) -> None:
        """Record that a tuning failed. One that is already done stays; its checkpoint stays, too."""
        done = self.record(record.key)
        if done is not None and done.status == "done":
            return
        path = self.folder(record.key) / "record.json"
        try:
            write_text_atomic(path, record.model_dump_json(indent=1))
        except OSError as error:
            raise self._failed(path, error) from error

    def load(self, record: TuneRecord) -> bytes:
        """The bytes of an artifact, checked against the digest in its record.

        Raises:
            StoreError: it is damaged; its record goes to quarantine, so that the next run tunes again.
        """
        path = self.path(record.key)
        try:
            artifact = path.read_bytes()
        except OSError as error:
            raise self._failed(path, error) from error
        if hashlib.sha256(artifact).hexdigest() != record.content_digest:
            self._quarantine(
                self.folder(record.key) / "record.json", "the artifact does not match its digest"
            )
            raise StoreError(
                f"the stored tuning {path} is not what was written (digest differs)",
                "run the same command again: it is tuned anew",
            )
        return artifact

    def elapsed_s(self, key: str) -> float:
        """Seconds that earlier attempts of an unfinished tuning took, as far as they were noted."""
        try:
            return float(json.loads((self.folder(key) / "elapsed.json").read_text())["seconds"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0

    def note_elapsed(self, key: str, seconds: float) -> None:
        """Remember how long an unfinished tuning has taken; a full disk is no reason to stop it."""
        with contextlib.suppress(OSError):
            write_text_atomic(self.folder(key) / "elapsed.json", json.dumps({"seconds": seconds}))
