"""A database lies where its path says, whatever characters are in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from reelbench.core.sqlite_url import sqlite_path, sqlite_url

FOLDERS = [
    "plain",
    "a?b",
    "a?mode=memory",
    "c%41",
    "100%",
    "d#e",
    "f&g;h",
    "i j",
    "k'l\"m",
    "ünï",
    "n?ö %20",
    "o+p",
]


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
def test_sqlalchemy_opens_the_file_that_is_meant(tmp_path: Path, folder: str, driver: str) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy", minversion="2.1")
    path = tmp_path / folder / "x.db"
    path.parent.mkdir()
    url = sqlite_url(path, driver)
    with sqlalchemy.create_engine(url.replace("+aiosqlite", "")).begin() as connection:
        connection.execute(sqlalchemy.text("create table t (x integer)"))
    assert path.stat().st_size > 0
    assert [entry.name for entry in tmp_path.iterdir()] == [folder]
    if driver == "sqlite":
        assert sqlite_path(url) == path


def test_ordinary_addresses_are_as_they_were() -> None:
    assert sqlite_url(Path("/data/my out#1/mlflow.db")) == "sqlite:////data/my out#1/mlflow.db"
    assert sqlite_path("sqlite:///mlflow.db") == Path("mlflow.db")
    assert sqlite_path("http://127.0.0.1:5000") is None
