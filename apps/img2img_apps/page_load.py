"""How the page arrives: compressed, and before any work that is only done ahead."""

from __future__ import annotations

import time

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from img2img_apps.jobs import Jobs

_UNVISITED_S = 5.0  # a page that is opened at once is not to share the processor
_SETTLED_S = 1.5  # since the last request: the page's scripts are loaded and at work


class CompressedPage(GZipMiddleware):
    """ASGI middleware: the page itself is sent compressed. Gradio compresses its scripts, and
    photos are compressed already.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and compress its answer where it is the page."""
        is_page = scope["type"] == "http" and scope["path"].endswith("/")
        await (super().__call__ if is_page else self.app)(scope, receive, send)


class Calm:
    """When nobody waits for the app: the page has been loaded, or nobody has opened it, and no job
    runs.
    """

    def __init__(self, jobs: Jobs, started: float) -> None:
        self.jobs, self.since, self.is_visited = jobs, started, False

    def requested(self, now: float) -> None:
        """Something is asked of the app, or has just been answered."""
        self.since, self.is_visited = now, True

    def holds(self, now: float) -> bool:
        """Whether it is calm now, at seconds of `time.monotonic`."""
        lasting_s = _SETTLED_S if self.is_visited else _UNVISITED_S
        return not self.jobs.any_running and now - self.since >= lasting_s

    def wait(self) -> None:
        """Return as soon as it is calm."""
        while not self.holds(time.monotonic()):
            time.sleep(0.1)


class NoteRequests:
    """ASGI middleware: tells `Calm` of every request, as it comes and as it has been answered."""

    def __init__(self, app: ASGIApp, calm: Calm) -> None:
        self.app, self.calm = app, calm

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.calm.requested(time.monotonic())
        try:
            await self.app(scope, receive, send)
        finally:
            self.calm.requested(time.monotonic())
