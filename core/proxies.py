"""The environment of processes that we start: for a while changed, and with proxies that leave us alone.

Real hosts are reached through a proxy, this machine never is. Prefect's server and MLflow are asked on the
loopback by libraries that read `http_proxy` and its kin, and httpx refuses to begin where one of these holds
what it cannot use, though it would not be used.
"""

from __future__ import annotations

import contextlib
import importlib.util
import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_KINDS = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy", "socks_proxy")


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine's loopback: `localhost`, 127.0.0.0/8 or `::1`."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_changes(environment: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """What to change in an environment so that the loopback is reached, and hosts through the proxy.

    `no_proxy` and `NO_PROXY` get what either holds and the loopback; a proxy that httpx cannot use, which
    would stop every use of it, is emptied.

    Returns:
        the variables to set, none where the environment names no proxy; and a line for each emptied proxy.
    """
    proxies = {name: value for name, value in environment.items() if value and name.lower() in _KINDS}
    if not proxies:
        # On macOS any variable, also no_proxy alone, would take the place of the system's own settings.
        return {}, []
    kept = [
        entry
        for name, value in environment.items()
        if name.lower() == "no_proxy"
        for part in value.split(",")
        if (entry := _entry(part))
    ]
    # urllib knows "*" only where it stands alone.
    bypass = "*" if "*" in kept else ",".join(dict.fromkeys([*kept, *LOOPBACK]))
    changes, notes = {"no_proxy": bypass, "NO_PROXY": bypass}, []
    for name, value in proxies.items():
        reason = _unusable(value)
        if reason is not None:
            changes[name] = ""
            notes.append(f"{name} is not used: {reason}")
    return {name: value for name, value in changes.items() if environment.get(name) != value}, notes


def apply_proxy_changes() -> list[str]:
    """Make the changes in this process's environment, for it and its children; the lines to show."""
    changes, notes = proxy_changes(os.environ)
    os.environ.update(changes)
    return notes


@contextlib.contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables have these values while the block runs, and their old ones afterwards.

    Args:
        values: by the variables' names.
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _entry(part: str) -> str:
    """An entry of no_proxy in a form that httpx takes; empty where there is none."""
    entry = part.strip()
    bracketed = re.fullmatch(r"\[([^\]%]*).*", entry)
    if bracketed:
        return bracketed[1]
    is_network = "/" in entry and entry.count(":") > 1 and "://" not in entry  # IPv6: nobody reads these
    return "" if is_network or not (entry.isascii() and entry.isprintable()) else entry


def _unusable(proxy: str) -> str | None:
    """Why httpx cannot use a proxy, without the password that may be in it."""
    try:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        scheme, host, _ = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        return f"it is not an address ({error}); write http://HOST:PORT"
    if not host:
        return "it names no host; write http://HOST:PORT"
    if scheme in ("http", "https"):
        return None
    if scheme not in ("socks5", "socks5h"):
        return f"{scheme}:// is none of http://, https://, socks5:// and socks5h://"
    if importlib.util.find_spec("socksio") is None:
        return f"{scheme}:// needs the package socksio; `pip install socksio`"
    return None
