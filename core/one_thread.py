"""Linear algebra on one thread: the same digits on every machine load, and faster.

BLAS splits its sums over threads, so the last digits depend on how many there are. And its threads wait
by spinning: where other work holds the cores, a jackknife of 400 dimensions took 14 CPU seconds on two
threads against 0.5 on one. Work is spread over cores by process, above this layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Run the function with BLAS limited to one thread; the limit in force is put back after it."""

    @functools.wraps(function)
    def limited(*args: P.args, **kwargs: P.kwargs) -> R:
        with _controller().limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@functools.cache
def _controller() -> Any:
    import numpy  # noqa: F401  (its BLAS must be loaded to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
