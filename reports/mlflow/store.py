"""MLflow's environment, its database's place and its experiments, for whoever logs to it.

MLflow itself is imported by none of this before it is used: that takes seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import StoreError
from ...core.hashing import digest
from ...core.proxies import changed_environment, proxy_changes
from ...core.sqlite_url import sqlite_path

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_QUIET = {
    "DO_NOT_TRACK": "true",  # exactly "true": MLflow ignores "1"
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
# The kind opens MLflow's page with the runs and charts of models, not with traces of chats.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}


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


def experiment_id(client: MlflowClient, name: str, database: Path | None) -> str:
    """The id of an experiment, which is made or restored where needed.

    Args:
        database: as of `checked_database`; its folder is made.
    """
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
    # Without a location of its own an experiment writes below the working directory of its maker.
    location = None
    if database is not None:
        location = (database.parent / "artifacts" / digest(name)[:16]).as_uri()
    found = client.get_experiment_by_name(name)
    if found is not None:
        if database is not None and location is not None and found.artifact_location != location:
            _relocate(database, str(found.experiment_id), str(found.artifact_location), location)
        if found.lifecycle_stage != "active":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=location, tags=_EXPERIMENT_TAGS))


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
