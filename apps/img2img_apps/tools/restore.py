"""Restore: what the photo needs, or the steps that are named."""

from __future__ import annotations

from dataclasses import replace

from img2img.inference.request import Request, parse_tasks
from img2img_apps.offered_models import is_installed, verb
from img2img_apps.service import Service, UploadInfo, automatic_kinds
from img2img_apps.tools.base import Given, Tool
from img2img_apps.tools.controls import MODEL, PHOTO, STRENGTH, Control


class RestoreTool(Tool):
    """Models that restore at the photo's own size are chosen here too, instead of the steps."""

    name, title, order = "restore", "Restore", 10
    lead = (
        "Drop in a photo. It says what it sees and proposes what to do; "
        "untick what you do not want."
    )
    description = (
        "What the photo needs; `task` is auto, or names such as denoise,colorize; strength 0..1; "
        "model: instead of the task, the name of one that restores at the photo's own size."
    )
    own_controls = (
        PHOTO,
        Control("task", "steps", "auto", help="Proposed for your photo", main=True),
        replace(STRENGTH, later=True),
        replace(MODEL, later=True, help="Instead of the steps"),
    )

    @property
    def model_kind(self) -> str:
        return "restoration"  # no plan proposes it

    def check_model(self, service: Service) -> None:
        """Without any it only saves anew."""

    def controls_for(
        self, service: Service, given: Given, info: UploadInfo | None = None
    ) -> tuple[Control, ...]:
        kinds = filter(is_installed, automatic_kinds())
        steps = tuple((kind, verb(kind)) for kind in kinds)
        return tuple(
            replace(one, choices=steps, enabled=not given["model"]) if one.name == "task" else one
            for one in super().controls_for(service, given, info)
        )

    def request(self, service: Service, given: Given) -> Request:
        if given["model"]:
            return super().request(service, given)
        return Request(parse_tasks(given["task"] or "auto"), options=self.options(given))


TOOL = RestoreTool()
