"""Where and with what something was made: recorded beside results, part of no key."""

from __future__ import annotations

import json
import os
import platform
import resource
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


def reset_peak_memory(device: str) -> None:
    """Start measuring the peak GPU memory anew (a CPU process keeps its overall peak)."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(torch.device(device))


def peak_memory_gib(device: str) -> float:
    """Peak memory in GiB: allocated GPU memory since the reset, or this process's resident memory."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(torch.device(device)) / 2**30
    # Linux gives kibibytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _cpu_name() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
