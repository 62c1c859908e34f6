"""Small pieces of layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import gradio as gr

from ..examples import Example
from ..models import is_installed
from ..panel import missing
from ..service import escaped


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
    if not examples:
        return []
    with gr.Row(elem_classes="examples"):
        gr.HTML('<span class="say">Try</span>', container=False, padding=False, elem_classes="say", min_width=0)
        return [
            (gr.Button(e.label, icon=str(e.path), size="sm", elem_id=f"{name}-example-{n}", min_width=0, scale=0), e)
            for n, e in enumerate(examples)
        ]


def note_if_missing(kind: str) -> None:
    """A polite line where the tab's model is not there."""
    if not is_installed(kind):
        gr.HTML(missing(kind), elem_classes="status", container=False, padding=False)
