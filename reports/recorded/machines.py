"""How far machines are known to differ, from `machines.yaml`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...core.yaml_text import load_yaml

_FILE = Path(__file__).with_name("machines.yaml")


@dataclass(frozen=True)
class MachineDifference:
    """What was measured between the machine of the record and another one.

    Attributes:
        recorded_on: a part of the name of the record's device.
        machine: the other one in words, and `named` a part of its processor's name.
        torch: its version there.
        share: the largest difference of one clip's score, of the spread of its metric's scores.
        of: which score that was.
    """

    recorded_on: str
    machine: str
    named: str
    torch: str
    share: float
    of: str

    def is_between(self, one: str, other: str) -> bool:
        """Whether these are the two devices."""
        return any(
            self.recorded_on in first and self.named in second
            for first, second in ((one, other), (other, one))
        )


@cache
def measured_differences() -> tuple[MachineDifference, ...]:
    """All that was measured, in the order of the file."""
    data: dict[str, Any] = load_yaml(_FILE.read_text(encoding="utf-8"))
    return tuple(MachineDifference(data["recorded_on"], **entry) for entry in data["measured"])
