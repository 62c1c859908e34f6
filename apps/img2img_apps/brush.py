"""What was brushed on the page: a mask at the photo's size, a sketch, or colors; the editor's
picture is unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio import component_meta
from gradio.components.image_editor import EditorData
from PIL import Image

from img2img.errors import UserError
from img2img.pixels.codecs import strict_pillow
from img2img.pixels.hints import Hints
from img2img.pixels.images import from_array, read_mask, write_photo
from img2img_apps.previews import preview_of
from img2img_apps.service import Service, UploadInfo

MOST_PX = 4096  # of a layer: the canvas shows a preview, which is smaller
_CANVAS_PX = 1024


# Gradio writes a stub file beside the module of every subclass, even in an installed package.
component_meta.create_or_modify_pyi = lambda *_: None


class LayersEditor(gr.ImageEditor):
    """Gradio's editor, handing on its layers as they were sent, unopened; its background and
    composite are ignored.
    """

    def preprocess(self, payload: EditorData | None) -> list[bytes]:  # type: ignore[override]  # files, not the arrays of Gradio's own
        """Encoded layers; one drawn on nothing is left out."""
        if payload is None:
            return []
        sent = payload if payload.id is None else self.blob_storage.pop(payload.id, None)
        layers = [] if sent is None else list(sent.layers)
        return [_content(layer) for layer in layers if layer is not None]

    def get_block_name(self) -> str:
        """The page's part for it is Gradio's own."""
        return "imageeditor"


def on_canvas(
    service: Service, seen: UploadInfo | None, strokes: Sequence[str] = ()
) -> dict[str, Any] | None:
    """The editor's value for a photo, with nothing brushed on it but these files of earlier
    strokes.
    """
    if seen is None:
        return None
    shown = preview_of(seen.preview, service.workspace.new_folder(), _CANVAS_PX)
    return {"background": str(shown), "layers": list(strokes), "composite": None}


def brushed(layers: Iterable[bytes]) -> np.ndarray | None:
    """(H,W) bool: where any layer was painted; None when none was. Raises UserError for what is no
    layer.
    """
    painted: np.ndarray | None = None
    for layer in layers:
        alpha = _alpha(layer) > 0
        if painted is not None and painted.shape != alpha.shape:
            raise UserError("the layers of the drawing differ in size: clear it and brush again")
        painted = alpha if painted is None else painted | alpha
    return painted if painted is not None and painted.any() else None


def mask_file(
    layers: Iterable[bytes], upload: Path | None, size: tuple[int, int], path: Path, *, invert: bool
) -> Path | None:
    """Brushed and uploaded mask joined, at the photo's (width, height), white = fill; None when
    both are empty.
    """
    mask = np.zeros((size[1], size[0]), bool) if upload is None else read_mask(upload, size)
    drawn = brushed(layers)
    if drawn is not None:
        mask = mask | np.asarray(Image.fromarray(drawn).resize(size, Image.Resampling.NEAREST))
    if drawn is None and upload is None:
        return None
    write_photo(path, from_array(~mask if invert else mask))
    return path


def sketch_file(layers: Iterable[bytes], path: Path) -> Path | None:
    """Black lines on white, as soft as they were drawn; None when nothing was."""
    sent = list(layers)
    if brushed(sent) is None:
        return None
    cover = np.max([_alpha(layer) for layer in sent], axis=0)
    write_photo(path, from_array(255 - cover))
    return path


def painted_colors(layers: Iterable[bytes]) -> Hints | None:
    """Brushed colors, the upper layer's where several cover a place; None when nothing was brushed."""
    sent = list(layers)
    if brushed(sent) is None:
        return None
    colors = _rgba(sent[0])
    for layer in sent[1:]:
        above = _rgba(layer)
        colors = np.where(above[..., 3:] > 0, above, colors)
    return Hints(colors[..., :3], colors[..., 3] > 127)  # what is fainter has no sure color


def _content(layer: object) -> bytes:
    """The browser sends blobs; a client of the API names uploaded files."""
    if isinstance(layer, bytes | bytearray | memoryview):
        return bytes(layer)
    return Path(layer.path).read_bytes()  # type: ignore[attr-defined]  # Gradio has checked that it was uploaded


def _alpha(layer: bytes) -> np.ndarray:
    return _rgba(layer)[..., 3]


def _rgba(layer: bytes) -> np.ndarray:
    from io import BytesIO

    try:
        with strict_pillow(), Image.open(BytesIO(layer), formats=("PNG", "WEBP")) as picture:
            if max(picture.size) > MOST_PX:
                raise UserError(
                    f"the drawing is larger than {MOST_PX} px: clear it and brush again"
                )
            return np.asarray(picture.convert("RGBA"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError("the drawing could not be read: clear it and brush again") from error
