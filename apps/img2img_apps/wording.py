"""How the page and the API name what the library's messages are about: controls by their labels,
parameters by their names, files without their folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from img2img.errors import Command, Named, Option, RecipeField, TaskKind, UserError, rendered
from img2img.inference.plan import Plan
from img2img.memory import is_out_of_memory
from img2img.tasks import plugins
from img2img_apps.labels import (
    LABELS,
    OWN_TABS,
    RECIPE_LABELS,
    VERBS_WITH_A_TAB,
    VERBS_WITH_AN_ENDPOINT,
    endpoint,
    tab_title,
)

MOST_CHARACTERS = 400
_ECHO = 60  # characters of what a client sent that come back


def on_page(part: Named) -> str:
    """Options by the labels of their controls, tasks and commands by their tabs."""
    match part:
        case RecipeField(name, None):
            return RECIPE_LABELS.get(name, name)
        case TaskKind(_, kind):
            return tab_title(str(kind))
        case Option("task", kinds) if tools := _with_tools(kinds):
            return " or ".join(f"the {tab_title(kind)} tab" for kind in tools)
        case Option(name, value) if not isinstance(part, RecipeField):
            label = LABELS.get(name, name.replace("_", " ").capitalize())
            return label if value is None else f"“{_written(value)}” under {label}"
        case Command(verb) if verb in VERBS_WITH_A_TAB:
            return f"the {verb.capitalize()} tab"
        case Command(verb):
            return f"img2img {verb}"
        case Path():
            return part.name
        case _:
            return str(part)


def in_api(part: Named) -> str:
    """Options by the names of the parameters, tasks and commands by their endpoints."""
    match part:
        case Option("task", kinds) if tools := _with_tools(kinds):
            return " or ".join(f"/{endpoint(kind)}" for kind in tools)
        case Option(name, value) if value is not None:
            return f"{name} {_written(value)}"
        case Command(verb) if verb in VERBS_WITH_AN_ENDPOINT:
            return f"/{verb}"
        case Command(verb):
            return f"img2img {verb}"  # on the machine of the app
        case Path():
            return part.name
        case _:
            return str(part)


def _with_tools(kinds: object) -> list[str]:
    """The tasks of `a, b`, if each has a tab and an endpoint; none for a choice such as `a|b`."""
    named = kinds.split(", ") if isinstance(kinds, str) else []
    return named if {*named} <= OWN_TABS.keys() | plugins().keys() else []


def _written(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)


def for_the_api(message: str) -> str:
    """A message as an endpoint answers it, of a length that a client can bear."""
    text = rendered(message, in_api)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def plan_on_page(plan: Plan) -> list[str]:
    """What is done to a photo and why, then what is left out; to be rendered by `on_page`."""
    if not plan.steps and not plan.skipped:
        return ["nothing needs doing, this is your photo unchanged", *plan.declined]
    return plan.sentences("unchanged")


def echo(value: object) -> str:
    """A value as somebody sent it, cut short; what holds others, such as a file's place, by its
    kind alone.
    """
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value[: 2 * _ECHO] if isinstance(value, str) else value)
    return text if len(text) <= _ECHO else f"{text[:_ECHO]}…"


@contextmanager
def memory_errors(path: Path, remedy: str = "make the photo smaller") -> Iterator[None]:
    """Too little memory for a file is its user's to mend."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError("there is not enough memory for this", place=path, remedy=remedy) from None
