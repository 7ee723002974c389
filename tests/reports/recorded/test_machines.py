"""What is known of how far machines differ is what docs/benchmark.md shows."""

from __future__ import annotations

import re
from pathlib import Path

import reelbench
from reelbench.reports.recorded.machines import measured_differences

PAGE = Path(reelbench.__file__).parent / "docs" / "benchmark.md"


def test_the_file_and_the_page_say_the_same() -> None:
    rows = re.findall(r"^\| (.+) \| ([\d.]+) \| ([\d.]+)% \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    found = [
        (item.machine, item.torch, f"{100 * item.share:.1f}", item.of) for item in measured_differences()
    ]
    assert found == rows
    assert all(item.recorded_on in PAGE.read_text() for item in measured_differences())


def test_machines_are_told_by_their_names_in_either_order() -> None:
    (epyc,) = (item for item in measured_differences() if item.named == "EPYC")
    devices = "NVIDIA H200", "CPU: AMD EPYC 9V74 80-Core Processor, 2 cores"
    assert epyc.is_between(*devices)
    assert epyc.is_between(*reversed(devices))
    assert not epyc.is_between(devices[0], devices[0])
