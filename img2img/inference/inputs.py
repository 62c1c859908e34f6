"""Which photos a file name, folder or pattern on the command line stands for."""

from __future__ import annotations

import glob
import os
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from img2img.data.listing import parted, photos_and_others
from img2img.files import longest_name, shortened
from img2img.inference.urls import files_of, is_url
from img2img.pixels.file_kind import FileKind
from img2img.pixels.images import Half, photo_suffixes


@dataclass(frozen=True)
class Job:
    """A photo file to work on, its place relative to the folder or pattern that named it, and which
    half of the file is meant; None: all of it.
    """

    input: Path
    relative: Path
    half: Half | None = None


def is_plain_file(text: str) -> bool:
    """Whether it names one file, which need not exist, rather than a folder or a pattern."""
    if is_url(text):
        return has_photo_suffix(text)
    return not os.path.isdir(text) and (
        os.path.exists(text) or not glob.has_magic(text)
    )  # of any length


def find_jobs(text: str) -> list[Job]:
    """Photos a file name, folder or pattern stands for; a missing file is a job too, reported like
    a broken one.
    """
    return found(text)[0]


def found(text: str) -> tuple[list[Job], list[FileKind]]:
    """The same, and the kinds of those pictures and videos in a folder or pattern that cannot be
    opened here.
    """
    path = Path(text)
    if is_plain_file(text):
        return [Job(path, Path(path.name))], []
    if is_url(text):
        files = [one for one in files_of(text) if has_photo_suffix(one.path)]
        return [Job(*one) for one in files], []
    if path.is_dir():
        root, (photos, others) = path, photos_and_others(path)
    else:
        root = _fixed_part(path)
        photos, others = parted(
            [p for p in map(Path, sorted(glob.glob(text, recursive=True))) if p.is_file()]
        )
    return [Job(p, p.relative_to(root)) for p in photos], others


def _fixed_part(pattern: Path) -> Path:
    """The folder before the first wildcard."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def is_photo(path: Path) -> bool:
    """Whether it is a file that is named like a photo, or is one by its content."""
    return path.is_file() and bool(parted([path])[0])


def file_chooser_types() -> list[str]:
    """What a file chooser offers: a convenience, for a photo is known by its content."""
    return ["image", *sorted(photo_suffixes())]


def has_photo_suffix(path: Path | str) -> bool:
    """Whether the suffix, in any case, is one photos can be read from."""
    return Path(path).suffix.lower() in photo_suffixes()


class Siblings:
    """The files next to a file, each folder read once: recognizes results of earlier runs by the
    photo they came from.
    """

    def __init__(self) -> None:
        self.folders: dict[Path, dict[str, list[Path]]] = {}

    def named_like_result(self, path: Path, tags: Container[str]) -> bool:
        """Whether a file is named like a result, and the photo it came from lies next to it."""
        stem, _, tag = path.stem.rpartition(".")
        if not stem or tag not in tags:
            return False
        return any(
            is_photo(photo) for photo in self._called(path.parent).get(stem, ()) if photo != path
        )

    def _called(self, folder: Path) -> dict[str, list[Path]]:
        """Files by what a result of theirs may be called before the task."""
        if folder not in self.folders:
            called: dict[str, list[Path]] = {}
            longest = longest_name(folder)
            for path in folder.iterdir():
                for stem in {
                    path.name,
                    path.stem,
                    shortened(path.name, longest),
                    shortened(path.stem, longest),
                }:
                    called.setdefault(stem, []).append(path)
            self.folders[folder] = called
        return self.folders[folder]
