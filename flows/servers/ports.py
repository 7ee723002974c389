"""A bound port of the loopback: the one that was asked for, or the first that is free."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from ...core.errors import ReelbenchError

PORTS_TRIED = 20


class PortError(ReelbenchError):
    """There is no port to listen on."""


@contextlib.contextmanager
def listening(port: int | None, default: int) -> Iterator[socket.socket]:
    """A listening socket of 127.0.0.1, closed after the block.

    Args:
        port: 0 takes any that is free; None the first free one from `default` on.

    Raises:
        PortError: it is in use, or may not be had.
    """
    ports = range(default, default + PORTS_TRIED) if port is None else (port,)
    for tried in ports:
        with socket.socket() as listener:
            # As servers do: a port that was in use a moment ago is free.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", tried))
                listener.listen(128)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise PortError(
                    f"cannot listen on port {tried}: {error.strerror}", "try another --port"
                ) from error
            yield listener
            return
    raise PortError(
        f"port {ports[0]} of 127.0.0.1 is in use"
        if port is not None
        else f"ports {ports[0]} to {ports[-1]} of 127.0.0.1 are in use",
        "choose another one with --port; 0 takes any that is free",
    )
