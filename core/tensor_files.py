"""Files of tensors, without reading a tensor: the one of a folder that is meant, and what its header says."""

from __future__ import annotations

import json
import math
import pickletools
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

from .errors import WeightsError
from .weights_tree import Tree

_SUFFIXES = (".safetensors", ".pth", ".pt")

_MAX_HEADER_BYTES = 100_000_000
"""Of safetensors; a larger one is no header."""


def find_one(tree: Tree, pattern: str) -> str | None:
    """The one file of tensors, not in a folder below, whose name without suffix fits a pattern.

    Args:
        pattern: of the shell ("alexnet*") in small letters; so are names, before they are compared.

    Returns:
        Its name, or None when there is none.

    Raises:
        WeightsError: several fit, so that it is not known which one is meant.
    """
    found = sorted(
        name
        for name in tree.names
        if "/" not in name
        and Path(name).suffix in _SUFFIXES
        and fnmatchcase(Path(name).stem.lower(), pattern)
    )
    if len(found) > 1:
        raise WeightsError(
            f"{tree.where} holds {len(found)} files that fit {pattern}: {', '.join(found)}",
            "keep the one that is meant, or name that file",
        )
    return found[0] if found else None


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors does: with the length of its header, 8 bytes, and JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    return head[8:] == b"{" and length < min(path.stat().st_size, _MAX_HEADER_BYTES)


def safetensors_header(file: BinaryIO) -> dict[str, Any]:
    """The header of a safetensors file: its tensors by name, and `__metadata__`.

    Raises:
        ValueError: it does not begin as such a file does.
    """
    length = int.from_bytes(file.read(8), "little")
    if length > _MAX_HEADER_BYTES:
        raise ValueError("it does not begin as a safetensors file does")
    return _json_object(file.read(length))


def own_entry(file: BinaryIO) -> dict[str, Any]:
    """What Reelbench wrote into the metadata of a safetensors file: one entry, JSON; empty where it has none.

    Raises:
        ValueError: not such a file.
    """
    metadata = safetensors_header(file).get("__metadata__") or {}
    if not isinstance(metadata, dict):
        raise ValueError("its metadata are no names and values")
    return _json_object(metadata.get("reelbench", "{}"))


def _json_object(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, RecursionError) as error:
        raise ValueError(f"its header is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("its header is no JSON object")
    return value


def num_parameters(path: Path) -> int | None:
    """How many floating-point numbers a safetensors file holds, by its header; None where it is no such
    file."""
    try:
        if not is_safetensors(path):
            return None
        with path.open("rb") as file:
            header = safetensors_header(file)
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        return sum(math.prod(one["shape"]) for one in tensors if str(one["dtype"]).startswith(("F", "BF")))
    except Exception:  # damaged bytes lead to errors of any class
        return None


def tensor_names(path: Path) -> frozenset[str] | None:
    """The names in a file of tensors, by its header: no tensor is read and no pickle is run. None where they
    cannot be told so (programs, files of old versions of torch, anything else)."""
    try:
        if is_safetensors(path):
            with path.open("rb") as file:
                return frozenset(safetensors_header(file)) - {"__metadata__"}
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if any("/code/" in name for name in names):
                return None
            pickled = next(entry for entry in archive.infolist() if entry.filename.endswith("data.pkl"))
            if pickled.file_size > _MAX_HEADER_BYTES:  # a few bytes can be packed for any number
                return None
            opcodes = pickletools.genops(archive.read(pickled))
        return frozenset(item for _, item, _ in opcodes if isinstance(item, str))
    except Exception:  # damaged bytes lead the readers to errors of any class
        return None


def damage(path: Path) -> str | None:
    """What is wrong with a file of tensors as far as its beginning and its length show it, or None."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(200)
    if not size:
        return "it is empty"
    if head.lstrip().startswith(b"<"):
        return "it is a web page, not weights"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself"
    if is_safetensors(path):
        with path.open("rb") as file:
            tensors = [item for name, item in safetensors_header(file).items() if name != "__metadata__"]
            needed = file.tell() + max((int(item["data_offsets"][1]) for item in tensors), default=0)
        return f"it is cut off: {size} bytes of {needed}" if size < needed else None
    if path.suffix == ".safetensors":
        return "it does not begin as a safetensors file does"
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "it is cut off: the end of the archive is missing"
    return None


def refuse_damaged(path: Path, what: str) -> None:
    """Refuse a file of tensors that is empty, cut off or something else.

    Args:
        what: is expected, in words.

    Raises:
        WeightsError: see `damage`.
    """
    try:
        reason = damage(path)
    except Exception as error:  # as above
        reason = f"{type(error).__name__}: {error}"
    if reason is not None:
        raise WeightsError(f"cannot read {path}: {reason}", f"fetch it again: {what}")


def refuse_other_tensors(path: Path, what: str, *expected: str) -> None:
    """Refuse a damaged file, and one of another network's weights.

    Args:
        what: is expected, in words.
        expected: names or parts of names, of which such a file holds at least one.

    Raises:
        WeightsError: it is damaged, or its names can be told, and none is expected.
    """
    refuse_damaged(path, what)
    names = tensor_names(path)
    if names is not None and not any(part in name for name in names for part in expected):
        raise WeightsError(
            f"{path} is not {what}: no tensor {' or '.join(expected)}; "
            f"found {', '.join(sorted(names)[:3])}, ...",
            f"give {what}, or correct the role under `weights`",
        )
