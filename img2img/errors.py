"""The exceptions users meet: a single line that names the field or file and the fix."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the person at the keyboard can mend. The command line prints it as one line and
    exits with code 2.
    """


class TrainingError(Exception):
    """The run cannot go on (NaN, a full disk); what was saved is good. Exit code 1."""


class StoppedByDoctor(TrainingError):
    """The doctor has stopped the run (`train.on_trouble: stop`); it was saved, and can be resumed."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: the run was saved at this step."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}, everything is saved")
        self.step = step


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """`", did you mean 'denoise'?"` when a known word is close, else `otherwise` or the list of
    known words.
    """
    names = list(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f", did you mean '{close[0]}'?"
    return f"; known: {', '.join(sorted(names))}" if otherwise is None else otherwise
