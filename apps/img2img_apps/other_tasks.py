"""Tasks on photos that have no tab of their own, mostly of other packages, and the words that the
page shows for them.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from inspect import get_annotations

from img2img.tasks import PhotoTask, UnpairedTask, photo_tasks, plugins
from img2img_apps.labels import OWN_TABS, tab_title
from img2img_apps.offered_models import Models


@dataclass(frozen=True)
class OtherTask:
    """A task by the name in recipes, and the words and controls that follow from its class."""

    kind: str
    task: type[PhotoTask]

    @property
    def title(self) -> str:
        """The name of its tab."""
        return tab_title(self.kind)

    @property
    def lead(self) -> str:
        """The first paragraph of the class's docstring, else its verb."""
        for parent in self.task.__mro__:
            if parent.__module__.startswith("img2img.tasks.") and parent.__name__.endswith("Task"):
                break  # a family's docstring says nothing of this task
            if parent.__dict__.get("__doc__"):
                return " ".join(inspect.cleandoc(parent.__doc__ or "").split("\n\n")[0].split())
        return f"{self.verb}."

    @property
    def verb(self) -> str:
        """What its button says: the verb of a plan's sentence."""
        return self.task.verb[:1].upper() + self.task.verb[1:]

    @property
    def makes_condition(self) -> bool:
        """Whether it can make its input, such as a sketch, from a finished photo."""
        return self.task.from_photo is not PhotoTask.from_photo

    @property
    def goes_both_ways(self) -> bool:
        """Whether a model of it may: one kind can have members in two families."""
        members = [c for c in self.task.__subclasses__() if "kind" not in get_annotations(c)]
        return any(issubclass(member, UnpairedTask) for member in (self.task, *members))

    @property
    def options(self) -> list[str]:
        """What may be set of it, by the names of the options."""
        named = {
            "mask": self.task.fills,
            "direction": self.goes_both_ways,
            "from_photo": self.makes_condition,
        }
        return ["strength", "seed", "model", *(name for name, has in named.items() if has)]


def other_tasks(models: Models) -> list[OtherTask]:
    """Those of other packages, and built-in ones that a model is offered for, in plan order."""
    return [
        OtherTask(kind, task)
        for kind, task in photo_tasks().items()
        if kind not in OWN_TABS and (kind in plugins() or models.of_task(kind))
    ]
