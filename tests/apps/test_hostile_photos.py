"""Every photo of the corpus as an upload: made, or answered in words, and the app goes on."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from hostile.photos import PHOTOS

from img2img.maintenance.browser import RunningApp
from img2img.maintenance.client import answered, uploaded

_LINKED = ("device", "pipe", "socket", "itself", "nowhere", "no file", "may not be")


@pytest.mark.parametrize("name", [n for n in PHOTOS if not any(word in n for word in _LINKED)])
def test_an_upload_is_made_or_answered_in_words(name: str, app: RunningApp, tmp_path: Path) -> None:
    place, before = PHOTOS[name].place(tmp_path), app.log.read_text()
    if not place.stat().st_size:
        return  # Gradio takes no empty file
    plain = re.sub(r"[^A-Za-z0-9.]", "_", os.fsencode(place.name).decode("ascii", "replace"))
    photo = uploaded(app.url, place, plain[-40:])
    answer = answered(app.url, "denoise", [photo, 1, ""])
    if PHOTOS[name].size is not None:
        assert "event: complete" in answer, answer
    if "event: error" in answer:
        told = json.loads(answer.partition("event: error\ndata: ")[2].splitlines()[0])["error"]
        assert told and "\n" not in told and len(told) < 500
        assert not re.search(r"--[a-z]|/tmp|Traceback|\w+Error", told), told
    assert app.log.read_text() == before, "nothing of it goes to the terminal"
