"""Which photos a file name, folder or pattern on the command line stands for."""

from __future__ import annotations

import glob
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from img2img.data.folder import photos_in
from img2img.pixels.images import photo_suffixes


@dataclass(frozen=True)
class Job:
    """A photo file to work on, and its place relative to the folder or pattern that named it."""

    input: Path
    relative: Path


def is_plain_file(text: str) -> bool:
    """Whether it names one file, which need not exist, rather than a folder or a pattern."""
    return not Path(text).is_dir() and (Path(text).exists() or not glob.has_magic(text))


def find_jobs(text: str) -> list[Job]:
    """Photos a file name, folder or pattern stands for; a missing file is a job too, reported like a broken one."""
    path = Path(text)
    if is_plain_file(text):
        return [Job(path, Path(path.name))]
    if path.is_dir():
        return [Job(p, p.relative_to(path)) for p in photos_in(path)]
    root = _fixed_part(path)
    return [Job(p, p.relative_to(root)) for p in map(Path, sorted(glob.glob(text, recursive=True))) if is_photo(p)]


def _fixed_part(pattern: Path) -> Path:
    """The folder before the first wildcard."""
    parts = pattern.parts
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _both_cases() -> list[str]:
    return [spelt for suffix in photo_suffixes() for spelt in (suffix, suffix.upper())]


def is_photo(path: Path) -> bool:
    """Whether it is a file that is named like a photo."""
    return path.is_file() and has_photo_suffix(path)


def has_photo_suffix(path: Path | str) -> bool:
    """Whether the suffix, in any case, is one photos can be read from."""
    return Path(path).suffix.lower() in photo_suffixes()


def named_like_result(path: Path, tags: Container[str]) -> bool:
    """Whether a file is named like a result, and the photo it would come from lies beside it."""
    stem, _, tag = path.stem.rpartition(".")
    if not stem or tag not in tags:
        return False
    return is_photo(path.with_name(stem)) or any(path.with_name(stem + suffix).is_file() for suffix in _both_cases())
