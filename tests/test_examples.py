"""The examples in docstrings are true.

Not by pytest's own `--doctest-modules`: the root of the repository is the package, and `datasets/` has no
`__init__.py` (docs/layout.md), so pytest would import modules under other names.
"""

from __future__ import annotations

import doctest
import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def modules_with_examples() -> list[str]:
    """Names of the package's modules that hold a `>>>`."""
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    return [
        f"{package}.{path.stem}".removesuffix(".__init__")
        for package in packages
        for path in sorted(ROOT.joinpath(*package.split(".")[1:]).glob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
