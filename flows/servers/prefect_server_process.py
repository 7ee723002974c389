"""The process of a run's own Prefect server.

`python -m reelbench.flows.servers.prefect_server_process FD PID` serves on a socket that its parent has
bound, and ends when the parent is gone, also when that was killed. uvicorn runs Prefect's application
directly: the `prefect` command would take seconds more.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from .processes import at_parents_end


def main(file_descriptor: int, parent: int) -> None:
    """Serve until SIGTERM, or until `parent` is no longer this process's parent."""
    at_parents_end(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))

    import uvicorn

    config = uvicorn.Config(
        "prefect.server.api.server:create_app",
        factory=True,
        lifespan="on",
        log_level="error",
        # Clients that keep a connection open must not hold up the end.
        timeout_graceful_shutdown=3,
    )
    with socket.socket(fileno=file_descriptor) as listener:
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
