"""Photos among the files of folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from img2img.data.shards import ShardPath
from img2img.errors import UserError
from img2img.pixels.file_kind import PHOTO, FileKind, counted, file_kind
from img2img.pixels.images import photo_suffixes

log = logging.getLogger("img2img")


def photos_in(folder: Path) -> list[Path]:
    """All photos under a folder, sorted; hidden files and folders are passed over. See
    `photos_and_others`.
    """
    return photos_and_others(folder)[0]


def photos_and_others(folder: Path) -> tuple[list[Path], list[FileKind]]:
    """All photos under a folder, sorted, and the kinds of those pictures and videos that cannot be
    opened here.

    Links to folders are followed. A photo's suffix, in any case, is enough (who opens a damaged
    one says so); for the rest the content decides.
    """
    if isinstance(folder, ShardPath):  # what is in shards was looked at when they were written
        return list[Path](folder.files()), []
    return parted(sorted(path for path in _under(folder) if path.is_file()))


def _under(folder: Path) -> list[Path]:
    """What is in a folder and its sub-folders, also behind links; nothing hidden, and no folder
    twice.

    Real folders come first: a link to one of them, or to one that this folder lies in, leads
    nowhere new.
    """
    found: list[Path] = []
    seen = {str(parent) for parent in folder.resolve().parents}
    starts = [folder]
    for start in starts:  # links join while it runs
        for place, folders, names in os.walk(start):
            real = os.path.realpath(place)
            folders[:] = [] if real in seen else sorted(d for d in folders if not d.startswith("."))
            found += [
                Path(place, name) for name in names if real not in seen and not name.startswith(".")
            ]
            starts += [link for d in folders if (link := Path(place, d)).is_symlink()]
            seen.add(real)
    return found


def parted(files: Sequence[Path]) -> tuple[list[Path], list[FileKind]]:
    """Photos among files, and the kinds of the others that cannot be opened here."""
    suffixes = photo_suffixes()
    photos: list[Path] = []
    others: list[FileKind] = []
    for path in files:
        kind = PHOTO if path.suffix.lower() in suffixes else _kind(path)
        if kind is not None:
            photos.append(path) if kind.readable else others.append(kind)
    return photos, others


def _kind(path: Path) -> FileKind | None:
    try:
        return file_kind(path)
    except OSError:  # may not be read: nothing says that it is a photo
        return None


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """All photos under the folders. Raises UserError for a folder that is not there or holds no
    photo.
    """
    found: list[Path] = []
    for folder in folders:
        if not folder.is_dir():
            what = "is a file, not a folder" if folder.exists() else "does not exist"
            raise UserError(
                f"'{folder}' {what}", field="data.path", remedy="give a folder of photos"
            )
        inside, others = photos_and_others(folder)
        if not inside:
            passed = f" (but {counted(others)})" if others else ""
            raise UserError(
                f"no photo in '{folder}'{passed}",
                field="data.path",
                remedy="put JPEG, PNG, TIFF or WebP files there",
            )
        if others:
            log.warning("data.path: '%s': passed over: %s", folder, counted(others))
        found += inside
    return found
