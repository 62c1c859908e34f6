"""Every kind of fault is found in a folder that has it, and none in a clean one."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from img2img.data.checks import run as checks
from img2img.data.checks.finding import DataFinding
from img2img.data.checks.kinds import CHECKS
from img2img.data.checks.run import DataReport, check_data
from img2img.data.dataset import DataConfig, load_photos
from img2img.errors import UserError
from img2img.resources import samples_dir
from img2img.tasks import build_task

Save = Callable[..., Path]
EXIF_ORIENTATION = 274
COUNT = 12  # photos or pairs, which is few: see `checked`


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Sixty different pictures of 96 px: parts of the shipped photos."""
    found = []
    for path in sorted(samples_dir().glob("*.jpg")):
        with Image.open(path) as image:
            photo = np.asarray(image.convert("RGB"))
        height, width = (n // 2 for n in photo.shape[:2])
        parts = [photo[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
        found += [cv2.resize(part, (96, 96), interpolation=cv2.INTER_AREA) for part in parts]
    colored = [scene for scene in found if np.ptp(scene.astype(int), axis=2).mean() > 20]
    assert len(colored) >= 60
    return colored[:60]


def save(path: Path, picture: np.ndarray, turn: int = 1, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if turn != 1:
        exif[EXIF_ORIENTATION] = turn
    Image.fromarray(picture).save(path, exif=exif, **options)
    return path


def drawn(picture: np.ndarray) -> np.ndarray:
    """Black lines on white."""
    lines = cv2.Canny(cv2.GaussianBlur(picture, (0, 0), 1.0), 40, 100)
    return np.repeat(255 - lines[..., None], 3, axis=2)


@pytest.fixture
def photos(tmp_path: Path, scenes: list[np.ndarray]) -> Path:
    for number, scene in enumerate(scenes[:COUNT]):
        save(tmp_path / "photos" / f"{number:02d}.png", scene)
    return tmp_path / "photos"


@pytest.fixture
def pairs(tmp_path: Path, scenes: list[np.ndarray]) -> Path:
    for number, scene in enumerate(scenes[:COUNT]):
        save(tmp_path / "pairs" / "A" / f"{number:02d}.png", drawn(scene))
        save(tmp_path / "pairs" / "B" / f"{number:02d}.png", scene)
    return tmp_path / "pairs"


TASKS: dict[str, dict[str, Any]] = {
    "photos": {"kind": "colorize"},
    "pairs": {"kind": "translate"},
    "unpaired": {"kind": "translate", "source": "unpaired"},
}


def checked(folder: Path, task: str = "photos", **fields: Any) -> DataReport:
    """What is found, but that these are few."""
    settings = {"crop_px": 64, "validation_share": 0.1, **fields}
    config = DataConfig(path=(str(folder),), **settings)
    report = check_data(build_task(TASKS[task]), config, 0)
    return replace(report, findings=tuple(f for f in report.findings if f.kind != "few"))


def only(report: DataReport) -> DataFinding:
    (finding,) = report.findings
    return finding


def files_of(finding: DataFinding) -> set[str]:
    return {path.name for one in finding.found for path in one.files}


@pytest.mark.parametrize("task", ["photos", "pairs", "unpaired"])
def test_a_clean_folder_has_no_finding(photos: Path, pairs: Path, task: str) -> None:
    report = checked(photos if task == "photos" else pairs, task)
    assert report.findings == () and report.can_train and report.fix_list == []
    assert report.text.endswith("nothing to mend was found")
    assert len(report.files) == (COUNT if task == "photos" else 2 * COUNT)


def test_sixty_photos_have_no_finding_at_all(tmp_path: Path, scenes: list[np.ndarray]) -> None:
    for number, scene in enumerate(scenes):
        save(tmp_path / f"{number:02d}.png", scene)
    config = DataConfig(path=(str(tmp_path),), crop_px=64, validation_share=0.1)
    assert check_data(build_task(TASKS["photos"]), config, 0).findings == ()
    little = config.model_copy(update={"validation_share": 0.02})
    assert only(check_data(build_task(TASKS["photos"]), little, 0)).problem.startswith("1 to valid")


def test_pairs_side_by_side_are_pairs(tmp_path: Path, scenes: list[np.ndarray]) -> None:
    for number, scene in enumerate(scenes[:COUNT]):
        moved = np.roll(scene, 5, axis=1) if number == 3 else scene
        save(tmp_path / f"{number:02d}.png", np.hstack([drawn(scene), moved]))
    finding = only(checked(tmp_path, "pairs"))
    assert (finding.kind, files_of(finding)) == ("misaligned", {"03.png"})


# --- what training refuses, or leaves out


@pytest.mark.parametrize("unmatched", ["error", "skip"])
def test_files_without_partner(pairs: Path, unmatched: str) -> None:
    (pairs / "A" / "07.png").unlink()
    (pairs / "B" / "09.png").unlink()
    report = checked(pairs, "pairs", unmatched=unmatched)
    finding = only(report)
    assert finding.kind == "unpaired" and files_of(finding) == {"07.png", "09.png"}
    assert report.fix_list == [(pairs / "A" / "09.png"), (pairs / "B" / "07.png")]
    refuses = unmatched == "error"
    assert (finding.severity == "refused", report.can_train) == (refuses, not refuses)
    config = DataConfig(path=(str(pairs),), crop_px=64, unmatched=unmatched)  # type: ignore[arg-type]  # one of two
    if refuses:
        with pytest.raises(UserError, match="2 files"):
            load_photos(build_task(TASKS["pairs"]), config, 0)
    else:
        assert load_photos(build_task(TASKS["pairs"]), config, 0).count == COUNT - 2


@pytest.mark.parametrize("task", ["photos", "pairs"])
def test_what_cannot_be_listed_is_told_as_training_tells_it(tmp_path: Path, task: str) -> None:
    save(tmp_path / "val" / "A" / "1.png", np.zeros((64, 64, 3), np.uint8))
    config = DataConfig(path=(str(tmp_path),), crop_px=64)
    with pytest.raises(UserError) as refused:
        load_photos(build_task(TASKS[task]), config, 0)
    finding = only(report := checked(tmp_path, task))
    assert finding.problem == str(refused.value) and not report.can_train


def test_broken_files_are_left_out_and_none_left_is_refused(photos: Path) -> None:
    whole = (photos / "05.png").read_bytes()
    (photos / "05.png").write_bytes(whole[: len(whole) // 2])
    (photos / "06.png").write_bytes(b"")
    finding = only(report := checked(photos))
    assert (finding.kind, finding.severity) == ("unreadable", "left out") and report.can_train
    assert files_of(finding) == {"05.png", "06.png"} and "0 bytes" in finding.line
    for path in photos.iterdir():
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    report = checked(photos)
    assert [f.severity for f in report.findings if f.kind == "unreadable"] == ["refused"]
    assert not report.can_train


def test_pairs_of_two_sizes(pairs: Path, scenes: list[np.ndarray]) -> None:
    save(pairs / "B" / "04.png", scenes[4][:80])
    save(pairs / "B" / "05.png", scenes[5][:, :80], turn=6)  # 96×80 once upright
    finding = only_but(checked(pairs, "pairs"), "rotation")
    assert (finding.kind, finding.severity) == ("sizes", "left out")
    assert [one.note for one in finding.found] == ["96×96 and 96×80"] * 2


def only_but(report: DataReport, *others: str) -> DataFinding:
    (finding,) = (f for f in report.findings if f.kind not in others)
    return finding


def test_what_listing_passes_over_is_a_note(photos: Path, caplog: pytest.LogCaptureFixture) -> None:
    (photos / "drawing").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    finding = only(checked(photos))
    assert (finding.kind, finding.severity) == ("passed over", "note")
    assert "1 SVG" in finding.line and not caplog.records


# --- rotation


def test_rotation_tags_of_photos_are_a_note(photos: Path, scenes: list[np.ndarray]) -> None:
    save(photos / "03.png", scenes[3], turn=8)
    finding = only(report := checked(photos))
    assert (finding.kind, finding.severity) == ("rotation", "note")
    assert files_of(finding) == {"03.png"} and report.fix_list == []


def test_a_rotation_tag_on_one_side_alone_is_a_hint(pairs: Path, scenes: list[np.ndarray]) -> None:
    save(pairs / "B" / "03.png", scenes[3], turn=3)
    save(pairs / "A" / "08.png", np.rot90(drawn(scenes[8])), turn=6)
    save(pairs / "B" / "08.png", np.rot90(scenes[8]), turn=6)
    hint, note = checked(pairs, "pairs").findings
    assert (hint.kind, hint.severity, files_of(hint)) == ("rotation", "hint", {"03.png"})
    assert (note.kind, note.severity, files_of(note)) == ("rotation", "note", {"08.png"})


# --- copies


def resaved(picture: np.ndarray, quality: int = 30) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda x: x,
    "resized": lambda x: cv2.resize(x, (70, 70), interpolation=cv2.INTER_AREA),
    "compressed": resaved,
    "brightened": lambda x: np.clip(x * 1.1 + 8, 0, 255).astype(np.uint8),
    "cut": lambda x: x[1:-1, 1:-1],
}


@pytest.mark.parametrize("part", ["val", "test"])
@pytest.mark.parametrize("changed", CHANGES)
def test_copies_across_parts_are_found_whatever_was_done_to_them(
    tmp_path: Path, scenes: list[np.ndarray], changed: str, part: str
) -> None:
    for number, scene in enumerate(scenes[:COUNT]):
        save(tmp_path / "train" / f"{number:02d}.png", scene)
    for number, scene in enumerate(scenes[20:24]):
        save(tmp_path / "val" / f"{number:02d}.png", scene)
    save(tmp_path / part / "copy.png", CHANGES[changed](scenes[7]))
    finding = only_but(report := checked(tmp_path), "jpeg")
    assert (finding.kind, finding.severity) == ("duplicates", "hint")
    assert [[p.name for p in one.files] for one in finding.found] == [["copy.png", "07.png"]]
    wanted = {"val": "validation", "test": "test"}[part]
    assert f"1 of {wanted} " in finding.problem
    assert tmp_path / "train" / "07.png" in report.fix_list
    assert tmp_path / part / "copy.png" not in only_files(report, "duplicates")


def only_files(report: DataReport, kind: str) -> list[Path]:
    return [path for f in report.findings if f.kind == kind for path in f.to_mend]


def test_copies_of_pairs_and_of_sides_across_parts(
    tmp_path: Path, scenes: list[np.ndarray]
) -> None:
    for part, own in (("train", scenes[:10]), ("val", [*scenes[20:24], scenes[2]])):
        for number, scene in enumerate(own):
            save(tmp_path / part / "A" / f"{number:02d}.png", drawn(scene))
            save(tmp_path / part / "B" / f"{number:02d}.png", scene)
    finding = only(report := checked(tmp_path, "pairs"))
    assert finding.kind == "duplicates"
    assert report.fix_list == [tmp_path / "train" / side / "02.png" for side in "AB"]
    sides = [f.kind for f in checked(tmp_path, "unpaired").findings]
    assert sides == ["duplicates"]


def test_exact_copies_within_training_are_found_once(photos: Path) -> None:
    shutil.copy(photos / "10.png", photos / "again.png")
    shutil.copy(photos / "10.png", photos / "once_more.png")
    finding = only(report := checked(photos))
    assert (finding.kind, finding.severity) == ("repeated", "hint")
    assert report.fix_list == [photos / "again.png", photos / "once_more.png"]


# --- what pictures show


def test_shifted_pairs_are_told_with_their_error(pairs: Path, scenes: list[np.ndarray]) -> None:
    for number, shift in ((3, (6, -3)), (4, (0, 5))):
        save(pairs / "B" / f"{number:02d}.png", np.roll(scenes[number], shift[::-1], (0, 1)))
    finding = only(checked(pairs, "pairs"))
    assert (finding.kind, finding.severity) == ("misaligned", "hint")
    notes = {one.files[0].name: one.note for one in finding.found}
    assert notes == {"03.png": "7 px", "04.png": "5 px"}


def discs(count: int, *, inverted: frozenset[int] = frozenset()) -> list[np.ndarray]:
    found = []
    for number in range(count):
        mask = np.zeros((96, 96), np.uint8)
        cv2.circle(mask, (30 + 2 * number % 30, 48), 14 + number % 10, 255, -1)
        mask = 255 - mask if number in inverted else mask
        found.append(np.repeat(mask[..., None], 3, axis=2))
    return found


def test_masks_the_other_way_round_and_empty_ones(pairs: Path) -> None:
    for number, mask in enumerate(discs(COUNT, inverted=frozenset((5,)))):
        save(pairs / "A" / f"{number:02d}.png", mask)
    save(pairs / "A" / "07.png", np.zeros((96, 96, 3), np.uint8))
    save(pairs / "A" / "08.png", np.full((96, 96, 3), 255, np.uint8))
    empty, odd = checked(pairs, "pairs").findings
    assert {empty.kind, odd.kind} == {"masks"}
    assert "nothing or everything" in empty.problem and files_of(empty) == {"07.png", "08.png"}
    assert "of side A" in odd.problem and files_of(odd) == {"05.png"}


@pytest.mark.parametrize("inverted", [False, True])
def test_masks_that_all_mark_alike_are_as_they_are_meant(pairs: Path, inverted: bool) -> None:
    shapes = discs(COUNT, inverted=frozenset(range(COUNT)) if inverted else frozenset())
    for number, mask in enumerate(shapes):
        save(pairs / "A" / f"{number:02d}.png", mask)
    assert checked(pairs, "pairs").findings == ()


@pytest.mark.parametrize("inverted", [False, True])
def test_masks_among_photos_would_be_trained_on(photos: Path, inverted: bool) -> None:
    shapes = discs(8, inverted=frozenset(range(8)) if inverted else frozenset())
    for number, mask in enumerate(shapes):
        save(photos / "masks" / f"{number}.png", mask)
    found = [f for f in checked(photos).findings if f.kind == "masks"]
    (finding,) = found
    assert "8 pictures in masks/" in finding.problem
    assert ("invert them" in finding.problem) == inverted


def test_shapes_alone_are_a_data_set(tmp_path: Path) -> None:
    for number, mask in enumerate(discs(COUNT)):
        save(tmp_path / f"{number:02d}.png", mask)
    assert "masks" not in {f.kind for f in checked(tmp_path).findings}


def test_grey_photos_matter_where_colors_are_learned(
    photos: Path, scenes: list[np.ndarray]
) -> None:
    grey = cv2.cvtColor(scenes[2], cv2.COLOR_RGB2GRAY)
    save(photos / "02.png", grey)
    save(photos / "03.png", np.repeat(grey[..., None], 3, axis=2)[::-1].copy())
    finding = only(checked(photos))
    assert (finding.kind, finding.severity) == ("grey", "hint")
    assert files_of(finding) == {"02.png", "03.png"}
    config = DataConfig(path=(str(photos),), crop_px=64)
    told = check_data(build_task({"kind": "denoise"}), config, 0).findings
    assert [(f.kind, f.severity) for f in told] == [("grey", "note"), ("few", "hint")]


def test_photos_of_strong_compression_are_found(photos: Path, scenes: list[np.ndarray]) -> None:
    save(photos / "08.png", resaved(scenes[8], quality=8))
    save(photos / "09.png", resaved(scenes[9], quality=90))
    finding = only(checked(photos))
    assert (finding.kind, files_of(finding)) == ("jpeg", {"08.png"})


def test_pictures_of_one_color_and_small_ones(photos: Path, scenes: list[np.ndarray]) -> None:
    save(photos / "08.png", np.full((96, 96, 3), 90, np.uint8))
    save(photos / "09.png", cv2.resize(scenes[9], (100, 50), interpolation=cv2.INTER_AREA))
    kinds = {f.kind: files_of(f) for f in checked(photos).findings}
    assert kinds == {"blank": {"08.png"}, "small": {"09.png"}}


def test_too_few_to_train_on(photos: Path) -> None:
    config = DataConfig(path=(str(photos),), crop_px=64)
    assert only(check_data(build_task(TASKS["photos"]), config, 0)).problem == "11 to train on"


# --- what is written


def test_nothing_is_changed_and_what_is_written_is_no_photo(
    pairs: Path, scenes: list[np.ndarray], tmp_path: Path
) -> None:
    save(pairs / "B" / "04.png", scenes[4][:80])
    save(pairs / "B" / "10.png", np.roll(scenes[10], 8, axis=1))
    (pairs / "A" / "11.png").write_bytes(b"broken")
    before = {path: path.read_bytes() for path in pairs.rglob("*.png")}
    report = checked(pairs, "pairs")
    assert {f.kind for f in report.findings} == {"sizes", "misaligned", "unreadable"}
    checks.write_fix_list(tmp_path / "fix.txt", report)
    listed = (tmp_path / "fix.txt").read_text(encoding="utf-8").splitlines()
    assert listed == sorted(str(pairs / s / f"{n:02d}.png") for n in (4, 10, 11) for s in "AB")
    assert checks.write_contact_sheet(tmp_path / "sheet.png", report, "white")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 900 and sheet.height > 3 * 160
    config = DataConfig(path=(str(pairs),))
    with pytest.raises(UserError, match="one of its photos"):
        checks.check_sheet_place(pairs / "sheet.png", config)
    with pytest.raises(UserError, match="one of the data's"):
        checks.write_fix_list(pairs / "A" / "00.png", report)
    assert {path: path.read_bytes() for path in pairs.rglob("*.png")} == before


def test_names_with_a_line_break_are_in_no_list(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("bad\nname.png", "bad.png"):
        (photos / name).write_bytes(b"broken")
    report = checked(photos)
    checks.write_fix_list(tmp_path / "fix.txt", report)
    assert (tmp_path / "fix.txt").read_text(encoding="utf-8") == f"{photos / 'bad.png'}\n"
    assert "1 names with a line break" in caplog.text


def test_every_check_says_what_it_looks_for() -> None:
    assert len(CHECKS) == 13 and all(check.__doc__ for check in CHECKS)
