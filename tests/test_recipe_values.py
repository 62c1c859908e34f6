"""Every field of every shipped recipe given what it cannot be: one line that names the field, never
a traceback.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.resources import recipes_dir
from img2img.training.schedule import learning_rate_factor

RECIPES = sorted(path.stem for path in recipes_dir().glob("*.yaml"))
FREE = (
    "seed",
    "task.center",
    "data.cache_mb",
    "data.validation_max",
)  # any number (of its sign) makes sense here
WRONG: dict[str, Any] = {
    "a word": "abc",
    "true": True,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "NaN": math.nan,
    "nothing": "",
    "a list": [],
    "a list in lists": [[[1]]],
    "fields": {"a": 1},
    "negative": -(10**12),
    "huge": 10**30,
}


@cache
def fields_of(name: str) -> dict[str, Any]:
    return Recipe.load(name).fields()


def leaves(fields: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every single value with its path; lists of values count as one."""
    if isinstance(fields, dict):
        for name, value in fields.items():
            yield from leaves(value, (*place, name))
    elif isinstance(fields, list) and fields and isinstance(fields[0], dict):
        for number, value in enumerate(fields):
            yield from leaves(value, (*place, str(number)))
    else:
        yield place, fields


def kind_of(fields: Any, place: tuple[str, ...]) -> tuple[str, ...]:
    """A field's path with the kinds of the parts that it is in, and without numbers."""
    found: list[str] = []
    for step in place:
        found.append("*" if step.isdigit() else step)
        fields = fields[int(step) if isinstance(fields, list) else step]
        if isinstance(fields, dict) and "kind" in fields:
            found.append(fields["kind"])
    return tuple(found)


@cache
def first_with() -> dict[tuple[str, ...], str]:
    """The recipe in which each field of each kind of part is the first of it."""
    found: dict[tuple[str, ...], str] = {}
    for name in RECIPES:
        for place, _ in leaves(fields_of(name)):
            found.setdefault(kind_of(fields_of(name), place), name)
    return found


def with_value(fields: Any, place: tuple[str, ...], value: Any) -> Any:
    """A copy with another value at a path."""
    if not place:
        return value
    key, *rest = place
    if isinstance(fields, list):
        return [
            with_value(f, tuple(rest), value) if str(n) == key else f for n, f in enumerate(fields)
        ]
    return {**fields, key: with_value(fields[key], tuple(rest), value)}


def message(fields: dict[str, Any]) -> str | None:
    """What a recipe is refused with; None where it is taken."""
    try:
        Recipe.parse(fields, where="r.yaml")
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("everywhere", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", RECIPES)
def test_no_field_takes_nonsense(name: str, everywhere: bool) -> None:
    """Words, truth values, infinity, NaN, empty, nested: a number refuses them at its own place,
    all in one line. Each field of each kind of part once; the slow tests take each of each recipe.
    """
    fields = fields_of(name)
    for place, value in leaves(fields):
        if not everywhere and first_with()[kind_of(fields, place)] != name:
            continue
        path, number = (
            ".".join(place),
            isinstance(value, int | float) and not isinstance(value, bool),
        )
        for called, wrong in WRONG.items():
            problem = message(with_value(fields, place, wrong))
            assert problem is None or (
                problem.startswith("r.yaml: ") and "\n" not in problem and len(problem) < 1000
            ), called
            if number and not (
                called in ("negative", "huge") and (path in FREE or isinstance(value, float))
            ):
                assert problem is not None, f"{path} takes {called}"
                assert path in problem, (path, called, problem)


@pytest.mark.parametrize("called", WRONG)
def test_no_part_of_a_recipe_can_be_a_single_value(called: str) -> None:
    fields = fields_of("translate_tiny")
    for part in ("task", "data", "generator", "discriminator", "adversarial", "losses", "train"):
        problem = message({**fields, part: WRONG[called]})
        assert (problem is not None and part in problem.removeprefix("r.yaml: ")) or (
            called == "a list" and part == "losses"
        )


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("train.lr=.inf", "train.lr: input should be a finite number, got inf"),
        ("train.lr=inf", "train.lr: input should be a finite number, got"),
        ("train.lr=.nan", "train.lr: input should be a finite number, got nan"),
        ("train.lr=true", "train.lr: input should be a valid number, got True"),
        ("train.steps=true", "train.steps: input should be a valid integer, got True"),
        ("train.steps=.inf", "train.steps: input should be"),
        ("train.steps=1e12", "train.steps: input should be between -1000000000 and 1000000000"),
        ("train.betas=[0.5, 1]", "train.betas.1: input should be less than 1, got 1"),
        (
            "train.betas=[-0.1, 0.9]",
            "train.betas.0: input should be greater than or equal to 0, got -0.1",
        ),
        ("train.betas=[true, 0.9]", "train.betas.0: input should be a valid number, got True"),
        ("adversarial.betas=[0.5, 2]", "adversarial.betas.1: input should be less than 1"),
        ("losses.0.weight=.nan", "losses.0.weight: input should be a finite number"),
        ("generator.width=false", "generator.width: input should be a valid integer, got False"),
        ("data.crop_px=1000000", "data.crop_px: input should be less than or equal to 8192"),
        ("data.resize_px=[64, .inf]", "data.resize_px.1: input should be"),
        ("data.path=[]", "data.path: "),
        ("data.path=['']", "data.path.0: "),
        ("seed=99999999999999999999", "seed: input should be less than"),
        ("train.warmup_steps=251", "train.warmup_steps is 251, and the run has 250 steps"),
    ],
)
def test_what_a_number_cannot_be(override: str, problem: str) -> None:
    with pytest.raises(UserError) as refused:
        Recipe.load("translate_tiny", [override])
    assert problem in str(refused.value), refused.value


