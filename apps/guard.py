"""What stands before Gradio: known hosts only, nothing fetched for clients, a page that loads nothing from outside."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import unquote

from fastapi.middleware import Middleware
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .settings import Settings

# Gradio's page is built of inline scripts and styles; everything else must come from this server.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_FETCHING = ("/file=http", "/proxy=", "/monitoring", "/vibe-edit", "/deep_link")


class Guard:
    """ASGI middleware: refuses routes by which the server would fetch for a client, and adds headers."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if any(part in unquote(scope["path"]).lower() for part in _FETCHING):
            await PlainTextResponse("not offered by this app", 404)(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        await self.app(scope, receive, with_headers)


def middleware(settings: Settings) -> list[Middleware]:
    """On loopback only local names are answered, so that no web page can reach the app through a name of its own."""
    known = ["localhost", "127.0.0.1", "[::1]", settings.host] if settings.on_loopback else ["*"]
    return [Middleware(TrustedHostMiddleware, allowed_hosts=known), Middleware(Guard)]


def stay_local() -> None:
    """Switch off what of Gradio would reach out, or gives up on a slow machine."""
    from gradio import networking, processing_utils
    from gradio.exceptions import Error

    async def refuse(*args: Any, **more: Any) -> Any:
        raise Error("Photos are uploaded to this app; addresses are not fetched.", print_exception=False)

    # A file parameter may name an address, which Gradio would fetch.
    for name in ("async_ssrf_protected_get", "async_ssrf_protected_download"):
        assert hasattr(processing_utils, name), f"Gradio has renamed {name}: find what fetches now"
        setattr(processing_utils, name, refuse)
    # Gradio asks its own page whether it is there, waits three seconds, and otherwise demands a public tunnel.
    networking.url_ok = lambda url: True
    # It must not ask through a proxy.
    known = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"{known},localhost,127.0.0.1,::1".strip(",")
