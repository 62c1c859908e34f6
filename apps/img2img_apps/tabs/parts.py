"""Small pieces of layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gradio as gr

from img2img.tasks.unpaired import DIRECTIONS
from img2img_apps.examples import Example
from img2img_apps.labels import LABELS
from img2img_apps.offered_models import is_installed
from img2img_apps.panel import missing
from img2img_apps.service import escaped


def lead(text: str) -> None:
    """The sentence under a tab's name."""
    gr.HTML(f'<p class="lead">{escaped(text)}</p>', container=False, padding=False)


@contextmanager
def columns() -> Iterator[tuple[gr.Column, gr.Column]]:
    """Controls and picture; one above the other on a phone."""
    with gr.Row(equal_height=False):
        left = gr.Column(scale=2, min_width=300)
        right = gr.Column(scale=3, min_width=300)
        yield left, right


def example_buttons(name: str, examples: Sequence[Example]) -> list[tuple[gr.Button, Example]]:
    """A row of small pictures to click."""
    buttons = _example_row(name, [(example.label, str(example.icon)) for example in examples])
    return list(zip(buttons, examples, strict=True))


def plain_examples(name: str, labels: Sequence[str]) -> list[gr.Button]:
    """A row of words to click."""
    return _example_row(name, [(label, None) for label in labels])


def _example_row(name: str, wanted: Sequence[tuple[str, str | None]]) -> list[gr.Button]:
    if not wanted:
        return []
    with gr.Row(elem_classes="examples"):
        gr.HTML(
            '<span class="say">Try</span>',
            container=False,
            padding=False,
            elem_classes="say",
            min_width=0,
        )
        return [
            gr.Button(
                label, icon=icon, size="sm", elem_id=f"{name}-example-{n}", min_width=0, scale=0
            )
            for n, (label, icon) in enumerate(wanted)
        ]


def strength_slider(name: str, at_zero: str) -> gr.Slider:
    """How much of the change is made; `at_zero` says what none of it is."""
    return gr.Slider(
        0, 1, 1, step=0.05, label=LABELS["strength"], info=at_zero, elem_id=f"{name}-strength"
    )


def direction_choice(name: str) -> gr.Radio:
    """From which side to which, of models that learned both."""
    return gr.Radio(
        [("As trained", ""), *((f"{way[0]} to {way[3]}", way) for way in DIRECTIONS)],
        value="",
        label=LABELS["direction"],
        info="For models that go both ways",
        elem_id=f"{name}-way",
    )


def note_if_missing(kind: str) -> None:
    """A polite line where the tab's model is not there."""
    if not is_installed(kind):
        gr.HTML(missing(kind), elem_classes="status", container=False, padding=False)
