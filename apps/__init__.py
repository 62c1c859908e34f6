"""The app: upload a photo, see the difference, keep the file. `launch` is what `img2img app` runs.

Gradio is imported late, because its temporary folder is settled by the environment at import.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from .settings import Settings, parse_auth
from .workspace import Workspace

if TYPE_CHECKING:
    import gradio as gr

    from .service import Service

__all__ = ["Settings", "build", "launch", "parse_auth"]


def build(settings: Settings, workspace: Workspace) -> tuple[gr.Blocks, Service]:
    """The page with its endpoints, and what stands behind it."""
    os.environ["GRADIO_TEMP_DIR"] = str(workspace.root)
    from .page import page, service_of

    service = service_of(settings, workspace)
    return page(service), service


def launch(settings: Settings) -> None:
    """Serve until Ctrl-C; the temporary folder is deleted at the end. Raises UserError when the port is taken."""
    from img2img.errors import UserError

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill tidies up as Ctrl-C does
    workspace = Workspace()
    try:
        demo, service = build(settings, workspace)
        from .page import serve

        serve(demo, service)
        demo.block_thread()
    except OSError as error:
        raise UserError(f"--port: {settings.port} is taken on {settings.host}: choose another") from error
    finally:
        workspace.close()
