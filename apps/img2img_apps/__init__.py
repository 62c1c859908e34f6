"""The app: upload a photo, see the difference, keep the file. `launch` is what `img2img app` runs.

Gradio is imported late, because its temporary folder is settled by the environment at import.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import TYPE_CHECKING

from img2img.interrupts import heed_interrupts
from img2img_apps.settings import Settings, parse_auth
from img2img_apps.workspace import Workspace

if TYPE_CHECKING:
    import gradio as gr

    from img2img_apps.service import Service

LAST_TILE_S = 0.3
__all__ = ["Settings", "build", "launch", "parse_auth"]


def build(settings: Settings, workspace: Workspace) -> tuple[gr.Blocks, Service]:
    """The page with its endpoints, and what stands behind it."""
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.root)
    from img2img_apps.tabbed_page import page, service_of

    service = service_of(settings, workspace)
    return page(service), service


def launch(settings: Settings) -> None:
    """Serve until Ctrl-C; the temporary folder is deleted at the end. Raises UserError when the
    port is taken.
    """
    heed_interrupts()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill tidies up too
    workspace = Workspace(quota_bytes=settings.quota_mb * 1e6)
    try:
        demo, service = build(settings, workspace)
        from img2img_apps.server import serve

        serve(demo, service)
        is_busy = not service.jobs.end(LAST_TILE_S) or service.models.reader.is_reading
        if service.workers:
            service.workers.close()
        if is_busy:
            _leave()
    finally:
        workspace.close()


def _leave() -> None:
    """End although a tile is being worked on or a model file read: waiting for it takes long, and
    not waiting aborts the interpreter.
    """
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(0)
