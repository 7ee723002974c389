"""What is damaged or in the way and can be made anew: it is renamed, and never deleted."""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

_BESIDE_SQLITE = ("-wal", "-shm", "-journal")


def set_aside(path: Path) -> Path:
    """Rename a file or folder, with the time in its name; an SQLite file takes along what belongs to it.

    Returns:
        where it is now, in the same folder: `mlflow.db.20261127T030000Z.aside`.

    Raises:
        OSError: the folder cannot be written.
    """
    time = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    place = path.with_name(f"{path.name}.{time}.aside")
    while os.path.lexists(place):
        number += 1
        place = path.with_name(f"{path.name}.{time}-{number}.aside")
    path.rename(place)
    for end in _BESIDE_SQLITE:
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(place.with_name(place.name + end))
    return place


def sqlite_damage(path: Path, is_thorough: bool = False) -> str | None:
    """Why a file is no sound SQLite database, in a few words; None where it is, or is not there.

    Args:
        is_thorough: reads all of it, where the head alone is read otherwise.
    """
    if not os.path.lexists(path):
        return None
    if path.is_dir():
        return "it is a folder"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if is_thorough:
                [found] = database.execute("PRAGMA quick_check(1)").fetchone()
                return None if found == "ok" else " ".join(str(found).split())[:200]
    except sqlite3.OperationalError:
        return None  # locked, or not to be read: no damage
    except sqlite3.DatabaseError as error:
        return str(error)
    return None
