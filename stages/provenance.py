"""Where and with what something was made: recorded beside results, part of no key."""

from __future__ import annotations

import json
import os
import platform
import re
from functools import cache
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.libraries import library_versions


@cache
def hardware(device: str) -> str:
    """The device in words: "NVIDIA H200" or "CPU: Intel(R) Xeon(R) ..., 2 cores"."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return f"CPU: {_cpu_name()}, {os.cpu_count()} cores"


def provenance(device: str) -> dict[str, Any]:
    """Hardware and versions of this process."""
    return {
        "reelbench": __version__,
        "hardware": hardware(device),
        "python": platform.python_version(),
        "libraries": library_versions(),
    }


def provenance_json() -> str:
    """Versions of Python and the libraries, as JSON with sorted keys."""
    return json.dumps({"python": platform.python_version(), **library_versions()}, sort_keys=True)


class _ResidentPeak:
    """The peak of this process's resident memory since a reset, from Linux (proc_pid_clear_refs(5))."""

    def __init__(self) -> None:
        self._is_reset = False

    def reset(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._is_reset = True
        except OSError:  # another system, or a container that forbids it
            self._is_reset = False

    def gib(self) -> float | None:
        """None without a reset: the peak would be that of whatever this process did before."""
        if not self._is_reset:
            return None
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        return None if found is None else int(found[1]) / 2**20


_RESIDENT = _ResidentPeak()


def reset_peak_memory(device: str) -> None:
    """Start measuring the peak memory anew, on a CPU where the system permits it."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(torch.device(device))
    else:
        _RESIDENT.reset()


def peak_memory_gib(device: str) -> float | None:
    """Peak memory since the reset in GiB: allocated GPU memory; on a CPU the resident memory of this process,
    with what it had loaded before, or None where the system does not permit the reset.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(torch.device(device)) / 2**30
    return _RESIDENT.gib()


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
