"""Generate: pictures from noise."""

from __future__ import annotations

from dataclasses import replace

from img2img.inference.sampling import GenerateRequest
from img2img_apps.model_facts import GENERATE
from img2img_apps.noise_pictures import MOST_SAMPLES, class_names, generate_grid, header_of
from img2img_apps.service import Service, UploadInfo
from img2img_apps.tools.base import CALLS, FileAndFacts, Given, Tool
from img2img_apps.tools.controls import MODEL, SEED, Control


class GenerateTool(Tool):
    """Takes no photo."""

    name, title, order, takes_photo = "generate", "Generate", 90, False
    lead = (
        "Makes up pictures that never were, from noise: "
        "the same seed always gives the same picture."
    )
    description = (
        "A grid of pictures from noise, of `count` seeds from `seed` on, or with to_seed a walk "
        "from one to the other. label: a class by number or name, or nothing for all in turn; "
        "model: a name, or nothing for the first."
    )
    own_controls = (
        Control("label", "text", "", help="One of the model's classes; nothing: all in turn"),
        replace(SEED, main=True, help="The same seed gives the same picture"),
        Control("count", "range", 64, 1, MOST_SAMPLES, 1, main=True),
        replace(SEED, name="to_seed", default=None, help="A walk to this one"),
        replace(MODEL, main=True),
    )

    @property
    def model_kind(self) -> str:
        return GENERATE

    def check_model(self, service: Service) -> None:
        service.models.noise_model("")

    def controls_for(
        self, service: Service, given: Given, info: UploadInfo | None = None
    ) -> tuple[Control, ...]:
        classes = class_names(header_of(service, given["model"] or "", None))
        labels = (("", "All"), *((name, name) for name in classes)) if classes else ()
        return tuple(
            replace(one, choices=labels, enabled=bool(classes)) if one.name == "label" else one
            for one in super().controls_for(service, given, info)
        )

    def answer(self, service: Service, given: Given, session: str) -> FileAndFacts:
        seed, to_seed, label = int(given["seed"] or 0), given["to_seed"], given["label"] or None
        ends = None if to_seed is None else (seed, int(to_seed))
        wanted = GenerateRequest(int(given["count"]), 0 if ends else seed, label, ends)
        with service.feeds.of_job(session) as feed:
            grid = generate_grid(
                service, given["model"] or "", wanted, session, feed.sample, tab=CALLS
            )
        facts = {"model": grid.model, "made": grid.names, "seconds": round(grid.seconds, 3)}
        return str(grid.grid), facts


TOOL = GenerateTool()
