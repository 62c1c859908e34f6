"""Errors are structure: the library writes them in the words of Python, a front end in its own."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

import img2img
import img2img_apps
from img2img import cli
from img2img.errors import (
    Advice,
    Command,
    Named,
    Option,
    Phrase,
    RecipeField,
    TrainingError,
    UserError,
    rendered,
)


def loud(part: Named) -> str:
    """A front end that shouts its options and keeps folders to itself."""
    match part:
        case RecipeField():
            return f"<{part}>"
        case Option():
            return str(part).upper()
        case Path():
            return part.name
        case Command():
            return f"press {part.verb}"


@pytest.mark.parametrize(
    ("error", "neutral", "loudly"),
    [
        (UserError("no such file"), "no such file", "no such file"),
        (
            UserError("2 is not between 0 and 1", field="strength"),
            "strength: 2 is not between 0 and 1",
            "STRENGTH: 2 is not between 0 and 1",
        ),
        (
            UserError(
                "is too high", field="train.lr", place=Path("runs/a.yaml"), remedy="halve it"
            ),
            "runs/a.yaml: train.lr: is too high: halve it",
            "a.yaml: <train.lr>: is too high: halve it",
        ),
        (
            UserError("is missing", field=RecipeField("seed")),
            "seed: is missing",
            "<seed>: is missing",
        ),
        (
            UserError(
                "need something to fill",
                field=("mask_grow", "feather"),
                remedy=Advice.give("mask", "extend"),
            ),
            "mask_grow and feather need something to fill: give mask or extend",
            "MASK_GROW and FEATHER need something to fill: give MASK or EXTEND",
        ),
        (
            UserError("batch needs pairs", field=("generator.norm",), place="r.yaml"),
            "r.yaml: generator.norm batch needs pairs",
            "r.yaml: <generator.norm> batch needs pairs",
        ),
        (
            UserError(
                Phrase(Path("a/b.png"), " has no color"),
                remedy=Advice.leave_out("hints") | Advice.set("task", "colorize"),
            ),
            "a/b.png has no color: leave hints out, or use task colorize",
            "b.png has no color: leave HINTS out, or use TASK COLORIZE",
        ),
        (
            UserError("makes pictures from noise", remedy=Advice.run("generate", Option("n", 3))),
            "makes pictures from noise: use img2img generate with n 3",
            "makes pictures from noise: use press generate",
        ),
    ],
)
def test_an_error_is_written_by_the_library_and_by_a_front_end(
    error: UserError, neutral: str, loudly: str
) -> None:
    assert (str(error), error.phrase.render(loud)) == (neutral, loudly)
    assert rendered(str(error), loud) == loudly, "what str() gives remembers its parts"
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.phrase.render(loud)) == (neutral, loudly)


def test_an_error_from_below_gets_its_place_and_the_name_the_caller_has_for_the_field() -> None:
    error = TrainingError("is not a folder", field="data.path", remedy="give one")
    told = error.at(Path("x.yaml")).about("data")
    assert isinstance(told, TrainingError) and (told.field, told.place) == ("data", Path("x.yaml"))
    assert str(told) == "x.yaml: data: is not a folder: give one"
    assert str(told.at("y.yaml")) == str(told), "the first place is where it happened"
    assert (error.field, str(error)) == ("data.path", "data.path: is not a folder: give one")


def test_plain_text_is_rendered_as_it_is() -> None:
    assert rendered("no --flag here is touched", loud) == "no --flag here is touched"
    assert Phrase.joined([Option("a"), "b"], ", ").render(loud) == "A, b"


# --- no front end's words in the library

FLAG = re.compile(r"(?:^|[\s/]|(?<!var)\()(--[a-z][a-z-]*)")  # also of CSS: var(--color)


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """Every one-line text in the code with its place, documentation left out."""
    for path in sorted(folder.rglob("*.py")):
        tree = ast.parse(path.read_text())
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and "\n" not in text and id(node) not in documentation:
                yield f"{path.relative_to(folder)}:{node.lineno}", text


def test_the_library_knows_no_flags() -> None:
    folder = Path(img2img.__file__).parent
    # The maintainers' scripts have command lines of their own, and a model's page shows some.
    own = r"cli\.py|maintenance|modelcards\.py"
    known = [(at, text) for at, text in texts(folder) if not re.match(own, at)]
    assert len(known) > 1000
    named = [(at, text) for at, text in known if FLAG.search(text)]
    assert [(at, text) for at, text in named if not text.startswith("pip install ")] == []


def test_the_app_names_no_flags_but_those_it_is_started_with() -> None:
    command = typer.main.get_command(cli.app).commands["app"]
    own = {option for parameter in command.params for option in parameter.opts}
    folder = Path(img2img_apps.__file__).parent
    # A text that is a flag and nothing more is a word of a command that the app runs.
    named = {flag for _, text in texts(folder) for flag in FLAG.findall(text) if flag != text}
    assert named and named <= own
