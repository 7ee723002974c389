"""A small web server for the page of a run: the files of its results, and no others.

It listens on the loopback only, reads only, lists nothing, and answers parts of files, without which a
browser cannot seek in a video. Requests under another name than this machine's loopback are refused: a page
elsewhere whose name was pointed to 127.0.0.1 must not read along.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".mov": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_CHUNK = 2**18
_SILENT_S = 30.0
PAGES = ("report/index.html", "report.html")
"""What is shown of results: the first that is there."""


class PageServer(ThreadingHTTPServer):
    """Serves a run's results on a bound socket until `shutdown`.

    Args:
        listener: a listening socket of 127.0.0.1; the caller closes it.
        folder: of the results; what is linked from elsewhere by symbolic links stays there.
    """

    daemon_threads = True

    def __init__(self, listener: socket.socket, folder: Path) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.folder = folder.resolve()
        self.port = listener.getsockname()[1]
        self.hosts = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost")}

    @property
    def page(self) -> str:
        """The address of the run's page."""
        found = next((name for name in PAGES if (self.folder / name).is_file()), PAGES[-1])
        return f"http://127.0.0.1:{self.port}/{found}"

    def file_at(self, path: str) -> Path | None:
        """The file that an address names, None where it may not be read or is not there."""
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            file = (self.folder / unquote(path).lstrip("/")).resolve(strict=True)
            if file.is_relative_to(self.folder) and file.is_file():
                return file
        return None


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    timeout = _SILENT_S
    server_version, sys_version = "reelbench", ""

    def do_GET(self) -> None:
        """A file, or the part of it that is asked for."""
        if self.headers.get("Host", "") not in self.server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "this server answers to 127.0.0.1 and localhost only")
            return
        path = urlsplit(self.path).path
        if path == "/report/":
            path += "index.html"
        if path in ("/", "/report"):
            self.send_response(HTTPStatus.FOUND)
            self.send_header("Location", urlsplit(self.server.page).path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        file = self.server.file_at(path)
        if file is None and path == "/favicon.ico":  # browsers ask, and would show an error
            self.send_response(HTTPStatus.NO_CONTENT)
            self.end_headers()
            return
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND, "no such file in these results")
            return
        with contextlib.suppress(ConnectionError, TimeoutError):  # the browser has gone elsewhere
            try:
                self._send(file)
            except OSError as error:
                if isinstance(error, ConnectionError | TimeoutError):
                    raise
                self._refuse(HTTPStatus.NOT_FOUND, "the file cannot be read")

    do_HEAD = do_GET

    def _send(self, file: Path) -> None:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            start, stop, status = 0, size, HTTPStatus.OK
            if found := _RANGE.fullmatch(self.headers.get("Range", "").strip()):
                start, stop = _part(found[1], found[2], size)
                if start >= stop:
                    self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
                    self.send_header("Content-Range", f"bytes */{size}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                status = HTTPStatus.PARTIAL_CONTENT
            self.send_response(status)
            if status is HTTPStatus.PARTIAL_CONTENT:
                self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
            self.send_header("Content-Type", _TYPES.get(file.suffix.lower(), "application/octet-stream"))
            self.send_header("Content-Length", str(stop - start))
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Last-Modified", formatdate(os.fstat(opened.fileno()).st_mtime, usegmt=True))
            self.end_headers()
            if self.command == "HEAD":
                return
            opened.seek(start)
            while start < stop and (data := opened.read(min(_CHUNK, stop - start))):
                self.wfile.write(data)
                start += len(data)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        content = f"{why}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def end_headers(self) -> None:
        """With what keeps other pages out."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are nobody's concern."""


def _part(first: str, last: str, size: int) -> tuple[int, int]:
    """Start and end of `bytes=first-last`, which may lack either; an empty part where there is none."""
    if not first and not last:
        return 0, 0
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size
