"""What clients send to an endpoint, looked at before anything is done with it: one message for each
thing amiss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr

from img2img.errors import UserError
from img2img_apps.wording import echo

MOST_SEED = 2**53 - 1  # beyond this, numbers in JSON lose digits
MOST_TEXT = 1000


ADDED = {"restore": 2, "enlarge": 4}
"""How many parameters, the last ones, an endpoint got later: older calls end before them."""


def completed(endpoint: str, components: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """The values of a call, with the defaults of parameters that it is too old to know."""
    absent = len(components) - len(values)
    older = 0 < absent <= ADDED.get(endpoint, 0)
    return [*values, *(one.value for one in components[-absent:])] if older else [*values]


def check_values(components: Sequence[Any], values: Sequence[Any]) -> None:
    """Raise UserError, naming the parameter, unless the values are what the endpoint's components
    take.
    """
    names = [str(component.label) for component in components]
    if len(values) != len(components):
        raise UserError(f"give {len(names)} values ({', '.join(names)}), not {len(values)}")
    for component, name, value in zip(components, names, values, strict=True):
        _check(component, name, value)


def _check(component: Any, name: str, value: Any) -> None:
    if isinstance(component, gr.File):
        _check_file(name, value)
    elif isinstance(component, gr.Slider | gr.Number):
        _check_number(component, name, value)
    elif isinstance(component, gr.Checkbox):
        if not isinstance(value, bool | None):
            raise UserError(f"give true or false, not {echo(value)}", field=name)
    elif isinstance(component, gr.Radio):
        _check_choice(component, name, value)
    elif isinstance(component, gr.Textbox):
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


def _check_number(component: Any, name: str, value: Any) -> None:
    if value is None and isinstance(component, gr.Number):
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError(f"give a number, not {echo(value)}", field=name)
    whole = component.step == 1 if isinstance(component, gr.Slider) else component.precision == 0
    if whole and value != int(value):
        raise UserError(f"give a whole number, not {echo(value)}", field=name)
    least, most = component.minimum, component.maximum
    if most is not None and value > most:
        raise UserError(f"{echo(value)} is more than the maximum value {most}", field=name)
    if least is not None and value < least:
        raise UserError(
            f"{echo(value)} is less than {least}",
            field=name,
            remedy=f"{name}s are {least} or more",
        )


def _check_choice(component: Any, name: str, value: Any) -> None:
    known = [choice for _, choice in component.choices]
    if value is None and "" in known:
        return
    if isinstance(value, bool) or value not in known:
        listed = ", ".join(repr(choice) for choice in known)
        raise UserError(f"{echo(value)} is none of {listed}", field=name)


def _check_text(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise UserError(f"give a text, not {echo(value)}", field=name)
    if len(value) > MOST_TEXT:
        raise UserError(
            f"{len(value)} characters are too many", field=name, remedy=f"at most {MOST_TEXT}"
        )
