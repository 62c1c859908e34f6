"""What a page that follows a call is told: the parts that are done, and how it ended."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coroutines import completed

from img2img.errors import UserError
from img2img.inference.plan import Plan, StepPart
from img2img.maintenance.browser import RunningApp
from img2img.maintenance.client import uploaded
from img2img.pixels.images import Photo
from img2img_apps import job_feeds
from img2img_apps.job_feeds import Feed, Feeds, PartEvents
from img2img_apps.jobs import Stopped

PART = StepPart(0, (10, 0, 20, 5), (100, 50), Photo(np.full((5, 20, 3), 90, np.uint8)))


def events(stream: Any) -> Iterator[tuple[str, Any]]:
    """Names and data of server-sent events, as they come."""
    name = ""
    for line in stream:
        text = line.decode().rstrip("\n")
        if text.startswith("event: "):
            name = text[7:]
        elif text.startswith("data: "):
            yield name, json.loads(text[6:])


def begun(url: str, name: str, **values: Any) -> str:
    """The event of a call that was made by the parameters' names."""
    body = json.dumps(values).encode()
    request = urllib.request.Request(
        f"{url}gradio_api/call/v2/{name}", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as answer:
        return str(json.load(answer)["event_id"])


def test_a_call_that_is_followed_shows_its_parts(app: RunningApp, large: Path) -> None:
    event = begun(app.url, "denoise", photo=uploaded(app.url, large))
    with urllib.request.urlopen(f"{app.url}img2img/progress/{event}", timeout=300) as stream:
        told = list(events(stream))
    names = [name for name, _ in told]
    assert names[0] == "waiting" and names[-1] == "ended" and told[-1][1] == {"how": "done"}
    _, start = next(one for one in told if one[0] == "began")
    assert start == {"size": [1900, 1400], "steps": ["denoise"]}
    tiles = [data for name, data in told if name == "tile"]
    assert [tile["done"] for tile in tiles] == list(range(1, tiles[0]["total"] + 1))
    assert tiles[-1]["share"] == 1 and tiles[0]["line"].startswith("Denoise: 1 of ")
    covered = np.zeros((1400, 1900), int)
    for left, top, width, height in (tile["box"] for tile in tiles):
        covered[top : top + height, left : left + width] += 1
    assert (covered == 1).all(), "each pixel in one part"
    assert tiles[-1]["picture"].startswith("data:image/jpeg;base64,")
    with urllib.request.urlopen(f"{app.url}img2img/progress/{event}", timeout=300) as stream:
        assert [name for name, _ in events(stream)] == ["waiting", "ended"], "whoever comes late"


def test_closing_the_call_ends_its_job_alone(slow_app: RunningApp, large: Path) -> None:
    url = slow_app.url
    photo = uploaded(url, large)
    first, second = (begun(url, "denoise", photo=photo) for _ in range(2))
    waiting = urllib.request.urlopen(f"{url}gradio_api/call/denoise/{second}", timeout=300)
    call = urllib.request.urlopen(f"{url}gradio_api/call/denoise/{first}", timeout=300)
    with urllib.request.urlopen(f"{url}img2img/progress/{first}", timeout=300) as stream:
        following = events(stream)
        while next(following)[0] != "tile":
            pass
        call.close()
        assert list(following)[-1] == ("ended", {"how": "stopped"})
    with urllib.request.urlopen(f"{url}img2img/progress/{second}", timeout=300) as stream:
        assert list(events(stream))[-1] == ("ended", {"how": "done"}), "the other goes on"
    waiting.close()


# --- without an app


def test_boxes_are_in_pixels_of_the_result() -> None:
    feed = Feed()
    parts = PartEvents(feed.report)
    parts.began(Plan(reduced_to=(300, 150)), (50, 25))
    parts.part(PART)
    assert feed.events[1][1]["box"] == [30, 0, 60, 15]


def test_progress_stands_in_the_events_of_parts() -> None:
    feed = Feed()
    parts = PartEvents(feed.report)
    for done in range(3):
        feed.report(done, 2, "denoise")
        if done:
            parts.part(PART)
    assert [(tile["done"], tile["share"]) for _, tile in feed.events] == [(1, 0.5), (2, 1.0)]
    assert all(tile["picture"].startswith("data:image/jpeg") for _, tile in feed.events)


@pytest.mark.parametrize(
    ("error", "how"), [(None, "done"), (Stopped(), "stopped"), (UserError("no"), "failed")]
)
def test_how_a_job_ended_is_told(error: Exception | None, how: str) -> None:
    feeds = Feeds()
    followed = feeds.follow("e")  # before it begins

    async def told() -> list[str]:
        return [message async for message in feeds.stream("e", followed)]

    def work() -> None:
        try:
            with feeds.of_job("e"):
                if error:
                    raise error
        except (Stopped, UserError):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    heard = completed(told())
    thread.join()
    assert heard[0].startswith("event: waiting") and json.dumps({"how": how}) in heard[-1]
    assert not feeds._feeds, "nothing is kept of it"
    assert feeds.follow("e").events == [("ended", {"how": how})]


def test_not_more_are_followed_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_feeds, "_MOST_FEEDS", 2)
    feeds = Feeds()
    for event in "ab":
        feeds.follow(event)
    feeds.follow("a")
    with pytest.raises(UserError, match="too many jobs"):
        feeds.follow("c")
