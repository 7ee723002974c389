"""Bundles: the results of a run in one zip file with a manifest of digests, and how it is unpacked safely.

A bundle comes from somebody else. It is unpacked only where every name in it is one that a bundle can have,
and within limits on what it declares and on what comes out; nothing in it is ever run or imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .errors import NewerVersionError, ReelbenchError
from .hashing import digest_file

FORMAT, FORMAT_VERSION = "reelbench-bundle", 1
MANIFEST = "manifest.json"

MAX_MEMBERS = 200_000
MAX_MEMBER_BYTES = 8 * 2**30
MAX_TOTAL_BYTES = 32 * 2**30
MAX_TEXT_BYTES = 256 * 2**20
"""Of a member that is read whole: JSON and text."""

_NAME = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,150}/){0,2}[A-Za-z0-9][A-Za-z0-9._-]{0,150}")
_MAX_DIRECTORY_BYTES = MAX_MEMBERS * 400
_BLOCK = 1 << 20
_STORED_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


def is_member_name(name: str) -> bool:
    """Whether a member of a bundle can have this name: a file, at most two folders deep."""
    return _NAME.fullmatch(name) is not None and ".." not in name


class NoBundleError(ReelbenchError):
    """What was given is no bundle, or none that may be unpacked."""


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes:
        members: sha256 and size in bytes of every other member, by name.
        data: everything else in it.
    """

    members: Mapping[str, tuple[str, int]]
    data: Mapping[str, Any]


@dataclass
class Unpacked:
    """A bundle as a folder.

    Attributes:
        folder: where the members lie that are in the manifest.
        faults: name of a member -> what is wrong with it: changed, damaged, missing, or not in the manifest.
    """

    folder: Path
    manifest: Manifest
    faults: dict[str, str] = field(default_factory=dict)


def is_bundle(place: Path) -> bool:
    """Whether a path is to be read as a bundle: a zip file by its name or its first bytes, or a folder with a
    bundle's manifest in it."""
    if place.is_dir():
        try:
            return _manifest_data((place / MANIFEST).read_bytes()[:MAX_TEXT_BYTES]).get("format") == FORMAT
        except (OSError, NoBundleError):
            return False
    try:
        with place.open("rb") as file:
            return place.suffix.lower() == ".zip" or file.read(4) in (b"PK\3\4", b"PK\5\6")
    except OSError:
        return False


@contextlib.contextmanager
def opened(place: Path, advanced: Callable[[int], None] = lambda _: None) -> Iterator[Unpacked]:
    """A bundle as a folder: as it is where it is one, else unpacked into a temporary one.

    Args:
        advanced: is called with the bytes that were read since the last call.

    Raises:
        NoBundleError: it is none, is cut off, or holds what no bundle holds.
        NewerVersionError: a newer Reelbench wrote it.
    """
    if place.is_dir():
        yield _checked_folder(place)
        return
    with tempfile.TemporaryDirectory(prefix="reelbench-bundle-") as folder:
        yield unpack(place, Path(folder), advanced)


def unpack(
    archive: Path,
    folder: Path,
    advanced: Callable[[int], None] = lambda _: None,
    wanted: Callable[[str], bool] = lambda _: True,
) -> Unpacked:
    """Unpack a bundle into an empty folder, checking every member by its digest.

    Args:
        wanted: which members; the others are neither written nor checked.

    Raises: see `opened`.
    """
    with _open(archive) as source:
        members = _members(archive, source)
        if MANIFEST not in members:
            raise NoBundleError(
                f"{str(archive)!r} is a zip file without {MANIFEST}, so it is no bundle", _MADE_BY
            )
        try:
            text = b"".join(_content(source, members[MANIFEST], MAX_TEXT_BYTES))
        except (zipfile.BadZipFile, _MemberError) as error:
            raise NoBundleError(f"{MANIFEST} of {str(archive)!r} is damaged: {error}", _COPY_AGAIN) from error
        manifest = _manifest(_manifest_data(text), str(archive))
        unpacked = Unpacked(folder, manifest)
        for name in sorted(set(members) - set(manifest.members) - {MANIFEST}):
            unpacked.faults[name] = "is not in the manifest, and not looked at"
        for name, (digest, size) in sorted(manifest.members.items()):
            if not wanted(name):
                continue
            if name not in members:
                unpacked.faults[name] = "is missing"
                continue
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("wb") as target:
                    for block in _content(source, members[name], members[name].file_size):
                        target.write(block)
                        advanced(len(block))
            except (zipfile.BadZipFile, _MemberError) as error:
                unpacked.faults[name] = f"is damaged: {error}"
                continue
            if (fault := _changed(path, digest, size)) is not None:
                unpacked.faults[name] = fault
    return unpacked


def _changed(path: Path, digest: str, size: int) -> str | None:
    """What tells that a member is another one than the manifest's."""
    if (found := path.stat().st_size) != size:
        return f"was changed: it has {found} bytes, the manifest says {size}"
    return "was changed: its digest is not the manifest's" if digest_file(path) != digest else None


class _MemberError(Exception):
    """A member cannot be read as it is declared."""


_MADE_BY = "`reelbench bundle RUN -o x.zip` makes one"
_COPY_AGAIN = "copy or fetch the file again"


