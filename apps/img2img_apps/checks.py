"""What clients send to an endpoint, looked at before anything is done with it: one message for each
thing amiss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from img2img.errors import UserError
from img2img_apps.tools.controls import FOR_ALL_PHOTOS, Control
from img2img_apps.wording import echo

MOST_TEXT = 1000


def completed(controls: Sequence[Control], values: Sequence[Any]) -> list[Any]:
    """The values of a call, with the defaults of parameters that it is too old to know."""
    absent = len(controls) - len(values)
    older = 0 < absent <= sum(control.later for control in controls)
    return [*values, *(control.default for control in controls[-absent:])] if older else [*values]


def check_values(controls: Sequence[Control], values: Sequence[Any]) -> None:
    """Raise UserError, naming the parameter, unless the values are what the endpoint's controls
    take.
    """
    if len(values) != len(controls):
        own = [control.name for control in controls if control not in FOR_ALL_PHOTOS]
        shared = [control.name for control in controls if control in FOR_ALL_PHOTOS]
        more = f"; {', '.join(shared)} may follow" if shared else ""
        wanted = f"give {len(own)} values ({', '.join(own)})"
        raise UserError(f"{wanted}, not {len(values)}{more}")
    for control, value in zip(controls, values, strict=True):
        check_value(control, value)


def check_value(control: Control, value: Any) -> None:
    """Raise UserError unless the value is what a control takes."""
    name = control.name
    match control.kind:
        case "file":
            _check_file(name, value)
        case "range" | "number" | "whole" | "seed":
            _check_number(control, value)
        case "switch":
            if not isinstance(value, bool | None):
                raise UserError(f"give true or false, not {echo(value)}", field=name)
        case "choice":
            _check_choice(control, value)
        case _:
            _check_text(name, value)


def _check_file(name: str, value: Any) -> None:
    there = value is None or (
        isinstance(value, dict) and isinstance(value.get("path"), str) and value["path"]
    )
    if not there:
        raise UserError(
            "upload the file to /gradio_api/upload, then give "
            '{"path": "…", "meta": {"_type": "gradio.FileData"}}, not ' + echo(value),
            field=name,
        )


def _check_number(control: Control, value: Any) -> None:
    name = control.name
    if value is None and control.kind != "range":
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"give a number, not {echo(value)}", field=name)
    if control.is_whole and value != int(value):
        raise UserError(f"give a whole number, not {echo(value)}", field=name)
    least, most = control.least, control.most
    if most is not None and value > most:
        raise UserError(f"{echo(value)} is more than the maximum value {most}", field=name)
    if least is not None and value < least:
        raise UserError(
            f"{echo(value)} is less than {least}",
            field=name,
            remedy=f"{name}s are {least} or more",
        )


def _check_choice(control: Control, value: Any) -> None:
    known = [choice for choice, _ in control.choices]
    if value is None and "" in known:
        return
    if isinstance(value, bool) or value not in known:
        listed = ", ".join(repr(choice) for choice in known)
        raise UserError(f"{echo(value)} is none of {listed}", field=control.name)


def _check_text(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise UserError(f"give a text, not {echo(value)}", field=name)
    if len(value) > MOST_TEXT:
        raise UserError(
            f"{len(value)} characters are too many", field=name, remedy=f"at most {MOST_TEXT}"
        )
