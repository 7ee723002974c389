"""The content-addressed store: clips, features and failures under their keys.

```
<root>/clips/<ab>/<key>/clip.mkv      lossless, what is measured
<root>/clips/<ab>/<key>/preview.mp4   for browsers
<root>/clips/<ab>/<key>/record.json   written last: its existence with status "done" means complete
<root>/artifacts/<ab>/<key>/          what tunings made; see `artifacts`
<root>/features/<extractor>/<digest>.parquet   append-only parts, one per finished shard
<root>/failures/<ab>/<key>.json       why a feature could not be made
<root>/cache/                         digests of files by size and time; may be deleted
<root>/quarantine/                    damaged records, moved aside
```

Every write goes to a temporary name and is renamed, so a kill leaves nothing half-written. A record
that cannot be read is moved to quarantine and counts as missing: the work is done again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from .artifacts import Artifacts
from .atomic_write import atomic_path, is_temporary, write_text_atomic
from .errors import ClipRefusedError, StoreError
from .file_digests import FileDigests
from .hashing import digest, digest_array
from .records import ClipRecord, FailureInfo
from .types import ClipRef, Features, Frames

_STALE_TEMPORARY_S = 3600.0


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


class Store:
    """Clips, features and failures by key; safe for several processes that write at once.

    Args:
        read_only: nothing is made or moved; the folder need not be there.
    """

    def __init__(self, root: Path, codec: ClipCodec, *, read_only: bool = False) -> None:
        self.root = Path(root)
        self._codec = codec
        self._read_only = read_only
        self._feature_parts: dict[str, dict[Path, set[str]]] = {}
        self.artifacts = Artifacts(self.root / "artifacts", self._quarantine, _write_error)
        try:
            if read_only:
                next(_existing(self.root).iterdir(), None)  # an error where it is not a folder
            else:
                self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot create the store {self.root}: {error.strerror}", "choose another `output` or `store`"
            ) from error

    # -- clips ---------------------------------------------------------------------------------

    def clip_dir(self, key: str) -> Path:
        return self.root / "clips" / _checked(key)[:2] / key

    def clip_path(self, key: str) -> Path:
        return self.clip_dir(key) / "clip.mkv"

    def preview_path(self, key: str) -> Path:
        return self.clip_dir(key) / "preview.mp4"

    def clip_record(self, key: str) -> ClipRecord | None:
        """The record of a clip, None when there is none or it was damaged (and is now in quarantine)."""
        path = self.clip_dir(key) / "record.json"
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._quarantine(path, f"unreadable: {error}")
            return None
        try:
            record = ClipRecord.model_validate_json(text)
        except ValidationError as error:
            self._quarantine(path, f"malformed: {error.errors(include_url=False)[:3]}")
            return None
        if record.key != key:
            self._quarantine(path, f"belongs to key {record.key}")
            return None
        if record.status == "done" and not self.clip_path(key).is_file():
            self._quarantine(path, "says done, but clip.mkv is not there")
            return None
        return record

    def put_clip(self, key: str, frames: Frames, fps: float, **fields: Any) -> ClipRecord:
        """Store a clip: video, preview, then the record.

        Args:
            fields: the rest of the `ClipRecord`.

        Raises:
            ClipRefusedError: the clip is not fit to be stored; see `check_clip`.
            StoreError: it cannot be written (a full disk).
        """
        frames = check_clip(frames)
        folder = self.clip_dir(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._codec.write_lossless(self.clip_path(key), frames, fps)
            self._codec.write_preview(self.preview_path(key), frames, fps)
            record = ClipRecord(
                key=key,
                status="done",
                content_digest=digest_array(frames),
                num_frames=frames.shape[0],
                height=frames.shape[1],
                width=frames.shape[2],
                fps=fps,
                size_bytes=self.clip_path(key).stat().st_size + self.preview_path(key).stat().st_size,
                **fields,
            )
            write_text_atomic(folder / "record.json", record.model_dump_json(indent=1))
        except OSError as error:
            raise _write_error(folder, error) from error
        return record

    def put_clip_failure(self, key: str, error: BaseException, **fields: Any) -> ClipRecord:
        """Record that a clip could not be made. A clip that is already done stays."""
        done = self.clip_record(key)
        if done is not None and done.status == "done":
            return done
        record = ClipRecord(key=key, status="failed", error=failure_info(error), **fields)
        folder = self.clip_dir(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_text_atomic(folder / "record.json", record.model_dump_json(indent=1))
        except OSError as os_error:
            raise _write_error(folder, os_error) from os_error
        return record

    def load_clip(self, record: ClipRecord) -> Frames:
        """The frames of a stored clip, checked against the digest in its record.

        Raises:
            StoreError: the video is damaged; its record goes to quarantine, so that the next run
                makes the clip again.
        """
        path = self.clip_path(record.key)
        try:
            frames = self._codec.read_lossless(path)
        except Exception as error:
            self._quarantine(self.clip_dir(record.key) / "record.json", f"clip.mkv cannot be read: {error}")
            raise StoreError(
                f"the stored clip {path} cannot be read ({error})",
                "run the same command again: it is made anew",
            ) from error
        if digest_array(frames) != record.content_digest:
            self._quarantine(self.clip_dir(record.key) / "record.json", "clip.mkv does not match its digest")
            raise StoreError(
                f"the stored clip {path} is not what was written (digest differs)",
                "run the same command again: it is made anew",
            )
        return frames

    # -- features ------------------------------------------------------------------------------

    def put_features(self, extractor: str, features: Mapping[str, Features]) -> None:
        """Store the features of one shard as one part file. Keys that are there twice are harmless."""
        if not features:
            return
        keys = sorted(features)
        arrays = [np.ascontiguousarray(features[key], dtype=np.float32) for key in keys]
        for key, array in zip(keys, arrays, strict=True):
            if not np.isfinite(array).all():
                raise StoreError(f"features {key} of {extractor!r} hold NaN or infinite values")
        table = pa.table(
            {
                "feature_key": pa.array(keys, pa.string()),
                "shape": pa.array([list(array.shape) for array in arrays], pa.list_(pa.int64())),
                "values": pa.array([array.tobytes() for array in arrays], pa.binary()),
                "digest": pa.array([digest_array(array) for array in arrays], pa.string()),
            }
        ).replace_schema_metadata({"reelbench.table": "feature_part", "reelbench.schema_version": "1"})
        path = self._feature_dir(extractor) / f"{_part_name(keys)}.parquet"
        try:
            with atomic_path(path) as temporary:
                pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
        except OSError as error:
            raise _write_error(path, error) from error

    def feature_keys(self, extractor: str) -> set[str]:
        """All the keys whose features can be loaded. A part file is read and checked once and remembered;
        one that is damaged goes to quarantine, and what was in it counts as missing."""
        parts = self._refresh_parts(extractor)
        return set().union(*parts.values()) if parts else set()

    def load_features(self, extractor: str, keys: Iterable[str]) -> dict[str, Features]:
        """The features of the keys that are stored; the caller sees from the missing ones what failed."""
        wanted = set(keys)
        found: dict[str, Features] = {}
        for path, held in self._refresh_parts(extractor).items():
            if wanted & held:
                part = self._read_part(path) or {}
                found |= {key: part[key] for key in part if key in wanted and key not in found}
        return found

    def _refresh_parts(self, extractor: str) -> dict[Path, set[str]]:
        parts = self._feature_parts.setdefault(extractor, {})
        folder = self._feature_dir(extractor)
        present = {path for path in folder.glob("*.parquet") if not is_temporary(path)}
        for path in set(parts) - present:
            del parts[path]
        for path in present - set(parts):
            # All of it, not the keys alone: what counts as held must be there when it is wanted.
            part = self._read_part(path)
            if part is not None:
                parts[path] = set(part)
        return dict(sorted(parts.items()))

    def _read_part(self, path: Path) -> dict[str, Features] | None:
        """The features of a part file; None where it is gone or damaged (and is now in quarantine)."""
        try:
            return _features_of(path)
        except FileNotFoundError:
            return None
        except Exception as error:  # damaged bytes lead Arrow's reader to errors of any class
            reason = (str(error) or type(error).__name__).splitlines()[0][:300]
            self._quarantine(path, f"damaged feature part: {reason}")
            return None

    def _feature_dir(self, extractor: str) -> Path:
        return self.root / "features" / extractor.replace("/", "_").replace(":", "_")

    # -- failures of features ------------------------------------------------------------------

    def put_failure(self, key: str, error: BaseException | FailureInfo) -> None:
        """Record why the work under a key failed; the next run tries it again."""
        info = error if isinstance(error, FailureInfo) else failure_info(error)
        path = self.root / "failures" / _checked(key)[:2] / f"{key}.json"
        try:
            write_text_atomic(path, info.model_dump_json())
        except OSError as os_error:
            raise _write_error(path, os_error) from os_error

    def failure(self, key: str) -> FailureInfo | None:
        path = self.root / "failures" / _checked(key)[:2] / f"{key}.json"
        try:
            return FailureInfo.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._quarantine(path, f"unreadable failure: {error}")
            return None

    # -- timings, for the plan's estimate ------------------------------------------------------

    def put_timing(self, key: str, seconds: float, size_bytes: int) -> None:
        """Remember what one unit of work took; `reelbench plan` estimates from the mean."""
        path = self.root / "cache" / "timings" / f"{_checked(key)}.json"
        known = self.timing(key) or {"count": 0, "seconds": 0.0, "bytes": 0}
        known = {
            "count": known["count"] + 1,
            "seconds": known["seconds"] + seconds,
            "bytes": known["bytes"] + size_bytes,
        }
        try:
            write_text_atomic(path, json.dumps(known))
        except OSError as error:
            raise _write_error(path, error) from error

    def timing(self, key: str) -> dict[str, float] | None:
        """{"count", "seconds", "bytes"} of the work remembered under a key, None when there is none."""
        path = self.root / "cache" / "timings" / f"{_checked(key)}.json"
        try:
            known = json.loads(path.read_text())
            return {name: known[name] for name in ("count", "seconds", "bytes")}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    # -- references ----------------------------------------------------------------------------

    def reference_digest(self, ref: ClipRef, files: FileDigests) -> str:
        """Digest of what a reference clip holds.

        Raises:
            OSError, VideoError: it is not there or cannot be read.
        """
        return self._codec.reference_digest(ref, files)

    # -- housekeeping --------------------------------------------------------------------------

    def file_digests(self, kind: str) -> Path:
        """Where digests of files ("weights", "videos") are remembered."""
        return self.root / "cache" / f"{kind}_digests.json"

    def digests(self, kind: str) -> FileDigests:
        """The remembered digests; of a store that is only read they are not written."""
        return FileDigests(self.file_digests(kind), read_only=self._read_only)

    def sweep(self) -> int:
        """Delete temporary files that a killed process left over an hour ago; how many."""
        swept = 0
        limit = time.time() - _STALE_TEMPORARY_S
        for folder, _, files in os.walk(self.root):
            for name in files:
                path = Path(folder, name)
                if is_temporary(path):
                    try:
                        if path.stat().st_mtime < limit:
                            path.unlink()
                            swept += 1
                    except OSError:
                        continue
        return swept

    def free_bytes(self) -> int:
        """Free space of the disk that holds the store."""
        return shutil.disk_usage(_existing(self.root)).free

    def _quarantine(self, path: Path, reason: str) -> None:
        if self._read_only:
            return  # it counts as missing; the run moves it aside
        target = self.root / "quarantine" / f"{time.time_ns()}-{path.parent.name[:16]}-{path.name}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            write_text_atomic(target.with_name(target.name + ".reason.txt"), f"{path}\n{reason}\n")
        except FileNotFoundError:
            return  # another process moved it already
        except OSError as error:
            raise StoreError(
                f"{path} is damaged ({reason}) and cannot be moved aside: {error.strerror}",
                f"delete {path} by hand and run again",
            ) from error


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())


def failure_info(error: BaseException) -> FailureInfo:
    """The record of an exception: its class and message, at most 2,000 characters."""
    return FailureInfo(type=type(error).__name__, message=str(error)[:2000])


def _part_name(keys: list[str]) -> str:
    return digest(keys)[:32]


def _features_of(path: Path) -> dict[str, Features]:
    """What a part file holds, all of it checked: pages by their checksums (parts of version 0.1.0 have none),
    keys by the file's name, values and shapes by their digests.

    Raises:
        Exception: of any class, where the file is not what was written.
    """
    columns = pq.read_table(path, page_checksum_verification=True)
    keys = columns["feature_key"].to_pylist()
    if path.stem != _part_name(keys):
        raise ValueError("its keys are not those in its name")
    features: dict[str, Features] = {}
    for key, shape, values, written in zip(
        keys, *(columns[name].to_pylist() for name in ("shape", "values", "digest")), strict=True
    ):
        features[key] = np.frombuffer(values, dtype=np.float32).reshape(shape)
        if digest_array(features[key]) != written:
            raise ValueError("a feature does not match its digest")
    return features


def _checked(key: str) -> str:
    if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
        raise StoreError(f"not a key: {key!r} (64 hexadecimal digits)")
    return key


def _write_error(path: Path, error: OSError) -> StoreError:
    if error.errno == 28:  # ENOSPC
        free = shutil.disk_usage(path if path.exists() else path.parent).free
        return StoreError(
            f"the disk is full: cannot write {path} ({free / 2**20:.0f} MiB free)",
            "free some space and run the same command again: finished work is kept",
        )
    return StoreError(f"cannot write {path}: {error.strerror or error}", "check the disk and the permissions")
