"""The catalogue of models: the header of each model file, read once and then carried along."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from torch import Tensor, nn

from img2img.community.foreign import foreign_header, foreign_weights
from img2img.errors import Advice, Command, Option, Phrase, TaskKind, UserError
from img2img.modelfile import Card, Header, is_ours, read_header, read_weights, with_weights
from img2img.recipe import Recipe
from img2img.runtimes.onnx_file import is_our_graph, read_onnx
from img2img.tasks import PhotoTask, Task, photo_tasks
from img2img.zoo import model_path, shipped_models

_KEPT = 512  # headers of about 10 kB each


@dataclass(frozen=True)
class Entry:
    """A model that was found: the name it was asked for by, its file, and the file's header."""

    name: str
    path: Path
    header: Header = field(compare=False, repr=False)

    @property
    def title(self) -> str:
        """A name for results and reports: the run folder's, or the file's without its suffix."""
        return self.path.parent.name if self.path.name == "model.safetensors" else self.path.stem

    @property
    def recipe(self) -> Recipe:
        """The recipe that the model was trained by, or that fits what other people trained."""
        return self.header.recipe

    @property
    def card(self) -> Card:
        """Training data, metrics and measured tile overlap of the model."""
        return self.header.card

    @property
    def task(self) -> Task:
        """The task as the model was trained for it: with its scale, its classes, its mask."""
        return self.header.recipe.task

    @property
    def scale(self) -> int:
        """Output size over input size; of pictures from noise, their side in px."""
        return self.task.output_size((1, 1))[0]

    @property
    def size_mb(self) -> float:
        """Megabytes on disk, of both files where ncnn keeps graph and numbers apart."""
        numbers = self.path.with_suffix(".bin")
        parts = [self.path, *([numbers] if self.path.suffix == ".param" else [])]
        return sum(part.stat().st_size for part in parts if part.is_file()) / 1e6

    def weights(self) -> dict[str, Tensor]:
        """All tensors of its network in fp32, by the names that `recipe.build_generator()` has for
        them. Raises UserError for a file that has changed since.
        """
        if self.is_graph:
            raise UserError(
                Phrase(
                    "'", self.path, "' is an exported graph: its weights are no longer a network's"
                ),
                remedy="use the model that it was exported from",
            )
        return read_weights(self.path) if is_ours(self.path) else foreign_weights(self.path)

    @property
    def is_graph(self) -> bool:
        """It was exported: a runtime runs it, and torch does not."""
        return is_our_graph(self.path)

    def load_generator(self) -> nn.Module:
        """Its network in evaluation mode, on the CPU. Raises UserError when weights do not fit."""
        return with_weights(self.recipe, self.weights(), self.path)

    @property
    def photo_task(self) -> PhotoTask:
        """The same for a model that changes photos. Raises UserError for one that makes pictures
        from noise.
        """
        if isinstance(self.task, PhotoTask):
            return self.task
        raise UserError(
            Phrase("'", Path(self.name), "' makes pictures from noise, not from photos"),
            field="model",
            remedy=Advice.run("generate", Option("model", Path(self.name))),
        )


class Catalogue:
    """Headers of model files, each read once until its file changes. It may be used by several
    threads.
    """

    def __init__(self) -> None:
        self._headers: dict[Path, tuple[tuple[int, int, int], Header]] = {}
        self._lock = Lock()

    def entry(self, name: str | Path) -> Entry:
        """The model behind a zoo name, a model file or a run folder. Raises UserError for an
        unknown name and for a file that is not ours.
        """
        path = model_path(name)
        return Entry(str(name), path, self.header(path))

    def header(self, path: Path) -> Header:
        """The header of a model file as it is now. Raises UserError as `read_header` does."""
        try:
            found = path.stat()
        except OSError:
            return _read(path)  # raises, naming the file
        # A file that was replaced has another inode, even where both were written within one tick
        # of the clock.
        stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
        with self._lock:
            known = self._headers.get(path)
            if known is None or known[0] != stamp:
                known = stamp, _read(path)
                self._headers[path] = known
                if len(self._headers) > _KEPT:
                    del self._headers[next(iter(self._headers))]
            return known[1]

    def shipped(self) -> dict[str, Entry]:
        """The models of the package by name."""
        return {
            name: Entry(name, path, self.header(path)) for name, path in shipped_models().items()
        }

    def default(
        self, task_kind: str, scale: int | None = None, *, found_photo: bool = False
    ) -> Entry:
        """The shipped model for a task (and scale), the shortest name first. Raises UserError when
        there is none.

        `found_photo`: a model trained on the damage of photos as they are found comes first;
        otherwise last.
        """
        shipped, fitting = self.shipped(), []
        for name, entry in shipped.items():
            task = entry.task
            if task.kind == task_kind and scale in (None, entry.scale):
                is_for_them = isinstance(task, PhotoTask) and task.for_found_photos
                fitting.append((is_for_them != found_photo, len(name), name))
        if fitting:
            return shipped[min(fitting)[-1]]
        known = [name for name, entry in shipped.items() if entry.task.kind == task_kind]
        others = f"; shipped for it otherwise: {', '.join(known)}" if known else ""
        at_scale = f" ×{scale}" if scale else ""
        raise UserError(
            Phrase("no model for ", TaskKind(task_kind), f"{at_scale} is shipped"),
            remedy=Advice(
                *("train one with ", Command("train", "RECIPE"), ", or name a model file or run "),
                *("with ", Option("model"), others),
            ),
        )

    def defaults(self, task_kind: str) -> list[Entry]:
        """The default model of a task for each shipped scale, small ones first. Raises UserError if
        there is none.
        """
        fitting = [entry for entry in self.shipped().values() if entry.task.kind == task_kind]
        scales = sorted({entry.scale for entry in fitting})
        return [self.default(task_kind, scale) for scale in scales] or [self.default(task_kind)]

    def finders(self) -> list[Entry]:
        """The shipped models that find what of a photo is to be filled."""
        shipped = self.shipped().values()
        return [e for e in shipped if isinstance(e.task, PhotoTask) and e.task.finds]

    def filler(self) -> Entry:
        """The shipped model that fills what others find. Raises UserError if there is none."""
        kinds = [kind for kind, task in photo_tasks().items() if task.fills]
        return self.default(kinds[0])

    def clear(self) -> None:
        """Forget all headers."""
        with self._lock:
            self._headers.clear()


def _read(path: Path) -> Header:
    """Of a file of ours, or what one of other people is found to be."""
    if is_ours(path):
        return read_header(path)
    return read_onnx(path)[0] if is_our_graph(path) else foreign_header(path)


CATALOGUE = Catalogue()
