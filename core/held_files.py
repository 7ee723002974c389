"""Who is at work on a file: told by locks, which the kernel drops with the process, and never by a clock.

A lock (`flock`) holds between all processes of a machine, containers on it included, and between machines
where the file system shares locks (NFS and most cluster file systems do). `is_held` says None where it has
none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path


@contextlib.contextmanager
def hold(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Lock a file while the block lasts; it is made where it is not there, and stays.

    Args:
        wait: for whoever holds it; else the block is entered without the lock.

    Yields:
        Whether nobody else holds it. Where the file system has no locks that is not known: True.

    Raises:
        OSError: the file cannot be made or opened; it is a symbolic link.
    """
    descriptor = _locked(path, wait)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_held(path: Path) -> bool | None:
    """Whether a process holds a file, this one included; None where the file system has no locks.

    Raises:
        OSError: the file is not there or cannot be opened.
    """
    with _looked_at(path) as held:
        return held


def delete_unless_held(path: Path, *, unlockable: bool) -> bool:
    """Delete a file that no process holds; whoever is about to hold it makes it anew.

    Args:
        unlockable: whether it is deleted where the file system has no locks.

    Returns:
        Whether it was deleted.

    Raises:
        OSError: the file is not there, or cannot be opened or deleted.
    """
    with _looked_at(path) as held:
        if held or (held is None and not unlockable):
            return False
        path.unlink()
        return True


@cache
def this_boot() -> str:
    """8 hexadecimal digits that tell this start of this machine from other machines and other starts."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "00000000"


def file_system_time(folder: Path) -> float:
    """The clock by which the file system of a folder dates its files, in seconds; a server's on a network.

    Raises:
        OSError: nothing can be made in the folder.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b" ")
        file.flush()
        return os.fstat(file.fileno()).st_mtime


def _locked(path: Path, wait: bool) -> int | None:
    """A descriptor that holds the lock of the file under that name; None where another holds it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # a file system without locks
            return descriptor
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)  # it was deleted before we had the lock


@contextlib.contextmanager
def _looked_at(path: Path) -> Iterator[bool | None]:
    # Writable, since NFS gives no exclusive lock otherwise.
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        held: bool | None = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held = True
        except OSError:
            held = None
        yield held
    finally:
        os.close(descriptor)
