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
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path

from .errors import ReelbenchError
from .hashing import digest, digest_bytes

_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = ("site-packages", "dist-packages")


def is_own(cls: type) -> bool:
    """Whether a class is Reelbench's own, by its module and by where this lies."""
    package, _, rest = cls.__module__.partition(".")
    return package == __name__.partition(".")[0] and not rest.startswith("tests.")


def source_digest(cls: type) -> str | None:
    """Digest of the source of a class, None where it and all its bases are Reelbench's own.

    It covers the file of every class in the method resolution order that is neither ours nor a library's
    (Python's, or one that Reelbench requires: libraries' versions are provenance), and what these files
    import, directly or through each other, of the user's own: from beside them, from their package, or from
    folders on Python's path where nothing is installed. Where the files lie does not count. What is loaded by
    other ways than import statements (importlib, data files) is not seen.

    Raises:
        ReelbenchError: a class has no file whose source could be read.
    """
    foreign = [base for base in cls.__mro__ if not is_own(base) and not _of_a_library(base.__module__)]
    if not foreign:
        return None
    files: set[Path] = set()
    for base in foreign:
        file = _file(base)
        files |= set(with_imports(file, [_root(base.__module__, file), *_users_folders()]))
    contents = sorted([file.name, digest_bytes(_normal(file))] for file in files)
    return digest({"class": cls.__qualname__, "files": contents})


def code_digest(cls: type) -> str:
    """Digest of the code that a class runs, built-in or not: of built-ins the files of their room (methods/,
    metrics/) that it imports, without comments and docstrings.

    It is in no key of a run without `fresh: nightly`; see `source_digest`, which is.
    """
    foreign = source_digest(cls)
    codes = set()
    for base in filter(is_own, cls.__mro__):
        file = _file(base)
        room = _PACKAGE / file.relative_to(_PACKAGE).parts[0]
        if room != _PACKAGE / "core":  # the contracts
            codes |= {_code(imported) for imported in with_imports(file, [room])}
    return digest({"class": cls.__qualname__, "foreign": foreign, "own": sorted(codes)})


@cache
def _code(file: Path) -> str:
    tree = ast.parse(file.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, False):
            node.body = node.body[1:]
    return digest(ast.dump(tree))


def _users_folders() -> list[Path]:
    """The folders on Python's path that hold neither Python, nor installed packages, nor Reelbench."""
    not_theirs = [Path(sysconfig.get_path("stdlib")), _PACKAGE, _PACKAGE.parent]
    folders = [Path(entry or ".").absolute() for entry in sys.path]
    return [
        folder
        for folder in dict.fromkeys(folders)
        if folder.is_dir()
        and folder.name not in _INSTALLED
        and not any(folder == other or folder.is_relative_to(not_theirs[0]) for other in not_theirs)
    ]


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
    if depth == 0 and file.parent.name in _INSTALLED:
        return file
    return file.parents[max(depth - 1, 0)]


def with_imports(file: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """A file, and those below the `roots` that it imports, directly or through each other."""
    seen, waiting = set(), [file]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            yield file
            waiting += imported_files(file, roots)


def imported_files(file: Path, roots: Sequence[Path]) -> Iterator[Path]:
    """The files below the `roots` that a Python file's import statements name; nothing is imported.

    An absolute import may begin at a root or name it.
    """
    tree = ast.Module([], [])
    if file.suffix == ".py":
        with contextlib.suppress(SyntaxError):  # then nobody imports it
            tree = ast.parse(file.read_bytes())
    anywhere = [place for root in roots for place in (root, root.parent)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _resolved(alias.name.split("."), roots, anywhere)
        elif isinstance(node, ast.ImportFrom):
            places = [file.parents[node.level - 1]] if node.level else anywhere
            names = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _resolved([*names, alias.name], roots, places)


def _resolved(names: list[str], roots: Sequence[Path], places: Sequence[Path]) -> Iterator[Path]:
    """The files of a dotted name and of the packages on the way, where they lie below a root."""
    for place in places:
        for end in range(len(names), 0, -1):
            path = place.joinpath(*names[:end])
            for file in (path.with_suffix(".py"), path / "__init__.py"):
                if any(file.is_relative_to(root) for root in roots) and file.is_file():
                    yield file


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
