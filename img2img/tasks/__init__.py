"""Tasks, found rather than registered: every module of this package, then entry points, then an
import path.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, TypeGuard, get_args, get_origin

from pydantic import ValidationError, create_model

from img2img.conflicts import TaskFacts
from img2img.errors import UserError, did_you_mean
from img2img.explain import explain
from img2img.tasks.autoencoder import AutoencoderTask
from img2img.tasks.base import Task
from img2img.tasks.finding import FindingTask
from img2img.tasks.masked import MaskedTask
from img2img.tasks.noise import NoiseTask
from img2img.tasks.photo import PhotoStatistics, PhotoTask, Reason
from img2img.tasks.unpaired import UnpairedTask

__all__ = [
    "AutoencoderTask",
    "FindingTask",
    "MaskedTask",
    "NoiseTask",
    "PhotoStatistics",
    "PhotoTask",
    "Reason",
    "Task",
    "UnpairedTask",
    "ask",
    "build_task",
    "has_answer",
    "photo_tasks",
    "task_class",
    "task_kinds",
    "written_for",
]

log = logging.getLogger("img2img")

Question = Literal["applies", "declines", "wants_found_model"]


@cache
def built_in() -> dict[str, type[Task]]:
    """Tasks of this package by kind."""
    found: dict[str, type[Task]] = {}
    for module in pkgutil.iter_modules(__path__):
        try:
            loaded = importlib.import_module(f"{__name__}.{module.name}")
        except Exception as error:  # whoever writes a task breaks this one, not the others
            log.warning(
                "img2img/tasks/%s.py is left out: %s: %s", module.name, type(error).__name__, error
            )
            continue
        for _, member in inspect.getmembers(loaded, inspect.isclass):
            if not _is_task(member) or "kind" not in inspect.get_annotations(member):
                continue
            kind = member.model_fields["kind"].default
            if isinstance(kind, str):  # the families have none
                found[kind] = _of_a_family(member)
    return found


@cache
def plugins() -> dict[str, type[Task]]:
    """Task classes of other packages, by their entry point's name; what cannot be used is logged
    once and left out.
    """
    found: dict[str, type[Task]] = {}
    for point in entry_points(group="img2img.tasks"):
        try:
            loaded = point.load()
            if not _is_task(loaded):
                raise TypeError("not a class derived from img2img.tasks.Task")
            found[point.name] = _of_a_family(loaded)
        except Exception as error:  # as with the built-in: it breaks this task alone
            log.warning(
                "task '%s' (%s) is left out: %s: %s",
                point.name,
                point.value,
                type(error).__name__,
                error,
            )
    return found


def task_kinds() -> list[str]:
    """Names that a recipe or a user may give, in the order in which a plan applies them."""
    classes = _installed()
    return sorted(classes, key=lambda kind: (classes[kind].plan_order, kind))


def photo_tasks() -> dict[str, type[PhotoTask]]:
    """The tasks that change photos by kind, in plan order; the others make pictures from noise."""
    classes = _installed()
    return {kind: found for kind in task_kinds() if issubclass(found := classes[kind], PhotoTask)}


def has_answer(question: Question, kind: str) -> bool:
    """Whether a task answers a question about photos in a way of its own."""
    own = inspect.getattr_static(task_class(kind, trusted=False), question, None)
    return own is not None and own is not inspect.getattr_static(PhotoTask, question)


def ask(question: Question, kind: str, photo: PhotoStatistics) -> Any:
    """What a photo's task says of it, asked of the class; None where a plugin cannot say."""
    found = task_class(kind, trusted=False)
    try:
        if not isinstance(inspect.getattr_static(found, question), classmethod):
            raise TypeError(f"{question} is asked of the class now: make it a classmethod")
        return getattr(found, question)(photo)
    except Exception as error:  # a stranger's task breaks nobody's plan
        _warn_once(f"task '{kind}' is not asked whether it {question}: {error}")
        return None


@cache
def _warn_once(problem: str) -> None:
    log.warning("%s", problem)


def task_class(kind: str, *, trusted: bool) -> type[Task]:
    """The class behind `kind`: built-in, entry point, or `package.module:Class`.

    An import path runs code, so it is taken from a recipe the user wrote (`trusted`), never from a
    model file's header.
    """
    if kind in _installed():
        return _installed()[kind]
    if ":" in kind and not trusted:
        raise UserError(
            f"'{kind}' is code, and a model file may not choose code to run",
            field="task.kind",
            remedy="install it as an entry point",
        )
    if ":" in kind:
        return _imported(kind)
    raise UserError(f"unknown task '{kind}'{did_you_mean(kind, task_kinds())}")


