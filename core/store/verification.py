"""A store held against the digests that were written with it: what is damaged, and what has changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from ..errors import StoreError
from ..hashing import digest_file
from .store import Store
from .work_folders import WorkFolders

Kind = Literal["clip", "preview", "tuning", "features", "failure", "video", "weights", "table", "report"]

_KINDS: dict[str, Kind] = {
    "clips": "clip",
    "artifacts": "tuning",
    "features": "features",
    "failures": "failure",
}
_SOURCES: tuple[tuple[Kind, str], ...] = (("video", "videos"), ("weights", "weights"))

SAME_TIME = "holds other bytes than were read, at the same size and time: copy the file again first"


@dataclass(frozen=True)
class Finding:
    """A file that is not what it was.

    Attributes:
        kind: what it is.
        path: where it lies.
        reason: what is wrong with it.
    """

    kind: Kind
    path: Path
    reason: str


@dataclass
class Verification:
    """All checks of a store, and what they found.

    A clip is decoded and its frames' digest compared, a preview's size with the one that was written; tunings
    by the digests of their bytes, features by those of their values, source files (videos and pictures,
    weights) by the digests that their keys were made of.

    Args:
        store: where it is not read-only, what is damaged is moved to quarantine, previews are written anew,
            and the digests of changed source files are forgotten, so that the next run makes up for it.

    Attributes:
        checked: how many things were looked at, by kind.
        findings: what is damaged or changed.
        gone: source files that are no longer there; their features are sound.
        held: keys of clips and tunings that are done, and of features.
    """

    store: Store
    checked: Counter[Kind] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    gone: list[Path] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def checks(self) -> list[Callable[[], None]]:
        """One call for each thing; they may be made on several threads."""
        store = self.store
        failures = sorted((store.root / "failures").glob("??/" + "?" * 64 + ".json"))
        found: list[Callable[[], None]] = [
            *(partial(self._clip, key) for key in store.clips.keys()),  # noqa: SIM118 - no mapping
            *(partial(self._tuning, key) for key in store.artifacts.keys()),  # noqa: SIM118
            *(partial(self._part, path) for path in store.features.part_files()),
            *(partial(self._failure, path.stem) for path in failures),
        ]
        for kind, name in _SOURCES:
            known = store.digests(name).known_files()
            found += [partial(self._file, kind, path, known[path]) for path in sorted(known)]
        return found

    def finish(self) -> None:
        """Gather what the store's own readers found; call it once, after the checks."""
        for path, reason in self.store.files.damaged:
            kind = _KINDS.get(path.relative_to(self.store.root).parts[0])
            if kind is not None:  # a cache is made again without a word
                self.findings.append(Finding(kind, path, reason))
        self._find_orphans()
        self.findings.sort(key=lambda finding: (finding.kind, finding.path))
        self.gone.sort()
        if not self.store.read_only:
            for kind, name in _SOURCES:
                files = self.store.digests(name)
                for finding in self.findings:
                    if finding.kind == kind:
                        files.forget(finding.path)
                files.save()

    def _find_orphans(self) -> None:
        """What was made and has no record, unless its record was set aside."""
        kinds: tuple[tuple[Kind, WorkFolders[Any]], ...] = (
            ("clip", self.store.clips),
            ("tuning", self.store.artifacts),
        )
        known = {finding.path for finding in self.findings}
        for kind, folders in kinds:
            for key in folders.keys():  # noqa: SIM118 - no mapping
                record = folders.folder(key) / "record.json"
                if record in known or record.exists() or not folders.path(key).exists():
                    continue
                if not any((self.store.root / "quarantine").glob(f"*-{key[:16]}-record.json")):
                    reason = f"is not there beside {folders.path(key).name}; the next run makes both again"
                    self.findings.append(Finding(kind, record, reason))

    def _clip(self, key: str) -> None:
        clips = self.store.clips
        record = clips.done(key)
        if record is None:
            return  # not made, or its record is damaged, which the store has noted
        self._count("clip", 1, {key})
        try:
            frames = clips.load(record)
        except StoreError:
            return  # noted
        path, fps = clips.preview_path(key), record.fps
        try:
            size = clips.path(key).stat().st_size + path.stat().st_size
        except OSError:
            size = None
        if size != record.size_bytes:
            what = "is not there" if size is None else "is not of the size that was written"
            self.findings.append(Finding("preview", path, f"{what}; no number depends on it"))
            if not self.store.read_only and fps is not None:
                clips.write_preview(key, frames, fps)

    def _tuning(self, key: str) -> None:
        artifacts = self.store.artifacts
        record = artifacts.done(key)
        if record is None:
            return
        self._count("tuning", 1, {key})
        try:
            artifacts.path(key).open("rb").close()
            artifacts.load(record)
        except OSError as error:
            self.findings.append(Finding("tuning", artifacts.path(key), f"cannot be read: {error.strerror}"))
        except StoreError:
            return  # noted

    def _part(self, path: Path) -> None:
        keys = self.store.features.check(path)
        self._count("features", len(keys), keys)

    def _count(self, kind: Kind, num: int, keys: Collection[str] = ()) -> None:
        with self._lock:  # the checks are made on several threads
            self.checked[kind] += num
            self.held.update(keys)

    def _failure(self, key: str) -> None:
        self.store.failure(key)

    def _file(self, kind: Kind, path: Path, known: dict[tuple[int, int], str]) -> None:
        self._count(kind, 1)
        try:
            stat = path.stat()
            now = digest_file(path)
        except (FileNotFoundError, NotADirectoryError):
            self.gone.append(path)
            return
        except OSError as error:
            self.findings.append(Finding(kind, path, f"cannot be read: {error.strerror}"))
            return
        then = known.get((stat.st_size, stat.st_mtime_ns))
        if then is not None and then != now:
            reason = SAME_TIME
            self.findings.append(Finding(kind, path, reason))
        elif now not in known.values():
            self.findings.append(Finding(kind, path, "changed since it was read"))
