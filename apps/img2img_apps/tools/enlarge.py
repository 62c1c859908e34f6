"""Enlarge: any times as large, or of a size in px."""

from __future__ import annotations

from dataclasses import replace

from img2img.errors import UserError
from img2img.inference.output_size import OutputSize
from img2img.inference.request import Request
from img2img_apps.offered_models import has_crisp
from img2img_apps.service import Service, UploadInfo
from img2img_apps.tools.base import Given, Tool
from img2img_apps.tools.controls import MODEL, PHOTO, STRENGTH, Control

_SIDES = ("longer_side", "width", "height")


class EnlargeTool(Tool):
    """A model's own scale is the one that counts, and it has no crisper half."""

    name, title, order, kind = "enlarge", "Enlarge", 50, "super-resolve"
    lead = (
        "Makes a photo two, four or any times as large, of a size in pixels, or as large as a "
        "model of your choice does. Shrunk again, the result of ours is your photo."
    )
    description = (
        "The photo `scale` times as large (2, 3.5, … up to 16; up to 1 it is reduced); strength "
        "0..1; detail 0..1 or nothing: from faithful to crisp, ×4; model: a name, whose own scale "
        "then counts, or nothing. longer_side, width or height (both: exactly that size) in px, or "
        "nothing: instead of any scale."
    )
    own_controls = (
        PHOTO,
        Control("scale", "number", 2, help="2, 4, or any times such as 3.5", main=True),
        replace(STRENGTH, help="0 is plain enlargement"),
        Control(
            "detail", "number", None, 0, 1, main=True, help="0 is faithful, 1 invents fine texture"
        ),
        replace(MODEL, later=True),
        *(
            Control(side, "whole", None, 1, unit="px", help="Instead of a scale", later=True)
            for side in _SIDES
        ),
    )

    def controls_for(
        self, service: Service, given: Given, info: UploadInfo | None = None
    ) -> tuple[Control, ...]:
        scale, sized = given["scale"], any(given[side] for side in _SIDES)
        whole = not sized and scale is not None and float(scale).is_integer()
        crisp = whole and not given["model"] and has_crisp(self.model_kind, int(scale))
        enabled = {"scale": not (given["model"] or sized), "detail": crisp}
        return tuple(
            replace(one, enabled=enabled.get(one.name, True))
            for one in super().controls_for(service, given, info)
        )

    def request(self, service: Service, given: Given) -> Request:
        detail, scale = given["detail"], given["scale"]
        size = OutputSize(None, *(given[side] for side in _SIDES))
        if given["model"]:
            return replace(super().request(service, given), detail=detail, size=size)
        if size == OutputSize():
            if scale is None:
                raise UserError("give a number", field="scale")
            size = OutputSize(scale)
        return Request((self.model_kind,), detail=detail, options=self.options(given), size=size)


TOOL = EnlargeTool()
