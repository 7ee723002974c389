"""Content digests: the identity of everything that Reelbench stores.

A digest is sha256 over canonical JSON (sorted keys, no white space, UTF-8, no NaN), so the same
content gives the same key on every machine and in every Python version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def canonical_json(value: Any) -> str:
    """`value` as canonical JSON.

    Raises:
        TypeError: for anything but dict (string keys), list, tuple, str, int, float, bool, None.
        ValueError: for NaN and infinities, which have no JSON form.
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest(value: Any) -> str:
    """sha256 hex digest (64 characters) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def digest_bytes(data: bytes | memoryview) -> str:
    """sha256 hex digest of raw bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    """sha256 hex digest of a file's content, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_array(array: np.ndarray) -> str:
    """sha256 hex digest of an array's dtype, shape and C-ordered bytes."""
    contiguous = np.ascontiguousarray(array)
    header = canonical_json({"dtype": contiguous.dtype.str, "shape": list(contiguous.shape)})
    return hashlib.sha256(header.encode() + contiguous.tobytes()).hexdigest()


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"canonical JSON takes string keys only, got {list(value)!r}")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical JSON form: {value!r}")
