"""Messages of the command line for somebody who sees a page or calls the API: no flags, no paths of
this machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from img2img.errors import UserError

MOST_CHARACTERS = 400
_ECHO = 60  # characters of what a client sent that come back


def in_plain_words(message: str, path: Path | None = None) -> str:
    """A message with files by name alone, flags as the page and the API call them, and short
    echoes.
    """
    text = message if path is None else message.replace(str(path), path.name)
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    text = _FLAG.sub(lambda flag: flag[1].replace("-", "_"), _FOLDER.sub("", text))
    text = _QUOTED.sub(lambda quote: f"{quote[1]}{quote[2][:_ECHO]}…{quote[1]}", text)
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}…"


def echo(value: object) -> str:
    """A value as somebody sent it, cut short."""
    text = repr(value[: 2 * _ECHO] if isinstance(value, str) else value)
    return text if len(text) <= _ECHO else f"{text[:_ECHO]}…"


@contextmanager
def plain_words(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file, in words for the page."""
    try:
        yield
    except UserError as error:
        raise UserError(in_plain_words(str(error), path)) from None
    except MemoryError:
        raise UserError(
            f"{path.name}: there is not enough memory for this: make the photo smaller"
        ) from None


_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")
_FOLDER = re.compile(r"(?<![\w./:])/(?!gradio_api/)(?:[^\s/'\"]+/)+")  # of an absolute path
_QUOTED = re.compile(rf"(['\"])([^'\"]{{{_ECHO + 20},}})\1")
_WORDS = (
    (r"crop it, or raise img2img\.pixels\.codecs\.MAX_PIXELS", "make it smaller first"),
    (
        r"model '.*' fills masks: give one with --mask \(white = fill\)",
        "Brush over what should go first",
    ),
    (r"--mask-grow and --feather need something to fill.*", "Brush over what should go first"),
    (
        r"--task \S+ fills masks: give --mask \(white = fill\) or --extend",
        "Give a mask (white = fill), or extend",
    ),
    (
        r"no model for (\S+)( ×\d)? is shipped.*?(?=\)|$)",
        r"the model for \1\2 is not installed: load one on the Models tab",
    ),
    (
        r"(copied unchanged|written anew with nothing changed), nothing needs doing; what may be asked[^;]*",
        "nothing needs doing, this is your photo unchanged",
    ),
    (
        r"name the model (that goes both ways) with --model, or leave --direction out",
        r"choose a model \1, or none",
    ),
    (r"--task (\S+) does it all the same", r"tick \1 to do it all the same"),
    (r"leave --[a-z-]+ out", "leave it out"),
)
