"""The folder in which a local Ray keeps its sockets and logs.

Ray takes it from TMPDIR, which batch systems set to something long; the name of a Unix socket is
limited to 107 bytes. TMPDIR itself stays as it is, for everything else.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ...core.errors import ResourcesError

logger = logging.getLogger(__name__)

# The longest socket of a session, below Ray's folder; macOS allows 103 bytes, Linux 107.
_SOCKET = "/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_MAX_SOCKET_BYTES = 103
MAX_FOLDER_BYTES = _MAX_SOCKET_BYTES - len(_SOCKET)

_LOCAL_FOLDERS = ("/tmp", "/dev/shm")


def ray_folder(candidates: Sequence[str] | None = None) -> str:
    """A folder for Ray that can be written, with a name that is short and plain enough.

    Where RAY_TMPDIR or TMPDIR is, as Ray would choose, unless it is another user's there; or else a folder of
    this user alone in /tmp, /dev/shm or XDG_RUNTIME_DIR. Ray's own default, /tmp/ray, is open to all users.

    Args:
        candidates: the last three, for tests.

    Raises:
        ResourcesError: none of them will do.
    """
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or ""
    if chosen and _is_short(f"{chosen}/ray") and _is_free(Path(chosen, "ray")):
        return f"{chosen}/ray"
    if candidates is None:
        candidates = [*_LOCAL_FOLDERS, os.environ.get("XDG_RUNTIME_DIR", "")]
    for candidate in candidates:
        # Ray makes its own folder writable for all: it lies in one that is this user's alone.
        ours = Path(candidate, f"reelbench-{os.geteuid()}")
        folder = f"{ours}/ray"
        if candidate and _is_short(folder) and _is_ours(ours) and _can_hold(Path(folder)):
            if chosen:
                logger.info("Ray's folder is %s: %s will not do (RAY_TMPDIR, TMPDIR)", folder, chosen)
            return folder
    raise ResourcesError(
        "Ray finds no folder for its sockets (RAY_TMPDIR, TMPDIR or the defaults): "
        f"{', '.join(filter(None, (chosen, *candidates)))} cannot be written, are others', have names of "
        f"more than {MAX_FOLDER_BYTES - len('/ray')} bytes, or a space or the like in them",
        "set RAY_TMPDIR to a folder with a short name on this machine that you may write",
    )


def _is_short(folder: str) -> bool:
    # Ray passes the name through command lines and addresses.
    is_plain = re.fullmatch(r"/[\w./+=@-]+", folder, re.ASCII) is not None
    return is_plain and len(folder) <= MAX_FOLDER_BYTES


def _is_ours(folder: Path) -> bool:
    """Make a folder for this user alone; False where the name is taken by something else."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _is_free(folder: Path) -> bool:
    """Whether a folder can be made there, or is this user's and can be written."""
    try:
        found = folder.lstat()
    except OSError:
        return _can_hold(folder)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and _can_hold(folder)


def _can_hold(folder: Path) -> bool:
    """Whether the folder, or the one that it would be made in, can be written."""
    place = folder if folder.exists() else folder.parent
    try:
        with tempfile.TemporaryDirectory(dir=place):
            return True
    except OSError:
        return False
