"""A client of the HTTP API in a few lines of the standard library, for tests and measurements."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

SECONDS = 1800


def uploaded(url: str, path: Path, name: str | None = None) -> dict[str, Any]:
    """Upload a file and return the value of a file parameter."""
    disposition = f'form-data; name="files"; filename="{name or path.name}"'
    head = f"--xxx\r\nContent-Disposition: {disposition}\r\n\r\n"
    body = head.encode() + path.read_bytes() + b"\r\n--xxx--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=xxx"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{url}gradio_api/upload", body, headers)
    ) as answer:
        return {"path": json.load(answer)[0], "meta": {"_type": "gradio.FileData"}}


def answered(url: str, name: str, data: list[Any]) -> str:
    """The whole stream an endpoint answers with."""
    place, headers = f"{url}gradio_api/call/{name}", {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(place, json.dumps({"data": data}).encode(), headers)
    ) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{place}/{event}", timeout=SECONDS) as answer:
        return str(answer.read().decode())


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
