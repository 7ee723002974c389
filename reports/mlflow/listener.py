"""A training in MLflow: one run with its settings, its numbers by step and its previews.

MLflow is a view; the record is the training's work folder. What that holds (`log.jsonl`, `previews/`) and
MLflow lacks is sent when the run is opened, also half-way. `mlflow.json` there keeps the run's id: a training
that was killed resumes in its run. MLflow is asked which steps it has, since a kill may come between sending
a number and noting so; none is sent twice.

Nothing that goes wrong here ends a training. A server that does not answer is waited for briefly, reported
once, and tried again minutes later with all that it missed.

The tracking URI is kept nowhere, and shown without its password.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ...core.atomic_write import write_text_atomic
from ...core.hashing import digest
from ...core.redaction import masked
from ...core.sqlite_url import sqlite_path
from .place import check_tracking_uri
from .store import MAX_TAG, artifacts_folder, experiment_id, mlflow_name
from .training_run import OpenRun, flat_params, quiet

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

RUN_FILE = "mlflow.json"
"""In a work folder: which run of MLflow is this training's."""

_LINES_AT_ONCE, _PARAMS_AT_ONCE = 100, 100  # a batch of MLflow: at most 1000 metrics, 100 parameters


class MlflowListener:
    """Logs a training to MLflow within a `with` block around its `run`: a `methods.training.loop.Listener`.

    Args:
        tracking_uri: an absolute SQLite URI, or a server's address.
        experiment: name of the experiment; made if it is not there.
        name: what MLflow's page calls the run.
        params: what the training is, nested as it likes; becomes flat parameters ("training.seed"). With
            other ones in the same work folder it is another run.
        tags: what may change when a training resumes, as the number of its steps.
        work: the training's folder.
        pause_s: how long a server that failed is left alone.

    Raises:
        StoreError: the URI is one that MLflow does not take, or that depends on the working directory.
    """

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        name: str,
        params: Mapping[str, Any],
        work: Path,
        tags: Mapping[str, str] | None = None,
        pause_s: float = 300.0,
    ) -> None:
        check_tracking_uri(tracking_uri)
        self._uri, self._experiment, self._name = tracking_uri, experiment, name
        self._params, self._tags = flat_params(params), dict(tags or {})
        self._work, self._pause_s = work, pause_s
        self._lines: list[tuple[int, dict[str, float]]] = []
        self._folders: list[Path] = []
        self._run: OpenRun | None = None
        self._not_before_s = 0.0
        self._has_warned = False

    def __enter__(self) -> MlflowListener:
        # Not earlier: a training that is resumed first takes from its log what its checkpoint has not.
        self._lines = _logged_lines(self._work / "log.jsonl")
        self._attempt(self._send)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = "FINISHED" if kind is None else "FAILED" if issubclass(kind, Exception) else "KILLED"
        self._not_before_s = 0.0
        self._attempt(lambda: self._end(ended))

    def logged(self, step: int, values: Mapping[str, float]) -> None:
        """Send the numbers of a step; without `seconds` among them they count as of the start."""
        self._lines.append((step, dict(values)))
        self._attempt(self._send)

    def shown(self, step: int, folder: Path) -> None:
        """Send the previews of a step, as artifacts in `previews/<name of the folder>`."""
        self._folders.append(folder)
        self._attempt(self._send)

    def _attempt(self, work: Any) -> None:
        if time.monotonic() < self._not_before_s:
            return
        try:
            with quiet():
                work()
        except Exception as error:  # whatever MLflow, its database or the network raise: training goes on
            self._not_before_s = time.monotonic() + self._pause_s
            if not self._has_warned:
                self._has_warned = True
                reason = (str(error) or type(error).__name__).splitlines()[0][:300]
                print(
                    f"warning: cannot log to MLflow at {masked(f'{self._uri}: {reason}')}\n"
                    "  -> the training goes on; what is missing is sent when MLflow answers, or by the same "
                    "command with the same work folder",
                    file=sys.stderr,
                    flush=True,
                )

    def _send(self) -> None:
        if self._run is None:
            self._run = self._open()
        while self._lines:
            now = self._lines[:_LINES_AT_ONCE]
            self._run.log(now)
            del self._lines[: len(now)]
        while self._folders:
            if not self._run.has(self._folders[0]):
                self._run.show(self._folders[0])
            del self._folders[0]

    def _end(self, status: str) -> None:
        self._send()
        assert self._run is not None
        self._run.client.set_terminated(self._run.id, status)

    def _open(self) -> OpenRun:
        from mlflow.entities import Param, RunTag
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
        run = self._found(client) or self._made(client)
        names = list(self._params)
        for start in range(0, len(names), _PARAMS_AT_ONCE):
            part = names[start : start + _PARAMS_AT_ONCE]
            client.log_batch(run.info.run_id, params=[Param(name, self._params[name]) for name in part])
        tags = {"reelbench.kind": "training", **self._tags}
        client.log_batch(
            run.info.run_id,
            tags=[RunTag(mlflow_name(name), value[:MAX_TAG]) for name, value in tags.items()],
        )
        self._folders = list(dict.fromkeys([*self._earlier_previews(), *self._folders]))
        return OpenRun(client, run.info.run_id, run.info.start_time)

    def _earlier_previews(self) -> list[Path]:
        """Folders of previews up to the last step of the log: later ones will be made again."""
        last = max((step for step, _ in self._lines), default=0)
        folders = {folder: folder.name.rpartition("-")[2] for folder in (self._work / "previews").glob("*-*")}
        return sorted(folder for folder, step in folders.items() if step.isdigit() and int(step) <= last)

    def _identity(self) -> str:
        uri = re.sub(r"://[^/@\s]*@", "://***@", self._uri)  # as ever: it finds runs of before
        return digest({"uri": uri, "experiment": self._experiment, "params": self._params})

    def _found(self, client: MlflowClient) -> Run | None:
        """The run that this work folder remembers, open again; None where there is none."""
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

        try:
            kept = json.loads((self._work / RUN_FILE).read_text(encoding="utf-8"))
            run_id, identity = str(kept["run_id"]), kept["identity"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if identity != self._identity():
            return None
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST):
                return None
            raise
        if run.info.lifecycle_stage != "active":
            return None  # somebody has deleted it
        if run.info.status != "RUNNING":
            client.update_run(run_id, status="RUNNING")
        return run

    def _made(self, client: MlflowClient) -> Run:
        """A new run, noted in the work folder."""
        seconds = max((values.get("seconds", 0.0) for _, values in self._lines), default=0.0)
        run = client.create_run(
            experiment_id(
                client,
                self._experiment,
                sqlite_path(self._uri),
                artifacts_folder(self._uri, self._work.absolute() / "mlflow"),
            ),
            # What was trained before the run was opened lies behind it.
            start_time=int((time.time() - seconds) * 1000),
            run_name=self._name,
        )
        noted = {"run_id": run.info.run_id, "identity": self._identity()}
        write_text_atomic(self._work / RUN_FILE, json.dumps(noted, indent=1) + "\n")
        return run


def _logged_lines(log: Path) -> list[tuple[int, dict[str, float]]]:
    """The lines of a training's log so far: (step, its numbers)."""
    try:
        rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError):
        return []
    return [(int(row.pop("step")), row) for row in rows]
