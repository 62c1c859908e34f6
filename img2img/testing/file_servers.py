"""Servers on this machine that hold files as the network does: one for the web, with byte ranges
and with the faults that servers have, and one for S3.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from img2img.errors import UserError


@dataclass
class WebServer:
    """A folder behind HTTP, while `serving`; what is set here changes its next answers."""

    folder: Path
    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Path and range of each."""
    statuses: list[int] = field(default_factory=list)
    """The next answers, in the place of files."""
    failing_from: int | None = None
    """After so many requests there are no files any more."""
    knows_ranges: bool = True
    hangs: threading.Event | None = None
    """Answers begin, and go on when this is set."""


@contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """Serve a folder on a free port of this machine."""
    state = WebServer(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, state))
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        if state.hangs is not None:
            state.hangs.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """GET with or without a range."""

    protocol_version = "HTTP/1.1"

    def __init__(self, state: WebServer, *connection: object) -> None:
        self.state = state
        super().__init__(*connection)  # type: ignore[arg-type]  # socket, address, server

    def do_GET(self) -> None:
        state, asked = self.state, self.headers.get("Range", "")
        state.requests.append((self.path, asked))
        if state.statuses:
            return self._answer(state.statuses.pop(0), b"")
        path = state.folder / self.path.lstrip("/")
        gone = state.failing_from is not None and len(state.requests) > state.failing_from
        if gone or not path.is_file():
            return self._answer(HTTPStatus.NOT_FOUND, b"")
        content = path.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked) if state.knows_ranges else None
        if found is None:
            return self._answer(HTTPStatus.OK, content)
        first, last = int(found[1]), min(int(found[2]), len(content) - 1)
        if first > last:
            return self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"")
        span = f"bytes {first}-{last}/{len(content)}"
        self._answer(HTTPStatus.PARTIAL_CONTENT, content[first : last + 1], span)

    def _answer(self, status: int, content: bytes, span: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        if span:
            self.send_header("Content-Range", span)
        self.end_headers()
        if self.state.hangs is not None and content:
            self.wfile.write(content[:1])
            self.state.hangs.wait()
            content = content[1:]
        with suppress(OSError):  # who asked is gone
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@contextmanager
def s3_server(folder: Path, bucket: str) -> Iterator[str]:
    """moto's server with a bucket that holds a folder's files; its URL."""
    try:
        from moto.server import ThreadedMotoServer
    except ImportError as error:
        raise UserError(
            "S3 is tried on moto's server", remedy="pip install 'moto[s3,server]'"
        ) from error
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        url = f"http://{host}:{port}"
        upload(folder, bucket, url)
        yield url
    finally:
        server.stop()


def upload(folder: Path, bucket: str, url: str) -> None:
    """A new bucket on an S3 server, with the files that lie in a folder."""
    import boto3

    keys = {"aws_access_key_id": "anyone", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
    client.create_bucket(Bucket=bucket)
    for path in sorted(folder.iterdir()):
        client.upload_file(str(path), bucket, path.name)
    client.close()
