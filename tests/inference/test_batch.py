"""Which files are meant, what results are called, and what is reported of each."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.errors import UserError
from img2img.inference.batch import FileBatch
from img2img.inference.canvas import Canvas
from img2img.inference.inputs import find_jobs
from img2img.inference.outputs import Result, Saving
from img2img.inference.plan import Plan
from img2img.inference.request import Request, parse_tasks
from img2img.inference.statistics import statistics
from img2img.pixels.images import Photo, read_photo, write_photo
from img2img.pixels.xmp import source_type
from img2img.tasks import PhotoStatistics

pytestmark = pytest.mark.usefixtures("zoo")
DENOISE = Request(tasks=("denoise",))


def save(path: Path, size: tuple[int, int] = (24, 20), **options: Any) -> Path:
    """A small noisy color photo."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8)).save(path, **options)
    return path


def run(*inputs: Path | str, request: Request = DENOISE, **options: Any) -> list[Result]:
    return list(FileBatch([str(i) for i in inputs], request, **options).run())


def names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# --- names


@pytest.mark.parametrize(
    ("name", "kind", "result", "format"),
    [
        ("a.jpg", "JPEG", "a.denoise.jpg", "JPEG"),
        ("a.JPG", "JPEG", "a.denoise.jpg", "JPEG"),
        ("a.jpeg", "JPEG", "a.denoise.jpeg", "JPEG"),
        ("a.mpo", "MPO", "a.denoise.jpg", "JPEG"),
        ("a.tif", "TIFF", "a.denoise.tif", "TIFF"),
        ("a.tiff", "TIFF", "a.denoise.tiff", "TIFF"),
        ("a.png", "PNG", "a.denoise.png", "PNG"),
        ("a.webp", "WEBP", "a.denoise.png", "PNG"),
        ("a.bmp", "BMP", "a.denoise.png", "PNG"),
        ("a.b.gif", "GIF", "a.b.denoise.png", "PNG"),
        ("wrong.png", "JPEG", "wrong.denoise.jpg", "JPEG"),
    ],
)
def test_the_result_lies_beside_the_photo_in_a_format_that_fits(
    tmp_path: Path, name: str, kind: str, result: str, format: str
) -> None:
    photo = save(tmp_path / name, format=kind)
    before = photo.read_bytes()
    [done] = run(photo)
    assert done.error is None
    assert done.output == tmp_path / result
    with Image.open(done.output) as image:
        assert image.format == format
    assert photo.read_bytes() == before


def test_the_tag_is_the_task_asked_for_else_auto(tmp_path: Path, tiny_zoo: Path) -> None:
    photo = save(tmp_path / "a.png", (96, 80))
    requests = {
        "denoise": Request(model=str(tiny_zoo / "denoise.safetensors")),
        "super-resolve": Request(tasks=("super-resolve",), scale=4),
    }
    for tag, request in requests.items():
        assert run(photo, request=request)[0].output == tmp_path / f"a.{tag}.png"
    chain = run(photo, request=Request(tasks=("denoise", "colorize")), overwrite=True)[0]
    assert chain.output == tmp_path / "a.auto.png"
    assert (chain.task, chain.model) == ("denoise,colorize", "denoise,colorize")


def test_filling_a_lossy_photo_gives_png(tmp_path: Path) -> None:
    lossy, lossless = save(tmp_path / "a.jpg"), save(tmp_path / "b.tif")
    request = Request(tasks=("inpaint",), canvas=Canvas(extend=(4, 0, 0, 0)))
    outputs = [run(photo, request=request)[0].output for photo in (lossy, lossless)]
    assert outputs == [tmp_path / "a.inpaint.png", tmp_path / "b.inpaint.tif"]
    with Image.open(lossy) as before, Image.open(tmp_path / "a.inpaint.png") as after:
        np.testing.assert_array_equal(np.asarray(after)[:, 4:], np.asarray(before))


def test_photos_that_would_share_a_name_keep_their_old_suffix(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "a.webp", "b.jpg", "b.JPG", "c.jpg", "c.png"):
        save(folder / name)
    assert all(done.error is None for done in run(folder, output=str(tmp_path / "out")))
    assert names(tmp_path / "out") == [
        "a.png.denoise.png",
        "a.webp.denoise.png",
        "b.JPG.denoise.jpg",
        "b.jpg.denoise.jpg",
        "c.denoise.jpg",
        "c.denoise.png",
    ]


