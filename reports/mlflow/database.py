"""Where MLflow's data lies, how to open its page, and a quick look into its database.

Importing MLflow takes seconds. Whether a result is logged already is asked of SQLite itself, which
takes a millisecond, so that a run with nothing to do is done at once.
"""

from __future__ import annotations

import contextlib
import shlex
import sqlite3
import sys
from pathlib import Path
from urllib.parse import quote

from ...core.sqlite_url import sqlite_path, sqlite_url


def default_tracking_uri(output: Path) -> str:
    """`sqlite:///<output>/mlflow/mlflow.db`, absolute: a relative one would follow the working directory."""
    return sqlite_url(output.resolve() / "mlflow" / "mlflow.db")


def mlflow_command(tracking_uri: str, port: int = 5000) -> str:
    """The shell command that opens MLflow's page of these results on this machine only."""
    environment = "DO_NOT_TRACK=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"
    program = Path(sys.executable).with_name("mlflow")
    with contextlib.suppress(ValueError):
        program = program.relative_to(Path.cwd())
    return (
        f"{environment} {shlex.quote(str(program))} server --backend-store-uri {shlex.quote(tracking_uri)} "
        f"--host 127.0.0.1 --port {port} --workers 1"
    )


def logged_run(tracking_uri: str, tags: dict[str, str]) -> str | None:
    """The id of the run that carries all `tags`, by a read-only look into MLflow's SQLite file.

    None where there is no such run, no such file, or a database of a form that is not known here:
    the caller then asks MLflow itself.
    """
    path = sqlite_path(tracking_uri)
    if path is None or not path.is_file() or not tags:
        return None
    conditions = " AND ".join(
        "EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key = ? AND tags.value = ?)"
        for _ in tags
    )
    statement = f"SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' AND {conditions} LIMIT 1"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            found = connection.execute(statement, [text for tag in tags.items() for text in tag]).fetchone()
    except sqlite3.Error:
        return None
    return None if found is None else str(found[0])
