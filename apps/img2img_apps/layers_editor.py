"""The editor that masks, sketches and colors are brushed in: its layers as they were sent."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import component_meta
from gradio.components.image_editor import EditorData

from img2img.inference.previews import smaller_preview
from img2img_apps.service import Service, UploadInfo

_CANVAS_PX = 1024


# Gradio writes a stub file next to the module of every subclass, even in an installed package.
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
    service: Service, info: UploadInfo | None, strokes: Sequence[str] = ()
) -> dict[str, Any] | None:
    """The editor's value for a photo, with nothing brushed on it but these files of earlier
    strokes.
    """
    if info is None:
        return None
    shown = smaller_preview(info.preview, service.workspace.new_folder(), _CANVAS_PX)
    return {"background": str(shown), "layers": list(strokes), "composite": None}


def _content(layer: object) -> bytes:
    """The browser sends blobs; a client of the API names uploaded files."""
    if isinstance(layer, bytes | bytearray | memoryview):
        return bytes(layer)
    return Path(layer.path).read_bytes()  # type: ignore[attr-defined]  # Gradio has checked that it was uploaded
