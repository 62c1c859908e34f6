"""The schema as editors use it: every recipe, of now or of before, is valid by it, and mistakes are
not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from img2img.errors import UserError
from img2img.losses.adversarial import Adversarial
from img2img.losses.objectives import SHORT_KINDS
from img2img.recipe import Recipe, schema, schema_json
from img2img.recipe.reading import apply_override
from img2img.resources import recipes_dir

RECIPES = sorted(recipes_dir().glob("*.yaml"))
FORMER_RECIPES = sorted((Path(__file__).parent / "former_recipes").glob("*.yaml"))
"""Recipes as they were shipped before the words changed, with former names of fields and kinds."""


@pytest.mark.parametrize(
    "path", [*FORMER_RECIPES, *RECIPES], ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_a_recipe_of_now_or_of_before_is_valid_by_the_schema(path: Path) -> None:
    assert not problems(read(path), schema())


@pytest.mark.parametrize(
    ("recipe", "override"),
    [
        ("translate_tiny", "adversarial.augment=[colour, cutout]"),
        ("ring", "task.centre=[1, 2]"),
        ("denoise_tiny", "data.colour_jitter=0.25"),
        ("fashion_mnist", "task.scale=28"),
        ("ring", "adversarial.per_kind={wgan: {lr: 0.1}}"),
        *(("ring", f"adversarial.kind={former}") for former in SHORT_KINDS),
    ],
)
def test_a_former_word_is_valid_by_the_schema(recipe: str, override: str) -> None:
    fields = read(recipes_dir() / f"{recipe}.yaml")
    apply_override(fields, override)
    assert not problems(fields, schema())
    assert Recipe.load(recipe, [override])


@pytest.mark.parametrize(
    ("recipe", "override", "place"),
    [
        ("denoise_tiny", "data.colour_jiter=0.25", "data.colour_jiter"),
        ("denoise_tiny", "data.colour_jitter=2", "data.colour_jitter"),
        ("ring", "adversarial.kind=wgann", "adversarial"),
        ("ring", "adversarial.per_kind={wgann: {lr: 0.1}}", "adversarial"),
        ("ring", "task.modes=eight", "task"),
        ("colorize_tiny", "generator.kind=colours", "generator"),
        ("translate_tiny", "adversarial.augment=[colours]", "adversarial"),
        ("translate_tiny", "losses=[{kind: colourful}]", "losses.0"),
    ],
)
def test_what_is_neither_is_not_valid_by_the_schema(recipe: str, override: str, place: str) -> None:
    fields = read(recipes_dir() / f"{recipe}.yaml")
    apply_override(fields, override)
    found = problems(fields, schema())
    assert found and all(each.startswith(f"{place}: ") for each in found), found


def test_the_schema_marks_former_words_and_says_what_they_are_now() -> None:
    defined = schema()["$defs"]
    adversarial, data = (defined[n]["properties"] for n in ("Adversarial", "DataConfig"))
    _, color_unet = defined["ColorUNetConfig"]["properties"]["kind"]["anyOf"]
    _, mm, *_ = adversarial["kind"]["anyOf"]
    for former, now in (
        (adversarial["judges"], "discriminates"),
        (data["colour_jitter"], "color_jitter"),
        (color_unet, "color_unet"),
        (mm, "minimax"),
    ):
        assert former["deprecated"] is True
        assert former["description"] == f"former name of {now}"
        assert "default" not in former  # which an editor would fill in
    current = {name for name, field in adversarial.items() if not field.get("deprecated")}
    assert current == set(Adversarial.model_fields)


def test_no_former_word_is_proposed_for_a_mistyped_one() -> None:
    with pytest.raises(UserError, match="unknown key, did you mean 'color_jitter'"):
        Recipe.load("denoise_tiny", ["data.colour_jiter=0.1"])


def test_descriptions_in_the_schema_hold_no_examples_of_python() -> None:
    text = schema_json()
    assert ">>>" not in text and "Example:" not in text
    described = schema()["$defs"]["PixelLoss"]["description"]
    assert described.startswith("Mean of |d| (l1)") and described.endswith("over the region.")


def read(path: Path) -> Any:
    """A recipe's fields as editors read them: by YAML 1.2, where 2e-4 is a number."""
    return yaml.safe_load(re.sub(r"(?<= )(\d+)e-", r"\1.0e-", path.read_text()))


def problems(value: Any, node: dict[str, Any], place: str = "") -> list[str]:
    """Where a value is not valid by its node of the schema: of JSON Schema, what ours uses."""
    unknown = node.keys() - JSON_SCHEMA
    assert not unknown, f"this test does not know {unknown}"
    found: list[str] = []

    def require(valid: bool, problem: str) -> None:
        if not valid:
            found.append(f"{place.strip('.')}: {problem}")

    if "$ref" in node:
        found += problems(value, schema()["$defs"][node["$ref"].rsplit("/", 1)[1]], place)
    for several in ("anyOf", "oneOf"):
        if several in node:
            valid = [not problems(value, inner, place) for inner in node[several]].count(True)
            require(valid == 1 if several == "oneOf" else valid > 0, f"{valid} of {several}")
    require(value in node.get("enum", [value]), f"{value!r} is none of {node.get('enum')}")
    require(value == node.get("const", value), f"{value!r} is not {node.get('const')}")
    types = node.get("type", [])
    types = [types] if isinstance(types, str) else types
    require(not types or any(is_json(value, each) for each in types), f"{value!r} is no {types}")
    if isinstance(value, str):
        require(bool(re.search(node.get("pattern", ""), value)), "does not match")
    elif isinstance(value, int | float):
        require(node.get("minimum", value) <= value <= node.get("maximum", value), "out of range")
        require(node.get("exclusiveMinimum", value - 1) < value, "too small")
        require(value < node.get("exclusiveMaximum", value + 1), "too large")
        require(
            value % node.get("multipleOf", 1 if isinstance(value, int) else value or 1) == 0,
            "no multiple",
        )
    elif isinstance(value, list):
        within = node.get("minItems", 0) <= len(value) <= node.get("maxItems", len(value))
        require(within, f"has {len(value)} entries")
        prefixes = node.get("prefixItems", [])
        for index, inner in enumerate(value):
            schema_of = prefixes[index] if index < len(prefixes) else node.get("items", {})
            found += problems(inner, schema_of, f"{place}.{index}")
    elif isinstance(value, dict):
        for name in node.get("required", ()):
            require(name in value, f"{name} is missing")
        known, other = node.get("properties", {}), node.get("additionalProperties", True)
        for name, inner in value.items():
            found += problems(name, node.get("propertyNames", {}), place)
            if name in known or other is not False:
                allowed = known.get(name, other)
                found += problems(inner, {} if allowed is True else allowed, f"{place}.{name}")
            else:
                found.append(f"{place}.{name}".strip(".") + ": unknown")
    return found


JSON_SCHEMA = {
    *("$ref", "$defs", "anyOf", "oneOf", "discriminator", "enum", "const", "type"),
    *("pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("items", "prefixItems", "minItems", "maxItems"),
    *("required", "properties", "additionalProperties", "propertyNames"),
    *("title", "description", "default", "deprecated"),
}


def is_json(value: Any, name: str) -> bool:
    """Whether a value is of a type of JSON Schema; `true` is no number there."""
    number = not isinstance(value, bool) and isinstance(value, int | float)
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": number and float(value).is_integer(),
        "number": number,
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[name]
