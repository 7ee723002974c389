"""A built-in whose code changes gets a new version, or somebody says why its numbers are the same."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
try:
    import record_sources
finally:
    sys.path.pop(0)


def test_no_code_changed_without_a_new_version_or_a_reason() -> None:
    names = record_sources.changed(record_sources.read()["sources"], record_sources.current())
    assert not names, (
        "these compute by other code than when they were recorded: raise `version` where numbers may change, "
        f"then run `python tests/record_sources.py`, which asks why: {names}"
    )


def test_every_built_in_is_recorded_with_its_version() -> None:
    recorded, now = record_sources.read()["sources"], record_sources.current()
    assert {name: facts["version"] for name, facts in recorded.items()} == {
        name: facts["version"] for name, facts in now.items()
    }, "run `python tests/record_sources.py`"


BEFORE = 'import math\n\ndef area(r):\n    """Of a circle."""\n    return math.pi * r**2\n'


@pytest.mark.parametrize(
    ("after", "is_same"),
    [
        ("from math import pi\n\ndef area(r: float) -> float:\n    # why\n    return math.pi * r**2\n", True),
        (BEFORE.replace("r**2", "r * r"), False),
        (BEFORE.replace("math.pi", "3.14"), False),
        (BEFORE + "area = None\n", False),
    ],
)
def test_words_and_imports_compute_nothing(after: str, is_same: bool) -> None:
    plain = [record_sources._plain(ast.parse(text)) for text in (BEFORE, after)]
    assert (plain[0] == plain[1]) is is_same
