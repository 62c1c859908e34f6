"""The guard before Gradio: known hosts and origins only, and nothing is fetched for clients."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from img2img_apps.origins import KnownOrigins

log = logging.getLogger("img2img")

# Gradio's page is built of inline scripts and styles; everything else must come from this server.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FETCHING = ("/file=http", "/proxy=", "/monitoring", "/vibe-", "/deep_link")


class Guard:
    """ASGI middleware before every route: refuses unknown hosts, other pages, and fetching."""

    def __init__(self, app: ASGIApp, known: KnownOrigins) -> None:
        self.app, self.known = app, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = _why_not(self.known, scope)
        if refusal is None:
            await self._pass(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
        else:
            status, words = refusal
            await answer(status, words)(scope, receive, _with_headers(send))

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def noted(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, _with_headers(noted))
        except (
            Exception
        ) as error:  # the answer, if any, is given already: what is left is not for the terminal
            log.debug("%s", scope["path"], exc_info=error)
            if not began and scope["type"] == "http":
                await answer(500, f"that failed on our side ({type(error).__name__})")(
                    scope, receive, send
                )


def answer(status: int, words: str) -> JSONResponse:
    """A refusal in words."""
    return JSONResponse({"error": words, "detail": words}, status)


def _why_not(known: KnownOrigins, scope: Scope) -> tuple[int, str] | None:
    """Status and words, where a request is refused."""
    headers = Headers(scope=scope)
    host, origin = headers.get("host"), headers.get("origin")
    if not known.host(host):
        return (
            403,
            f"this app does not answer to the host {_short(host)}: "
            f"start it with --allow-host {_short(host)}",
        )
    if origin == "null":
        return 403, "pages without an address of their own (Origin: null) may not call this app"
    if not known.origin(origin, host):
        return (
            403,
            f"pages of {_short(origin)} may not call this app: "
            f"start it with --allow-origin {_short(origin)}",
        )
    if origin is None and _from_another_page(headers, scope):
        return 403, "another page may not use this app: see --allow-origin"
    if any(part in unquote(scope["path"]).lower() for part in _FETCHING):
        return 404, "not offered by this app"
    return None


def _from_another_page(headers: Headers, scope: Scope) -> bool:
    """Whether a browser says that another page has asked, other than by a link to this app."""
    if headers.get("sec-fetch-site") not in ("cross-site", "same-site"):
        return False
    return not (
        headers.get("sec-fetch-mode") == "navigate" and scope.get("method") in ("GET", "HEAD")
    )


def _short(text: str | None) -> str:
    return "".join(c for c in (text or "")[:100] if c.isprintable())


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


def stay_local() -> None:
    """Switch off what of Gradio would reach out."""
    from gradio import processing_utils
    from gradio.exceptions import Error

    async def refuse(*args: Any, **more: Any) -> Any:
        raise Error(
            "Photos are uploaded to this app; addresses are not fetched.", print_exception=False
        )

    # A file parameter may name an address, which Gradio would fetch.
    for name in ("async_ssrf_protected_get", "async_ssrf_protected_download"):
        assert hasattr(processing_utils, name), f"Gradio has renamed {name}: find what fetches now"
        setattr(processing_utils, name, refuse)
