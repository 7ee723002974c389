"""Logging a run to MLflow: a view of the tables that can be deleted and made again.

One parent run for the benchmark, a child for each method and data set. Runs are found by a tag with the
digest of their content: logging again changes nothing, or finishes one that was killed. They last from the
start of the run to its tables, and are FAILED where something of them failed. Log from one process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...core.atomic_write import write_text_atomic
from ...core.errors import StoreError
from ...core.hashing import digest, digest_bytes
from ...core.redaction import without_machine
from ...core.run_folders import started_at
from ...core.set_aside import set_aside, sqlite_damage
from ...core.tables import SCHEMAS, read_table, write_table
from ..pages.markdown_report import comparison_markdown
from ..pages.run_clips import clips_by_prompt, locate
from ..tables.comparison import comparison_table
from ..tables.run_tables import RunTables
from .records import COMPLETE_TAG, CONTENT_TAG, Record, RunRecords, load_run_records
from .store import (
    artifacts_folder,
    checked_database,
    experiment_id,
    logged_run,
    quiet_environment,
    quiet_logging,
)

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_PARENT_TAG, _NOTE_TAG, _NAME_TAG = "mlflow.parentRunId", "mlflow.note.content", "mlflow.runName"
_MAX_NOTE = 5000

_NUM_PREVIEWS = 4
"""Clips of each method and data set that become artifacts of its child run."""


@dataclass(frozen=True)
class _Previews:
    """Clips to show with a child run: artifact name -> file, and artifact name -> prompt."""

    files: Mapping[str, Path]
    prompts: Mapping[str, str]


def log_run(
    tables_folder: Path,
    tracking_uri: str,
    experiment: str,
    report_path: Path | None = None,
    folder: Path | None = None,
    advanced: Callable[[], None] = lambda: None,
) -> str:
    """Log the run whose Parquet tables lie in `tables_folder`.

    Args:
        tables_folder: the seven tables.
        tracking_uri: an absolute SQLite URI (`default_tracking_uri`) or a server's address.
        experiment: name of the experiment; made if it is not there.
        report_path: the HTML report, logged as an artifact of the parent.
        folder: for artifacts, where the address is of a database other than SQLite.
        advanced: is called after each part that MLflow took.

    Returns:
        the id of the parent run.

    Raises:
        StoreError: a table is missing, or the database cannot be used.
    """
    content = _content(tables_folder, report_path)
    found = logged_run(tracking_uri, content.finished)
    if found is not None:
        return found
    with _alone(tracking_uri), quiet_environment(), quiet_logging():
        place = _Place(
            tracking_uri, experiment, folder or tables_folder.parent, advanced, _span(tables_folder)
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
    return logged_run(tracking_uri, _content(tables_folder, report_path).finished)


@dataclass(frozen=True)
class _Content:
    """What is logged: the records, the parent's files, the children's previews, a digest of both."""

    records: RunRecords
    sources: Mapping[str, Path]
    previews: Sequence[_Previews]
    digest: str

    @property
    def finished(self) -> dict[str, str]:
        """The tags of a parent that is logged to its end."""
        return {CONTENT_TAG: self.records.parent.key, COMPLETE_TAG: self.digest}


def _content(tables_folder: Path, report_path: Path | None) -> _Content:
    records = load_run_records(tables_folder)
    sources = _parent_sources(tables_folder, report_path)
    previews = _previews(tables_folder, records)
    artifacts = {
        "parent": {name: digest_bytes(path.read_bytes()) for name, path in sources.items()},
        "children": [shown.prompts for shown in previews],
    }
    return _Content(records, sources, previews, digest(artifacts))


@dataclass(frozen=True)
class _Place:
    """Where to log to, and the start and end of what is logged in ms."""

    uri: str
    experiment: str
    folder: Path
    advanced: Callable[[], None]
    span: tuple[int, int]


def _span(tables_folder: Path) -> tuple[int, int]:
    """Start of the run, which names the folder of its results, and when its tables were whole; in ms."""
    end = int(1000 * (tables_folder / "runs.parquet").stat().st_mtime)
    started = started_at(tables_folder.parent)
    start = end if started is None else int(1000 * started.timestamp())
    return start, max(start, end)


def _log(tables_folder: Path, place: _Place, content: _Content) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    database = checked_database(place.uri)
    note = without_machine(comparison_markdown(comparison_table(RunTables(tables_folder))))
    try:
        if database is not None:
            _open_once(database)
        client = MlflowClient(tracking_uri=place.uri, registry_uri=place.uri)
        found_id = experiment_id(
            client, place.experiment, database, artifacts_folder(place.uri, place.folder)
        )
        place.advanced()
        query = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in content.finished.items())
        if found := client.search_runs([found_id], filter_string=query, max_results=1):
            return str(found[0].info.run_id)
        short_note = note if len(note) <= _MAX_NOTE else "The comparison is in the artifact comparison.md."
        parent_id = _upsert(client, found_id, place.span, content.records.parent, {_NOTE_TAG: short_note})
        for child, shown in zip(content.records.children, content.previews, strict=True):
            place.advanced()
            child_id = _upsert(client, found_id, place.span, child, {_PARENT_TAG: parent_id}, parent_id)
            if shown.files:
                prompts = json.dumps(shown.prompts, ensure_ascii=False, indent=1)
                _log_files(client, child_id, shown.files, {"clips/prompts.json": prompts})
        place.advanced()
        _log_files(client, parent_id, content.sources, {"comparison.md": note})
        # Last: from now on the parent counts as logged.
        client.set_tag(parent_id, COMPLETE_TAG, content.digest)
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = str(error).partition("\n")[0][:400]
        hint = "free space or delete its folder, and " if database is not None else ""
        raise StoreError(
            f"cannot log to MLflow at {place.uri}: {reason}",
            f"MLflow's data is a view of the tables: {hint}run `reelbench report` with the same run file",
        ) from error
    return parent_id


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
            tags={**tags, CONTENT_TAG: record.key, _NAME_TAG: record.name},
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
            metrics=[Metric(name, value, timestamp, 0) for name, value in metrics],
            params=[Param(name, value) for name, value in params],
        )
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in record.tags.items()])
    status = "FAILED" if record.has_failures else "FINISHED"
    client.set_terminated(run_id, status, end_time=max(timestamp, span[1]))
    return run_id


def _batches(record: Record) -> Iterator[tuple[list[tuple[str, float]], list[tuple[str, str]]]]:
    """Metrics and parameters within MLflow's limits of a batch: 1000 metrics, 100 parameters."""
    metrics, params = list(record.metrics.items()), list(record.params.items())
    while metrics or params:
        yield metrics[:800], params[:100]
        metrics, params = metrics[800:], params[100:]