def test_a_warm_up_as_long_as_the_run_is_a_choice() -> None:
    assert Recipe.load("translate_tiny", ["train.warmup_steps=250"]).train.warmup_steps == 250


def test_a_warm_up_may_be_a_part_of_the_run_and_is_never_longer() -> None:
    for steps in (1, 4, 500):
        train = Recipe.load(
            "super_resolve_tiny", [f"train.steps={steps}", "train.schedule=constant"]
        ).train
        rates = [learning_rate_factor(train, step) for step in range(steps)]
        assert rates[-1] == 1 and rates == sorted(rates)
    assert rates[:3] == pytest.approx([0.05, 0.1, 0.15]) and rates.index(1.0) == 19
    with pytest.raises(UserError, match=r"train\.warmup_steps and train\.warmup_share both say"):
        Recipe.load("super_resolve_tiny", ["train.warmup_steps=3"])


def test_a_word_that_python_takes_for_a_number_stays_a_word() -> None:
    assert Recipe.load("translate_tiny", ["name=nan", "data.terms=infinity"]).name == "nan"


# --- what cannot be read as one recipe


def refused(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(UserError) as found:
        Recipe.load(path)
    assert "\n" not in str(found.value)
    return str(found.value).removeprefix(f"{path}: ")


def test_a_key_that_is_written_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    text = (recipes_dir() / "translate_tiny.yaml").read_text()
    lines = len(text.splitlines())
    first = next(n for n, line in enumerate(text.splitlines(), 1) if line.startswith("train:"))
    problem = refused(tmp_path / "r.yaml", text + "train: {steps: 3}\n")
    assert (
        problem == f"'train' is written twice, in lines {first} and {lines + 1}: keep one of them"
    )
    inner = refused(tmp_path / "r.yaml", "name: x\ntrain:\n  lr: 1\n  steps: 2\n  lr: 2\n")
    assert inner == "'lr' is written twice, in lines 3 and 5: keep one of them"
    with pytest.raises(UserError, match="is not an override"):
        Recipe.load("translate_tiny", ["losses=[{kind: l1, kind: l2}]"])


def test_merged_keys_are_no_keys_written_twice(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nname: x\n")
    with pytest.raises(UserError, match=r"task\.kind is missing"):
        Recipe.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000,
        "{a: " * 3000 + "1" + "}" * 3000,
        "a: &a [*a]\nname: x\ntask: denoise",
        "? [a]\n: 1",
        "a: 2020-13-45",
        "a: 1\n? !!int b\n: 2",
    ],
)
def test_texts_that_nobody_writes_are_one_line(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path / "r.yaml", text)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("2020-13-45", "'2020-13-45' is no date in line 2"),
        ("!!int many", "'many' is no whole number in line 2"),
        ("9" * 5000, "'99999999999999999999' is no whole number in line 2"),
    ],
)
def test_values_that_yaml_cannot_read_are_named_with_their_line(
    tmp_path: Path, value: str, problem: str
) -> None:
    assert problem in refused(tmp_path / "r.yaml", f"name: x\nseed: {value}\n")


@pytest.mark.parametrize(
    "part", ["data", "generator", "discriminator", "adversarial", "losses", "train", "data.path"]
)
@pytest.mark.parametrize("value", ["null", "5", "true", "[]", "{}"])
def test_no_message_speaks_of_classes_or_tuples(part: str, value: str) -> None:
    problem = ""
    try:
        Recipe.load("translate_tiny", [f"{part}={value}"])
    except UserError as refusal:
        problem = str(refusal)
    assert not re.search(r"Config|[Tt]uple|dictionary|instance|object|None", problem), problem


def test_an_empty_name_is_no_recipe() -> None:
    with pytest.raises(UserError, match="no recipe ''"):
        Recipe.load("")


def test_fields_nested_deeper_than_python_goes_are_one_line() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert message({**fields_of("denoise_tiny"), "train": deep})
    loop: list[Any] = []
    loop.append(loop)
    assert message({**fields_of("denoise_tiny"), "losses": loop})


# --- suggestions are taken


@pytest.mark.parametrize(
    ("name", "overrides", "expected"),
    [
        ("translate_pix2pix", ["data.crop_px=128"], "generator.levels=7"),
        ("translate_pix2pix", ["data.crop_px=96"], "generator.levels=5"),
        ("translate_tiny", ["data.crop_px=100"], "data.crop_px=64"),
        ("denoise_tiny", ["data.crop_px=66"], "data.crop_px=64"),
        ("super_resolve_x4", ["data.crop_px=130"], "data.crop_px=128"),
        ("denoise", ["train.steps=50"], "train.warmup_steps=5"),
    ],
)
def test_a_suggested_change_is_taken(name: str, overrides: list[str], expected: str) -> None:
    with pytest.raises(UserError) as found:
        Recipe.load(name, overrides)
    assert str(found.value).endswith(f": set {expected}"), found.value
    Recipe.load(name, [*overrides, expected])


@pytest.mark.parametrize("name", RECIPES)
def test_every_suggestion_about_a_crop_is_taken(name: str) -> None:
    for crop_px in range(16, 300, 7):
        try:
            Recipe.load(name, [f"data.crop_px={crop_px}"])
        except UserError as error:
            _, suggested, change = str(error).partition(": set ")
            assert not suggested or Recipe.load(name, [f"data.crop_px={crop_px}", change])
