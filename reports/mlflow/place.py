"""Which MLflow a run is logged to, whether it answers, and the page of a run there."""

from __future__ import annotations

import os
import shlex
import socket
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from ...core.errors import StoreError
from ...core.redaction import masked
from ...core.run_file import RunFile
from ...core.run_folders import started_at
from ...core.sqlite_url import sqlite_path
from .store import checked_database, default_tracking_uri, mlflow_command
from .view import view_page

VARIABLE = "MLFLOW_TRACKING_URI"

_LOOK_TIMEOUT_S = 3.0
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_SCHEMES = ("http", "https", "databricks", "uc", "sqlite", "postgresql", "mysql", "mssql")
_OTHER_AUTHENTICATION = (
    "MLFLOW_TRACKING_AUTH",
    "MLFLOW_TRACKING_AWS_SIGV4",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH",
)


@dataclass(frozen=True)
class Tracking:
    """Where a run is logged.

    Attributes:
        uri: as MLflow takes it; may hold a password.
        experiment: name of the experiment.
        folder: for artifacts, where `uri` is a database that no server stands before.
        source: who says so, "" for the file in the output folder.
    """

    uri: str
    experiment: str
    folder: Path
    source: str = ""

    @property
    def is_server(self) -> bool:
        """Whether it has pages to link to."""
        return urlsplit(self.uri).scheme in ("http", "https")

    @property
    def shown(self) -> str:
        """The address without a password."""
        return masked(self.uri)

    def named(self, experiment: str) -> Tracking:
        """The same place with another experiment."""
        return replace(self, experiment=experiment)

    def page(self, experiment_id: str, run_id: str) -> str | None:
        """The address of a run's page; None where no server shows one."""
        if not self.is_server:
            return None
        parts = urlsplit(self.uri)
        host = parts.netloc.rpartition("@")[2]
        return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"

    def experiment_page(self, experiment_id: str) -> str | None:
        """The address of the page with the methods side by side; None where no server shows one."""
        if not self.is_server:
            return None
        parts = urlsplit(self.uri)
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return view_page(server, experiment_id)

    def how_to_open(self) -> str:
        """The address to open, or the shell command that shows the pages."""
        if self.is_server:
            return self.shown
        command = mlflow_command(self.uri)
        # A password is in the variable alone: run files with one are refused.
        return command if self.shown == self.uri else command.replace(shlex.quote(self.uri), f'"${VARIABLE}"')


def tracking_of(run: RunFile) -> Tracking | None:
    """Where a run is logged: as its run file says, else MLFLOW_TRACKING_URI, else a file in the output
    folder. None where the run file switches MLflow off.

    Raises:
        StoreError: an address that MLflow does not take.
    """
    if not run.mlflow.enabled:
        return None
    experiment = run.mlflow.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "").strip() or run.name
    folder = run.output.resolve() / "mlflow"
    for uri, source in (
        (run.mlflow.tracking_uri or "", "`mlflow` in the run file"),
        (os.environ.get(VARIABLE, ""), VARIABLE),
    ):
        if uri.strip():
            check_tracking_uri(uri.strip(), source)
            return Tracking(uri.strip(), experiment, folder, source)
    return Tracking(default_tracking_uri(run.output), experiment, folder)


def tracking_at(folder: Path, run: str, uri: str | None = None, experiment: str | None = None) -> Tracking:
    """Where results are logged that lie in a folder, whose run file need not be there: at `uri`, else as
    MLFLOW_TRACKING_URI says, else in the file in the output folder.

    Args:
        folder: of the results.
        run: the run's name, which names the experiment where nothing else does.

    Raises:
        StoreError: an address that MLflow does not take, or no output folder is known to have a file in.
    """
    named = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME", "").strip() or run
    output = folder.absolute().parent.parent
    for given, source in ((uri or "", "--to"), (os.environ.get(VARIABLE, ""), VARIABLE)):
        if given.strip():
            check_tracking_uri(given.strip(), source)
            return Tracking(given.strip(), named, output / "mlflow", source)
    if started_at(folder) is None:
        raise StoreError(
            f"{folder} is not in the output folder of a run, which would have an MLflow file of its own",
            f"say where with --to (sqlite:////absolute/path/mlflow.db, http://HOST:PORT) or {VARIABLE}",
        )
    return Tracking(default_tracking_uri(output), named, output / "mlflow")


def check_tracking_uri(tracking_uri: str, source: str = "") -> None:
    """Refuse what would fail later, or end up in another place.

    Args:
        source: who gave it.

    Raises:
        StoreError: a folder, or a database whose place depends on the working directory.
    """
    checked_database(tracking_uri)
    is_place = "://" in tracking_uri or tracking_uri == "databricks"
    host = ""
    if is_place and tracking_uri.startswith(("http:", "https:")):
        try:
            parts = urlsplit(tracking_uri)
            host = "" if parts.hostname and parts.port != 0 else "; it names no host"
        except ValueError as error:
            host = f"; {error}"
    scheme = tracking_uri.partition("://")[0].partition("+")[0].lower()
    is_place = is_place and ("://" not in tracking_uri or scheme in _SCHEMES)
    if not is_place or host:
        who = f"{source}: " if source else ""
        raise StoreError(
            f"{who}tracking URI {masked(tracking_uri)!r} is none that MLflow takes{host}: "
            f"folders are no longer, only servers and databases ({', '.join(_SCHEMES)})",
            "use sqlite:////absolute/path/mlflow.db, or the address of a server, http://HOST:PORT",
        )


def why_not_reached(tracking: Tracking) -> str | None:
    """Why MLflow cannot be used now, by a look of three seconds; None where nothing speaks against it."""
    found: list[str | None] = []

    def look() -> None:
        try:
            found.append(_look(tracking))
        except Exception as error:  # whatever libraries raise: it is told, and the run goes on
            found.append(_reason(error))

    # Names are resolved without any limit of ours.
    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(_LOOK_TIMEOUT_S + 1.0)
    return found[0] if found else f"no answer within {_LOOK_TIMEOUT_S:.0f} s"


def _look(tracking: Tracking) -> str | None:
    if sqlite_path(tracking.uri) is not None:
        return None  # opening it tells at once
    parts = urlsplit(tracking.uri)
    if not tracking.is_server:
        port = parts.port or _PORTS.get(parts.scheme.partition("+")[0])
        if parts.hostname and port:
            socket.create_connection((parts.hostname, port), timeout=_LOOK_TIMEOUT_S).close()
        return None
    import requests

    given = os.environ.get("MLFLOW_TRACKING_USERNAME"), os.environ.get("MLFLOW_TRACKING_PASSWORD")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token and None in given else {}
    response = requests.get(
        f"{tracking.uri.rstrip('/')}/api/2.0/mlflow/experiments/get-by-name",
        params={"experiment_name": tracking.experiment},
        headers=headers,
        auth=None if None in given else given,  # type: ignore[arg-type]
        timeout=_LOOK_TIMEOUT_S,
        stream=True,  # the first line tells
        verify=os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() not in ("true", "1"),
    )
    status = response.status_code
    response.close()
    if status in (401, 403) and not any(map(os.environ.get, _OTHER_AUTHENTICATION)):
        return (
            f"it refuses us ({status}); set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN"
        )
    return f"it answers with the status {status}" if status >= 500 else None


def _reason(error: BaseException) -> str:
    """The innermost cause in one line: libraries wrap it in the names of their classes."""
    seen = 0
    while (inner := error.__cause__ or error.__context__) is not None and seen < 10:
        error, seen = inner, seen + 1
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return masked(str(text).splitlines()[0][:300])
