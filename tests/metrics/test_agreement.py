"""Every row of docs/agreement.md holds its bound, and the page has these rows."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "agreement.py"


def _script():
    spec = importlib.util.spec_from_file_location("agreement_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


agreement = _script()


@pytest.mark.parametrize("measure", agreement.ROWS, ids=lambda measure: measure.__name__)
def test_it_agrees_within_its_bound(measure):
    row = measure()
    assert row.difference <= row.bound, row


def test_the_page_shows_every_row():
    page = agreement.PAGE.read_text(encoding="utf-8")
    lines = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    shown = [(line[0].removeprefix("| "), line[1], line[2]) for line in lines[1:]]
    assert len(shown) == len(agreement.ROWS), "run benchmarks/agreement.py --write"
    for measure in agreement.ROWS:
        name = measure.describe()
        assert name in shown, f"{name}: run benchmarks/agreement.py --write"
