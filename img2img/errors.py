"""What a user can mend, as structure: the problem, the field, the place and the remedy.

    raise UserError(
        f"{strength} is not between 0 and 1", field="strength", remedy=Advice.leave_out("strength")
    )

`str(error)` is a whole sentence in the words of Python: `strength: 2 is not between 0 and 1: leave
strength out`. A front end writes the same parts in words of its own: the command line `--strength`,
the app the label of its slider. Nothing of a sentence is ever looked for or replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Option:
    """What a user may set, by its name in Python, or with a value: `Option("task", "inpaint")`."""

    name: str
    value: object = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name} {self.value}"


class RecipeField(Option):
    """A field of a recipe by its dotted path: `train.lr`. Every front end calls it so."""


class TaskKind(Option):
    """A task by its kind alone, where nothing is to be set: a front end may call it as its tool."""

    def __init__(self, kind: str) -> None:
        super().__init__("task", kind)

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True)
class Command:
    """A command to run instead: `Command("generate", Option("model", "shapes"))`."""

    verb: str
    arguments: tuple[str | Path | Option, ...]

    def __init__(self, verb: str, *arguments: str | Path | Option) -> None:
        object.__setattr__(self, "verb", verb)
        object.__setattr__(self, "arguments", arguments)

    def __str__(self) -> str:
        words = [str(one) for one in self.arguments if not isinstance(one, Option)]
        options = [str(one) for one in self.arguments if isinstance(one, Option)]
        set_to = " with " * bool(options) + " and ".join(options)
        return " ".join(["img2img", self.verb, *words]) + set_to


Named = Path | Option | Command
"""A part of a sentence that each front end writes in its own words."""


class Phrase(str):
    """A text that remembers which of its parts are files, options and commands.

    As a `str` it is in the words of Python; `render` writes those parts in others. Put phrases
    together with `Phrase(…)` or `joined`: an f-string keeps the text alone.
    """

    parts: tuple[str | Named, ...]

    def __new__(cls, *parts: str | Named) -> Self:
        flat: list[str | Named] = []
        for part in parts:
            flat += part.parts if isinstance(part, Phrase) else (part,)
        phrase = super().__new__(cls, "".join(map(str, flat)))
        phrase.parts = tuple(flat)
        return phrase

    def __getnewargs__(self) -> tuple[str | Named, ...]:  # type: ignore[override]  # for pickle
        return self.parts

    def render(self, write: Callable[[Named], str]) -> str:
        """The text with every file, option and command as `write` puts it."""
        return "".join(part if isinstance(part, str) else write(part) for part in self.parts)

    @classmethod
    def joined(cls, parts: Iterable[str | Named], between: str) -> Phrase:
        """The parts one after the other, as `between.join` does it."""
        separated = [piece for part in parts for piece in (between, part)]
        return Phrase(*separated[1:])


class Advice(Phrase):
    """What mends it. `one | other` leaves the choice: `leave mask out, or use task inpaint`."""

    @classmethod
    def leave_out(cls, name: str) -> Advice:
        return cls("leave ", Option(name), " out")

    @classmethod
    def give(cls, *names: str) -> Advice:
        """Any one of these options."""
        return cls("give ", cls.joined(map(Option, names), " or "))

    @classmethod
    def set(cls, name: str, value: object) -> Advice:
        return cls("use ", Option(name, value))

    @classmethod
    def run(cls, verb: str, *arguments: str | Path | Option) -> Advice:
        return cls("use ", Command(verb, *arguments))

    def __or__(self, other: str) -> Advice:
        return Advice(self, ", or ", other)


def one_line(error: Exception, most: int = 300) -> str:
    """The kind of an error that is not ours, and what it says, for a message."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:most]


class StructuredError(Exception):
    """`place: field: problem: remedy`, of which the problem alone is always there.

    Fields in a tuple are the subject of the sentence: `mask_grow and feather need a mask`.
    """

    def __init__(
        self,
        problem: str,
        *,
        field: str | Option | tuple[str | Option, ...] | None = None,
        remedy: str = "",
        place: str | Path = "",
    ) -> None:
        super().__init__(problem)  # so that it survives pickling, and a DataLoader's worker
        self.is_subject = isinstance(field, tuple)
        named = field if isinstance(field, tuple) else () if field is None else (field,)
        self.fields = tuple(_option(one) for one in named)
        self.problem, self.remedy, self.place = problem, remedy, place

    @property
    def field(self) -> str | None:
        """The name of the (first) field that is at fault."""
        return self.fields[0].name if self.fields else None

    @property
    def phrase(self) -> Phrase:
        """The whole sentence, for a front end to render."""
        named = Phrase.joined(self.fields, " and ")
        said = [Phrase(named, " ", self.problem)] if self.is_subject else [named, self.problem]
        return Phrase.joined([p for p in (self.place, *said, self.remedy) if p], ": ")

    def __str__(self) -> str:
        return self.phrase

    def at(self, place: str | Path) -> Self:
        """The same error, which happened there; one that knows its place already keeps it."""
        return self._with(place=self.place or place)

    def moved(self, place: str | Path) -> Self:
        """The same error where the caller knows the place by another name."""
        return self._with(place=place)

    def about(self, field: str) -> Self:
        """The same error where the caller knows the field by another name."""
        return self._with(fields=(_option(field),), is_subject=False)

    def _with(self, **changes: object) -> Self:
        other = type(self)(self.problem)
        other.__dict__.update(self.__dict__ | changes)
        return other


class UserError(StructuredError):
    """Something the user can mend. The command line prints it as one line and
    exits with code 2.
    """


class StorageError(StructuredError):
    """A place that holds data does not give what it should: a server, a damaged shard. Unlike a
    broken photo it is never passed over, since another photo in its place would be another
    training. Exit code 1.
    """


class TrainingError(StructuredError):
    """The run cannot go on (NaN, a full disk); what was saved is good. Exit code 1."""


class StoppedByDoctor(TrainingError):
    """The doctor has stopped the run (`train.on_trouble: stop`); it was saved and can go on."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM: the run was saved at this step."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped at step {step}, everything is saved")
        self.step = step


def rendered(text: str, write: Callable[[Named], str]) -> str:
    """A text in a front end's words, whether it is a phrase or plain."""
    return text.render(write) if isinstance(text, Phrase) else text


def _option(field: str | Option) -> Option:
    if isinstance(field, Option):
        return field
    return RecipeField(field) if "." in field else Option(field)


def did_you_mean(word: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """`", did you mean 'denoise'?"` when a known word is close, else `otherwise` or the list of
    known words.
    """
    names = list(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f", did you mean '{close[0]}'?"
    return f"; known: {', '.join(sorted(names))}" if otherwise is None else otherwise
