"""Logging a run to MLflow: a view of the tables that can be deleted and made again.

One parent run for the benchmark, a child for each method and data set. Runs are found by a tag with the
digest of their content: logging again changes nothing, or finishes one that was killed. A parent lasts from
the start of the run to its tables, a child within that as long as its clips took to tune and sample, or all
of it where they took longer than this run. Both are FAILED where something of them failed. What an earlier
version logged of the same results goes to MLflow's bin, from which `mlflow runs restore` takes it. Log from
one process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.errors import StoreError
from ...core.run_folders import started_at
from ...core.run_record import RunRecord, read_record
from ...core.set_aside import set_aside, sqlite_damage
from ..tables.run_tables import RunTables
from .artifacts import SUMMARY, Artifacts, artifacts_of
from .description import child_note, parent_note
from .records import COMPLETE_TAG, CONTENT_TAG, Record, Value, load_run_records
from .store import (
    artifacts_folder,
    checked_database,
    experiment_id,
    logged_run,
    quiet_environment,
    quiet_logging,
)
from .view import set_view

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput
    from mlflow.tracking import MlflowClient

_PARENT_TAG, _NOTE_TAG, _NAME_TAG = "mlflow.parentRunId", "mlflow.note.content", "mlflow.runName"
_TABLES_TAG = "mlflow.loggedArtifacts"
PREFECT_TAG = "reelbench.prefect_run"


def log_run(
    tables_folder: Path,
    tracking_uri: str,
    experiment: str,
    report_path: Path | None = None,
    folder: Path | None = None,
    advanced: Callable[[], None] = lambda: None,
    prefect_page: str | None = None,
) -> str:
    """Log the run whose Parquet tables lie in `tables_folder`.

    Args:
        tables_folder: the seven tables.
        tracking_uri: an absolute SQLite URI (`default_tracking_uri`) or a server's address.
        experiment: name of the experiment; made if it is not there.
        report_path: the HTML report, logged as an artifact of the parent.
        folder: for artifacts, where the address is of a database other than SQLite.
        advanced: is called after each part that MLflow took.
        prefect_page: the address of the flow run, which the parent links to.

    Returns:
        the id of the parent run.

    Raises:
        StoreError: a table is missing, or the database cannot be used.
    """
    content = artifacts_of(tables_folder, load_run_records(tables_folder), report_path)
    found = logged_run(tracking_uri, _finished(content))
    if found is not None:
        return found
    with _alone(tracking_uri), quiet_environment(), quiet_logging():
        place = _Place(
            tracking_uri,
            experiment,
            folder or tables_folder.parent,
            advanced,
            _span(tables_folder),
            prefect_page,
        )
        return _log(tables_folder, place, content)


def set_damage_aside(tracking_uri: str, folder: Path) -> str | None:
    """Rename a damaged database of our own, on which MLflow would fail; the next logging makes a new one.

    Args:
        folder: our own databases lie in; one elsewhere may hold more than views of our tables, and stays.

    Returns:
        a line that says so; None where nothing is damaged.
    """
    database = checked_database(tracking_uri)
    if database is None or database.parent != folder or sqlite_damage(database, is_thorough=True) is None:
        return None
    with _alone(tracking_uri), contextlib.suppress(OSError):  # opening it says why
        if damage := sqlite_damage(database, is_thorough=True):
            kept = set_aside(database)
            return (
                f"MLflow's database {database} is damaged ({damage}): it is kept as {kept.name}, and "
                "a new one is begun; `reelbench report` logs other runs into it"
            )
    return None


def find_logged(tables_folder: Path, tracking_uri: str, report_path: Path | None = None) -> str | None:
    """The id of the parent run where all is logged already, as far as a look into an SQLite file tells."""
    content = artifacts_of(tables_folder, load_run_records(tables_folder), report_path)
    return logged_run(tracking_uri, _finished(content))


def _finished(content: Artifacts) -> dict[str, str]:
    """The tags of a parent that is logged to its end."""
    return {CONTENT_TAG: content.records.parent.key, COMPLETE_TAG: content.digest}


@dataclass(frozen=True)
class _Place:
    """Where to log to, and the start and end of what is logged in ms."""

    uri: str
    experiment: str
    folder: Path
    advanced: Callable[[], None]
    span: tuple[int, int]
    prefect_page: str | None


def _span(tables_folder: Path) -> tuple[int, int]:
    """Start of the run and its end, in ms, never in the future: as its record has them, else from the name of
    the folder of its results to when its tables were whole."""
    now = int(1000 * time.time())
    start, end = (min(moment, now) for moment in _recorded_span(tables_folder))
    return start, end


def _recorded_span(tables_folder: Path) -> tuple[int, int]:
    record = read_record(tables_folder.parent) or RunRecord()
    with contextlib.suppress(ValueError):
        start, end = (datetime.fromisoformat(text).timestamp() for text in (record.started, record.ended))
        return int(1000 * start), int(1000 * max(start, end))
    end = (tables_folder / "runs.parquet").stat().st_mtime
    started = started_at(tables_folder.parent)
    start = end if started is None else started.timestamp()
    return int(1000 * start), int(1000 * max(start, end))


def _log(tables_folder: Path, place: _Place, content: Artifacts) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    database = checked_database(place.uri)
    try:
        if database is not None:
            _open_once(database)
        client = MlflowClient(tracking_uri=place.uri, registry_uri=place.uri)
        found_id = experiment_id(
            client, place.experiment, database, artifacts_folder(place.uri, place.folder)
        )
        place.advanced()
        query = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in _finished(content).items())
        if found := client.search_runs([found_id], filter_string=query, max_results=1):
            return str(found[0].info.run_id)
        set_view(client, found_id, content.records)
        return _log_content(client, found_id, tables_folder, place, content)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = str(error).partition("\n")[0][:400]
        hint = "free space or delete its folder, and " if database is not None else ""
        raise StoreError(
            f"cannot log to MLflow at {place.uri}: {reason}",
            f"MLflow's data is a view of the tables: {hint}run `reelbench report` with the same run file",
        ) from error


def _log_content(
    client: MlflowClient, experiment: str, tables_folder: Path, place: _Place, content: Artifacts
) -> str:
    records = content.records
    tags = {_NOTE_TAG: parent_note(RunTables(tables_folder), place.prefect_page)}
    if place.prefect_page:
        tags[PREFECT_TAG] = place.prefect_page
    parent_id = _upsert(client, experiment, place.span, records.parent, tags)
    start, end = place.span
    for index, child in enumerate(records.children):
        place.advanced()
        tags = {
            _NOTE_TAG: child_note(child, records.names),
            _TABLES_TAG: json.dumps([{"path": SUMMARY, "type": "table"}]),
        }
        # MLflow lists the newest first: a millisecond apart they stand in the order of the table.
        begin = min(start + len(records.children) - index, end)
        done = end if child.work_s is None else begin + int(1000 * child.work_s)
        # Clips of an earlier run may have taken longer than this one: nothing ends after its parent.
        child_id = _upsert(client, experiment, (begin, min(done, end)), child, tags, parent_id)
        with _sent(client, child_id) as folder:
            content.write_child(child, folder)
    place.advanced()
    with _sent(client, parent_id) as folder:
        content.write_parent(folder)
        place.advanced()
    _bin_earlier(client, experiment, records.parent.earlier_key, parent_id)
    # Last: from now on the parent counts as logged.
    client.set_tag(parent_id, COMPLETE_TAG, content.digest)
    return parent_id


def _bin_earlier(client: MlflowClient, experiment: str, earlier_key: str, parent_id: str) -> None:
    """Put what an earlier version logged of the same results into MLflow's bin: it would look like a double,
    under other names."""
    query = f"tags.`{CONTENT_TAG}` = '{earlier_key}'"
    for parent in client.search_runs([experiment], filter_string=query):
        of_parent = f"tags.`{_PARENT_TAG}` = '{parent.info.run_id}'"
        children = client.search_runs([experiment], filter_string=of_parent)
        for run in (*children, parent):
            client.set_tag(run.info.run_id, "reelbench.logged_anew", parent_id)
            client.delete_run(run.info.run_id)


@contextlib.contextmanager
def _alone(tracking_uri: str) -> Iterator[None]:
    """Lock a local database: two processes that create its tables at once would both fail."""
    database = checked_database(tracking_uri)
    if database is None:
        yield
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = database.with_name(f"{database.name}.lock").open("w")
    except OSError:  # opening the database will say why
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open_once(database: Path) -> None:
    """Fail at once where a database cannot be opened or written: MLflow would retry for two minutes."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(database, timeout=30.0)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.rollback()


