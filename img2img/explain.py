"""What pydantic found wrong with a recipe, as one line that names the field and what was probably
meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from img2img.config import NoNumber, Schema
from img2img.conflicts import ImpossibleRecipe
from img2img.errors import RecipeField, UserError, did_you_mean

if TYPE_CHECKING:
    from pydantic import ValidationError


def explain(error: ValidationError, schema: Schema, prefix: str = "") -> UserError:
    """The first of pydantic's complaints; `schema` is that of what was validated, `prefix` where
    that stands.
    """
    first = error.errors(include_url=False)[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ImpossibleRecipe):
        field, problem, _ = cause.conflict
        return UserError(problem, field=(RecipeField(field),), remedy=cause.remedy)
    names, node = _walk(schema, first["loc"])
    kinds = [
        kind
        for option in _options(schema, node)
        for kind in option.get("discriminator", {}).get("mapping", ())
    ]
    message = str(cause) if isinstance(cause, ValueError) else first["msg"]
    if first["type"] == "extra_forbidden":
        known = {
            name
            for option in _options(schema, node)
            for name, field in option.get("properties", {}).items()
            if not field.get("deprecated")
        }
        message = f"unknown key{did_you_mean(names[-1], known)}" if known else "unknown key"
    elif first["type"] == "union_tag_invalid":
        names.append("kind")
        message = f"unknown '{first['ctx']['tag']}'{did_you_mean(first['ctx']['tag'], kinds)}"
    elif first["type"] == "union_tag_not_found":
        names.append("kind")
        message = f"is missing: one of {', '.join(kinds)}"
    elif first["type"] == "missing":
        message = "is missing"
    elif isinstance(first.get("input"), NoNumber) and first["input"].wanted:
        message = f"{first['input'].wanted}, got {first['input']!r}"
    elif first["type"] in _SHAPES:
        given = "nothing" if first["input"] is None else repr(first["input"])
        message = f"needs {_SHAPES[first['type']]}, got {given}"
    elif first["type"] == "too_short":
        message = "is empty: name at least one"
    elif "input" in first and not isinstance(first["input"], dict | list | tuple):
        message = f"{message[0].lower()}{message[1:]}, got {first['input']!r}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    place = ".".join([prefix] * bool(prefix) + names)
    return UserError(f"{message}{more}", field=RecipeField(place) if place else None)


# pydantic speaks of Python's types here, and of our classes.
_SHAPES = dict.fromkeys(
    ("dict_type", "model_type", "model_attributes_type"), "fields of its own (a mapping)"
)
_SHAPES |= dict.fromkeys(("tuple_type", "list_type"), "a list")


def _walk(schema: Schema, location: tuple[int | str, ...]) -> tuple[list[str], Schema]:
    """The field names along pydantic's location, and the schema of the last place known.

    Of a union pydantic names the chosen member too (`generator.restorer.width`), which no recipe
    does: left out here.
    """
    names: list[str] = []
    node = schema
    for part in location:
        options = _options(schema, node)
        tagged = [
            option
            for option in options
            for kind in _options(schema, option.get("properties", {}).get("kind", {}))
            if part == kind.get("const") or part in kind.get("enum", ())
        ]
        inside = [o["properties"][part] for o in options if part in o.get("properties", {})]
        items = [o["items"] for o in options if isinstance(part, int) and "items" in o]
        if tagged and not inside:
            node = tagged[0]
            continue
        names.append(str(part))
        node = (inside or items or [node])[0]
    return names, node


def _options(schema: Schema, node: Schema) -> list[Schema]:
    """The node and the members of a union that it may be, references followed."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[1]]
    members = [*node.get("anyOf", []), *node.get("oneOf", [])]
    return [node, *(option for member in members for option in _options(schema, member))]
