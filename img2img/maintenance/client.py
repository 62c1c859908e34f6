"""A client of the HTTP API in a few lines of the standard library, for tests and measurements."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 1800
_FORM = {"Content-Type": "multipart/form-data; boundary=xxx"}
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class User:
    """One of several clients of an app, told apart as a proxy on its machine tells them."""

    url: str
    address: str = "127.0.0.1"

    def uploads(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """Upload a file and return the value of a file parameter. Raises HTTPError."""
        disposition = f'form-data; name="files"; filename="{name or path.name}"'
        head = f"--xxx\r\nContent-Disposition: {disposition}\r\n\r\n"
        body = head.encode() + path.read_bytes() + b"\r\n--xxx--\r\n"
        request = urllib.request.Request(f"{self.url}gradio_api/upload", body, _FORM)
        with self._opened(request) as answer:
            return {"path": json.load(answer)[0], "meta": {"_type": "gradio.FileData"}}

    def asks(self, name: str, data: list[Any]) -> str:
        """Begin a call; the number under which its answer is to be had. Raises HTTPError."""
        body, place = json.dumps({"data": data}).encode(), f"{self.url}gradio_api/call/{name}"
        with self._opened(urllib.request.Request(place, body, _JSON)) as answer:
            return str(json.load(answer)["event_id"])

    def answer(self, name: str, event: str) -> str:
        """The whole stream that the call is answered with."""
        with self.stream(name, event) as answer:
            return str(answer.read().decode())

    def stream(self, name: str, event: str) -> Any:
        """The stream as it comes; closing it ends the call."""
        return self._opened(urllib.request.Request(f"{self.url}gradio_api/call/{name}/{event}"))

    def _opened(self, request: urllib.request.Request) -> Any:
        request.add_header("X-Forwarded-For", self.address)
        return urllib.request.urlopen(request, timeout=SECONDS)


def uploaded(url: str, path: Path, name: str | None = None) -> dict[str, Any]:
    """Upload a file and return the value of a file parameter."""
    return User(url).uploads(path, name)


def answered(url: str, name: str, data: list[Any]) -> str:
    """The whole stream an endpoint answers with."""
    user = User(url)
    return user.answer(name, user.asks(name, data))


def called(url: str, name: str, *values: Any) -> tuple[str, bytes, dict[str, Any]]:
    """Name, content and facts of what an endpoint makes of values; paths are uploaded. Raises
    RuntimeError.
    """
    stream = answered(url, name, [uploaded(url, v) if isinstance(v, Path) else v for v in values])
    if "event: complete" not in stream:
        raise RuntimeError(stream)
    result, facts = json.loads(stream.partition("event: complete\ndata: ")[2].splitlines()[0])
    with urllib.request.urlopen(f"{url}gradio_api/file={result['path']}") as answer:
        return Path(result["path"]).name, answer.read(), facts
