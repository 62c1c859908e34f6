"""How far a call is, for a page that asks: events of the job with the parts of the picture that are
done.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from img2img.errors import UserError
from img2img.inference.output_size import WidthHeight
from img2img.inference.plan import Plan, StepPart
from img2img.inference.previews import thumbnail
from img2img_apps.jobs import Stopped
from img2img_apps.progress_line import Progress

_PICTURE_PX = 320
_MOST_FEEDS = 256  # jobs that are followed, or run
_REMEMBERED = 1000  # jobs that have ended
_EVERY_S = 0.1
_ALIVE_S = 15.0  # between signs of life, which keep proxies from closing the stream


JobEvent = tuple[str, dict[str, Any]]
OnEvent = Callable[[int, int | None, str, JobEvent], None]
"""Progress that may come with an event."""


@dataclass
class PartEvents:
    """Events of the picture that a job makes, as plain data: a worker sends them with progress."""

    tell: OnEvent
    size: WidthHeight = (1, 1)

    def began(self, plan: Plan, size: WidthHeight) -> None:
        """A photo of this (width, height) is about to be worked on."""
        self.size = plan.size_out(size)
        steps = [step.verb for step in plan.steps]
        self.tell(0, None, "", ("began", {"size": self.size, "steps": steps}))

    def part(self, part: StepPart) -> None:
        """A part of a step's picture is done."""
        across, down = (to / of for to, of in zip(self.size, part.size, strict=True))
        left, top, width, height = part.box
        right, bottom = round((left + width) * across), round((top + height) * down)
        left, top = round(left * across), round(top * down)
        box = [left, top, right - left, bottom - top]
        jpeg = base64.b64encode(thumbnail(part.photo, _PICTURE_PX)).decode()
        picture = f"data:image/jpeg;base64,{jpeg}"
        self.tell(0, None, "", ("tile", {"step": part.step, "box": box, "picture": picture}))


@dataclass
class Feed:
    """One job's events, in order."""

    progress: Progress = field(default_factory=Progress)
    events: list[JobEvent] = field(default_factory=list)
    followers: int = 0
    runs: bool = False

    def report(
        self, done: int, total: int | None, doing: str, event: JobEvent | None = None
    ) -> None:
        """Take progress, or an event in its place."""
        if event is None:
            self.progress.report(done, total, doing)
        elif event[0] == "tile":
            self._tile(event[1])
        else:
            self.events.append(event)

    def sample(self, done: int, count: int) -> None:
        """So many pictures from noise are done."""
        self.progress.report(done, count, "generate")
        self._tile({"step": 0, "box": None, "picture": None})

    def _tile(self, what: dict[str, Any]) -> None:
        now = time.monotonic()
        done, total, _ = self.progress.last
        counted = {"done": done, "total": total, "share": self.progress.share if total else None}
        left = {"seconds_left": self.progress.seconds_left(now), "line": self.progress.line(now)}
        self.events.append(("tile", what | counted | left))


@dataclass
class Feeds:
    """The feeds of jobs that run, and of those that are followed before they do, by the calls'
    events.
    """

    _feeds: dict[str, Feed] = field(default_factory=dict)
    _ended: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def of_job(self, event: str) -> Iterator[Feed]:
        """The feed that a job writes to while it runs."""
        with self._lock:
            feed = self._feeds.setdefault(event, Feed())
        feed.runs, how = True, "failed"
        try:
            yield feed
            how = "done"
        except Stopped:
            how = "stopped"
            raise
        finally:
            feed.events.append(("ended", {"how": how}))
            feed.runs = False
            with self._lock:
                self._ended.append((event, how))
            self._drop_unused(event)

    async def stream(self, event: str, feed: Feed) -> AsyncIterator[str]:
        """The events of a feed that `follow` gave, as server-sent ones: from its first on, until
        the job ends.
        """
        count, alive = 0, time.monotonic()
        try:
            yield _message("waiting", {})
            while True:
                for name, data in feed.events[count:]:
                    count, alive = count + 1, time.monotonic()
                    yield _message(name, data)
                    if name == "ended":
                        return
                if time.monotonic() - alive > _ALIVE_S:
                    alive = time.monotonic()
                    yield ": alive\n\n"
                await asyncio.sleep(_EVERY_S)
        finally:
            feed.followers -= 1
            self._drop_unused(event)

    def follow(self, event: str) -> Feed:
        """The feed of a job that runs, will run or has ended. Raises UserError where too many are
        followed.
        """
        with self._lock:
            ended = dict(self._ended).get(event)
            if ended and event not in self._feeds:
                return Feed(events=[("ended", {"how": ended})], followers=1)
            if event not in self._feeds and len(self._feeds) >= _MOST_FEEDS:
                raise UserError("too many jobs are followed at once", remedy="try again later")
            feed = self._feeds.setdefault(event, Feed())
            feed.followers += 1
            return feed

    def _drop_unused(self, event: str) -> None:
        with self._lock:
            feed = self._feeds.get(event)
            if feed is not None and not feed.runs and feed.followers < 1:
                del self._feeds[event]


def _message(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
