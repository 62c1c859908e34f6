"""From the page's wishes to `img2img.inference` and back: checks, limits, results, messages. It changes no pixel."""

from __future__ import annotations

import html
import re
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from img2img.errors import UserError
from img2img.inference.batch import Batch, Request, Result
from img2img.inference.plan import Plan, asked_steps, plan, tile_counts
from img2img.inference.statistics import statistics
from img2img.modelfile import read_header
from img2img.models.two_way import Direction
from img2img.pixels.codecs import MAX_PIXELS, strict_pillow
from img2img.pixels.images import Photo, photo_suffixes, read_photo
from img2img.tasks import Task, task_class, task_kinds
from img2img.zoo import model_path

from .models import Models
from .previews import pair, preview
from .settings import MOST_PHOTOS, Settings
from .workspace import Workspace

OnProgress = Callable[[int, int | None, str], None]  # pieces done, of how many, what is being done
WAYS: dict[str, Direction | None] = {"": None, "AtoB": "AtoB", "BtoA": "BtoA"}  # of a model that goes both
TINTS = {0: "grey", 1: "one tint", 2: "colour"}
_HEADERS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA")


class Stopped(Exception):
    """The user pressed Stop."""


@dataclass(frozen=True)
class Look:
    """What is known of an uploaded photo before anything is done to it."""

    path: Path
    preview: Path
    size: tuple[int, int]
    words: tuple[str, ...]
    notes: tuple[str, ...]
    proposed: Plan


@dataclass(frozen=True)
class Outcome:
    """What became of a click: result files, the one to download, previews of the first."""

    results: tuple[Result, ...]
    download: Path
    pair: tuple[Path, Path]

    @property
    def made(self) -> tuple[Result, ...]:
        """Those that worked."""
        return tuple(result for result in self.results if not result.error)


@dataclass
class Service:
    """One app's state: settings, temporary folder, models, and who is running what."""

    settings: Settings
    workspace: Workspace
    models: Models
    _running: dict[str, threading.Event] = field(default_factory=dict)
    _looks: dict[Path, Look] = field(default_factory=dict)

    # --- looking -----------------------------------------------------------------------------------------------------

    def look(self, path: Path) -> Look:
        """Open an upload for the first time. Raises UserError in words for the page."""
        known = self._looks.get(path)
        if known and known.preview.exists() and path.exists():
            return known
        with plain_words(path):
            self.check_upload(path)
            photo = read_photo(path)
            self._check_size(path, photo.size)
            seen = self._seen(path, photo)
        self._looks[path] = seen
        for old in [p for p in self._looks if not p.exists()]:
            self._looks.pop(old, None)
        return seen

    def _seen(self, path: Path, photo: Photo) -> Look:
        stats = statistics(photo)
        shown = preview(photo, self.workspace.new_folder() / "before.jpg")
        wanted = [reason for kind in task_kinds() if (reason := _defaults(kind).applies(stats))]
        words = [TINTS[stats.tints], *(r.removeprefix("it is ").removeprefix("it has ") for r in wanted)]
        said = tuple(dict.fromkeys(w for w in words if w not in ("no colour", "a single tint")))
        return Look(path, shown, photo.size, said, photo.notes, plan(photo))

    def check_upload(self, path: Path) -> None:
        """Only files of the own temporary folder, of a name and a size that are allowed. Raises UserError."""
        if not self.workspace.holds(path) or not path.is_file():
            raise UserError("this file is not there any more: upload it again")
        if path.suffix.lower() in (".svg", ".svgz"):
            raise UserError(f"{path.name}: is a drawing (SVG), it has no pixels: save it as PNG first")
        size = _size_in_header(path)
        if size:
            self._check_size(path, size)

    def _check_size(self, path: Path, size: tuple[int, int], scale: int = 1) -> None:
        megapixels, limit = size[0] * size[1] / 1e6, self.settings.max_megapixels
        if megapixels > limit:
            raise UserError(
                f"{path.name}: has {megapixels:.1f} megapixels, more than the {limit:g} allowed here: "
                "make it smaller first"
            )
        if megapixels * scale**2 > MAX_PIXELS / 1e6:
            raise UserError(
                f"{path.name}: would be {megapixels * scale**2:.0f} megapixels after ×{scale}, "
                f"more than {MAX_PIXELS / 1e6:.0f}: use a smaller enlargement, or crop it first"
            )

    # --- doing -------------------------------------------------------------------------------------------------------

    def run(
        self,
        uploads: Sequence[Path],
        request: Request,
        *,
        mask: Path | None = None,
        user: str = "",
        on_progress: OnProgress | None = None,
    ) -> Outcome:
        """What `img2img infer` does to each upload with the same request. Raises UserError and Stopped."""
        if not uploads:
            raise UserError("Drop a photo first.")
        if len(uploads) > MOST_PHOTOS:
            raise UserError(f"{len(uploads)} photos at once: at most {MOST_PHOTOS}")
        folder = self.workspace.new_folder()
        with self.stoppable(user) as stop:
            results = [
                self._one(path, request, mask, folder / str(n), Pieces(n, len(uploads), stop, on_progress))
                for n, path in enumerate(uploads)
            ]
        made = [result for result in results if not result.error]
        if not made:
            raise UserError(results[0].error or "nothing was made")
        first = made[0]
        shown = pair(self.look(first.input).preview, _output(first), folder, request.canvas.extend)
        download = _output(first) if len(uploads) == 1 else zipped(made, folder / "img2img.zip")
        return Outcome(tuple(results), download, shown)

    def _one(self, path: Path, request: Request, mask: Path | None, folder: Path, pieces: Pieces) -> Result:
        try:
            with plain_words(path):
                seen = self.look(path)
                extended = (
                    seen.size[0] + sum(request.canvas.extend[::2]),
                    seen.size[1] + sum(request.canvas.extend[1::2]),
                )
                self._check_size(path, extended, _scale(request))
                pieces.expect(seen, request)
                batch = Batch([str(path)], request, f"{folder}/", None if mask is None else str(mask))
                result = next(batch.run(pieces))
            return result if not result.error else Result(path, error=in_plain_words(result.error, path))
        except UserError as error:
            return Result(path, error=str(error))

    @contextmanager
    def stoppable(self, user: str) -> Iterator[threading.Event]:
        """An event that `stop` sets while a user's work goes on."""
        stop = threading.Event()
        self._running[user] = stop
        try:
            yield stop
        finally:
            self._running.pop(user, None)

    def stop(self, user: str) -> None:
        """End what a user is running, after the tile at hand."""
        if user in self._running:
            self._running[user].set()


