"""Serves the page behind its guard, and ends within a moment even in the middle of a job."""

from __future__ import annotations

import errno
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from gradio.routes import App
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Mount

from img2img.errors import UserError
from img2img.inference.request import Request as PhotoRequest
from img2img.version import __version__
from img2img_apps.answers import handlers
from img2img_apps.examples import Examples
from img2img_apps.guard import Guard, stay_local
from img2img_apps.offered_models import is_installed
from img2img_apps.page_load import Calm, CompressedPage, NoteRequests
from img2img_apps.request_limits import BodyLimit, EndOnDisconnect
from img2img_apps.service import Service, automatic_kinds
from img2img_apps.settings import MOST_UPLOAD_MB, Settings
from img2img_apps.stage_routes import stage_routes
from img2img_apps.theme import css, theme
from img2img_apps.unread_bodies import DropUnread

_GRACE_S = 0.3  # for answers on their way


def serve(demo: gr.Blocks, service: Service) -> None:
    """Answer until Ctrl-C or SIGTERM. Raises UserError when the port cannot be had. Never opens a
    tunnel.
    """
    stay_local()
    listening = _listening(service.settings)
    calm = Calm(service.jobs, time.monotonic())
    server = _Server(_app(demo, service, calm), service, calm, listening.getsockname()[1])
    with suppress(KeyboardInterrupt):  # uvicorn hands the signal on once it has ended
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ends jobs as soon as a signal ends the server."""

    def __init__(self, app: Any, service: Service, calm: Calm, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="critical",
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=_GRACE_S,  # type: ignore[arg-type]  # it waits for parts of a second, too
            )
        )
        self.service, self.calm, self.port = service, calm, port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Says where it is, once it answers."""
        await super().startup(sockets)
        settings = self.service.settings
        open_to_all = not (settings.on_loopback or settings.auth)
        warning = " (anyone who reaches this machine may use it: see --auth)" if open_to_all else ""
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        print(
            f"img2img {__version__}: http://{host}:{self.port}/{warning}\nCtrl-C stops it.",
            file=sys.stderr,
            flush=True,
        )
        self.service.workspace.keep_own_files()
        threading.Thread(target=_warm, args=(self.service, self.calm), daemon=True).start()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Jobs end first, so that their clients get an answer and the server does not wait."""
        threading.Thread(
            target=self.service.jobs.end, args=(0,), daemon=True
        ).start()  # a lock may be held here
        super().handle_exit(signal.SIGINT, frame)


def _app(demo: gr.Blocks, service: Service, calm: Calm) -> FastAPI:
    """The guard before every route; Gradio leaves other origins to the middleware that its parent
    has for them.
    """
    settings = service.settings
    origins = sorted(settings.known.origins)
    layers = [
        Middleware(DropUnread),
        Middleware(Guard, known=settings.known),
        Middleware(NoteRequests, calm=calm),
        Middleware(BodyLimit, workspace=service.workspace),
        Middleware(EndOnDisconnect, jobs=service.jobs),
        Middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_credentials=True,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        ),
        Middleware(CompressedPage, compresslevel=5),
    ]
    parent = FastAPI(
        middleware=layers,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers=handlers(),
    )
    gr.mount_gradio_app(
        parent,
        demo,
        path="/",
        server_name=settings.host,
        server_port=settings.port,
        auth=settings.auth,
        root_path=settings.root_path or None,
        footer_links=["api"],
        run_history=False,
        show_error=False,
        max_file_size=f"{MOST_UPLOAD_MB}mb",
        app_kwargs={"docs_url": None, "redoc_url": None, "exception_handlers": handlers()},
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=theme(),
        css=css(),
    )
    mounted = parent.routes.pop()  # which takes every address: ours come before it
    parent.include_router(stage_routes(service, _login_check(mounted)))
    parent.routes.append(mounted)
    demo.has_launched = True  # without it, Gradio takes any file of this machine for an upload
    return parent


def _login_check(mounted: BaseRoute) -> Callable[[Request], None]:
    """A dependency that refuses whoever has not logged in to Gradio, where that is asked for."""
    assert isinstance(mounted, Mount) and isinstance(mounted.app, App)
    gradio = mounted.app

    def check(request: Request) -> None:
        names = (f"access-token-{gradio.cookie_id}", f"access-token-unsecure-{gradio.cookie_id}")
        tokens = (request.cookies.get(name) for name in names)
        if gradio.auth is not None and not any(token in gradio.tokens for token in tokens):
            raise HTTPException(401, "log in first")

    return check


def _listening(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UserError(
                f"{settings.port} is taken on {settings.host}",
                field="port",
                remedy="choose another",
            ) from error
        if error.errno == errno.EACCES:
            raise UserError(
                f"{settings.port} needs more rights",
                field="port",
                remedy="choose one from 1024 up",
            ) from error
        raise UserError(
            f"{settings.host} is no address of this machine ({error.strerror})", field="host"
        ) from error


def _warm(service: Service, calm: Calm) -> None:
    """Load what the first click will need, one model at a time while nobody waits for the app, then
    read what lies in the folder of models.
    """
    turns = service.workers.count if service.workers else 1  # each worker has its own models
    with suppress(Exception):  # it is only for speed
        for example in Examples(service.workspace).of(("", "small.jpg")):
            for kind in filter(is_installed, automatic_kinds()):
                for _ in range(turns):
                    calm.wait()
                    service.run([example.path], PhotoRequest((kind,)))
    service.models.read_folder()
