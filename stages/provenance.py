"""Where and with what something was made: recorded beside results, part of no key."""

from __future__ import annotations

import contextlib
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
    """Start measuring the peak memory anew: the GPU's, or this process's, which outside Linux keeps that of
    all that it did before."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(torch.device(device))
        return
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # proc(5): resets VmHWM


def peak_memory_gib(device: str) -> float:
    """Peak memory since the reset, in GiB: allocated on the GPU, or resident of this process."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(torch.device(device)) / 2**30
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**20  # kibibytes
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
