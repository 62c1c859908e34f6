"""An answer given before the request was read to its end: the client gets it all the same."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from img2img_apps.settings import MOST_UPLOAD_MB

MOST_DROPPED_BYTES = MOST_UPLOAD_MB * 1_000_000
MOST_DROPPING_S = 30.0


class DropUnread:
    """ASGI middleware before all others: reads and drops what still arrives of a body nobody wants.

    Closing a connection on which data is still arriving resets it, and a client that sends all
    before it reads (most do, browsers too) loses the answer. So the answer goes out at once and
    only its end waits: for the end of the body, or for the bounds, after which the connection is
    closed all the same. A client that waits for `100 Continue` has sent nothing yet.
    """

    def __init__(
        self,
        app: ASGIApp,
        most_bytes: int = MOST_DROPPED_BYTES,
        most_seconds: float = MOST_DROPPING_S,
    ) -> None:
        self.app, self.most_bytes, self.most_seconds = app, most_bytes, most_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one without a body as it is."""
        if scope["type"] != "http" or not _has_body(headers := Headers(scope=scope)):
            await self.app(scope, receive, send)
            return
        is_sent, is_read = headers.get("expect", "").lower() != "100-continue", False

        async def receiving() -> Message:
            nonlocal is_sent, is_read
            is_sent = True  # it is at the first read that the server says "100 Continue"
            message = await receive()
            is_read = is_read or not message.get("more_body", False)  # a disconnect is an end, too
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_read:
                MutableHeaders(scope=message)["Connection"] = "close"
            is_last = message["type"] == "http.response.body" and not message.get("more_body")
            if not is_last or is_read or not is_sent:
                await send(message)
                return
            await send({**message, "more_body": True})
            dropped = 0
            with suppress(TimeoutError):
                async with asyncio.timeout(self.most_seconds):
                    while not is_read and dropped <= self.most_bytes:
                        dropped += len((await receiving()).get("body", b""))
            await send({"type": "http.response.body"})

        await self.app(scope, receiving, sending)


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
