"""Forward passes whose digits do not depend on the machine's settings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def reference_precision(device: str) -> Iterator[None]:
    """True float32 without gradients inside the block; the process's settings are put back after it.

    * torch lets cuDNN convolutions use TF32 (10 bits of mantissa) by default, which moves features in
      their third digit: off. Benchmark mode is off as well: it picks kernels by timing, so numbers
      would depend on what else the device does.
    * On the CPU one thread is used: convolutions split their sums over threads, so features would
      differ in the last bits between workers of one and of two cores. Work is spread by process.
    """
    matmul = torch.backends.cuda.matmul
    matmul_before, threads_before = matmul.fp32_precision, torch.get_num_threads()
    matmul.fp32_precision = "ieee"
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        with (
            torch.inference_mode(),
            torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
        ):
            yield
    finally:
        matmul.fp32_precision = matmul_before
        if device == "cpu":
            torch.set_num_threads(threads_before)