@contextlib.contextmanager
def _open(archive: Path) -> Iterator[zipfile.ZipFile]:
    """The archive, once its directory is known to be small enough to be read."""
    try:
        with archive.open("rb") as file:
            size = _directory_bytes(file)
            if size is not None and size > _MAX_DIRECTORY_BYTES:
                raise NoBundleError(
                    f"the directory of {str(archive)!r} has {size} bytes, a bundle's at most "
                    f"{_MAX_DIRECTORY_BYTES}",
                    "nothing of it was unpacked",
                )
            with zipfile.ZipFile(file) as source:
                yield source
    except (zipfile.BadZipFile, struct.error, UnicodeDecodeError) as error:
        reason = "it is empty" if not archive.stat().st_size else str(error)
        raise NoBundleError(
            f"{str(archive)!r} is no whole zip file: {reason}", f"{_COPY_AGAIN}; {_MADE_BY}"
        ) from error


def _directory_bytes(file: BinaryIO) -> int | None:
    """The size of a zip file's directory as its end says it, None where there is no such end."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - 65_600))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) < at + 22:
        return None
    size = int(struct.unpack("<I", tail[at + 12 : at + 16])[0])
    wide = tail.rfind(b"PK\6\6")
    if wide >= 0 and len(tail) >= wide + 48:
        size = max(size if size != 0xFFFFFFFF else 0, struct.unpack("<Q", tail[wide + 40 : wide + 48])[0])
    return size


def _members(archive: Path, source: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name.

    Raises:
        NoBundleError: one has a name, a kind or a size that no bundle's has.
    """

    def refuse(name: str, why: str) -> NoBundleError:
        return NoBundleError(
            f"{str(archive)!r}: the member {name!r:.120} {why}", "nothing of it was unpacked"
        )

    found: dict[str, zipfile.ZipInfo] = {}
    total = 0
    entries = source.infolist()
    if len(entries) > MAX_MEMBERS:
        raise NoBundleError(
            f"{str(archive)!r} has {len(entries)} members, a bundle at most {MAX_MEMBERS}",
            "nothing of it was unpacked",
        )
    small: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind == stat.S_IFLNK:
            raise refuse(name, "is a link")
        if name.endswith("/") and not entry.file_size and _NAME.fullmatch(name[:-1]):
            continue  # a folder, as other programs write it
        if not is_member_name(name):
            raise refuse(name, "has a name that no member of a bundle has")
        if kind not in (0, stat.S_IFREG):
            raise refuse(name, "is no file")
        if name.lower() in small:
            raise refuse(name, "is there twice")
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _STORED_OR_DEFLATED:
            raise refuse(name, "is encrypted, or packed in a way that bundles do not use")
        total += entry.file_size
        if entry.file_size > MAX_MEMBER_BYTES or total > MAX_TOTAL_BYTES:
            raise refuse(name, f"makes it larger than a bundle can be ({MAX_TOTAL_BYTES >> 30} GiB)")
        small.add(name.lower())
        found[name] = entry
    return found


def _content(source: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> Iterator[bytes]:
    """The bytes of a member in blocks, of which no more come than are expected.

    Raises:
        _MemberError: there are more, or they cannot be unpacked.
    """
    read = 0
    try:
        with source.open(entry) as file:
            while block := file.read(_BLOCK):
                read += len(block)
                if read > min(most, entry.file_size):
                    raise _MemberError(f"it holds more than the {min(most, entry.file_size)} bytes declared")
                yield block
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _MemberError(f"it cannot be unpacked ({error})") from error
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise _MemberError(f"it cannot be unpacked ({error})") from error
        raise


def _checked_folder(folder: Path) -> Unpacked:
    """An unpacked bundle where it lies, every member checked by its digest."""
    manifest = _manifest(_manifest_data((folder / MANIFEST).read_bytes()[:MAX_TEXT_BYTES]), str(folder))
    unpacked = Unpacked(folder, manifest)
    for name, (digest, size) in sorted(manifest.members.items()):
        path = folder / name
        try:
            parts = [folder.joinpath(*path.relative_to(folder).parts[:n]) for n in range(1, 4)]
            if any(part.is_symlink() for part in parts) or (path.exists() and not path.is_file()):
                raise NoBundleError(f"{str(path)!r} is a link, or no file", "unpack the bundle again")
            if (fault := _changed(path, digest, size)) is not None:
                unpacked.faults[name] = fault
        except FileNotFoundError:
            unpacked.faults[name] = "is missing"
        except OSError as error:
            unpacked.faults[name] = f"cannot be read: {error.strerror}"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_dir() and name not in manifest.members and name != MANIFEST:
            unpacked.faults[name] = "is not in the manifest, and not looked at"
    return unpacked


def _manifest_data(text: bytes) -> dict[str, Any]:
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise TypeError("no JSON object")
    except (ValueError, TypeError, RecursionError) as error:
        raise NoBundleError(f"{MANIFEST} is no JSON object of a bundle: {error}", _COPY_AGAIN) from error
    return data


def _manifest(data: dict[str, Any], where: str) -> Manifest:
    if data.get("format") != FORMAT:
        raise NoBundleError(f"{where!r}: {MANIFEST} is not of a bundle of Reelbench", _MADE_BY)
    version = data.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise NewerVersionError(
            f"{where!r} is a bundle of a newer Reelbench (format {version}, this one reads {FORMAT_VERSION})",
            f"take Reelbench {str(data.get('reelbench', '?'))!r:.40} or newer",
        )
    try:
        members = {str(name): (str(m["sha256"]), int(m["bytes"])) for name, m in data["members"].items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NoBundleError(f"{where!r}: {MANIFEST} lists no members", _COPY_AGAIN) from error
    for name, (_, size) in members.items():
        if not is_member_name(name) or name == MANIFEST or not 0 <= size <= MAX_MEMBER_BYTES:
            raise NoBundleError(
                f"{where!r}: {MANIFEST} names {name!r:.120}, which no bundle has", "nothing of it was read"
            )
    return Manifest(members, {key: value for key, value in data.items() if key != "members"})
