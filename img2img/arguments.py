"""What a caller gave a public function: keywords that it has, and values of their kinds."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from os import PathLike
from typing import SupportsFloat

from img2img.errors import UserError, did_you_mean

_SHOWN = 60  # characters of a value that come back


class UnknownKeyword(UserError, TypeError):
    """A keyword that a function does not have; a TypeError too, as Python answers it."""


def refuse_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise UnknownKeyword for a keyword that a function does not have, with the one that was
    probably meant.
    """
    names = list(known)
    for name in given:
        if name not in names:
            meant = did_you_mean(name, names)
            problem = f"{function}() got an unexpected keyword argument '{name}'{meant}"
            raise UnknownKeyword(problem)


def check_share(name: str, value: object) -> None:
    """Raise UserError unless a value is a number from 0 to 1."""
    number = _number(value)
    if number is None:
        raise must_be(name, "a number from 0 to 1", value)
    if not 0 <= number <= 1:
        raise UserError(f"{number:g} is not between 0 and 1", field=name)


def check_whole(name: str, value: object) -> None:
    """Raise UserError unless a value is a whole number."""
    number = _number(value)
    if number is None or not number.is_integer():
        raise must_be(name, "a whole number", value)


def check_positive(name: str, value: object) -> None:
    """Raise UserError unless a value is a number above 0."""
    number = _number(value)
    if number is None or not 0 < number < inf:
        raise must_be(name, "a number above 0", value)


def check_flag(name: str, value: object) -> None:
    """Raise UserError unless a value is true or false; 1 and 0 are, and `"no"` is neither."""
    if _number(value) not in (0, 1):
        raise must_be(name, "True or False", value)


def check_path(name: str, value: object, what: str) -> None:
    """Raise UserError unless a value can be a path; `what` says what it is the path of."""
    if not isinstance(value, str | PathLike):
        raise must_be(name, what, value)


def must_be(name: str, what: str, value: object) -> UserError:
    """The error for a value of another kind: `strength must be a number from 0 to 1, not 'a'`."""
    given = " ".join(repr(value).split())
    given = given if len(given) <= _SHOWN else f"{given[:_SHOWN]}…"
    return UserError(f"must be {what}, not {given}", field=(name,))


def _number(value: object) -> float | None:
    """A number of Python, NumPy or torch; None for anything else, and so for a text."""
    try:
        return float(value) if isinstance(value, SupportsFloat) else None
    except (TypeError, ValueError, RuntimeError, OverflowError):  # an array of several
        return None
