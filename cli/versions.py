"""The versions that matter, read from what is installed, without importing it."""

from __future__ import annotations

import importlib.metadata
import platform

from .. import __version__

PARTS = (
    "torch",
    "diffusers",
    "transformers",
    "open_clip_torch",
    "av",
    "prefect",
    "ray",
    "mlflow",
    "pyarrow",
)


def version_lines() -> list[str]:
    """Reelbench's version, then one line each for Python and the libraries."""
    versions = {"python": platform.python_version()} | {name: _version(name) for name in PARTS}
    width = max(len(name) for name in versions)
    return [f"reelbench {__version__}", *(f"{name:{width}} {version}" for name, version in versions.items())]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
