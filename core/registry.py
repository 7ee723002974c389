"""Names to classes, by entry points, listed without importing.

Groups: `reelbench.methods`, `.upscalers`, `.datasets`, `.extractors`, `.metrics`.
A plug-in package registers its classes under the same groups. Two packages that claim one name are
an error, not a race. `path/to/file.py:Class` is accepted for research code that is not installed.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any

from .contract_check import Kind, check_contract
from .errors import ReelbenchError, foreign_place, raise_unless_plugins, unknown_name
from .hashing import digest_bytes

_refusal: tuple[str, str] | None = None


def refuse_files(reason: str, hint: str) -> None:
    """From now on and in this process, refuse classes from files."""
    global _refusal
    _refusal = (reason, hint)


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
        ReelbenchError: the file or the class in it does not exist, or it does not keep its contract.
    """
    if _refusal is not None and ".py:" in name:
        raise ReelbenchError(f"{kind[:-1]} {name!r}: {_refusal[0]}", _refusal[1])
    if ".py:" in name:
        return _from_file(kind, name)
    if name.endswith(".py"):
        raise ReelbenchError(f"{kind[:-1]} {name!r} names no class", f"give {name}:Class")
    entries = _entry_points(kind)
    if name not in entries:
        raise unknown_name(kind[:-1], name, entries)
    return _checked(kind, entries[name].load(), name)


@cache
def _checked(kind: Kind, cls: Any, name: str) -> Any:
    if not isinstance(cls, type):
        raise ReelbenchError(f"{kind[:-1]} {name!r} is no class, but {cls!r:.80}", "name a class")
    return check_contract(kind, cls, name)


def _from_file(kind: Kind, spec: str) -> Any:
    file, _, class_name = spec.rpartition(":")
    path = Path(file).expanduser().resolve()
    if not os.path.isfile(path):  # noqa: PTH113  False also where the name is too long for a file
        raise ReelbenchError(f"{kind[:-1]} {spec!r}: there is no file {path}", "give path/to/file.py:Class")
    source = path.read_bytes()
    # Named by place and content: a file that was edited is another module, also in a process that lives on.
    module_name = "reelbench_plugin_" + digest_bytes(str(path).encode() + b"\0" + source)[:16]
    module = sys.modules.get(module_name)
    if module is None:
        module = types.ModuleType(module_name)
        module.__file__ = str(path)
        module.__spec__ = importlib.util.spec_from_file_location(module_name, path)
        sys.modules[module_name] = module
        try:
            # The very bytes that were read: a cached bytecode may be of an edit within the same second.
            exec(compile(source, str(path), "exec"), vars(module))
        except (Exception, SystemExit) as error:
            raise_unless_plugins(error)
            del sys.modules[module_name]
            raise ReelbenchError(
                f"{kind[:-1]} {spec!r}: importing {path} failed: {type(error).__name__}: {error}",
                f"modules beside it are found with PYTHONPATH={path.parent}"
                if isinstance(error, ImportError)
                else f"raised in {place}"
                if (place := foreign_place(error)) is not None
                else None,
            ) from error
    if not hasattr(module, class_name):
        classes = [n for n, value in vars(module).items() if getattr(value, "__module__", "") == module_name]
        raise unknown_name(f"class in {path.name}", class_name, classes)
    return _checked(kind, _of_module(getattr(module, class_name), class_name, module_name), spec)


@cache
def _of_module(found: Any, name: str, module: str) -> Any:
    """A class as one of the file that names it, also where it was made or changed there and not written: its
    source is that file's."""
    if not isinstance(found, type) or found.__module__ == module:
        return found
    return type(found)(name, (found,), {"__module__": module, "__doc__": found.__doc__})
