"""One name for one thing: what the page calls the options of the command line."""

from __future__ import annotations

import json
import urllib.request

import pytest
import typer.main

from img2img import cli
from img2img.maintenance.browser import RunningApp
from img2img_apps.labels import LABELS


def test_every_label_is_of_an_option_of_the_command_line() -> None:
    verbs = typer.main.get_command(cli.app).commands
    options = {p.name for verb in ("infer", "generate", "train") for p in verbs[verb].params}
    assert {cli._FLAG_OF.get(name, name) for name in LABELS} <= options
    assert len(set(LABELS.values())) == len(LABELS), "no two options are called alike"


@pytest.mark.parametrize(
    ("elem_id", "label"),
    [
        ("enlarge-strength", "Strength"),
        ("enlarge-detail", "Detail"),
        ("enlarge-scale", "Scale"),
        ("enlarge-times", "Times, such as 3.5"),
        ("enlarge-longer-side", "Longer side (px)"),
        ("enlarge-width", "Width (px)"),
        ("enlarge-height", "Height (px)"),
        ("colorize-strength", "Strength"),
        ("denoise-strength", "Strength"),
        ("erase-grow", "Grow (px)"),
        ("erase-feather", "Feather (px)"),
        ("translate-way", "Direction"),
        ("generate-seed", "Seed"),
    ],
)
def test_a_control_is_called_as_its_option(app: RunningApp, elem_id: str, label: str) -> None:
    with urllib.request.urlopen(f"{app.url}config") as answer:
        controls = [component["props"] for component in json.load(answer)["components"]]
    assert [c["label"] for c in controls if c.get("elem_id") == elem_id] == [label]
