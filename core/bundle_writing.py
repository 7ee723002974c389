"""Writing bundles; see `bundles` for what they are."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .bundles import FORMAT, FORMAT_VERSION, MANIFEST, MAX_TOTAL_BYTES, is_member_name
from .errors import StoreError
from .hashing import digest_bytes, digest_file

_BLOCK = 1 << 20


class BundleWriter:
    """Writes a bundle: members in the order of their names, all of one date, the manifest as the last one.

    Nothing is compressed here (Parquet is already), so that the bytes depend on no version of a packer.

    Args:
        path: of a new file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._members: dict[str, Path | bytes] = {}

    def add(self, name: str, content: Path | bytes) -> None:
        """A member: its bytes, or the file that holds them when the bundle is written."""
        if not is_member_name(name) or name == MANIFEST or name in self._members:
            raise ValueError(f"no name of a member: {name!r}")
        self._members[name] = content

    @property
    def names(self) -> list[str]:
        """Of the members so far, without the manifest."""
        return sorted(self._members)

    @property
    def num_bytes(self) -> int:
        """Of all members so far."""
        return sum(map(_size, self._members.values()))

    def write(self, data: Mapping[str, Any], advanced: Callable[[int], None] = lambda _: None) -> None:
        """Write them all, and the manifest with what `data` says besides."""
        if self.num_bytes > MAX_TOTAL_BYTES:
            raise StoreError(
                f"the bundle would have {self.num_bytes / 2**30:.0f} GiB, at most "
                f"{MAX_TOTAL_BYTES >> 30} are allowed",
                "leave the features out (--no-features), or the clips",
            )
        members: dict[str, dict[str, str | int]] = {}
        with zipfile.ZipFile(self._path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in sorted(self._members.items()):
                is_file = isinstance(content, Path)
                digest = digest_file(content) if isinstance(content, Path) else digest_bytes(content)
                entry = _entry(name, _size(content))
                members[name] = {"sha256": digest, "bytes": entry.file_size}
                with archive.open(entry, "w", force_zip64=entry.file_size > 2**31 - 1) as target:
                    if is_file:
                        assert isinstance(content, Path)
                        with content.open("rb") as source:
                            shutil.copyfileobj(source, target, _BLOCK)
                    else:
                        assert isinstance(content, bytes)
                        target.write(content)
                advanced(entry.file_size)
            head = {"format": FORMAT, "format_version": FORMAT_VERSION, **data, "members": members}
            text = json.dumps(head, indent=1, sort_keys=True).encode()
            archive.writestr(_entry(MANIFEST, len(text)), text)


def _size(content: Path | bytes) -> int:
    return content.stat().st_size if isinstance(content, Path) else len(content)


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.external_attr = (stat.S_IFREG | (0o755 if name.endswith(".sh") else 0o644)) << 16
    entry.create_system = 3
    entry.file_size = size
    return entry
