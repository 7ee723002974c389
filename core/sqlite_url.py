"""SQLite databases as SQLAlchemy addresses, which Prefect and MLflow take: paths may hold any character.

SQLAlchemy 2.1 decodes %3F in the path of an address, 2.0 does not, and both cut it at a `?`.
"""

from __future__ import annotations

from pathlib import Path

from .errors import StoreError

_SQLITE = ("sqlite:///", "sqlite+pysqlite:///")


def sqlite_url(path: Path, driver: str = "sqlite") -> str:
    """The address of a database file.

    Args:
        path: absolute.
        driver: "sqlite", or with an implementation: "sqlite+aiosqlite".

    Raises:
        StoreError: the SQLAlchemy that is installed has no address for this path.
    """
    plain = f"{driver}:///{path}"
    if not set(str(path)) & set("?%"):
        return plain  # as it always was: SQLAlchemy need not be imported
    from sqlalchemy import URL, make_url

    # By this longer name MLflow does not make the folder that the undecoded address seems to name.
    driver = "sqlite+pysqlite" if driver == "sqlite" else driver
    url = URL.create(driver, database=str(path)).render_as_string()
    if make_url(url).database != str(path):
        raise StoreError(
            f"{path}: a database cannot lie in a folder with '?' or '%' in its name",
            "choose another `output`, or `pip install 'sqlalchemy>=2.1'`",
        )
    return url


def sqlite_path(url: str) -> Path | None:
    """The file of an address `sqlite:///...`; None for another kind of address."""
    prefix = next((prefix for prefix in _SQLITE if url.startswith(prefix)), None)
    if prefix is None:
        return None
    if not set(url) & set("?%"):
        return Path(url.removeprefix(prefix))
    from sqlalchemy import make_url

    return Path(make_url(url).database or "")
