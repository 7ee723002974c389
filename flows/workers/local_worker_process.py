"""The process of a local worker: `python -m reelbench.flows.workers.local_worker_process FD`.

FD is its end of a socket pair. It first gets what the worker is made of, then shards; it answers when it is
up, and once for each shard. A closed connection means that the driver is gone: then the process ends at
once, also in the middle of a shard, as it would with a machine that loses power.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any


def main(file_descriptor: int) -> None:
    """Serve until the connection is closed."""
    connection = Connection(file_descriptor)
    settings = pickle.loads(connection.recv_bytes())
    sys.path[:] = settings["sys_path"]

    from .worker import Worker

    worker = Worker(**settings["worker"])
    connection.send(("up", None))
    shards: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # Reading while a shard runs: the driver never waits to hand out the next one, and its end is seen.
    threading.Thread(target=_read, args=(connection, shards), daemon=True).start()
    while True:
        answer: tuple[str, Any]
        try:
            answer = ("done", worker.run(pickle.loads(shards.get())))
        except Exception as error:
            answer = ("raised", _plain(error))
        connection.send(answer)


def _read(connection: Connection, shards: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            shards.put(connection.recv_bytes())
    except (EOFError, OSError):
        os._exit(0)


def _plain(error: Exception) -> Exception:
    """The exception, or one that says the same, where it might not cross: plug-ins are not imported there."""
    if type(error).__module__.partition(".")[0] in ("builtins", "reelbench"):
        with contextlib.suppress(Exception):
            pickle.loads(pickle.dumps(error))
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
