"""What is damaged is renamed, and sound databases are told from damaged ones."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from reelbench.core.set_aside import set_aside, sqlite_damage


def test_a_database_is_renamed_with_what_belongs_to_it(tmp_path: Path) -> None:
    for time in range(2):
        for name in ("a.db", "a.db-wal"):
            (tmp_path / name).write_text(str(time))
        place = set_aside(tmp_path / "a.db")
        assert place.read_text() == str(time)
        assert place.with_name(place.name + "-wal").read_text() == str(time)
    assert len(list(tmp_path.glob("a.db.*.aside"))) == 2
    assert not (tmp_path / "a.db").exists()


def test_damage_of_a_database_is_seen(tmp_path: Path) -> None:
    database = tmp_path / "a ?.db"
    assert sqlite_damage(database) is None
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 50)
    whole = database.read_bytes()
    assert sqlite_damage(database, is_thorough=True) is None
    database.write_bytes(whole[: len(whole) // 2])
    assert sqlite_damage(database, is_thorough=True) is not None
    for bad in (bytes(len(whole)), b"nonsense" * 1000):
        database.write_bytes(bad)
        assert sqlite_damage(database) == "file is not a database"
    database.unlink()
    database.mkdir()
    assert sqlite_damage(database) == "it is a folder"
