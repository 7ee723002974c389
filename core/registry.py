"""Names to classes, by entry points, listed without importing.

Groups: `reelbench.methods`, `.upscalers`, `.datasets`, `.extractors`, `.metrics`.
A plug-in package registers its classes under the same groups. Two packages that claim one name are
an error, not a race. `path/to/file.py:Class` is accepted for research code that is not installed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any, Literal

from .errors import ReelbenchError, unknown_name

Kind = Literal["methods", "upscalers", "datasets", "extractors", "metrics"]


@cache
def _entry_points(kind: Kind) -> dict[str, importlib.metadata.EntryPoint]:
    found: dict[str, importlib.metadata.EntryPoint] = {}
    for entry in importlib.metadata.entry_points(group=f"reelbench.{kind}"):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise ReelbenchError(
                f"two packages register the {kind[:-1]} {entry.name!r}: {other.value} and {entry.value}",
                "uninstall one of them, or rename its entry point",
            )
        found[entry.name] = entry
    return found


def names(kind: Kind) -> list[str]:
    """The registered names, sorted; nothing is imported."""
    return sorted(_entry_points(kind))


def get(kind: Kind, name: str) -> Any:
    """The class registered under `name`, or the class at `path/to/file.py:Class`.

    Raises:
        UnknownNameError: no such name; the nearest one is the hint.
        ReelbenchError: the file or the class in it does not exist.
    """
    if ".py:" in name:
        return _from_file(kind, name)
    entries = _entry_points(kind)
    if name not in entries:
        raise unknown_name(kind[:-1], name, entries)
    return entries[name].load()


def _from_file(kind: Kind, spec: str) -> Any:
    file, _, class_name = spec.rpartition(":")
    path = Path(file).expanduser().resolve()
    if not path.is_file():
        raise ReelbenchError(f"{kind[:-1]} {spec!r}: there is no file {path}", "give path/to/file.py:Class")
    module_name = "reelbench_plugin_" + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    module = sys.modules.get(module_name)
    if module is None:
        module_spec = importlib.util.spec_from_file_location(module_name, path)
        assert module_spec is not None
        assert module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        sys.modules[module_name] = module
        try:
            module_spec.loader.exec_module(module)
        except Exception as error:
            del sys.modules[module_name]
            raise ReelbenchError(f"{kind[:-1]} {spec!r}: importing {path} failed: {error!r}") from error
    if not hasattr(module, class_name):
        classes = [name for name, value in vars(module).items() if isinstance(value, type)]
        raise unknown_name(f"class in {path.name}", class_name, classes)
    return getattr(module, class_name)
