"""A run behind a proxy, with a long TMPDIR, no home folder, and an output folder of odd characters."""

from __future__ import annotations

import contextlib
import shlex
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reelbench.core.run_folders import results_dir
from reelbench.core.sqlite_url import sqlite_path

pytestmark = pytest.mark.e2e


@dataclass
class RecordingProxy:
    """Answers every request with 503, and keeps its first line."""

    address: str
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = RecordingProxy(f"http://127.0.0.1:{server.getsockname()[1]}")

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed at the end
                while True:
                    client, _ = server.accept()
                    with client:
                        found.requests.append(client.recv(4096).decode("latin-1").partition("\r\n")[0])
                        client.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        yield found


@pytest.mark.drill
def test_a_run_in_hard_surroundings(bench: Any, proxy: RecordingProxy, tmp_path: Path) -> None:
    output = tmp_path / 'w e?ird #1 %41 & "q" é\'s' / "out"
    long = tmp_path / ("x" * 100)
    long.mkdir()
    names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")
    environment = dict.fromkeys(names, proxy.address) | {
        "all_proxy": "socks4://127.0.0.1:9",
        "NO_PROXY": "[::1]:80,corp.example",
        "TMPDIR": str(long),
        "HOME": "/proc/nowhere",
        "PYTHONIOENCODING": "ascii",
    }
    printed = bench.run(output, **environment)

    assert "Steadiness" in printed
    to_this_machine = [line for line in proxy.requests if "127.0.0.1" in line or "localhost" in line]
    assert to_this_machine == []

    # Both databases, and nothing beside the folder that would be a part of its name.
    assert [path.name for path in output.parent.parent.iterdir() if path != long] == [output.parent.name]
    for name, table in (("prefect/prefect.db", "flow_run"), ("mlflow/mlflow.db", "runs")):
        path = output / name
        with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
            assert database.execute(f"select count(*) from {table}").fetchone()[0] >= 1
    assert list((output / "mlflow" / "artifacts").rglob("report.html"))

    # The printed commands mean these places, as a shell reads them.
    (opens,) = [line for line in printed.splitlines() if "webbrowser" in line]
    assert shlex.split(opens)[-1] == (results_dir(output / "tiny") / "report" / "index.html").as_uri()
    (serves,) = [line for line in printed.splitlines() if "mlflow server" in line]
    uri = shlex.split(serves)[shlex.split(serves).index("--backend-store-uri") + 1]
    assert sqlite_path(uri) == output / "mlflow" / "mlflow.db"