def _log_files(
    client: MlflowClient, run_id: str, files: Mapping[str, Path], texts: Mapping[str, str]
) -> None:
    """Put files and texts among the artifacts of a run, replacing older ones."""
    with tempfile.TemporaryDirectory(prefix="reelbench-") as folder:
        for name, source in files.items():
            place = Path(folder) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if source.suffix == ".parquet":
                _copy_table(source, place)
            else:
                shutil.copyfile(source, place)
        for name, text in texts.items():
            write_text_atomic(Path(folder) / name, text)
        client.log_artifacts(run_id, folder)


_WITH_PATHS = (
    *("path", "preview", "error_message", "notes", "run_file", "weights", "method_config", "extractor"),
    *("method_name", "signature", "metric"),
)
"""Columns of tables that may hold paths of this machine."""


def _copy_table(source: Path, place: Path) -> None:
    """Copy a table for others, without this machine's absolute paths; as it is where it has none."""
    rows = read_table(source.parent, source.stem).to_pylist()
    clean = [
        {
            name: without_machine(value) if name in _WITH_PATHS and isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    if clean == rows:
        shutil.copyfile(source, place)
    else:
        write_table(place.parent, place.stem, clean)


def _parent_sources(tables_folder: Path, report_path: Path | None) -> dict[str, Path]:
    """Artifacts of the parent: name -> file."""
    sources = {f"tables/{name}.parquet": tables_folder / f"{name}.parquet" for name in SCHEMAS}
    if report_path is not None:
        sources[report_path.name] = report_path
    for name, path in sources.items():
        if not path.is_file():
            raise StoreError(f"no file {path} to log to MLflow as {name}", "run `reelbench report` again")
    return sources


def _previews(tables_folder: Path, records: RunRecords) -> list[_Previews]:
    """The first previews of each child."""
    prompts = clips_by_prompt(RunTables(tables_folder).rows("clips"), _NUM_PREVIEWS)
    shown = []
    for child in records.children:
        files: dict[str, Path] = {}
        captions: dict[str, str] = {}
        for prompt in prompts:
            row = prompt.generated.get(child.method)
            if row is None or (prompt.dataset, prompt.split) != (child.dataset, child.split):
                continue
            path = locate(row["preview"], tables_folder)
            if path is not None:
                # Sample ids are foreign text and name no file.
                name = f"clips/{len(files):03d}{path.suffix}"
                files[name] = path
                captions[name] = prompt.prompt
        shown.append(_Previews(files, captions))
    return shown
