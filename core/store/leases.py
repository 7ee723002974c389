"""Who makes what: leases on keys, so that runs that share a store share the work.

```
<root>/leases/<ab>/<key>     held while the work of the key is made; holds its holder's name
```
A lease is a lock on a file (`core.held_files`), which the kernel drops with its process, however that ends.
Other machines may not see the lock: for them the holder touches the file every few seconds, and one that was
not touched for half a minute, by the file system's own clock, has lost its holder. Where both fail, work is
done twice, which is harmless: what is made under a key is the same.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from ..held_files import delete_unless_held, file_system_time, hold, is_held, this_boot
from .files import StoreFiles

TOUCH_EVERY_S = 5.0
EXPIRES_S = 30.0
"""So long after its last touch a lease of another machine is free."""


class Leases:
    """The leases that one worker holds: a context manager, at whose end they are given back.

    Args:
        files: of the store.
    """

    def __init__(self, files: StoreFiles) -> None:
        self._files = files
        self._held: dict[Path, contextlib.ExitStack] = {}
        self._name = f"{this_boot()}-{uuid.uuid4().hex[:8]}"
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        for path in list(self._held):
            self._give_back(path)

    def take(self, keys: Iterable[str]) -> bool:
        """Take the leases of all these keys, or none; whether they were free.

        Where nothing can be written (a full disk) they count as taken: the work itself will say so.
        """
        taken: list[Path] = []
        for key in keys:
            path = self._files.path("leases", key)
            try:
                if path in self._held:
                    continue
                if not self._take(path):
                    for other in taken:
                        self._give_back(other)
                    return False
            except OSError:
                continue
            taken.append(path)
        return True

    def _take(self, path: Path) -> bool:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(hold(path, wait=False)) or _is_touched(path):
                return False
            path.write_text(self._name, encoding="ascii")
            self._held[path] = stack.pop_all()
        if self._thread is None:
            self._thread = threading.Thread(target=self._touch, daemon=True)
            self._thread.start()
        return True

    def _give_back(self, path: Path) -> None:
        with self._held.pop(path), contextlib.suppress(OSError):
            path.unlink()

    def _touch(self) -> None:
        while not self._over.wait(TOUCH_EVERY_S):
            for path in list(self._held):
                with contextlib.suppress(OSError):
                    os.utime(path)


def are_free(files: StoreFiles, keys: Iterable[str]) -> bool:
    """Whether nobody holds one of these keys, without taking any."""
    return all(_is_free(files.path("leases", key)) for key in keys)


def sweep_leases(files: StoreFiles) -> None:
    """Delete the files of holders that were killed."""
    for path in (files.root / "leases").glob("??/*"):
        with contextlib.suppress(OSError):
            if _is_free(path):
                delete_unless_held(path, unlockable=True)


def _is_free(path: Path) -> bool:
    try:
        return not is_held(path) and not _is_touched(path)
    except OSError:
        return True


def _is_touched(path: Path) -> bool:
    """Whether a holder whose lock is not seen here is alive by its touches."""
    holder = path.read_text(encoding="ascii", errors="replace")
    if not holder or (holder.startswith(this_boot()) and is_held(path) is not None):
        return False
    return abs(file_system_time(path.parent) - path.stat().st_mtime) < EXPIRES_S
