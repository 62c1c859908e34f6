"""Damage is found by one model and filled by another: the plan, the mask, and what stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from img2img.errors import UserError
from img2img.evaluation.ours import applied
from img2img.inference.batch import FileBatch
from img2img.inference.outputs import Result
from img2img.inference.pipeline import Model, load
from img2img.inference.request import Request
from img2img.inference.statistics import statistics
from img2img.pixels.images import Photo, read_mask, read_photo, write_photo
from tests.conftest import save_tiny

REPAIR = Request(("repair",), device="cpu")


@pytest.fixture
def finding_zoo(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`tiny_zoo` with a model that finds damage besides."""
    folder = Path(shutil.copytree(zoo, tmp_path / "zoo"))
    generator = {"kind": "restorer", "widths": [8], "blocks": [1], "unshuffle": 1}
    save_tiny(folder / "repair.safetensors", {"kind": "repair", "grow_px": 0}, generator)
    monkeypatch.setattr("img2img.zoo.zoo_dir", lambda: folder)
    return folder


@pytest.fixture
def finds_white(finding_zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of what was learned: all white is damage."""
    assert finding_zoo.is_dir()
    monkeypatch.setattr(Model, "find", lambda self, photo, on_tile=None: white(photo))


def white(photo: Photo) -> np.ndarray:
    return np.asarray((photo.rgb > 0.99 * np.iinfo(np.uint8).max).all(2))


def scratched(size: tuple[int, int] = (40, 48)) -> Photo:
    rgb = np.random.default_rng(0).integers(60, 180, (*size, 3)).astype(np.uint8)
    rgb[:, 20:22] = 255
    return Photo(rgb)


def run(*inputs: Path, request: Request = REPAIR, **options: object) -> list[Result]:
    return list(FileBatch([str(i) for i in inputs], request, **options).run())  # type: ignore[arg-type]  # of any kind


@pytest.mark.usefixtures("finding_zoo")
def test_a_model_finds_what_its_picture_shows_above_the_threshold() -> None:
    model, photo = load("repair", device="cpu"), scratched()
    picture = torch.from_numpy(model.run(photo, dtype=np.float32).rgb)
    found = model.find(photo)
    assert found.dtype == bool
    assert found.shape == (40, 48)
    assert np.array_equal(found, picture[..., 0].numpy() > 0.5)
    hidden = Photo(photo.rgb, np.zeros((40, 48), np.uint8))
    assert not model.find(hidden).any()
    with pytest.raises(UserError, match="'denoise' finds nothing that is to be filled"):
        load("denoise", device="cpu").find(photo)


@pytest.mark.usefixtures("finds_white")
def test_what_was_found_is_filled_and_all_else_is_bit_for_bit_the_photo() -> None:
    photo, kept = scratched(), []
    plan = REPAIR.resolve().plan(photo)
    assert (plan.tasks, plan.models, plan.tag) == ("repair", "repair,inpaint", "repair")
    assert plan.steps[0].fields()["fill"] == "inpaint"
    assert plan.tile_counts(photo.size) == (None,)
    done = plan.run(photo, on_mask=kept.append)
    (mask,) = kept
    assert np.array_equal(mask, white(photo))
    assert np.array_equal(done.rgb[~mask], photo.rgb[~mask])
    assert not (done.rgb[mask] == 255).all()


@pytest.mark.usefixtures("finds_white")
def test_a_mask_that_is_given_is_taken_in_the_place_of_the_one_found() -> None:
    photo, kept = scratched(), []
    mask = np.zeros((40, 48), bool)
    mask[5:9, 5:9] = True
    done = REPAIR.resolve().plan(photo, mask).run(photo, mask, on_mask=kept.append)
    assert np.array_equal(kept[0], mask)
    assert np.array_equal(done.rgb[~mask], photo.rgb[~mask])


@pytest.mark.usefixtures("finds_white")
@pytest.mark.parametrize("level", [90, 255])
def test_where_nothing_or_everything_is_found_the_photo_stays(level: int) -> None:
    photo = Photo(np.full((24, 24, 3), level, np.uint8), np.full((24, 24), 200, np.uint8))
    done = REPAIR.resolve().plan(photo).run(photo)
    assert np.array_equal(done.rgb, photo.rgb)
    assert np.array_equal(done.alpha, photo.alpha)


@pytest.mark.usefixtures("finds_white")
def test_the_mask_is_saved_and_can_be_given_again(tmp_path: Path) -> None:
    path, mask = tmp_path / "old.png", tmp_path / "mask.png"
    write_photo(path, scratched())
    (first,) = run(path, save_mask=str(mask))
    assert first.output == tmp_path / "old.repair.png"
    assert np.array_equal(read_mask(mask, (48, 40)), white(scratched()))
    (again,) = run(path, output=str(tmp_path / "again.png"), mask=str(mask))
    assert first.output and again.output
    assert np.array_equal(read_photo(first.output).rgb, read_photo(again.output).rgb)
    (refused,) = run(path, output=str(tmp_path / "third.png"), save_mask=str(mask))
    assert refused.error and "mask.png exists" in refused.error


@pytest.mark.usefixtures("finds_white")
def test_masks_of_a_folder_are_named_as_its_photos(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png"):
        write_photo(tmp_path / "in" / name, scratched())
    done = run(tmp_path / "in", output=str(tmp_path / "out"), save_mask=str(tmp_path / "masks"))
    assert [one.error for one in done] == [None, None]
    assert {p.name for p in (tmp_path / "masks").iterdir()} == {"a.png", "b.png"}
    # Known pixels of a JPEG are kept exactly, so its result is none.
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.repair.png", "b.repair.png"}


@pytest.mark.usefixtures("finding_zoo")
def test_a_mask_is_saved_only_where_one_is_filled(tmp_path: Path) -> None:
    write_photo(tmp_path / "a.png", scratched())
    with pytest.raises(UserError, match=r"^save_mask: none of the steps fills anything"):
        run(tmp_path / "a.png", request=Request(("denoise",)), save_mask="m.png")
    with pytest.raises(UserError, match=r"one file, and there may be several"):
        run(tmp_path / "a.png", tmp_path / "a.png", save_mask=str(tmp_path / "a.png"))


@pytest.mark.usefixtures("finds_white")
def test_the_automatic_plan_repairs_first_where_enough_is_found() -> None:
    plan = Request(device="cpu").resolve().plan(scratched())
    assert plan.tasks.split(",")[0] == "repair"
    assert "scratched or stained (4.2 % of it)" in str(plan.sentence)
    whole = Photo(scratched().rgb.clip(0, 200))
    assert "repair" not in Request(device="cpu").resolve().plan(whole).tasks


@pytest.mark.usefixtures("zoo")
def test_without_a_model_nothing_is_looked_for() -> None:
    assert statistics(scratched()).damaged_share == 0
    with pytest.raises(UserError, match="no model for repair is shipped"):
        REPAIR.resolve()


@pytest.mark.usefixtures("finds_white")
def test_evaluation_measures_what_a_user_gets() -> None:
    x = torch.from_numpy(scratched().rgb.transpose(2, 0, 1)[None] / np.float32(255))
    done = applied(load("repair", device="cpu"))(x, None)
    changed = (done != x).any(1)[0].numpy()
    assert not changed[~white(scratched())].any()
    assert changed[white(scratched())].mean() > 0.9
