"""A hub on 127.0.0.1 that serves folders, so that huggingface_hub's own client runs against it."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class FakeHub:
    """Repositories by id, and what was asked for.

    Attributes:
        repositories: id to folder.
        fetched: "id/file" of every file that was given out.
        num_requests: of any kind.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Path] = {}
        self.fetched: list[str] = []
        self.num_requests = 0
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.num_requests += 1
                hub._answer(self, body=False)

            def do_GET(self) -> None:
                hub.num_requests += 1
                hub._answer(self, body=True)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        parts = [unquote(part) for part in urlsplit(request.path).path.strip("/").split("/")]
        if parts[:2] == ["api", "models"]:
            name, rest = "/".join(parts[2:4]), parts[4:]
            if name not in self.repositories:
                self._send(request, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
            elif rest[:1] == ["revision"] and rest[1] not in ("main", COMMIT):
                self._send(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            else:
                data = self._tree(name) if rest[:1] == ["tree"] else self._info(name)
                self._send(request, 200, json.dumps(data).encode(), {"Content-Type": "application/json"})
            return
        name, file = "/".join(parts[:2]), "/".join(parts[4:])
        path = self.repositories.get(name, Path("/nowhere")) / file
        if not path.is_file():
            self._send(request, 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = path.read_bytes()
        if body:
            self.fetched.append(f"{name}/{file}")
        etag = hashlib.sha256(content).hexdigest()
        self._send(request, 200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, body=body)

    def _files(self, name: str) -> list[Path]:
        return sorted(path for path in self.repositories[name].rglob("*") if path.is_file())

    def _info(self, name: str) -> dict[str, object]:
        folder = self.repositories[name]
        siblings = [
            {"rfilename": path.relative_to(folder).as_posix(), "size": path.stat().st_size}
            for path in self._files(name)
        ]
        return {"id": name, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}

    def _tree(self, name: str) -> list[dict[str, object]]:
        folder = self.repositories[name]
        return [
            {
                "type": "file",
                "path": path.relative_to(folder).as_posix(),
                "size": path.stat().st_size,
                "oid": hashlib.sha1(path.read_bytes()).hexdigest(),
            }
            for path in self._files(name)
        ]

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler,
        status: int,
        content: bytes,
        headers: dict[str, str],
        body: bool = True,
    ) -> None:
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            request.send_header(name, value)
        request.end_headers()
        if body and request.command != "HEAD":
            request.wfile.write(content)