def build_task(value: Any, *, trusted: bool = True) -> Task:
    """A task from a recipe's `task:`, given as a name or as fields with a `kind`."""
    if isinstance(value, Task):
        return value
    fields = {"kind": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping) or not isinstance(fields.get("kind"), str):
        raise UserError(
            "is missing", field=("task.kind",), remedy=f"name one of {', '.join(task_kinds())}"
        )
    found = task_class(fields["kind"], trusted=trusted).for_fields(fields)
    try:
        return found.model_validate(dict(fields))
    except ValidationError as error:
        raise explain(error, found.model_json_schema(), "task") from error


def written_for(method: str) -> list[str]:
    """The tasks that a method trains as a recipe writes them: the kind, or `{kind: …, field: …}`
    where it is one choice of a field that makes a task the method's.
    """
    found: list[str] = []
    for kind in task_kinds():
        task = _installed()[kind]
        if _method_of(task) == method:
            found.append(kind)
            continue
        for name, field in task.model_fields.items():
            choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            for choice in choices:
                with suppress(Exception):  # a stranger's task breaks nobody's message
                    if _method_of(task.for_fields({"kind": kind, name: choice})) == method:
                        found.append(f"{{kind: {kind}, {name}: {choice}}}")
    return found


def _method_of(task: type[Task]) -> object:
    return getattr(task, "trained_by", TaskFacts.trained_by)


def with_tasks(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of something that has a task, with every task that is installed in it."""
    code = {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string", "pattern": ":"}},
    }
    choices: list[dict[str, Any]] = [{"type": "string"}, code]
    for kind in task_kinds():
        own = task_class(kind, trusted=True).model_json_schema()
        own["properties"]["kind"] = {"const": kind, "type": "string"}
        own["required"] = ["kind", *own.get("required", [])]
        schema["$defs"].update(own.pop("$defs", {}))
        choices.append(own)
    schema["properties"]["task"] = {"anyOf": choices}
    return schema


def _installed() -> dict[str, type[Task]]:
    """Every task by kind; a plugin cannot take the place of a built-in one."""
    return {**plugins(), **built_in()}


FORMER_MEMBERS = {
    "needs_mask": "derive from img2img.tasks.MaskedTask",
    "from_noise": "derive from img2img.tasks.NoiseTask",
    "unpaired": "derive from img2img.tasks.UnpairedTask",
    "bottleneck": "derive from img2img.tasks.AutoencoderTask",
    "from_prior": "derive from img2img.tasks.AutoencoderTask",
    "reads_what": "override the property `reads`",
    "follow": "call it apply_hints",
}
"""What a task could say of itself before there were families, and how it says that now."""


def _of_a_family(found: type[Task]) -> type[Task]:
    """The class, as a task on photos where it derives from `Task` alone: there were no families
    when it was written. Raises TypeError for what can no longer be said so.
    """
    if hasattr(found, "condition_is_noise"):
        return found
    own: dict[str, Any] = {}
    for base in reversed(found.__mro__[: found.__mro__.index(Task)]):
        own |= vars(base)
    for name, instead in FORMER_MEMBERS.items():
        if own.get(name):
            raise TypeError(f"Task.{name} is gone: {instead}")
    if "target" in inspect.signature(own.get("metrics", Task.metrics)).parameters:
        raise TypeError("Task.metrics takes (rgb, batch) now: the target is batch.target")
    return type(found.__name__, (found, PhotoTask), {"__module__": found.__module__})


def _is_task(found: Any) -> TypeGuard[type[Task]]:
    return inspect.isclass(found) and issubclass(found, Task)


@cache
def _imported(path: str) -> type[Task]:
    """The class at `package.module:Class`; its `kind` is the path, so that the run's own recipe
    finds it again.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise UserError(f"cannot import '{path}': {error}", field="task.kind") from error
    if not _is_task(found):
        raise UserError(
            f"'{path}' is not a class derived from img2img.tasks.Task", field="task.kind"
        )
    found = _of_a_family(found)
    if found.model_fields["kind"].annotation is str:
        return found
    return create_model(
        found.__name__, __base__=found, __module__=found.__module__, kind=(str, path)
    )
