"""MLflow's environment, its database and its experiments, the names that it takes, and how to open its page.

Importing MLflow takes seconds, so it is imported where it is used; whether a result is logged already is
asked of SQLite itself, so that a run with nothing to do is done at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ...core.errors import StoreError
from ...core.hashing import digest
from ...core.proxies import changed_environment, proxy_changes
from ...core.sqlite_url import sqlite_path, sqlite_url

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_QUIET = {
    "DO_NOT_TRACK": "true",  # exactly "true": MLflow ignores "1"
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# The kind opens MLflow's page with the runs and charts of models, not with traces of chats.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}

MAX_PARAMETER, MAX_TAG = 6000, 5000
"""Characters of a parameter and of a tag."""
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9_\-./: ]")


def mlflow_name(name: str) -> str:
    """A name with what MLflow refuses in names replaced."""
    return _NOT_IN_NAME.sub("_", name)[:250]


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
    return _looked_up(path, statement, [text for tag in tags.items() for text in tag])


def experiment_in(database: Path, name: str) -> str | None:
    """The id of an experiment, by a read-only look into MLflow's SQLite file; None where it is not there."""
    return _looked_up(database, "SELECT experiment_id FROM experiments WHERE name = ?", [name])


def _looked_up(database: Path, statement: str, values: Sequence[str]) -> str | None:
    try:
        address = f"file:{quote(str(database))}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
            found = connection.execute(statement, values).fetchone()
    except sqlite3.Error:
        return None
    return None if found is None else str(found[0])


def quiet_environment(more: Mapping[str, str] | None = None) -> AbstractContextManager[None]:
    """MLflow without telemetry, progress bars and proxies to this machine, while the block runs; then all is
    as it was.

    Args:
        more: further variables for the block.
    """
    changes, _ = proxy_changes(os.environ)
    return changed_environment(_QUIET | changes | dict(more or {}))


@contextlib.contextmanager
def quiet_logging(
    names: Sequence[str] = ("mlflow", "alembic"), level: int = logging.WARNING
) -> Iterator[None]:
    """No lines about migrations of MLflow's database, while the block runs."""
    import mlflow.tracking  # noqa: F401  # importing it sets the levels

    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.setLevel(old)


def checked_database(tracking_uri: str) -> Path | None:
    """The file of an SQLite URI; None for another kind of store.

    Raises:
        StoreError: its place depends on the working directory.
    """
    database = sqlite_path(tracking_uri)
    if database is not None and not database.is_absolute():
        raise StoreError(
            f"tracking URI {tracking_uri!r} is relative to the working directory",
            "use sqlite:/// and an absolute path: four slashes",
        )
    return database


def artifacts_folder(tracking_uri: str, folder: Path) -> Path | None:
    """Where artifacts go: beside an SQLite file, into `folder` for another database; None where a server
    says."""
    database = checked_database(tracking_uri)
    if database is not None:
        return database.parent
    is_database = tracking_uri.startswith(("postgresql", "mysql", "mssql"))
    return folder if is_database else None


def experiment_id(client: MlflowClient, name: str, database: Path | None, folder: Path | None = None) -> str:
    """The id of an experiment, which is made or restored where needed.

    Args:
        database: as of `checked_database`; its folder is made.
        folder: as of `artifacts_folder`.
    """
    from mlflow.exceptions import MlflowException

    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        folder = database.parent
    # Without a location of its own an experiment writes below the working directory of its maker.
    location = None if folder is None else (folder / "artifacts" / digest(name)[:16]).as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another run has made it in between
            if found is None:
                raise
    if database is not None and location is not None and found.artifact_location != location:
        _relocate(database, str(found.experiment_id), str(found.artifact_location), location)
    if found.lifecycle_stage != "active":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _relocate(database: Path, experiment: str, before: str, after: str) -> None:
    """Tell an experiment where its artifacts are now: the folder was moved or copied, with the database.

    MLflow stores absolute places and has no call to change them. Artifacts at a place that is not of our
    making stay there.
    """
    if before.rsplit("/", 2)[-2:] != after.rsplit("/", 2)[-2:]:
        return
    with contextlib.closing(sqlite3.connect(database, timeout=30.0)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (after, int(experiment))
        )
        connection.execute(
            "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) "
            "WHERE experiment_id = ? AND substr(artifact_uri, 1, ?) = ?",
            (after, len(before) + 1, int(experiment), len(before), before),
        )
