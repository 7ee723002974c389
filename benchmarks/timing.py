"""What the scripts that measure time and memory share: clocks, peaks, fresh processes."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def device_and_name() -> tuple[str, str]:
    """("cuda" or "cpu", what to call it in a table)."""
    if torch.cuda.is_available():
        return "cuda", torch.cuda.get_device_name()
    return "cpu", f"{platform.machine()} CPU, one thread"


def clock_of(device: str) -> Callable[[], float]:
    """Seconds: of this process on a CPU, of the wall once the work is done on a GPU."""
    if device == "cpu":
        return time.process_time

    def wall() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wall


def peak_gib() -> float:
    """Peak resident memory of this process; getrusage would count the parent's before exec."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise RuntimeError("no VmHWM in /proc/self/status")


def in_child(script: str, request: dict[str, Any]) -> dict[str, Any]:
    """What `script --child REQUEST` prints last, from a fresh process: memory has a peak only once."""
    command = [sys.executable, script, "--child", json.dumps(request)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def interleaved(
    parts: dict[str, Callable[[], object]], repeats: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each part, run in turns after one turn that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for turn in range(repeats + 1):
        for name, part in parts.items():
            started = clock()
            part()
            if turn:
                seconds[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def write_json(path: Path | None, facts: dict[str, Any]) -> None:
    """Write the numbers, where a file for them is named."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(facts, indent=1) + "\n")
