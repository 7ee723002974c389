"""Other hardware or libraries on the two sides: a warning, with what is known of what they do to scores."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...reports.comparing.result import ComparedCell
from ...reports.recorded.machines import measured_differences
from .measured import Measured, Row

_LIBRARIES = ("torch", "diffusers", "transformers", "open_clip_torch", "av", "numpy")
"""Those that make or read clips."""


def machine_warnings(a: Measured, b: Measured, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What differs of hardware and libraries, and what is known of its size."""
    devices = _devices(a, [one for one, _ in pairs]), _devices(b, [other for _, other in pairs])
    if a is b and devices[0] == devices[1]:
        return
    unknown = [name for name, found in zip("AB", devices, strict=True) if not found]
    largest = max(measured_differences(), key=lambda item: item.share)
    known = (
        f"measured between an {largest.recorded_on} and {largest.machine} on the embedded world: at most "
        f"{largest.share:.1%} of the spread of a metric's scores (docs/benchmark.md)"
    )
    if unknown:
        yield (
            f"the hardware of {' and '.join(unknown)} is not recorded: what it does to scores is not known "
            f"here; {known}"
        )
    elif devices[0] != devices[1]:
        said = f"made on other hardware: {_either(devices[0])} (A), {_either(devices[1])} (B)"
        share = _share(*devices)
        if share is None:
            yield f"{said}; how far these two differ was not measured; {known}"
        else:
            yield (
                f"{said}; the largest difference of one clip's score that was measured between such machines "
                f"is {share:.1%} of the spread of a metric's scores (docs/benchmark.md)"
            )
    versions = [_libraries(side) for side in (a, b)]
    differing = [
        f"{name} {versions[0][name]} (A), {versions[1][name]} (B)"
        for name in _LIBRARIES
        if name in versions[0] and name in versions[1] and versions[0][name] != versions[1][name]
    ]
    if differing:
        yield (
            f"made with other libraries: {', '.join(differing)}; apart from the machine, what that does to "
            "scores was not measured"
        )


def with_machine_notes(
    cells: Sequence[ComparedCell], pairs: Sequence[tuple[str, str]], a: Measured, b: Measured
) -> list[ComparedCell]:
    """Cells of clip metrics with a note where other machines are known to make as large a difference."""
    devices = _devices(a, [one for one, _ in pairs]), _devices(b, [other for _, other in pairs])
    share = _share(*devices)
    if share is None:
        return list(cells)
    found = []
    for cell in cells:
        spread = _spread(cell, a, b)
        if cell.level == "clip" and cell.difference and spread and abs(cell.difference) <= share * spread:
            said = f"no larger than what such machines make of one clip's score ({share * spread:.2g})"
            cell = replace(cell, notes=(*cell.notes, said))
        found.append(cell)
    return found


def _share(one: frozenset[str], other: frozenset[str]) -> float | None:
    """The largest measured share between any two of the devices; None where one pair was not measured."""
    shares = []
    for first in one:
        for second in other - {first}:
            known = [item.share for item in measured_differences() if item.is_between(first, second)]
            if not known:
                return None
            shares.append(max(known))
    return max(shares, default=None)


def _spread(cell: ComparedCell, a: Measured, b: Measured) -> float:
    """Deviation of the scores about the mean of their method, over both sides."""
    rests = []
    for side, label in ((a, cell.method_a), (b, cell.method_b)):
        row: Row = {
            "method": label, "dataset": cell.dataset, "split": cell.split, "metric": cell.metric,
            "protocol_digest": cell.protocol_digest,
        }  # fmt: skip
        values = np.array([value for value in side.scores_of(row).values() if np.isfinite(value)])
        if len(values):
            rests.append(values - values.mean())
    rest = np.concatenate(rests) if rests else np.zeros(0)
    return float(np.sqrt(np.sum(rest**2) / max(len(rest) - len(rests), 1)))


def _devices(side: Measured, labels: Sequence[str]) -> frozenset[str]:
    """The devices that the clips of these methods were made on; empty where that is not recorded."""
    found = {row["hardware"] for row in side.clips if row["method"] in labels and row["hardware"]}
    return frozenset(found or ({side.run["hardware"]} if side.run["hardware"] else ()))


def _either(devices: frozenset[str]) -> str:
    return " and ".join(sorted(devices))


def _libraries(side: Measured) -> dict[str, str]:
    try:
        data = json.loads(side.run["library_versions"] or "{}")
    except ValueError:
        return {}
    return {str(name): str(version) for name, version in data.items()}
