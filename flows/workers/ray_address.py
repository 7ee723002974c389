"""RAY_ADDRESS, looked at before Ray does, which tries a dead one for over two minutes."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from ...core.errors import ResourcesError

_TIMEOUT_S = 3.0


def check_form(address: str) -> tuple[str, int] | None:
    """Host and port of an address of a cluster; None for "auto" and the like, which only Ray can resolve,
    and where there is no cluster.

    Raises:
        ResourcesError: the address is malformed.
    """
    if address in ("", "auto", "local"):
        return None
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    else:
        if parts.scheme not in ("", "ray"):
            return None
    if not host or not port:
        raise ResourcesError(
            f"RAY_ADDRESS={address} has no host and port",
            "set it to HOST:PORT, ray://HOST:PORT, auto or local",
        )
    return host, port


def check_ray_address(address: str) -> bool:
    """Whether something is known to listen at an address of a cluster; False for "auto" and the like, which
    only Ray can resolve.

    Raises:
        ResourcesError: the address is malformed, or nothing listens there.
    """
    place = check_form(address)
    if place is None:
        return False
    try:
        socket.create_connection(place, _TIMEOUT_S).close()
    except OSError as error:
        raise ResourcesError(
            f"nothing answers at RAY_ADDRESS={address}: {error}",
            "check that the cluster runs (`ray status`), or unset RAY_ADDRESS to run on this machine alone",
        ) from error
    return True