def test_two_photos_of_one_name_from_different_folders_are_not_written_over_each_other(
    tmp_path: Path,
) -> None:
    first, second = save(tmp_path / "x" / "a.png"), save(tmp_path / "y" / "a.png")
    done = run(first, second, output=str(tmp_path / "out"), overwrite=True)
    assert done[0].error is None
    assert "just made from another photo" in str(done[1].error)


# --- inputs


def test_folders_keep_their_sub_folders_and_take_every_suffix_but_hidden_files(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in"
    for name in ("a.png", "sub/b.JPG", "sub/deep/c.webp", ".hidden.png", ".git/d.png"):
        save(folder / name)
    (folder / "notes.txt").write_text("no photo")
    assert len(run(folder, output=str(tmp_path / "out"))) == 3
    assert names(tmp_path / "out") == [
        "a.denoise.png",
        "sub/b.denoise.jpg",
        "sub/deep/c.denoise.png",
    ]


def test_patterns_keep_the_folders_below_their_fixed_part(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "sub/c.jpg"):
        save(tmp_path / "in" / name)
    done = run(tmp_path / "in" / "**" / "*.png", output=str(tmp_path / "out"))
    assert len(done) == 2
    assert names(tmp_path / "out") == ["a.denoise.png", "sub/b.denoise.png"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    photo = save(tmp_path / "a[1].png")
    assert [job.input for job in find_jobs(str(photo))] == [photo]


def test_results_of_earlier_runs_are_not_taken_for_photos(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "own.colorize.png")  # no photo "own" lies beside it: somebody's own name
    assert len(run(tmp_path)) == 2
    again = run(tmp_path, overwrite=True)
    assert [done.input.name for done in again] == ["a.png", "own.colorize.png"]
    assert len(run(tmp_path / "a.denoise.png")) == 1  # unless they are named
    with pytest.raises(UserError, match="only results of earlier runs"):
        run(tmp_path / "a.denoise*.png")


@pytest.mark.parametrize("pattern", ["", "*.png", "**/*.png"])
@pytest.mark.parametrize("output", [".", "out", "deep/out", "sub"])
def test_an_output_folder_among_the_inputs_is_not_worked_on_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, pattern: str, output: str
) -> None:
    save(tmp_path / "a.png")
    save(tmp_path / "deep" / "b.png")
    run(tmp_path / "a.png")  # its result lies beside it, wherever later ones go
    named, out = tmp_path / pattern, str(tmp_path / output)
    first = [done.input for done in run(named, output=out, overwrite=True)]
    before = names(tmp_path)
    caplog.clear()
    assert [done.input for done in run(named, output=out, overwrite=True)] == first
    assert names(tmp_path) == before
    [line] = [record.getMessage() for record in caplog.records]
    assert "passed over, being results of earlier runs" in line
    assert first[0].name == "a.png"


def test_what_lies_in_the_output_folder_is_taken_when_it_is_named(tmp_path: Path) -> None:
    inside = tmp_path / "out"
    photo = save(inside / "a.png")
    for named in (photo, inside, inside / "*.png"):
        done = run(named, output=str(inside), overwrite=True)
        assert [(d.input, d.error) for d in done] == [(photo, None)]


def test_photos_that_are_links_are_judged_by_where_the_links_lie(tmp_path: Path) -> None:
    original = save(tmp_path / "out" / "a.png")
    for name in ("a.png", "sub/deep/er/b.png"):
        link = tmp_path / "in" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(original)
    assert len(run(tmp_path / "in", output=str(tmp_path / "out"))) == 2


def test_inputs_that_stand_for_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no photo in"):
        FileBatch([str(tmp_path)])
    with pytest.raises(UserError, match="no photo in"):
        FileBatch([str(tmp_path / "*.png")])
    [missing] = run(tmp_path / "a.png")
    assert missing.error is not None
    assert missing.error.endswith("no such file")


# --- outputs


def test_one_photo_goes_to_a_file_or_an_existing_folder(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    assert run(photo, output=str(tmp_path / "b.tif"))[0].output == tmp_path / "b.tif"
    assert run(photo, output=str(tmp_path / "out"))[0].output == tmp_path / "out" / "a.denoise.png"
    assert run(photo, output=f"{tmp_path}/new/")[0].output == tmp_path / "new" / "a.denoise.png"
    for bad in ("b.foo", "b"):
        with pytest.raises(UserError, match=r"use \.png, \.jpg"):
            FileBatch([str(photo)], DENOISE, str(tmp_path / bad))


def test_several_photos_do_not_go_to_one_file(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    with pytest.raises(UserError, match="name a folder"):
        FileBatch([str(tmp_path)], DENOISE, str(tmp_path / "b.png"))


def test_nothing_is_overwritten_unasked_and_the_photo_itself_never(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    assert run(photo)[0].error is None
    kept = (tmp_path / "a.denoise.png").read_bytes()
    assert "add overwrite" in str(
        run(photo, request=Request(tasks=("denoise",), model=None))[0].error
    )
    assert (tmp_path / "a.denoise.png").read_bytes() == kept
    assert run(photo, overwrite=True)[0].error is None
    os.link(photo, tmp_path / "link.png")
    for itself in ("a.png", "link.png"):
        [done] = run(photo, output=str(tmp_path / itself), overwrite=True)
        assert "is the photo itself" in str(done.error)


def test_a_photo_that_needs_nothing_is_copied_byte_for_byte(tmp_path: Path) -> None:
    rgb = np.zeros((500, 700, 3), np.uint8)
    rgb[:250, :, 0] = rgb[250:, :, 2] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(rgb).save(tmp_path / "a.jpg", exif=exif)
    [done] = run(tmp_path / "a.jpg", request=Request())
    assert done.output is not None
    assert done.output.read_bytes() == (tmp_path / "a.jpg").read_bytes()
    assert (done.task, done.model) == (None, None)
    assert "nothing needs doing" in str(done.reason)
    [other] = run(tmp_path / "a.jpg", request=Request(), output=str(tmp_path / "b.png"))
    with Image.open(tmp_path / "b.png") as image:
        assert (image.format, image.size) == ("PNG", (500, 700))
    assert other.size_in == other.size_out == (500, 700)


# --- what is reported


def test_bad_files_are_reported_and_passed_over(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_text("no picture")
    whole = save(tmp_path / "c.png").read_bytes()
    (tmp_path / "c.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "d.png").touch()
    save(tmp_path / "e.png", (9, 9))
    save(tmp_path / "f.png")
    done = run(tmp_path)
    assert [d.input.name for d in done if d.error is None] == ["a.png", "f.png"]
    assert all(d.output is None for d in done if d.error)
    assert "at least 16x16" in str(done[4].error)


def test_a_photo_that_was_read_already_gives_the_same_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png")
    [read] = run(path, output=f"{tmp_path}/read/")
    batch = FileBatch([str(path)], DENOISE, f"{tmp_path}/given/")
    given = batch.write(batch.jobs[0], read_photo(path))
    assert read.output and given.output and given.output.name == read.output.name
    assert given.output.read_bytes() == read.output.read_bytes()


def test_a_defect_of_ours_does_not_end_a_batch_but_a_single_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("out of luck")

    save(tmp_path / "a.png")
    monkeypatch.setattr(Plan, "run", broken)
    [done] = run(tmp_path)
    assert (done.error, done.mendable) == ("RuntimeError: out of luck", False)
    with pytest.raises(RuntimeError):
        run(tmp_path / "a.png")


def test_a_result_says_what_was_done(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", (40, 30))
    [done] = run(photo, request=Request(tasks=("super-resolve",)))
    fields = done.fields()
    assert list(fields) == [
        "input",
        "output",
        "task",
        "model",
        "size_in",
        "size_out",
        "seconds",
        "reason",
    ]
    assert fields["input"] == str(photo)
    assert (fields["size_in"], fields["size_out"]) == ((40, 30), (80, 60))
    assert (fields["task"], fields["model"], fields["reason"]) == (
        "super-resolve",
        "super_resolve_x2",
        "enlarge ×2, as asked",
    )
    failed = run(tmp_path / "none.png")[0].fields()
    assert failed["output"] is None
    assert "no such file" in str(failed["error"])


# --- masks


def test_masks_from_a_folder_are_matched_by_name(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "c.png"):
        save(tmp_path / "in" / name)
    for name in ("a.png", "sub/b.gif"):
        path = tmp_path / "masks" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.pad(np.full((6, 6), 255, np.uint8), ((4, 10), (4, 14)))).save(path)
    done = run(
        tmp_path / "in",
        request=Request(tasks=("inpaint",)),
        mask=str(tmp_path / "masks"),
        output=str(tmp_path / "out"),
    )
    assert [d.error is None for d in done] == [True, False, True]
    assert "no mask named c.*" in str(done[1].error)
    with (
        Image.open(tmp_path / "in" / "a.png") as before,
        Image.open(tmp_path / "out" / "a.inpaint.png") as after,
    ):
        changed = (np.asarray(before) != np.asarray(after)).any(2)
    assert changed[4:10, 4:10].any()
    changed[4:10, 4:10] = False
    assert not changed.any()


def test_in_a_folder_only_photos_whose_mask_marks_nothing_or_all_fail(tmp_path: Path) -> None:
    masks = {"empty": 0, "full": 255, "good": None}
    for name, level in masks.items():
        save(tmp_path / "in" / f"{name}.png")
        mask = np.full((20, 24), level or 0, np.uint8)
        mask[:5, :5] = 1 if level is None else level
        path = tmp_path / "masks" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(mask).save(path)
    request = Request(tasks=("inpaint",))
    done = run(
        tmp_path / "in", request=request, mask=str(tmp_path / "masks"), output=str(tmp_path / "out")
    )
    errors = {result.input.stem: result.error for result in done}
    assert "empty.png: the mask marks nothing" in str(errors["empty"])
    assert "full.png: the mask marks everything" in str(errors["full"])
    assert errors["good"] is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.inpaint.png"]


def test_a_mask_on_the_sideways_pixels_of_a_phone_photo_is_told_of_the_rotation(
    tmp_path: Path,
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 32), (90, 120, 60)).save(tmp_path / "phone.jpg", exif=exif)
    mask = Image.new("L", (48, 32))
    mask.paste(255, (4, 4, 12, 12))
    mask.save(tmp_path / "mask.png")
    (result,) = run(
        tmp_path / "phone.jpg", request=Request(tasks=("inpaint",)), mask=str(tmp_path / "mask.png")
    )
    assert "mask is 48x32, photo is 32x48: turned by 90° it would fit" in str(result.error)
    assert "EXIF rotation" in str(result.error)


def test_a_mask_that_is_missing_or_does_not_fit(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"^mask: .*no such file"):
        FileBatch([str(photo)], mask=str(tmp_path / "none.png"))
    mask = save(tmp_path / "m.png", (20, 20))
    assert "mask is 20x20, photo is 24x20" in str(
        run(photo, request=Request(), mask=str(mask))[0].error
    )


# --- hints


def painted(path: Path, photo: Path) -> Path:
    """A copy of a photo with a red stroke on it."""
    with Image.open(photo) as image:
        pixels = np.asarray(image.convert("RGB")).copy()
    pixels[6:12, 6:16] = (230, 20, 30)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


COLORIZE = Request(tasks=("colorize",))


def test_hints_are_followed_and_matched_by_name_in_a_folder(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    hints = painted(tmp_path / "hints" / "a.png", tmp_path / "in" / "a.png")
    one = run(
        tmp_path / "in" / "a.png",
        request=COLORIZE,
        hints=str(hints),
        output=str(tmp_path / "one.png"),
    )
    assert one[0].error is None
    done = run(
        tmp_path / "in", request=COLORIZE, hints=str(hints.parent), output=str(tmp_path / "out")
    )
    assert done[0].error is None and "no hints named b.*" in str(done[1].error)
    with (
        Image.open(tmp_path / "one.png") as alone,
        Image.open(tmp_path / "out" / "a.colorize.png") as among,
    ):
        np.testing.assert_array_equal(alone, among)
        red = np.asarray(alone).astype(int)[8:10, 9:13]
    assert (red[..., 0] > red[..., 1]).all()


def test_in_a_chain_the_step_that_colors_takes_the_hints(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    hints = painted(tmp_path / "h" / "a.png", photo)
    chain = Request(tasks=("denoise", "colorize", "super-resolve"))
    done = run(photo, request=chain, hints=str(hints), output=str(tmp_path / "out.png"))
    assert done[0].error is None and done[0].size_out == (48, 40)


def test_hints_that_cannot_be_followed(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    hints = str(painted(tmp_path / "h" / "a.png", photo))
    with pytest.raises(UserError, match=r"^hints: .*no such file"):
        FileBatch([str(photo)], hints=str(tmp_path / "none.png"))
    with pytest.raises(
        UserError, match="denoise colors nothing: leave the hints out, or ask for task colorize"
    ):
        FileBatch([str(photo)], Request(tasks=("denoise",)), hints=hints)
    with pytest.raises(UserError, match=r"^hints: extend changes the photo's size"):
        FileBatch(
            [str(photo)],
            Request(tasks=("colorize",), canvas=Canvas(extend=(4, 0, 0, 0))),
            hints=hints,
        )
    colored = tmp_path / "colored.png"
    row = np.array([[[200, 40, 40], [40, 40, 200]]], np.uint8).repeat(12, 1)
    Image.fromarray(row.repeat(20, 0)).save(colored)
    assert "colors nothing" in str(run(colored, request=Request(), hints=hints)[0].error)
    other = str(save(tmp_path / "small.png", (20, 20)))
    assert "they are 20x20, photo is 24x20" in str(
        run(photo, request=COLORIZE, hints=other)[0].error
    )
    assert "nothing is painted" in str(run(photo, request=COLORIZE, hints=str(photo))[0].error)


# --- requests


def test_task_names() -> None:
    assert parse_tasks("auto") == ()
    assert parse_tasks("denoise, super-resolve") == ("denoise", "super-resolve")
    with pytest.raises(UserError, match="unknown task 'denois', did you mean 'denoise'"):
        parse_tasks("denois")
    with pytest.raises(UserError, match="did you mean 'super-resolve'"):
        parse_tasks("super_resolve")
    with pytest.raises(UserError, match="auto stands alone"):
        parse_tasks("auto,denoise")
    with pytest.raises(UserError, match="unknown task ''"):
        parse_tasks("denoise,")


def test_what_would_fail_on_every_photo_is_refused_before_the_first(tmp_path: Path) -> None:
    photo = str(save(tmp_path / "a.png"))
    for request, message in (
        (Request(device="cuda:7"), "device: 'cuda:7' is not here"),
        (Request(precision="fp8"), "precision: unknown 'fp8'"),  # type: ignore[arg-type]
        (Request(model="nope"), "unknown model 'nope'"),
        (Request(tasks=("denoise",), scale=2), "scale: "),
    ):
        with pytest.raises(UserError, match=message):
            FileBatch([photo], request)


# --- formats, names and places


@pytest.mark.parametrize(
    ("suffix", "kind"),
    [("jpg", "JPEG"), ("png", "PNG"), ("tif", "TIFF"), ("webp", "WEBP"), ("avif", "AVIF")],
)
def test_a_format_that_is_asked_for_is_written_even_where_nothing_needs_doing(
    tmp_path: Path, suffix: str, kind: str, photos: list[np.ndarray]
) -> None:
    photo = tmp_path / "a.bmp"
    Image.fromarray(photos[0]).resize((1200, 1200), Image.Resampling.LANCZOS).save(photo)
    done = run(photo, request=Request(), saving=Saving(suffix))[0]
    assert done.error is None
    assert done.output == tmp_path / f"a.auto.{suffix}"
    assert str(done.reason).startswith("written anew with nothing changed, nothing needs doing")
    with Image.open(done.output) as image:
        assert image.format == kind


def test_quality_says_how_much_a_lossy_format_may_lose(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg", (200, 160))
    sizes = []
    for quality in (30, 95):
        done = run(photo, saving=Saving(quality=quality), overwrite=True)[0]
        assert done.output is not None
        sizes.append(done.output.stat().st_size)
    assert sizes[0] < 0.5 * sizes[1]


@pytest.mark.parametrize(
    ("saving", "words"),
    [
        ({"format": "jgp"}, "format: unknown 'jgp', did you mean 'jpg'"),
        ({"format": "gif"}, "format: unknown 'gif'"),
        ({"format": "a.jpg"}, "format: unknown 'a.jpg'"),
        ({"format": "."}, "format: unknown '.'"),
        ({"quality": 0}, "quality: 0 is not between 1 and 100"),
        ({"quality": 101}, "quality: 101"),
        ({"quality": 80, "format": "png"}, "keeps every pixel"),
    ],
)
def test_formats_and_qualities_that_cannot_be_are_refused(
    saving: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        Saving(**saving)


def test_a_format_may_be_named_with_its_dot(tmp_path: Path) -> None:
    done = run(save(tmp_path / "a.png"), saving=Saving(".JPG", quality=90))[0]
    assert done.output == tmp_path / "a.denoise.jpg"


def test_a_format_that_contradicts_the_output_is_refused(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png")
    with pytest.raises(UserError, match="leave one of them out"):
        run(photo, output=str(tmp_path / "b.png"), saving=Saving("jpg"))
    assert run(photo, output=str(tmp_path / "b.jpeg"), saving=Saving("jpg"))[0].error is None


def test_a_plan_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    photo, broken = save(tmp_path / "in" / "a.png"), tmp_path / "in" / "b.png"
    broken.write_bytes(b"not a photo")
    request = Request(tasks=("super-resolve",), scale=4)
    planned = list(FileBatch([str(tmp_path / "in")], request, str(tmp_path / "out")).plans())
    assert not (tmp_path / "out").exists()
    assert planned[0].output == tmp_path / "out" / "a.super-resolve.png"
    assert (planned[0].size_in, planned[0].size_out) == ((24, 20), (96, 80))
    assert planned[0].reason == "enlarge ×4, as asked"
    assert planned[0].fields()["steps"] == [
        {
            "task": "super-resolve",
            "model": "super_resolve_x4",
            "verb": "enlarge ×4",
            "reason": "",
            "detail": None,
        }
    ]
    assert "b.png" in str(planned[1].error)
    done = run(photo, request=request, output=str(tmp_path / "out") + "/")[0]
    assert {k: v for k, v in planned[0].fields().items() if k not in ("seconds", "steps")} == {
        k: v for k, v in done.fields().items() if k != "seconds"
    }


@pytest.mark.parametrize(
    ("name", "size", "most"),
    [("a.jpg", (16, 16400), 65500), ("a.webp", (16, 4100), 16383), ("a.ico", (65, 20), 256)],
)
def test_what_no_format_can_hold_is_refused_before_the_work(
    tmp_path: Path, name: str, size: tuple[int, int], most: int
) -> None:
    photo = save(tmp_path / "in.png", size)
    worked: list[int] = []
    batch = FileBatch(
        [str(photo)], Request(tasks=("super-resolve",), scale=4), str(tmp_path / name)
    )
    [done] = batch.run(on_tile=lambda step, tiles: worked.append(tiles))
    assert f"holds at most {most} px" in str(done.error)
    assert not worked


@pytest.mark.parametrize("letter", ["x", "é", "写"])
def test_names_too_long_for_a_result_are_cut_and_stay_apart(tmp_path: Path, letter: str) -> None:
    stem = letter * (244 // len(letter.encode()))
    first, second = save(tmp_path / f"{stem}1.png"), save(tmp_path / f"{stem}2.png")
    for attempt in range(2):  # the results of the first are not taken for photos in the second
        done = run(tmp_path, overwrite=True)
        assert [result.input for result in done] == [first, second]
        outputs = {result.output for result in done}
        assert len(outputs) == 2, attempt
        assert all(
            o is not None and o.exists() and len(os.fsencode(o.name)) <= 255 for o in outputs
        )


def test_an_output_that_cannot_be_is_told_before_the_work(tmp_path: Path) -> None:
    photo, file = save(tmp_path / "a.png"), tmp_path / "file"
    file.write_text("in the way")
    worked: list[int] = []
    batch = FileBatch([str(photo)], DENOISE, f"{file}/below/")
    [done] = batch.run(on_tile=lambda step, tiles: worked.append(tiles))
    assert "cannot be made" in str(done.error)
    assert not worked
    with pytest.raises(UserError, match="longer than a file name may be"):
        run(photo, output=str(tmp_path / ("x" * 300 + ".png")))
    assert "no such file" in str(run(tmp_path / ("y" * 300 + ".png"))[0].error)


@pytest.mark.parametrize(
    ("task", "stated"),
    [
        ("inpaint", "compositeWithTrainedAlgorithmicMedia"),
        ("colorize", "compositeWithTrainedAlgorithmicMedia"),
        ("translate", "trainedAlgorithmicMedia"),
        ("denoise", None),
        ("super-resolve", None),
    ],
)
def test_results_with_invented_pixels_say_so(tmp_path: Path, task: str, stated: str | None) -> None:
    photo = save(tmp_path / "a.png")
    canvas = Canvas(extend=(4, 0, 0, 0)) if task == "inpaint" else Canvas()
    [done] = run(photo, request=Request(tasks=(task,), canvas=canvas))
    assert done.output is not None
    assert source_type(read_photo(done.output).xmp) == stated


# --- many at once


def test_a_folder_gives_the_bytes_of_its_photos_one_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number in range(3):
        save(folder / f"{number}.jpg", (24 + number, 20))
    (folder / "0a.png").write_bytes(b"no photo")
    save(folder / "sub" / "3.tif")
    together = run(folder, output=str(tmp_path / "together"))
    alone = [run(done.input, output=str(tmp_path / "alone") + "/")[0] for done in together]
    assert [done.input.name for done in together] == ["0.jpg", "0a.png", "1.jpg", "2.jpg", "3.tif"]
    for one, other in zip(together, alone, strict=True):
        assert (one.error is None) == (other.error is None) == (one.input.name != "0a.png")
        if one.output and other.output:
            assert one.output.read_bytes() == other.output.read_bytes()


@pytest.mark.parametrize("count", [1, 3])
def test_each_photo_is_measured_once(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(count):
        save(tmp_path / f"{number}.png")
    measured: list[tuple[int, int]] = []

    def measure(photo: Photo, mask: np.ndarray | None = None) -> PhotoStatistics:
        measured.append(photo.size)
        return statistics(photo, mask)

    for room in ("batch", "request"):
        monkeypatch.setattr(f"img2img.inference.{room}.statistics", measure)
    inputs = [str(path) for path in sorted(tmp_path.iterdir())]
    planned = list(FileBatch(inputs, Request()).plans())
    assert [result.error for result in planned] == [None] * count == [None] * len(measured)
    done = list(FileBatch(inputs, Request(), str(tmp_path / "out") + "/").run())
    assert [result.error for result in done] == [None] * count and len(measured) == 2 * count


@pytest.mark.parametrize("large", [False, True])
def test_the_next_photo_is_read_before_a_result_is_written_unless_it_is_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    for name in ("a.png", "b.png"):
        save(tmp_path / "in" / name)
    read_b, order = threading.Event(), list[str]()

    def reading(path: Path) -> Photo:
        order.append(f"read {path.name}")
        if path.name == "b.png":
            read_b.set()
        return read_photo(path)

    def writing(path: Path, *arguments: Any, **named: Any) -> None:
        assert large or read_b.wait(60)
        order.append(f"wrote {path.name}")
        write_photo(path, *arguments, **named)

    monkeypatch.setattr("img2img.inference.batch.read_photo", reading)
    monkeypatch.setattr("img2img.inference.batch.write_photo", writing)
    if large:
        monkeypatch.setattr("img2img.inference.batch._LIGHT_PX", 24 * 20 - 1)
    assert [done.error for done in run(tmp_path / "in", output=str(tmp_path / "out"))] == [None] * 2
    expected = ["read a.png", "read b.png", "wrote a.denoise.png", "wrote b.denoise.png"]
    assert order == ([expected[n] for n in (0, 2, 1, 3)] if large else expected)


def test_a_result_that_is_an_input_too_is_read_once_it_is_written(tmp_path: Path) -> None:
    first, result = save(tmp_path / "a.png"), tmp_path / "a.denoise.png"
    save(result, (50, 40))  # of an earlier run
    done = run(first, result, overwrite=True)
    assert [d.error for d in done] == [None, None]
    assert done[1].size_in == (24, 20)
