"""Which errors may pass by themselves, and how long to wait before another try.

What is tried again, and where:
- an error of a disk or a connection (`may_pass`): the task, by its worker (`stages.work`);
- out of memory: the task, on a fresh worker (`flows.workers.pool`);
- a worker that dies or hangs: its tasks, one by one (`flows.workers.pool`);
- the start of a Ray of our own, and one that is lost, with `executor: ray` (`flows.workers.executor`).
Whatever else fails is tried again by the next run only: a configuration or a file does not mend itself.
"""

from __future__ import annotations

import errno
import random

_PASSING = {
    errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.ECONNRESET, errno.ECONNABORTED,
    errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN,
    errno.ENOTCONN, errno.EREMOTEIO,
}  # fmt: skip
"""A disk of a network or a server that is away for a moment."""

DELAYS_S = (2.0, 10.0)
"""Before the second try and the third, which is the last."""


def may_pass(error: BaseException | None) -> bool:
    """Whether an error, or the one behind it, is of a disk or a connection that may come back."""
    while error is not None:
        if isinstance(error, OSError):
            return isinstance(error, TimeoutError | ConnectionError) or error.errno in _PASSING
        error = error.__cause__
    return False


def with_jitter(seconds: float) -> float:
    """The delay, up to a quarter more or less, so that several processes do not try at the same time."""
    return seconds * random.uniform(0.75, 1.25)
