"""The user and password of the Prefect servers that we start.

Whoever reaches a Prefect server can run any code as its owner (by deployments, run files, job variables),
and every user of a machine reaches its loopback.
"""

from __future__ import annotations

import base64
import secrets


def new_auth_string() -> str:
    """A user and a random password, with a colon between, as in `PREFECT_SERVER_API_AUTH_STRING`."""
    return f"reelbench:{secrets.token_urlsafe(24)}"


def authorization(auth_string: str | None) -> dict[str, str]:
    """The header of HTTP requests that names the user and the password; none without them."""
    if auth_string is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(auth_string.encode()).decode()}
