"""Giving freed memory back to the system.

Decoders allocate and free megabytes for every clip. glibc keeps what is freed, and with small objects that
live longer in between, a process that read thousands of clips on threads grew by a quarter of a MiB a clip,
all of it free. Elsewhere than on glibc this does nothing.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any


def release_free_memory() -> None:
    """Return the process's free heap to the system; some milliseconds."""
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
