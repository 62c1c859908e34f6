"""Whether model files are those that were shipped (`img2img models --verify`)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from img2img import zoo
from img2img.community.packages import package_models
from img2img.errors import UserError
from img2img.files import sha256_of, write_text

SUMS = "SHA256SUMS"
"""Beside the shipped models, in the form that `sha256sum --check` reads."""


@dataclass(frozen=True)
class Verified:
    """A model file, and whether it is what its package says."""

    name: str
    state: str
    sha256: str = ""
    """In hexadecimal digits; empty for a file that is missing."""
    is_good: bool = True


def verified_models() -> Iterator[Verified]:
    """Every model that ships, by the list that ships with it, then those of installed packages,
    by what their installer recorded.
    """
    listed, found = listed_sums(), zoo.shipped_models()
    for name in sorted({Path(file).stem for file in listed} | found.keys()):
        if name not in found:
            yield Verified(name, "missing", is_good=False)
            continue
        sha256 = sha256_of(found[name])
        if found[name].name not in listed:
            yield Verified(name, f"not in {SUMS}", sha256, is_good=False)
        elif sha256 != listed[found[name].name]:
            yield Verified(name, "changed", sha256, is_good=False)
        else:
            yield Verified(name, "as shipped", sha256)
    for name, model in package_models().items():
        states = [_verified_of_package(name, model.distribution, path) for path in model.files]
        yield next((one for one in states if not one.is_good), states[-1])


def listed_sums() -> dict[str, str]:
    """SHA-256 of the shipped model files, by file name. Raises UserError where the list is gone."""
    path = zoo.zoo_dir() / SUMS
    if not path.is_file():
        raise UserError("is missing", place=path, remedy="install img2img again")
    lines = path.read_text(encoding="utf-8").splitlines()
    return {name: sha256 for sha256, name in (line.split(maxsplit=1) for line in lines)}


def write_sums() -> None:
    """Write the list for the files as they are now."""
    sums = (f"{sha256_of(path)}  {path.name}\n" for path in zoo.shipped_models().values())
    write_text(zoo.zoo_dir() / SUMS, "".join(sums))


def _verified_of_package(name: str, package: str, path: Path) -> Verified:
    sha256, recorded = sha256_of(path), _recorded_sha256(package, path)
    if recorded is None:
        return Verified(name, f"{package} records no hash of it", sha256)
    if recorded != sha256:
        return Verified(name, f"not as {package} was installed", sha256, is_good=False)
    return Verified(name, f"as {package} was installed", sha256)


def _recorded_sha256(package: str, path: Path) -> str | None:
    """What the installer wrote down (RECORD, PEP 376: URL-safe base64 without padding)."""
    try:
        files = distribution(package).files or []
    except PackageNotFoundError:
        return None
    for file in files:
        if file.hash and file.hash.mode == "sha256" and Path(str(file.locate())) == path:
            return base64.urlsafe_b64decode(file.hash.value + "==").hex()
    return None