@dataclass
class Pieces:
    """Called after every tile: reports, and ends the work when it is to stop."""

    number: int
    photos: int
    stop: threading.Event
    report: OnProgress | None
    totals: tuple[int | None, ...] = ()
    verbs: tuple[str, ...] = ()

    def expect(self, seen: Look, request: Request) -> None:
        """Work out how many tiles each step has, as far as it can be known beforehand."""
        if self.stop.is_set():
            raise Stopped
        asked = asked_steps(request.tasks, request.scale, request.model)
        chosen = seen.proposed if asked is None else Plan(asked)
        self.totals, self.verbs = tile_counts(chosen, seen.size), tuple(step.verb for step in chosen.steps)
        self._say(0, 0)

    def __call__(self, step: int, done: int) -> None:
        if self.stop.is_set():
            raise Stopped
        self._say(step, done)

    def _say(self, step: int, done: int) -> None:
        if self.report is None or step >= len(self.totals):
            return
        photo = f"photo {self.number + 1} of {self.photos}: " if self.photos > 1 else ""
        self.report(done, self.totals[step], photo + self.verbs[step])


def zipped(results: Sequence[Result], path: Path) -> Path:
    """Results in a zip, stored as they are; a name that is taken gets a number."""
    taken: set[str] = set()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for result in results:
            output = _output(result)
            name = output.name
            for number in range(2, len(results) + 2):
                if name not in taken:
                    break
                name = f"{output.stem}-{number}{output.suffix}"
            taken.add(name)
            archive.write(output, name)
    return path


@contextmanager
def plain_words(path: Path) -> Iterator[None]:
    """Messages for the page: the file by its name alone, flags as the page calls them."""
    try:
        yield
    except UserError as error:
        raise UserError(in_plain_words(str(error), path)) from None
    except MemoryError:
        raise UserError(f"{path.name}: there is not enough memory for this: make the photo smaller") from None


def in_plain_words(message: str, path: Path | None = None) -> str:
    """A message of the command line for somebody who sees a page."""
    text = message if path is None else message.replace(str(path), path.name)
    for pattern, words in _WORDS:
        text = re.sub(pattern, words, text)
    return text


_WORDS = (
    (r"crop it, or raise img2img\.pixels\.codecs\.MAX_PIXELS", "make it smaller first"),
    (r"model '.*' fills masks: give one with --mask \(white = fill\)", "Brush over what should go first"),
    (r"--mask-grow and --feather need something to fill.*", "Brush over what should go first"),
    (
        r"no model for (\S+)( ×\d)? is shipped.*?(?=\)|$)",
        r"the model for \1\2 is not installed: load one on the Models tab",
    ),
    (
        r"copied unchanged, nothing needs doing; what may be asked.*",
        "nothing needs doing, this is your photo unchanged",
    ),
    (r"name the model (that goes both ways) with --model, or leave --direction out", r"choose a model \1, or none"),
    (r"leave --[a-z-]+ out", "leave it out"),
    (r"^--([a-z-]+): ", r"\1: "),
)


def escaped(text: str) -> str:
    """Text as HTML."""
    return html.escape(text, quote=True)


def photo_types() -> list[str]:
    """What the file chooser offers; a photo is known by its content, so this is only a convenience."""
    return ["image", *sorted(photo_suffixes())]


def automatic_kinds() -> list[str]:
    """Tasks that propose themselves for a photo, in the order of an automatic plan."""
    kinds = [kind for kind in task_kinds() if type(_defaults(kind)).applies is not Task.applies]
    return [kind for kind in kinds if not _defaults(kind).needs_mask]


def _size_in_header(path: Path) -> tuple[int, int] | None:
    """(width, height) as the file claims, nothing decoded; None when only `read_photo` can tell what is wrong."""
    try:
        with strict_pillow(), Image.open(path, formats=_HEADERS) as image:
            return image.size
    except Image.DecompressionBombError:
        raise UserError(f"{path.name}: claims to be gigantic (a decompression bomb?): make it smaller first") from None
    except Exception:  # any damage; read_photo names it
        return None


def _scale(request: Request) -> int:
    if request.model is not None:
        return read_header(model_path(request.model)).recipe.task.scale
    scales = [_defaults(kind).scale for kind in request.tasks]
    return request.scale or max(scales, default=1)


def _defaults(kind: str) -> Task:
    return task_class(kind, trusted=False)(kind=kind)


def _output(result: Result) -> Path:
    assert result.output is not None
    return result.output
