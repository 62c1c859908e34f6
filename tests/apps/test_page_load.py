"""What happens before the page is used: it is sent compressed, and work ahead waits for it."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from img2img_apps.jobs import Jobs, Owner
from img2img_apps.page_load import Calm, CompressedPage, NoteRequests


def test_work_ahead_waits_until_nobody_waits() -> None:
    jobs = Jobs()
    calm = Calm(jobs, 0.0)
    assert not calm.holds(1.0), "the page may be opened at once"
    assert calm.holds(60.0), "nobody has come"
    calm.requested(60.0)
    assert not calm.holds(60.5), "the page is being loaded"
    assert calm.holds(70.0)
    with jobs.running(Owner("somebody")):
        assert not calm.holds(70.0)
    assert calm.holds(70.0)


def test_every_request_is_noted() -> None:
    calm = Calm(Jobs(), 0.0)
    client = TestClient(NoteRequests(PlainTextResponse("there"), calm))
    assert client.get("/scripts.js").text == "there"
    assert calm.is_visited and calm.since > 0


@pytest.mark.parametrize(
    ("path", "encoding"), [("/", "gzip"), ("/img2img/", "gzip"), ("/photo.tif", None), ("/a", None)]
)
def test_the_page_alone_is_compressed(path: str, encoding: str | None) -> None:
    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("there " * 1000)(scope, receive, send)

    client = TestClient(CompressedPage(answering))
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.headers.get("Content-Encoding") == encoding
    assert answer.text == "there " * 1000
    assert "Content-Encoding" not in client.get(path, headers={"Accept-Encoding": ""}).headers
