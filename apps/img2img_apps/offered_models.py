"""Which models there are: shipped, in the operator's folder, and those a user loaded, each
user's own.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from img2img.community.foreign import MODEL_SUFFIXES
from img2img.errors import Phrase, TaskKind, UserError
from img2img.inference.blend import pair_of
from img2img.tasks import task_class
from img2img.zoo import shipped_models
from img2img.zoo.catalogue import CATALOGUE
from img2img_apps.workspace import Workspace

SHIPPED = ""  # the choice that leaves the model to the plan
GENERATE = "generate"  # stands for every task that makes pictures from noise
_KEEP_USERS = 200


@dataclass
class Models:
    """Models by the names the page shows. Only names are taken from a client, never paths."""

    workspace: Workspace
    folder: Path | None = None
    _own: dict[str, dict[str, Path]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def known(self, user: str | None = None) -> dict[str, Path]:
        """All models for a user by name, readable ones only."""
        found = dict(shipped_models())
        for path in sorted(self.folder.iterdir()) if self.folder else ():
            if path.suffix.lower() in MODEL_SUFFIXES:
                found.setdefault(f"{self.folder.name}/{path.stem}", path)  # type: ignore[union-attr]  # no folder, no files
        with self._lock:
            found |= {
                name: path for name, path in self._own.get(user or "", {}).items() if path.is_file()
            }
        return found

    def of_task(self, kind: str, user: str | None = None) -> list[str]:
        """Names of the models for a task."""
        return [name for name, path in self.known(user).items() if kind_of(path) == kind]

    def path(self, name: str, kind: str, user: str | None = None) -> str | None:
        """The model to ask for: None for the shipped default. Raises UserError for names
        not offered.
        """
        if name == SHIPPED:
            return None
        if name not in self.of_task(kind, user):
            raise UserError(
                "this model is not there any more", remedy="load it again on the Models tab"
            )
        return name if name in shipped_models() else str(self.known(user)[name])

    def kind(self, name: str, user: str | None = None) -> str | None:
        """The task of a model, or GENERATE; None for an unknown name."""
        path = self.known(user).get(name)
        return None if path is None else kind_of(path)

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
        CATALOGUE.entry(upload).load_generator()
        title = f"my {name or upload.stem}"
        kept = self.workspace.new_folder() / f"{(name or upload.stem)[:60]}{upload.suffix}"
        shutil.copyfile(upload, kept)
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


def kind_of(path: Path) -> str | None:
    """The task of a model file, or GENERATE; None for a file that cannot be read."""
    try:
        recipe = CATALOGUE.header(path).recipe
    except UserError:
        return None
    return GENERATE if recipe.can_generate else recipe.task.kind
