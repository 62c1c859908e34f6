"""The tools of the page and the API, found rather than registered: every module of this package
with a `TOOL`, then one for each task of other packages. How one is added: `apps/README.md`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from img2img.tasks import photo_tasks
from img2img_apps.other_tasks import other_tasks
from img2img_apps.service import Service
from img2img_apps.tools.base import Tool
from img2img_apps.tools.task_tool import TaskTool

__all__ = ["Tool", "all_tools", "own_tools"]


@cache
def own_tools() -> tuple[Tool, ...]:
    """Those of this package, in their order."""
    modules = [
        importlib.import_module(f"{__name__}.{module.name}")
        for module in pkgutil.iter_modules(__path__)
    ]
    found = [module.TOOL for module in modules if hasattr(module, "TOOL")]
    return tuple(sorted(found, key=lambda tool: tool.order))


def all_tools(service: Service) -> dict[str, Tool]:
    """Every tool by its name; those whose task is not known here are left out."""
    known = [tool for tool in own_tools() if tool.kind is None or tool.kind in photo_tasks()]
    own_kinds = {tool.kind for tool in known}
    others = [TaskTool(one) for one in other_tasks(service.models) if one.kind not in own_kinds]
    return {tool.name: tool for tool in (*known, *others)}
