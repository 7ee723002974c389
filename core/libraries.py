"""Versions of the libraries that results can depend on: provenance, and keys where a run file asks for it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from functools import cache

_LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "av", "numpy")
_MEASURING_ONLY = ("open_clip_torch",)


@cache
def library_versions() -> dict[str, str]:
    """Versions of the libraries that numbers can depend on, of those that are installed."""
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(
            importlib.metadata.PackageNotFoundError
        ):  # diffusers, where one only measures
            found[name] = importlib.metadata.version(name)
    return found


def versions_for_methods() -> dict[str, str]:
    """Versions of Python and of the libraries that clips can depend on."""
    found = {name: version for name, version in library_versions().items() if name not in _MEASURING_ONLY}
    return {"python": platform.python_version(), **found}
