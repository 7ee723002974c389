"""The source of plug-in classes as part of keys: what is not Reelbench's own has no version that we raise.

A built-in's `version` changes when what it computes changes (`tests/test_recorded_sources.py` notices when it
was forgotten). The code of anybody else's class is its own version: the key holds a digest of the files that
the class and its bases come from, and of the files beside them that these import.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from .errors import ReelbenchError
from .hashing import digest, digest_bytes


def is_own(cls: type) -> bool:
    """Whether a class is Reelbench's own, by its module and by where this lies."""
    package, _, rest = cls.__module__.partition(".")
    return package == __name__.partition(".")[0] and not rest.startswith("tests.")


def source_digest(cls: type) -> str | None:
    """Digest of the source of a class, None where it and all its bases are Reelbench's own.

    It covers the file of every class in the method resolution order that is neither ours nor a library's
    (Python's, or one that Reelbench requires: libraries' versions are provenance), and what these files
    import from below their own folder or package. Where the files lie does not count.

    Raises:
        ReelbenchError: a class has no file whose source could be read.
    """
    foreign = [base for base in cls.__mro__ if not is_own(base) and not _of_a_library(base.__module__)]
    if not foreign:
        return None
    files: set[Path] = set()
    for base in foreign:
        file = _file(base)
        files |= set(with_imports(file, _root(base.__module__, file)))
    return digest({"class": cls.__qualname__, "files": sorted(digest_bytes(_normal(file)) for file in files)})


def _file(cls: type) -> Path:
    try:
        return Path(inspect.getfile(cls)).resolve()
    except (TypeError, OSError) as error:
        raise ReelbenchError(
            f"the class {cls.__qualname__} of the module {cls.__module__!r} has no source file, so "
            "nothing can tell whether it changed",
            "put it into a file, and name it as path/to/file.py:Class or by an entry point",
        ) from error


def _root(module: str, file: Path) -> Path:
    """The folder below which a file's imports are part of the plug-in: its top package, or its own folder; a
    single file among installed packages is all of its plug-in."""
    depth = module.count(".") + (file.stem == "__init__")
    if depth == 0 and file.parent.name in ("site-packages", "dist-packages"):
        return file
    return file.parents[max(depth - 1, 0)]


def with_imports(file: Path, root: Path) -> Iterator[Path]:
    """A file, and those below `root` that it imports, directly or through each other."""
    seen, waiting = set(), [file]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            yield file
            waiting += imported_files(file, root)


def imported_files(file: Path, root: Path) -> Iterator[Path]:
    """The files below `root` that import statements anywhere in a Python file name, without importing any.

    An absolute import may begin at `root` or name it.
    """
    tree = ast.Module([], [])
    if file.suffix == ".py":
        with contextlib.suppress(SyntaxError):  # then nobody imports it
            tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _resolved(alias.name.split("."), root, [root, root.parent])
        elif isinstance(node, ast.ImportFrom):
            places = [file.parents[node.level - 1]] if node.level else [root, root.parent]
            names = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _resolved([*names, alias.name], root, places)


def _resolved(names: list[str], root: Path, places: list[Path]) -> Iterator[Path]:
    """The files of a dotted name and of the packages on the way, where they lie below `root`."""
    for place in places:
        for end in range(len(names), 0, -1):
            path = place.joinpath(*names[:end])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if file.is_file() and file.resolve().is_relative_to(root):
                    yield file.resolve()


def _normal(file: Path) -> bytes:
    return file.read_bytes().replace(b"\r\n", b"\n")


def _of_a_library(module: str) -> bool:
    """Whether a module is Python's own or of a library that Reelbench names as a requirement."""
    package = module.partition(".")[0]
    if package in sys.stdlib_module_names or package == "builtins":
        return True
    return bool(_libraries().get(package))


@cache
def _libraries() -> dict[str, bool]:
    """Top-level packages by whether Reelbench requires what installed them."""
    from packaging.requirements import Requirement

    required = {
        Requirement(line).name.lower().replace("_", "-") for line in metadata.requires("reelbench") or ()
    }
    return {
        package: any(name.lower().replace("_", "-") in required for name in installed)
        for package, installed in metadata.packages_distributions().items()
    }
