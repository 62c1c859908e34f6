"""What every tool says of itself, and how it answers a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from img2img.errors import Advice, Named, Option, UserError, rendered
from img2img.inference.canvas import Canvas, parse_extend
from img2img.inference.options import Options
from img2img.inference.outputs import Saving
from img2img.inference.request import Request
from img2img_apps.offered_models import first_choice, is_installed
from img2img_apps.service import WAYS, RunOutcome, Sent, Service, UploadInfo
from img2img_apps.tools.controls import FOR_ALL_PHOTOS, SAVING, Control
from img2img_apps.wording import in_api, on_page, plan_on_page

FileAndFacts = tuple[str, dict[str, Any]]
CALLS = "api"
"""The place of jobs that were started by a call, on no tab."""
Given = Mapping[str, Any]
"""The values of a call by the controls' names, all of them."""


class Tool:
    """A tool of the page, and the endpoint of its name. A photo's, unless a subclass answers by
    itself.
    """

    name: str
    """Of the endpoint, too."""
    title: str
    lead: str
    """What it is for, in a sentence or two."""
    description: str
    """What the API says of it: its parameters."""
    order: int
    kind: str | None = None
    """Its task; None: chosen by the photo, or none at all."""
    own_controls: tuple[Control, ...]
    """What it alone decides of the parameters of the endpoint, in their order, the photo among
    them."""
    needs: tuple[str, ...] = ()
    """Parameters of which one must say something: what is to be filled."""
    takes_photo: bool = True

    @property
    def controls(self) -> tuple[Control, ...]:
        """All parameters of the endpoint in their order."""
        return (*self.own_controls, *(FOR_ALL_PHOTOS if self.takes_photo else ()))

    # --- what it can do here

    @property
    def model_kind(self) -> str:
        """The task that models are offered for."""
        return self.kind or ""

    def check_model(self, service: Service) -> None:
        """Raise UserError where no model for it is there."""
        service.models.chosen("", self.model_kind)

    def missing(self, service: Service) -> str:
        """Why it cannot be used here, or nothing."""
        try:
            self.check_model(service)
        except UserError as error:
            return error.phrase
        return ""

    def controls_for(
        self, service: Service, given: Given, info: UploadInfo | None = None
    ) -> tuple[Control, ...]:
        """Its controls, the photo's apart, as they are with these values, for this photo where
        there is one.
        """
        names = service.models.of_task(self.model_kind)
        first = [""] if is_installed(self.model_kind) or not names else []
        models = tuple((name, name or first_choice(self.model_kind)) for name in [*first, *names])
        return tuple(
            replace(one, choices=models) if one.kind == "model" else one
            for one in self.controls
            if one.name != "photo" and one not in SAVING
        )

    # --- what it does

    def request(self, service: Service, given: Given) -> Request:
        """What is asked of the library. Raises UserError."""
        return service.request(
            self.model_kind, given.get("model"), self.options(given), self.canvas(given)
        )

    def options(self, given: Given) -> Options:
        """The options of its request."""
        strength, way = given.get("strength"), given.get("direction")
        return Options(
            strength=1.0 if strength is None else strength,
            seed=int(given.get("seed") or 0),
            from_photo=bool(given.get("from_photo")),
            direction=WAYS[way or ""],
        )

    def canvas(self, given: Given) -> Canvas:
        """The canvas of its request."""
        grow, feather = (int(given.get(name) or 0) for name in ("mask_grow", "feather"))
        return Canvas(grow, feather, parse_extend(given.get("extend") or "0,0,0,0"))

    def answer(self, service: Service, given: Given, session: str) -> FileAndFacts:
        """A call's result. Raises UserError and Stopped."""
        if not given["photo"]:
            raise UserError("give an uploaded photo", field="photo")
        uploads = {one.name: given[one.name] for one in self.controls if one.kind == "file"}
        files = {name: Path(upload) for name, upload in uploads.items() if upload}
        for path in files.values():
            service.check_upload(path)
        self._check_needs(given)
        photo = files.pop("photo")
        sent = Sent(files, _saving(given))
        request = self.request(service, given)
        with service.feeds.of_job(session) as feed:
            outcome = service.run(
                *([photo], request, sent),
                user=session,
                tab=CALLS,
                feed=feed,
            )
        return _facts(outcome)

    def look(self, service: Service, info: UploadInfo, given: Given) -> dict[str, Any]:
        """What it would do to a photo with these values, as plain data; without a mask, as if
        there were one.
        """
        controls = self.controls_for(service, given, info)
        found: dict[str, Any] = {
            "does": "",
            "also": [],
            "steps": [],
            "size_out": None,
            "ready": False,
            "error": None,
            "controls": [control.fields() for control in controls],
        }
        try:
            found["ready"] = self._is_ready(given)
            plan, size = service.outlook(
                info,
                self.request(service, given),
                masked=bool(given.get("mask")) or not found["ready"],
                hinted=bool(given.get("hints")),
            )
        except UserError as error:
            return found | {"error": rendered(error.phrase, on_page)}
        does, *also = (_as_sentence(rendered(text, on_page)) for text in plan_on_page(plan))
        steps = [
            {name: rendered(v, on_page) if isinstance(v, str) else v for name, v in one.items()}
            for one in (step.fields() for step in plan.steps)
        ]
        return found | {"does": does, "also": also, "steps": steps, "size_out": size}

    def _is_ready(self, given: Given) -> bool:
        """Whether something says what is to be filled, where that is needed."""
        return not self.needs or bool(given.get("mask")) or self.canvas(given).extends

    def _check_needs(self, given: Given) -> None:
        if self._is_ready(given):
            return
        ways: list[str | Named] = []
        for name in self.needs:
            ways += [", or "] * bool(ways)
            is_mask = name == "mask"
            ways += (
                ["a ", Option(name), ", white over what should go"] if is_mask else [Option(name)]
            )
        raise UserError("nothing is marked", remedy=Advice("give ", *ways))

    # --- as data

    def fields(self, service: Service) -> dict[str, Any]:
        """What a page is told, to build it."""
        missing = self.missing(service)
        controls = self.controls_for(service, self.given({}))
        named = {name: getattr(self, name) for name in ("name", "title", "lead", "kind", "needs")}
        return named | {
            "takes_photo": self.takes_photo,
            "available": not missing,
            "missing": rendered(missing, on_page) or None,
            "controls": [control.fields() for control in controls],
        }

    def given(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """All values: these, and the defaults of the rest."""
        return {one.name: one.default for one in self.controls} | dict(values)


def _saving(given: Given) -> Saving:
    quality = given["quality"]
    return Saving(given["format"] or None, quality and int(quality), given["metadata"] is not False)


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _facts(outcome: RunOutcome) -> FileAndFacts:
    result = outcome.succeeded[0]
    facts = result.fields() | {"reason": rendered(result.reason or "", in_api)}
    names = ("task", "model", "size_in", "size_out", "seconds", "reason")
    return str(outcome.download), {name: facts[name] for name in names}
