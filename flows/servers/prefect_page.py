"""The address of a Prefect page that is there now: the user's server's, or that of a `reelbench serve`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from ...core.redaction import masked


def prefect_page(folders: Iterable[Path]) -> str | None:
    """That of PREFECT_API_URL, else of the first of `folders` that a `reelbench serve` is at work in; None
    where there is neither. Nobody is asked."""
    if api := os.environ.get("PREFECT_API_URL", "").strip():
        return masked(os.environ.get("PREFECT_UI_URL", "").strip() or api.rstrip("/").removesuffix("/api"))
    for folder in folders:
        try:
            with (folder / "lock").open("r", encoding="utf-8") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    if page := lock.read(200).strip():
                        return page
        except (OSError, ValueError):
            continue
    return None
