"""Train: choose a recipe and a folder, start, watch, stop, resume, use the result. Only where the
app is local.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from img2img.diagnostics.drawing import drawn
from img2img.errors import UserError
from img2img_apps.labels import LABELS, RECIPE_LABELS
from img2img_apps.panel import PRIVATE, bad, status
from img2img_apps.service import Service, escaped
from img2img_apps.tabs.models_tab import refreshed
from img2img_apps.tabs.parts import columns, lead, plain_examples
from img2img_apps.train_runs import DEMONSTRATION, RunStatus, TrainRuns

_IDLE = (
    '<p class="quiet">Choose a recipe and photos, then press Start. '
    "Recipes that end in “tiny” take about a minute.</p>"
)
_DOCTOR = (
    '<p class="quiet">While a training runs, '
    "the doctor says here how it goes and what would help.</p>"
)
_NO_LOSSES = '<p class="quiet">Losses are drawn here while a training runs.</p>'
_EXAMPLES = (
    ("Denoise", "denoise_tiny"),
    ("Color from grey", "translate_tiny"),
    ("Ring of points", "ring"),
)
_QUICK: dict[str, Any] = {**PRIVATE, "queue": False, "show_progress": "hidden"}


def build(
    demo: gr.Blocks, service: Service, trainings: TrainRuns, dropdowns: dict[str, gr.Dropdown]
) -> None:
    """Lay the tab out."""
    lead(
        "Teaches a model from a folder of photos, on this machine. "
        "Everything is kept in the folder runs."
    )
    with columns() as (left, right):
        with left:
            choices = _choices(trainings)
            examples = _examples(trainings)
            with gr.Row():
                start = gr.Button("Start", variant="primary", elem_id="train-start", min_width=90)
                resume = gr.Button(LABELS["resume"], elem_id="train-resume", min_width=90)
                stop = gr.Button("Stop", elem_id="train-stop", min_width=90)
            use = gr.Button("Use this model now", interactive=False, elem_id="train-use")
            doctor = status(_DOCTOR, "train-doctor")
        with right:
            message_line = status(_IDLE, "train-status")
            curves = gr.HTML(
                _NO_LOSSES,
                elem_id="train-curves",
                elem_classes=["status", "curves"],
                container=False,
                padding=False,
            )
            sample = gr.Image(
                label="Samples as of the last validation",
                interactive=False,
                height=360,
                elem_id="train-samples",
                buttons=["fullscreen"],
            )
    timer = gr.Timer(2, active=False)
    used = gr.State("")  # what became of “Use this model now”: it stays until the next training
    outputs = [message_line, doctor, curves, sample, use, timer, used]

    def begin(resumed: bool) -> Any:
        def press(*values: Any) -> list[Any]:
            try:
                trainings.start(
                    values[0], values[1] or "", int(values[2] or 0), values[3] or "", resume=resumed
                )
            except UserError as error:
                return [bad(error.phrase), *(gr.skip() for _ in outputs[1:])]
            return [*_updates(trainings.status()), ""]

        return press

    start.click(begin(False), choices, outputs, **_QUICK)
    resume.click(begin(True), choices, outputs, **_QUICK)
    for button, recipe in examples:
        chosen = button.click(
            lambda recipe=recipe: [recipe, DEMONSTRATION, 0, trainings.free_name(recipe)],
            None,
            choices,
            **_QUICK,
        )
        chosen.then(begin(False), choices, outputs, **_QUICK)
    stop.click(trainings.stop, None, None, **_QUICK)
    for event in (timer.tick, demo.load):
        event(lambda note: [*_updates(trainings.status(), note), note], [used], outputs, **_QUICK)

    def adopt(request: gr.Request) -> list[Any]:
        run, user = trainings.status(), f"{request.session_hash}"
        if run is None or run.model is None:
            return [gr.skip() for _ in (message_line, used, *dropdowns)]
        name = service.models.adopt(run.model, user)
        there = service.models.kind(name, user) in dropdowns
        what = (
            "is now under Model on its tab"
            if there
            else "is for the command line alone: no tab works with it"
        )
        message = f'<p class="good">“{escaped(name)}” {what}.</p>'
        return [_status_line(run, message), message, *refreshed(service, dropdowns, user)]

    use.click(adopt, None, [message_line, used, *dropdowns.values()], **_QUICK)


def _examples(trainings: TrainRuns) -> list[tuple[gr.Button, str]]:
    """Small recipes on the sample photos, started at one click."""
    there = [(text, recipe) for text, recipe in _EXAMPLES if recipe in trainings.recipes()]
    buttons = plain_examples("train", [text for text, _ in there])
    return [(button, recipe) for button, (_, recipe) in zip(buttons, there, strict=True)]


def _choices(trainings: TrainRuns) -> list[Any]:
    recipes = trainings.recipes()
    photos = [
        ("Demonstration photos", DEMONSTRATION),
        *((name, name) for name in trainings.folders()),
    ]
    hint = (
        "Folders under --data-root"
        if trainings.settings.data_root
        else "Start with --data-root DIR to offer your own"
    )
    return [
        gr.Dropdown(
            recipes, value=recipes[0] if recipes else None, label="Recipe", elem_id="train-recipe"
        ),
        gr.Dropdown(
            photos,
            value=DEMONSTRATION,
            label=RECIPE_LABELS["data.path"],
            info=hint,
            elem_id="train-photos",
        ),
        gr.Number(
            0,
            label=RECIPE_LABELS["train.steps"],
            info="0: as many as the recipe says",
            precision=0,
            minimum=0,
            elem_id="train-steps",
        ),
        gr.Textbox(
            label=LABELS["out"], placeholder="the recipe's", max_lines=1, elem_id="train-name"
        ),
    ]


def _status_line(run: RunStatus, note: str) -> str:
    return f'<p class="good">{escaped(run.message)}</p>{note}'


def _updates(run: RunStatus | None, note: str = "") -> list[Any]:
    if run is None:
        return [
            _IDLE,
            _DOCTOR,
            _NO_LOSSES,
            None,
            gr.update(interactive=False),
            gr.Timer(active=False),
        ]
    picture = str(run.sample) if run.sample else None
    ready = gr.update(interactive=run.model is not None)
    losses = (drawn(run.losses) if run.losses else "") or _NO_LOSSES
    return [
        _status_line(run, note),
        doctor_says(run),
        losses,
        picture,
        ready,
        gr.Timer(active=run.running),
    ]


def doctor_says(run: RunStatus) -> str:
    """The verdict, then every diagnosis with its numbers and what helps."""
    items = (
        f'<li><span class="grade {d.severity}">{d.severity}</span>'
        f"<b>{escaped(d.name)}</b> at step {d.step}: "
        f"{escaped(d.numbers)}. <i>{escaped(d.remedy)}.</i></li>"
        for d in run.findings
    )
    listed = "".join(items)
    findings = (
        f'<ul class="findings" aria-label="What the doctor finds">{listed}</ul>' if listed else ""
    )
    return f'<p class="good">Doctor</p><p>{escaped(run.verdict)}</p>{findings}'
