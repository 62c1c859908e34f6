"""Running a tab's work: what starts it, what stops it, and a line of how far it is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img_apps.fair_queue import WORK_ID
from img2img_apps.jobs import Finished, Stopped, Value, with_progress
from img2img_apps.progress_line import OnProgress, Progress
from img2img_apps.service import Service, escaped

log = logging.getLogger("img2img")

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
WORK: dict[str, Any] = {"concurrency_id": WORK_ID, "concurrency_limit": 1}  # or one a worker
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}
STOPPED = '<p class="quiet">Stopped.</p>'
WAITING = '<p class="quiet">Waiting for its turn …</p>'


@dataclass(frozen=True)
class NotFinished:
    """Work that was stopped or failed, and the line for the page that says so."""

    message: str


@dataclass
class Switch:
    """The buttons that start a tab's work and those that stop it: either these can be pressed, or
    those.
    """

    service: Service
    tab: str
    status: Any = None
    starts: list[gr.Button] = field(default_factory=list)
    stops: list[gr.Button] = field(default_factory=list)

    @property
    def outputs(self) -> list[Any]:
        """All of the buttons, in the order in which `busy`, `idle` and `unchanged` update them."""
        return [*self.starts, *self.stops]

    def busy(self) -> list[Any]:
        """Updates while work goes on."""
        off, on = gr.update(interactive=False), gr.update(interactive=True)
        return [off] * len(self.starts) + [on] * len(self.stops)

    def idle(self) -> list[Any]:
        """Updates while none does."""
        off, on = gr.update(interactive=False), gr.update(interactive=True)
        return [on] * len(self.starts) + [off] * len(self.stops)

    def unchanged(self) -> list[Any]:
        """No updates: for a line of progress, which may reach the page after Stop's answer."""
        return [gr.skip()] * len(self.outputs)

    def runs(
        self, trigger: Callable[..., Any], work: Any, inputs: Sequence[Any], outputs: Sequence[Any]
    ) -> Any:
        """Wire work, a generator that ends with `idle`; Stop can be pressed as soon as it waits for
        its turn.
        """
        ready = trigger(
            lambda: [WAITING, *self.busy()],
            None,
            [self.status, *self.outputs],
            queue=False,
            **QUIET,
        )
        return ready.then(work, list(inputs), list(outputs), **WORK, **QUIET)

    def wire_stops(self, running: list[Any]) -> None:
        """Stop ends what runs after its tile, and takes what waits out of the queue."""

        def press(request: gr.Request) -> list[Any]:
            self.end(request)
            return [STOPPED, *self.idle()]

        outputs = [self.status, *self.outputs]
        for stop in self.stops:
            stop.click(press, None, outputs, cancels=running, queue=False, **QUIET)

    def end(self, request: gr.Request) -> None:
        """End the job that this session runs on this tab."""
        self.service.stop(f"{request.session_hash}", self.tab)

    def watch(
        self, work: Callable[[OnProgress], Value], request: gr.Request, progress: Progress
    ) -> Iterator[str | Finished[Value] | NotFinished]:
        """Lines for the page while work goes on, then its result or why there is none."""
        try:
            for step in with_progress(work, lambda: self.end(request), progress):
                yield f'<p class="quiet">{escaped(step)}</p>' if isinstance(step, str) else step
        except UserError as error:
            yield NotFinished(bad(error.phrase))
        except Stopped:
            yield NotFinished(STOPPED)
        except Exception as error:
            log.exception("app")
            yield NotFinished(bad(f"That failed on our side ({type(error).__name__})."))


def bad(message: str) -> str:
    """A message about something that did not work."""
    return f'<p class="bad" role="alert">{escaped(message)}</p>'
