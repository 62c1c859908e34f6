"""What every part of a recipe is: frozen, strict about names and numbers, and able to say what it
cannot work with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from img2img.conflicts import Conflict, RecipeContext

MOST = 10**9  # of whole numbers: what is counted in a recipe fits into far less
ANY_SIZE = ("seed",)
Schema = dict[str, Any]


@dataclass(frozen=True)
class NoNumber:
    """Stands where a number was wanted and something else was given, so that its field refuses it
    by name.
    """

    given: object
    wanted: str = ""

    def __repr__(self) -> str:
        return repr(self.given)


class FrozenConfig(BaseModel):
    """A recipe, or a part of one: unknown fields are errors, and so are NaN, infinity and `true`
    for a number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    former_names: ClassVar[dict[str, str]] = {}
    """Names that fields had before, and their names now: recipes and model files of then are read.
    """

    def conflicts(self, context: RecipeContext) -> Iterable[Conflict]:
        """What in the other parts of the recipe this one cannot work with, the worst first."""
        return ()

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Schema:
        """What editors read: former names as deprecated, and no examples of Python."""
        reference = handler(core)
        schema = handler.resolve_ref_schema(reference)
        if "description" in schema:
            text = schema["description"].partition(">>>")[0].rstrip()
            schema["description"] = text.removesuffix("Example:").rstrip()
        for former, name in cls.former_names.items():
            field = schema["properties"][name]
            kept = {k: v for k, v in field.items() if k not in ("title", "default")}
            told = {"deprecated": True, "description": f"former name of {name}"}
            schema["properties"][former] = kept | told
        return reference

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        current = {cls.former_names.get(name, name): value for name, value in fields.items()}
        return {
            name: _checked(value, _number_type(cls, name), name in ANY_SIZE)
            for name, value in current.items()
        }


@dataclass(frozen=True)
class Renamed:
    """Of a field: words of earlier recipes and model files are read as the words of now, and the
    schema knows them as deprecated.

    The field may hold a word, a list of words, or fields with such a word as their `kind`.
    """

    former: Mapping[str, str]

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_before_validator_function(self.current, handler(source))

    def current(self, value: Any) -> Any:
        """The value in the words of now."""
        if isinstance(value, list | tuple):
            return type(value)(self.current(word) for word in value)
        if isinstance(value, dict) and isinstance(value.get("kind"), str):
            return {**value, "kind": self.former.get(value["kind"], value["kind"])}
        return self.former.get(value, value) if isinstance(value, str) else value

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> Schema:
        schema = handler(core)
        if "items" in schema:
            return {**schema, "items": self._with_former(schema["items"])}
        if "oneOf" not in schema:
            return self._with_former(schema)
        for member in schema["oneOf"]:
            fields = handler.resolve_ref_schema(member)["properties"]
            fields["kind"] = self._with_former(fields["kind"])
        return schema

    def _with_former(self, words: Schema) -> Schema:
        """The schema of one or several words, with what they were called before."""
        known = {*words.get("enum", ()), words.get("const")}
        former = [
            {"const": old, "deprecated": True, "description": f"former name of {now}"}
            for old, now in self.former.items()
            if now in known
        ]
        return {"type": "string", "anyOf": [words, *former]} if former else words


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] > bounds[1]:
        raise ValueError(f"[{bounds[0]}, {bounds[1]}] is not a range: the lower number comes first")
    return bounds


Ordered = AfterValidator(_ordered)
"""Of a range: the lower number comes first."""
OneOrMany = BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
"""Of a tuple of words: one may be written alone."""


def _checked(value: Any, number: type | None, any_size: bool, depth: int = 0) -> Any:
    """The value, in lists too, with a `NoNumber` for what cannot be a number of that type."""
    if number is None or depth > 3:
        return value
    if isinstance(value, list | tuple):
        return type(value)(_checked(inner, number, any_size, depth + 1) for inner in value)
    if isinstance(value, bool):
        return NoNumber(value)
    if (
        number is int
        and not any_size
        and isinstance(value, int | float)
        and MOST < abs(value) < float("inf")
    ):
        return NoNumber(value, f"input should be between {-MOST} and {MOST}")
    return value


@cache
def _number_type(model: type[BaseModel], name: str) -> type | None:
    """float or int where a field holds numbers and nothing that may be true or false; else None."""
    field = model.model_fields.get(name) if isinstance(name, str) else None
    parts = set(_parts(field.annotation)) if field else set()
    return None if bool in parts else next((kind for kind in (float, int) if kind in parts), None)


def _parts(annotation: Any) -> Iterator[type]:
    """The plain types that an annotation is made of; of a Literal, the types of its values."""
    if get_origin(annotation) is Literal:
        yield from (type(value) for value in get_args(annotation))
    elif get_args(annotation):
        for part in get_args(annotation):
            yield from _parts(part)
    elif isinstance(annotation, type):
        yield annotation
