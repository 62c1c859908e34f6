"""From a file to the plain fields of a recipe: finding it, YAML as it is meant, and overrides."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from img2img.errors import Advice, Command, Option, Phrase, UserError, did_you_mean
from img2img.resources import recipes_dir

KIND_ALONE = ("task", "method")
"""What may be written as one word, its kind, in the place of its fields."""
MAX_RECIPE_BYTES = 100_000
"""Recipes have a page or two; PyYAML reads some hundred kB a second."""
_MAX_VALUES = 100_000  # of a recipe that is written out, each alias as what it stands for


def recipe_path(source: str | Path) -> Path:
    """A recipe's file: the path itself, or a shipped recipe by its name with or without folder and
    suffix.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = recipes_dir() / f"{path.stem}.yaml"
    if path.name and path.parent.name in ("", "recipes") and shipped.is_file():
        return shipped
    if (path / "recipe.yaml").is_file():
        raise UserError(
            Phrase(path, " is a run's folder"),
            remedy=Advice(
                "go on with ",
                Command("train", path / "recipe.yaml", Option("out", path), Option("resume")),
            ),
        )
    names = [p.stem for p in recipes_dir().glob("*.yaml")]
    raise UserError(f"no recipe '{source}'{did_you_mean(path.stem, names)}")


def read_recipe(path: Path) -> Any:
    """What a recipe's file says, not checked yet. Raises UserError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_RECIPE_BYTES + 1)
        if len(content) > MAX_RECIPE_BYTES:
            raise UserError(
                f"is larger than {MAX_RECIPE_BYTES // 1000} kB, as no recipe is",
                place=path,
                remedy="is it another file?",
            )
        return read_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"not readable as YAML: {error}", place=path) from error
    except ValueError as error:
        raise UserError(" ".join(str(error).split()), place=path) from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", place=path) from error


class _WrittenTwice(ValueError):
    """A key of a mapping that is there already."""


class _Loader(yaml.SafeLoader):
    """YAML as it is meant: a key that is written twice, of which one would be lost in silence, is
    an error.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            name, line = getattr(key, "value", None), key.start_mark.line + 1
            if isinstance(name, str) and name in lines:
                twice = f"written twice, in lines {lines[name]} and {line}: keep one of them"
                raise _WrittenTwice(f"'{name}' is {twice}")
            lines[name if isinstance(name, str) else id(key)] = line
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        if isinstance(value, str) and "\0" in value:  # no name of a file may
            raise yaml.constructor.ConstructorError(
                None, None, "a text holds a null character", node.start_mark
            )
        return value

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except _WrittenTwice:
            raise
        except ValueError as error:  # such as the date 2024-13-45, or a number of 5000 digits
            kind = {"int": "whole number", "float": "number", "timestamp": "date"}.get(
                node.tag.split(":")[-1], "value"
            )
            problem = f"'{str(node.value)[:20]}' is no {kind}"
            mark = node.start_mark
            raise yaml.constructor.ConstructorError(None, None, problem, mark) from error


# What YAML has beyond plain data loses the order of a list, or means what no recipe does.
_Loader.yaml_constructors = {
    tag: construct
    for tag, construct in _Loader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] not in ("binary", "omap", "pairs", "set")
}


def read_yaml(text: str) -> Any:
    """What a YAML text says. Raises ValueError for what cannot be read, is nested too deeply or is
    written twice.
    """
    try:
        loader = _Loader(text)  # which may already find it unreadable
        try:
            node = loader.get_single_node()
            _written_out(node, {})
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except (yaml.YAMLError, TypeError) as error:
        problem = str(error).replace('in "<unicode string>", ', "in ")
        raise ValueError(f"not readable as YAML: {problem}") from error


def _written_out(node: yaml.Node | None, known: dict[int, int]) -> int:
    """How many values a node has with each alias as what it stands for. Raises ValueError for too
    many, where short files stand for gigabytes, and for a node that holds itself.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if (values := known.get(id(node))) is None:
        known[id(node)] = 0  # until it is counted
        inside = (
            chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        )
        values = known[id(node)] = 1 + sum(_written_out(one, known) for one in inside)
    if not values:
        raise ValueError(f"what begins in line {node.start_mark.line + 1} holds itself")
    if values > _MAX_VALUES:
        line = node.start_mark.line + 1
        raise ValueError(f"with its aliases, line {line} stands for more than {_MAX_VALUES} values")
    return values


def apply_override(fields: dict[str, Any], text: str) -> list[str]:
    """Change the fields of a recipe by one `key.path=value`, and return the path.

    The value is read as YAML, so that numbers, lists and null work. Raises UserError.
    """
    key, found, value = text.partition("=")
    if not found or not key:
        raise UserError(
            f"'{text}' is not an override",
            remedy="write key.path=value, for example train.steps=500",
        )
    path = key.split(".")
    place: Any = fields
    for part in path[:-1]:
        place = _step_into(place, part, key)
    try:
        parsed = read_yaml(value) if value else None
    except ValueError as error:
        problem = f"'{text}' is not an override: its value is not readable as YAML"
        raise UserError(problem) from error
    if isinstance(parsed, str) and any(c.isdigit() for c in parsed):
        with suppress(ValueError):  # YAML 1.1 reads 1e-4 as a word
            parsed = float(parsed)
    if isinstance(place, list):
        place[_index(path[-1], place, key)] = parsed
    else:
        place[path[-1]] = parsed
    return path


def _step_into(place: Any, part: str, key: str) -> Any:
    """The fields or list under one part of a key, made where there is none yet."""
    if isinstance(place, list):
        return place[_index(part, place, key)]
    inner = place.get(part)
    if isinstance(inner, str) and part in KIND_ALONE:
        inner = {"kind": inner}
    if inner is None:
        inner = {}
    if not isinstance(inner, dict | list):
        raise UserError(f"'{key}': {part} is a single value, it has no fields")
    place[part] = inner
    return inner


def _index(part: str, place: list[Any], key: str) -> int:
    if part.isdigit() and int(part) < len(place):
        return int(part)
    raise UserError(f"'{key}': the list has {len(place)} entries, counted from 0")
