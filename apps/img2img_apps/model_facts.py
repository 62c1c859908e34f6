"""What lists and cards say of a model file. A file of other people is read whole for it, which
takes seconds, so those of a folder are read behind the page: one after another, and each once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from img2img.community.foreign import forget_tensors
from img2img.errors import Phrase, UserError, rendered
from img2img.modelfile import Header, is_ours
from img2img.zoo.catalogue import CATALOGUE
from img2img_apps.wording import memory_errors, on_page

log = logging.getLogger("img2img")

GENERATE = "generate"  # stands for every task that makes pictures from noise
_MOST_HEADER_BYTES = 2**20  # of a file of ours: names and shapes of tensors, recipe and card
_KEPT = 2000

Stamp = tuple[int, ...]


@dataclass(frozen=True)
class ModelFacts:
    """The task of a model (or GENERATE) and its scale; or why the file cannot be used."""

    kind: str | None = None
    scale: int = 1
    problem: str = ""

    @classmethod
    def of(cls, header: Header) -> ModelFacts:
        """Those of a header."""
        recipe = header.recipe
        if recipe.can_generate:
            return cls(GENERATE)
        return cls(recipe.task.kind, recipe.task.output_size((1, 1))[0])


class ModelReader:
    """Facts of model files, each read once until it changes. It may be used by several threads."""

    def __init__(self) -> None:
        self._facts: dict[Path, tuple[Stamp, ModelFacts]] = {}
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None

    def known(self, path: Path) -> ModelFacts | None:
        """The facts of a file as it is now; None for one of other people that is yet to be read."""
        stamp = _stamp(path)
        found = self._facts.get(path)
        if found is not None and found[0] == stamp:
            return found[1]
        return self._read(path, stamp) if _is_quick(path) else None

    def read(self, path: Path) -> ModelFacts:
        """The same, read now where need be."""
        with self._one_at_a_time:
            return self.known(path) or self._read(path, _stamp(path))

    def read_behind(self, unread: Callable[[], Iterable[Path]]) -> None:
        """Begin to read, in a thread of its own, what `unread` gives until it gives nothing."""

        def read_all() -> None:
            while path := next(iter(unread()), None):
                self.read(path)
                forget_tensors()

        if not self.is_reading:
            self._thread = threading.Thread(target=read_all, daemon=True)
            self._thread.start()

    @property
    def is_reading(self) -> bool:
        """Whether files are being read behind the page."""
        return self._thread is not None and self._thread.is_alive()

    def _read(self, path: Path, stamp: Stamp) -> ModelFacts:
        try:
            with memory_errors(path, "close other programs"):
                facts = ModelFacts.of(CATALOGUE.header(path))
        except UserError as error:
            facts = ModelFacts(problem=error.phrase)
        except Exception as error:  # whatever a stranger's file brings about
            log.debug("%s", path, exc_info=error)
            problem = Phrase("'", path, f"' does not load ({type(error).__name__})")
            facts = ModelFacts(problem=problem)
        if facts.problem:
            log.warning("not offered: %s", rendered(facts.problem, on_page))
        self._facts[path] = stamp, facts
        if len(self._facts) > _KEPT:
            del self._facts[next(iter(self._facts))]
        return facts


def _stamp(path: Path) -> Stamp:
    """Another one for a file that has changed, or whose numbers next to it have."""
    found: Stamp = ()
    for part in (path, path.with_suffix(".bin")) if path.suffix == ".param" else (path,):
        try:
            stat = part.stat()
        except OSError:
            continue
        found += stat.st_mtime_ns, stat.st_size, stat.st_ino
    return found


def _is_quick(path: Path) -> bool:
    """Whether it is a file of ours, whose header is read in a moment."""
    if path.suffix.lower() != ".safetensors":
        return False
    try:
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
    except OSError:
        return False
    return header_bytes <= _MOST_HEADER_BYTES and is_ours(path)
