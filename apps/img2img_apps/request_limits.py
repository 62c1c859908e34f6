"""How large a body and all uploads together may be; jobs end when their client disconnects."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from img2img_apps.guard import answer
from img2img_apps.jobs import Jobs
from img2img_apps.workspace import Workspace

MOST_CALL_BYTES = 4_000_000  # of a request that brings no files
_UPLOADS = ("/gradio_api/upload", "/gradio_api/component_server")
_CALL_STREAM = re.compile(r"/gradio_api/call/(?:v2/)?[^/]+/([^/]+)$")
_CANCELLED = re.compile(rb'"Cancelled via (?:[^"\\]|\\.)*"')


class BodyLimit:
    """ASGI middleware: refuses bodies that are too large for the room left, before they are read
    where their size is announced.
    """

    def __init__(self, app: ASGIApp, workspace: Workspace) -> None:
        self.app, self.workspace = app, workspace
        self.arriving = 0  # bytes of uploads on their way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, send)
            return
        announced = int(Headers(scope=scope).get("content-length") or 0)
        brings_files = scope["path"].rstrip("/").endswith(_UPLOADS)
        room = (
            self.workspace.room(announced + self.arriving) - self.arriving
            if brings_files
            else MOST_CALL_BYTES
        )
        if announced > room:
            await self._refusal(scope, brings_files)(scope, receive, send)
            return
        body = _Body(scope, receive, send, room, self._refusal(scope, brings_files))
        self.arriving += announced * brings_files
        try:
            await self.app(scope, body.receive, body.send)
        finally:
            self.arriving -= announced * brings_files

    def _refusal(self, scope: Scope, brings_files: bool) -> ASGIApp:
        if not brings_files:
            return answer(
                413,
                f"this call is larger than {MOST_CALL_BYTES // 1_000_000} MB: upload files first",
            )
        quota = f"{self.workspace.quota_bytes / 1e6:.0f} MB"
        words = (
            f"there is no room for this: uploads and results may take {quota} together "
            "(--quota-mb) and are deleted after an hour"
        )
        if "origin" in Headers(scope=scope):  # the page, which shows an answer's text as it is
            return PlainTextResponse(words, 507)
        return answer(507, words)


class _Body:
    """A body in chunks, whose size is not known beforehand: refused once it is too large."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, room: float, refusal: ASGIApp
    ) -> None:
        self.scope, self.receive_raw, self.send_raw, self.room, self.refusal = (
            scope,
            receive,
            send,
            room,
            refusal,
        )
        self.taken, self.began, self.refused = 0, False, False

    async def receive(self) -> Message:
        message = await self.receive_raw()
        self.taken += len(message.get("body", b""))
        if self.taken <= self.room or self.began:
            return message
        if not self.refused:
            self.refused = True
            await self.refusal(self.scope, self.receive_raw, self.send_raw)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.began = True
        if not self.refused:
            await self.send_raw(message)


class EndOnDisconnect:
    """ASGI middleware: jobs of a session end when the stream that waits for a result is cut."""

    def __init__(self, app: ASGIApp, jobs: Jobs) -> None:
        self.app, self.jobs = app, jobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and see how it ends."""
        session = _listener(scope) if scope["type"] == "http" else None
        if session is None:
            await self.app(scope, receive, send)
            return
        complete = gone = False

        async def receiving() -> Message:
            nonlocal gone
            message = await receive()
            gone = gone or (message["type"] == "http.disconnect" and not complete)
            return message

        async def sending(message: Message) -> None:
            nonlocal complete
            complete = complete or (
                message["type"] == "http.response.body" and not message.get("more_body")
            )
            if b"Cancelled via" in message.get(
                "body", b""
            ):  # Gradio's own words for a server that ends
                message = {
                    **message,
                    "body": _CANCELLED.sub(b'"the app has ended"', message["body"]),
                }
            await send(message)

        try:
            await self.app(scope, receiving, sending)
        finally:
            if gone or not complete:
                self.jobs.leave(session)


def _listener(scope: Scope) -> str | None:
    """The session that listens on a stream, None for every other request."""
    path = scope["path"]
    if path.endswith("/gradio_api/queue/data"):
        return (
            parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0] or None
        )
    found = _CALL_STREAM.search(path) if scope["method"] == "GET" else None
    return found[1] if found else None
