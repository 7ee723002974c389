"""The examples in docstrings are right."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import reelbench

ROOT = Path(reelbench.__file__).resolve().parent
ELSEWHERE = {"tests", "benchmarks", "build", "out", "data"}


def modules_with_examples() -> list[str]:
    """The names of the package's modules whose text holds an example."""
    files = (file.relative_to(ROOT) for file in ROOT.rglob("*.py"))
    ours = (f for f in files if f.parts[0] not in ELSEWHERE and not f.parts[0].startswith("."))
    return sorted(
        ".".join(("reelbench", *file.with_suffix("").parts)).removesuffix(".__init__")
        for file in ours
        if ">>> " in (ROOT / file).read_text()
    )


def test_there_are_some() -> None:
    assert len(modules_with_examples()) > 20


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_give_what_they_say(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed, "see the captured output"
