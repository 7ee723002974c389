"""Every row of docs/agreement.md holds its bound, and the page has these rows."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from reelbench.metrics.protocol import load_protocol

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "benchmarks" / "agreement"


def _rows() -> Any:
    """The rows that the script's modules register."""
    sys.path.insert(0, str(FOLDER))
    try:
        for path in sorted(FOLDER.glob("rows_*.py")):
            importlib.import_module(path.stem)
        return importlib.import_module("row").ROWS
    finally:
        sys.path.remove(str(FOLDER))


ROWS = _rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.measure.__name__)
def test_it_agrees_within_its_bound(row: Any) -> None:
    assert row.measure() <= row.bound, row


def test_the_page_shows_every_row() -> None:
    page = (ROOT / "docs" / "agreement.md").read_text(encoding="utf-8")
    table = page.partition("## Protocols beside")[0]
    lines = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    shown = [(line[0].removeprefix("| "), line[1], line[2]) for line in lines[2:]]
    rows = [(row.stage, row.ours, row.against) for row in ROWS]
    assert sorted(shown) == sorted(rows), "run benchmarks/agreement --write"


def test_what_was_recorded_beside_released_code_is_of_the_protocols_as_they_are() -> None:
    """A protocol that changes is run beside the released code again: benchmarks/released_code.py."""
    record = json.loads((FOLDER / "released_code.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "agreement.md").read_text(encoding="utf-8")
    for name, found in record.items():
        protocol = load_protocol(name)
        assert found["protocol"] == f"{protocol.version} #{protocol.digest[:8]}", name
        assert found["levels"] <= (1.0 if name in ("lvdm", "seer") else 1e-3)
        assert found.get("fvd_frames", 0.0) <= 1e-3
        row = next(line for line in page.splitlines() if line.startswith(f"| [`{name}`]"))
        assert f"{found['protocol']} | {found['repository']} | {found['levels']:.1e}" in row