def _upsert(
    client: MlflowClient,
    experiment_id: str,
    span: tuple[int, int],
    record: Record,
    tags: Mapping[str, str],
    parent_id: str | None = None,
) -> str:
    """The id of the run with the record's content, which is made or completed where needed."""
    from mlflow.entities import Metric, Param, RunTag

    query = f"tags.`{CONTENT_TAG}` = '{record.key}'"
    if parent_id is not None:
        query += f" AND tags.`{_PARENT_TAG}` = '{parent_id}'"
    runs = client.search_runs([experiment_id], filter_string=query, max_results=1)
    if runs and runs[0].info.status in ("FINISHED", "FAILED"):
        return runs[0].info.run_id
    if runs:
        run = runs[0]
    else:
        run = client.create_run(
            experiment_id,
            tags={
                **({} if parent_id is None else {_PARENT_TAG: parent_id}),
                CONTENT_TAG: record.key,
                _NAME_TAG: record.name,
            },
            run_name=record.name,
            start_time=span[0],
        )
    # A metric of the same time, step and value is kept once; so logging a second time, after a kill,
    # with the run's own start adds nothing.
    timestamp = run.info.start_time
    run_id = run.info.run_id
    for metrics, params in _batches(record):
        client.log_batch(
            run_id,
            metrics=[Metric(name, value, timestamp, step) for name, value, step in metrics],
            params=[Param(name, value) for name, value in params],
        )
    texts = list({**record.tags, **tags}.items())
    for start in range(0, len(texts), _BATCH):
        client.log_batch(run_id, tags=[RunTag(*text) for text in texts[start : start + _BATCH]])
    client.log_inputs(run_id, _dataset_inputs(record))
    status = "FAILED" if record.has_failures else "FINISHED"
    client.set_terminated(run_id, status, end_time=max(timestamp, span[1]))
    return run_id


def _dataset_inputs(record: Record) -> list[DatasetInput]:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    return [
        DatasetInput(
            Dataset(data.name, data.digest, "reelbench", data.source, profile=data.profile),
            [InputTag("mlflow.data.context", "evaluation")],
        )
        for data in record.inputs
    ]


_BATCH = 100
"""Parameters, or tags, that MLflow takes at once; of metrics 1000."""


def _batches(record: Record) -> Iterator[tuple[list[Value], list[tuple[str, str]]]]:
    metrics, params = list(record.metrics), list(record.params.items())
    while metrics or params:
        yield metrics[:800], params[:_BATCH]
        metrics, params = metrics[800:], params[_BATCH:]


@contextlib.contextmanager
def _sent(client: MlflowClient, run_id: str) -> Iterator[Path]:
    """A folder whose files become artifacts of a run at the block's end, replacing older ones."""
    with tempfile.TemporaryDirectory(prefix="reelbench-") as folder:
        yield Path(folder)
        client.log_artifacts(run_id, folder)
