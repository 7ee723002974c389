"""The server of a run's page: the files of its results, parts of them, and nothing else."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reelbench.flows.servers.page_server import PageServer
from reelbench.flows.servers.ports import PortError, listening


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    results = tmp_path / "out" / "demo" / "1"
    for path, content in (
        (results / "report.html", b"<p>page</p>"),
        (results / "tables" / "a b.json", b"{}"),
        (results / "report" / "clips" / "a.mp4", bytes(range(100))),
        (tmp_path / "out" / "secret.txt", b"secret"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (results / "link.txt").symlink_to(tmp_path / "out" / "secret.txt")
    with listening(0, 0) as listener:
        made = PageServer(listener, results)
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.shutdown()


def ask(
    server: PageServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def test_the_page_and_its_files_are_read(server: PageServer) -> None:
    assert server.page.endswith("/report.html")
    status, content, headers = ask(server, "/report.html")
    assert (status, content) == (200, b"<p>page</p>")
    assert headers["Content-Type"].startswith("text/html")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(server, "/tables/a%20b.json?x=1")[:2] == (200, b"{}")
    assert ask(server, "/report/clips/a.mp4")[2]["Content-Type"] == "video/mp4"
    assert ask(server, "/")[2]["Location"] == "/report.html"
    assert ask(server, "/report.html", "HEAD")[:2] == (200, b"")
    assert ask(server, "/favicon.ico")[0] == 204
    (server.folder / "report" / "index.html").write_text("new")
    assert server.page.endswith("/report/index.html")
    assert ask(server, "/report/")[:2] == (200, b"new")
    assert ask(server, "/report")[2]["Location"] == "/report/index.html"


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ("bytes=0-9", 206, range(10)),
        ("bytes=90-", 206, range(90, 100)),
        ("bytes=-5", 206, range(95, 100)),
        ("bytes=95-500", 206, range(95, 100)),
        ("bytes=100-", 416, ()),
        ("bytes=9-3", 416, ()),
        ("bytes=0-1,3-4", 200, range(100)),
        ("nonsense", 200, range(100)),
    ],
)
def test_parts_of_a_clip(server: PageServer, asked: str, status: int, expected: range) -> None:
    found, content, headers = ask(server, "/report/clips/a.mp4", Range=asked)
    assert (found, content) == (status, bytes(expected))
    if status == 206:
        assert headers["Content-Range"] == f"bytes {expected[0]}-{expected[-1]}/100"


@pytest.mark.parametrize(
    "path",
    [
        "/secret.txt",
        "/../../secret.txt",
        "/%2e%2e/%2e%2e/secret.txt",
        "/..%2f..%2fsecret.txt",
        "/link.txt",
        "/report/",
        "/tables",
        "/nothing",
        "//etc/passwd",
        "/../../../../etc/passwd",
        "/%00",
        "/%ff",
    ],
)
def test_nothing_else_is_read_or_listed(server: PageServer, path: str) -> None:
    status, content, _ = ask(server, path)
    assert status == 404
    assert b"secret" not in content


def test_other_names_and_methods_are_refused(server: PageServer) -> None:
    assert ask(server, "/report.html", Host="evil.example")[0] == 403
    assert ask(server, "/report.html", Host=f"evil.example:{server.port}")[0] == 403
    assert ask(server, "/report.html", Host=f"localhost:{server.port}")[0] == 200
    assert ask(server, "/report.html", "POST")[0] == 501


def test_a_busy_port_is_one_line_and_the_next_is_taken_where_none_was_asked_for() -> None:
    with listening(0, 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortError, match=f"port {port} of 127.0.0.1 is in use"), listening(port, 0):
            pass
        with listening(None, port) as second:
            assert second.getsockname()[1] > port
