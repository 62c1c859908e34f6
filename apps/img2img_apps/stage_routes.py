"""What the page asks of the app besides the API's endpoints, as plain addresses: which tools there
are, what one would do to a photo, parts of a photo at a zoom, how far a call is, and results in a
zip.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field

from img2img.errors import UserError
from img2img.inference.outputs import writable_formats
from img2img.version import __version__
from img2img_apps.checks import check_value
from img2img_apps.regions import Box, PhotoTiles, TileFormat
from img2img_apps.service import Service, zipped_files
from img2img_apps.settings import MOST_PHOTOS, MOST_UPLOAD_MB
from img2img_apps.tools import all_tools
from img2img_apps.wording import echo

PREFIX = "/img2img"
MOST_FILES = 500  # in a zip
_LOOKS = 2  # at once; the others wait
_CACHED = "private, max-age=3600, immutable"  # a path of the workspace is of one content


class LookRequest(BaseModel):
    """A photo, a tool, and values of its parameters."""

    file: str
    tool: str
    values: dict[str, Any] = {}


class ZipRequest(BaseModel):
    """Files of the workspace, by their paths."""

    files: list[str] = Field(min_length=1, max_length=MOST_FILES)


def stage_routes(service: Service, login_check: Callable[[Request], None]) -> APIRouter:
    """The routes, for those who are logged in where that is asked for."""
    router = APIRouter(prefix=PREFIX, dependencies=[Depends(login_check)])
    looks, regions = threading.Semaphore(_LOOKS), PhotoTiles()

    @router.get("/tools")
    def tools() -> dict[str, Any]:
        limits = {
            "megapixels": service.settings.max_megapixels,
            "photos": MOST_PHOTOS,
            "upload_mb": MOST_UPLOAD_MB,
        }
        return {
            "version": __version__,
            "limits": limits,
            "formats": writable_formats(),
            "tools": [tool.fields(service) for tool in all_tools(service).values()],
        }

    @router.post("/look")
    def look(wanted: LookRequest) -> dict[str, Any]:
        with looks:
            return looked(service, wanted)

    @router.get("/region")
    def region(
        file: str,
        box: str = "",
        scale: float = 1,
        format: TileFormat = "jpeg",
        if_none_match: Annotated[str, Header()] = "",
    ) -> Response:
        path = Path(file)
        service.check_upload(path)
        named = (file, path.stat().st_mtime_ns, box, scale, format)
        tag = f'"{hashlib.sha256(repr(named).encode()).hexdigest()[:32]}"'
        headers = {"ETag": tag, "Cache-Control": _CACHED}
        if tag in if_none_match:
            return Response(status_code=304, headers=headers)
        tile = regions.tile(path, _box(box), scale, format)
        return Response(tile, media_type=f"image/{format}", headers=headers)

    @router.post("/zip")
    def zip_(wanted: ZipRequest) -> dict[str, str]:
        paths = [Path(file) for file in wanted.files]
        for path in paths:
            service.check_upload(path)
        target = service.workspace.new_folder() / "img2img.zip"
        return {"path": str(zipped_files(paths, target))}

    @router.get("/progress/{event}")
    def progress(event: str) -> StreamingResponse:
        stream = service.feeds.stream(event, service.feeds.follow(event))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    return router


def looked(service: Service, wanted: LookRequest) -> dict[str, Any]:
    """What is seen in a photo, and what a tool would do to it. Raises UserError."""
    tool = all_tools(service).get(wanted.tool)
    if tool is None or not tool.takes_photo:
        raise UserError(f"{echo(wanted.tool)} is no tool for photos", field="tool")
    info = service.inspect(Path(wanted.file))
    known = {control.name: control for control in tool.controls}
    given = {}
    for name, value in wanted.values.items():
        if name not in known:
            raise UserError(f"{tool.title} has no {echo(name)}", field="values")
        is_path = known[name].kind == "file" and isinstance(value, str)
        value = {"path": value} if is_path and value else value
        check_value(known[name], value)
        given[name] = value["path"] if isinstance(value, dict) else value
    seen = {
        "name": info.path.name,
        "size": info.size,
        "format": info.format,
        "bits": info.bits,
        "grey": info.statistics.tints == 0,
        "alpha": info.has_alpha,
        "preview": str(info.preview),
        "sees": f"{info.sees}.",
        "findings": info.words,
        "notes": info.notes,
    }
    return seen | tool.look(service, info, tool.given(given))


def _box(text: str) -> Box | None:
    """`x,y,w,h` in px; None for no text. Raises UserError."""
    if not text:
        return None
    try:
        left, top, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise UserError(
            f"{echo(text)} is not x,y,w,h", field="box", remedy="give four whole pixel counts"
        ) from None
    return left, top, width, height
