"""Which models there are: shipped, of installed packages, in the operator's folder, and those a
user loaded, each user's own.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

from img2img.community.foreign import MODEL_SUFFIXES
from img2img.community.packages import PackageModel, package_models
from img2img.errors import Phrase, TaskKind, UserError
from img2img.inference.blend import pair_of
from img2img.tasks import task_class
from img2img.zoo import shipped_models
from img2img.zoo.catalogue import CATALOGUE
from img2img_apps.model_facts import GENERATE, ModelFacts, ModelReader
from img2img_apps.workspace import Workspace

SHIPPED = ""  # the choice that leaves the model to the plan
_FIRST = {"restoration": "None: the steps above"}  # where no model is shipped
_KEEP_USERS = 200


@dataclass
class Models:
    """Models by the names the page shows. Only names are taken from a client, never paths."""

    workspace: Workspace
    folder: Path | None = None
    reader: ModelReader = field(default_factory=ModelReader)
    _own: dict[str, dict[str, Path]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def packaged(self) -> dict[str, PackageModel]:
        """Models of installed packages by name; none without the library that opens them."""
        return package_models() if find_spec("spandrel") else {}

    def known(self, user: str | None = None) -> dict[str, Path]:
        """All model files for a user by name, those that turn out to be none included."""
        found = dict(shipped_models())
        found |= {name: path for name, path in self._package_paths.items() if name not in found}
        for path in self._in_folder():
            name = f"{path.parent.name}/{path.stem}"
            found[name if name not in found else f"{path.parent.name}/{path.name}"] = path
        with self._lock:
            found |= {
                name: path for name, path in self._own.get(user or "", {}).items() if path.is_file()
            }
        return found

    @cached_property
    def _package_paths(self) -> dict[str, Path]:
        return {name: path for name, model in self.packaged.items() if (path := model.path)}

    def _in_folder(self) -> list[Path]:
        """The operator's model files; what is no file, such as a pipe, is never opened."""
        if self.folder is None:
            return []
        with suppress(OSError):
            inside = sorted(self.folder.iterdir())
            return [p for p in inside if p.suffix.lower() in MODEL_SUFFIXES and p.is_file()]
        return []

    def facts(self, name: str, path: Path) -> ModelFacts | None:
        """What is known of a model that is offered; None while its file is yet to be read."""
        packaged = self.packaged.get(name)
        if packaged and path == self._package_paths.get(name):
            return ModelFacts(packaged.kind, packaged.scale)
        return self.reader.known(path)

    def unread(self) -> list[Path]:
        """Files in the operator's folder that nobody has read yet."""
        return [path for path in self._in_folder() if self.reader.known(path) is None]

    def read_folder(self) -> None:
        """Begin to read them, behind the page."""
        if self.unread():
            self.reader.read_behind(self.unread)

    def of_task(self, kind: str, user: str | None = None) -> list[str]:
        """Names of the models for a task, as far as their files have been read."""
        return self._where(lambda facts: facts.kind == kind, user)

    def _where(self, wanted: Callable[[ModelFacts], bool], user: str | None) -> list[str]:
        known = self.known(user).items()
        return [name for name, path in known if (is_ := self.facts(name, path)) and wanted(is_)]

    def path(self, name: str, kind: str, user: str | None = None) -> str | None:
        """The model to ask for: None for the shipped default. Raises UserError for names
        not offered.
        """
        if name == SHIPPED:
            return None
        path = self.known(user).get(name)
        facts = path and (self.facts(name, path) or self.reader.read(path))
        if facts and facts.problem:
            raise UserError(facts.problem)
        if not facts or facts.kind != kind:
            raise UserError(
                "this model is not there any more", remedy="load it again on the Models tab"
            )
        return name if name in shipped_models() or name in self.packaged else str(path)

    def kind(self, name: str, user: str | None = None) -> str | None:
        """The task of a model, or GENERATE; None for an unknown name."""
        facts = self._facts_of(name, user)
        return None if facts is None else facts.kind

    def scale(self, name: str, user: str | None = None) -> int | None:
        """By how much a model enlarges; None for an unknown name."""
        facts = self._facts_of(name, user)
        return None if facts is None else facts.scale

    def _facts_of(self, name: str, user: str | None) -> ModelFacts | None:
        path = self.known(user).get(name)
        return None if path is None else self.facts(name, path)

    def chosen(self, name: str, kind: str, user: str | None = None) -> str | None:
        """The same, and for no name the first there is where none is shipped. Raises UserError
        where there is no model for the task.
        """
        if name or is_installed(kind):
            return self.path(name, kind, user)
        known = self.of_task(kind, user)
        if not known:
            raise UserError(
                Phrase("no model for ", TaskKind(kind), " is here"),
                remedy="load one on the Models tab, or train one",
            )
        return self.path(known[0], kind, user)

    def noise_model(self, name: str, user: str | None = None) -> str:
        """The model that makes pictures from noise; for no name the first there is. Raises
        UserError.
        """
        known = self.of_task(GENERATE, user)
        if not known:
            raise UserError(
                "no model that makes pictures from noise is here",
                remedy="load one on the Models tab, or train one",
            )
        return self.path(name or known[0], GENERATE, user) or known[0]

    def add(self, upload: Path, user: str | None, name: str | None = None) -> str:
        """Take a user's file in after reading it whole: plain tensors, of ours or of other people,
        and no code. Raises UserError.
        """
        if upload.suffix.lower() in (".param", ".bin"):
            raise UserError(
                Phrase("'", upload, "' is one of the two files of an ncnn model"),
                remedy="put both into the folder of models that the app is started with",
            )
        title = f"my {name or upload.stem}"
        kept = self.workspace.new_folder() / f"{(name or upload.stem)[:60]}{upload.suffix}"
        shutil.copyfile(upload, kept)
        try:
            CATALOGUE.entry(kept).load_generator()
        except BaseException:
            kept.unlink(missing_ok=True)
            raise
        self.reader.read(kept)
        self._remember(title, kept, user)
        return title

    def adopt(self, path: Path, user: str | None) -> str:
        """Offer a model that lies on this machine already, a finished run's, where it lies."""
        title = f"my {path.parent.name}"
        self._remember(title, path, user)
        return title

    def _remember(self, title: str, path: Path, user: str | None) -> None:
        with self._lock:
            self._own.setdefault(user or "", {})[title] = path
            while len(self._own) > _KEEP_USERS:
                del self._own[next(iter(self._own))]


def first_choice(kind: str) -> str:
    """What the choice that leaves the model to the plan is called in the list for a task."""
    return _FIRST.get(kind, "Shipped with img2img")


def is_installed(kind: str, scale: int | None = None) -> bool:
    """Whether a model for the task is shipped."""
    try:
        CATALOGUE.default(kind, scale)
    except UserError:
        return False
    return True


def has_crisp(kind: str, scale: int) -> bool:
    """Whether the shipped model for a task and scale can be mixed with a crisper one."""
    return is_installed(kind, scale) and pair_of(CATALOGUE.default(kind, scale)) is not None


def verb(kind: str) -> str:
    """A task in one capitalised word or phrase: "Denoise", "Fill the masked part"."""
    text = task_class(kind, trusted=False).verb
    return text[0].upper() + text[1:]
