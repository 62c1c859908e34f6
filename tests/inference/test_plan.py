"""The automatic plan, what may be asked instead, and running it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from aged_prints import RED, aged, grey, with_disc

from img2img.errors import UserError
from img2img.inference.options import Options
from img2img.inference.pipeline import load
from img2img.inference.plan import Plan
from img2img.inference.request import Request
from img2img.pixels import degrade
from img2img.pixels.images import Photo, quantise, read_photo
from img2img.resources import inputs_dir, samples_dir
from img2img.tasks.super_resolve import SMALL_PX

CLEAN = samples_dir() / "cat.jpg"


def plan(
    photo: Photo, mask: np.ndarray | None = None, tasks: Sequence[str] = (), **fields: Any
) -> Plan:
    """What a request comes to for a photo."""
    return Request(tuple(tasks), **fields).resolve().plan(photo, mask)


@pytest.fixture
def clean() -> Photo:
    return enlarged(CLEAN)


def enlarged(path: Path) -> Photo:
    """A photo, mirrored beside and below itself until it is no longer small."""
    photo = read_photo(path)
    rgb = photo.rgb
    while max(rgb.shape) <= SMALL_PX:
        rgb = np.concatenate([rgb, rgb[::-1]])
        rgb = np.concatenate([rgb, rgb[:, ::-1]], 1)
    return photo.with_pixels(rgb)


def old_photo(size: tuple[int, int] = (320, 240)) -> Photo:
    """Grey, noisy and small."""
    noise = np.random.default_rng(0).normal(128, 15, (size[1], size[0], 1)).repeat(3, 2)
    return Photo(quantise((noise / 255).astype(np.float32), np.uint8))


@pytest.mark.usefixtures("zoo")
def test_each_task_says_for_itself_whether_it_applies(clean: Photo) -> None:
    made = plan(old_photo())
    assert made.tasks == "denoise,colorize,super-resolve"
    assert made.models == "denoise,colorize,super_resolve_x2"
    assert made.sentence.startswith(
        "denoise, colorize, then enlarge ×2, because it is noisy (σ about 1"
    )
    assert "it has no color and it is small (320×240)" in made.sentence
    mask = np.zeros(clean.rgb.shape[:2], bool)
    assert plan(clean, mask).tasks == "inpaint"


def damaged(kind: str, size: tuple[int, int] = (400, 300)) -> Photo:
    rgb = (
        cv2.resize(read_photo(CLEAN).rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        / 255
    )
    rng = np.random.default_rng(0)
    grain = degrade.correlated_noise(np.zeros_like(rgb), 10, rng, 0.8)[..., :1]
    made = {
        "grain": rgb + grain,
        "camera": degrade.jpeg(degrade.correlated_noise(rgb, 10, rng, 0.8), 85),
        "blocks": degrade.jpeg(rgb, 10),
        "white": degrade.gaussian_noise(rgb, 20, rng),
        "clean": rgb,
    }[kind]
    return Photo(quantise(made, np.uint8))


@pytest.mark.usefixtures("found_zoo")
@pytest.mark.parametrize(
    ("kind", "models", "named", "said"),
    [
        ("grain", "denoise_real,super_resolve_x2", "denoise_real", "it is grainy (σ about"),
        ("camera", "denoise_real,super_resolve_x2", "denoise_real", "it is grainy (σ about"),
        (
            "blocks",
            "denoise_real,super_resolve_x2",
            "denoise_real",
            "the blocks of strong JPEG compression show",
        ),
        ("white", "denoise_real,super_resolve_x2", "denoise", "it is noisy (σ about"),
        ("clean", "super_resolve_x2", "denoise", "it is small"),
    ],
)
def test_grain_and_blocks_go_to_the_model_for_them(
    kind: str, models: str, named: str, said: str
) -> None:
    """Before enlarging, and also where denoising is asked for by name, alone or with others."""
    photo = damaged(kind)
    made = plan(photo)
    assert made.models == models
    assert said in made.sentence
    assert plan(photo, tasks=["denoise"]).models == named
    assert plan(photo, tasks=["denoise", "colorize"]).models == f"{named},colorize"
    assert plan(photo, model="denoise").models == "denoise"


@pytest.mark.usefixtures("zoo")
def test_grain_without_a_model_for_it_goes_to_the_one_there_is() -> None:
    assert plan(damaged("grain"), tasks=["denoise"]).models == "denoise"


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("noisy.png", "denoise"),
        ("old_photo.jpg", "denoise"),
        ("small.jpg", "super-resolve"),
        ("sketch.png", "super-resolve"),
    ],
)
def test_shipped_inputs_get_the_plan_they_are_made_for(name: str, first: str) -> None:
    assert plan(read_photo(inputs_dir() / name)).steps[0].task == first


@pytest.mark.usefixtures("zoo")
def test_a_color_of_its_own_keeps_a_photo_as_it_is_and_the_sentence_says_so(clean: Photo) -> None:
    grey_photo = enlarged(CLEAN).with_pixels(grey(clean.rgb))
    assert plan(grey_photo).tasks == "colorize"
    assert plan(grey_photo.with_pixels(aged(clean.rgb))).tasks.endswith("colorize")
    made = plan(grey_photo.with_pixels(with_disc(grey(clean.rgb), 0.014, RED)))
    assert "colorize" not in made.tasks
    assert "not done: colorize, since it has color of its own on 1." in made.sentence
    assert made.sentence.endswith("% of it (red); task colorize does it all the same")


@pytest.mark.usefixtures("zoo")
def test_line_art_is_not_colorized_and_the_sentence_says_how_to_ask() -> None:
    made = plan(read_photo(inputs_dir() / "sketch.png"))
    assert "colorize" not in made.tasks
    assert (
        "but has few tones, as text, line art and drawings have; task colorize does it"
        in made.sentence
    )
    assert (
        plan(read_photo(inputs_dir() / "sketch.png"), tasks=["colorize"]).sentence
        == "colorize, as asked"
    )


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize("path", sorted(samples_dir().glob("*.jpg")), ids=lambda p: p.stem)
def test_clean_color_photos_need_nothing_and_are_told_what_may_be_asked(path: Path) -> None:
    made = plan(enlarged(path))
    assert made.steps == ()
    assert "nothing needs doing" in made.sentence
    for task in ("denoise", "colorize", "super-resolve", "inpaint", "translate"):
        assert task in made.sentence


def test_a_missing_model_is_skipped_and_said_when_automatic_and_an_error_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean: Photo
) -> None:
    monkeypatch.setattr("img2img.zoo.zoo_dir", lambda: tmp_path)
    made = plan(old_photo())
    assert made.steps == ()
    assert len(made.skipped) == 3
    assert "not done: denoise, though it is noisy" in made.sentence
    with pytest.raises(UserError, match="no model for denoise"):
        plan(clean, tasks=["denoise"])
    with pytest.raises(UserError, match="no model for inpaint"):
        plan(clean, np.ones(clean.rgb.shape[:2], bool))


@pytest.mark.usefixtures("zoo")
def test_a_detail_is_checked_and_named_only_where_something_is_done(clean: Photo) -> None:
    for photo in (clean, old_photo()):
        with pytest.raises(UserError, match="detail: 5 is not between 0 and 1"):
            plan(photo, detail=5)
    assert "detail 0.5 left out" in plan(old_photo(), detail=0.5).sentence
    assert plan(clean, detail=0.5).sentence == plan(clean).sentence


@pytest.mark.usefixtures("zoo")
def test_scale_chooses_the_model_and_asks_for_enlargement(clean: Photo) -> None:
    assert plan(clean, tasks=["super-resolve"]).models == "super_resolve_x2"
    assert (
        plan(clean, tasks=["denoise", "super-resolve"], scale=4).models
        == "denoise,super_resolve_x4"
    )
    asked = plan(clean, scale=4)
    assert asked.models == "super_resolve_x4"
    assert asked.sentence == "enlarge ×4, because ×4 was asked for"
    with pytest.raises(UserError, match=r"^scale: 'denoise' does not enlarge.*super-resolve"):
        plan(clean, tasks=["denoise"], scale=2)
    with pytest.raises(UserError, match=r"^scale: ×17 is more than ×16"):
        plan(clean, scale=17)


@pytest.mark.usefixtures("zoo")
def test_a_model_brings_its_task_and_contradictions_are_refused(clean: Photo) -> None:
    made = plan(clean, model="colorize")
    assert (made.tasks, made.sentence) == ("colorize", "colorize, as asked")
    with pytest.raises(UserError, match="'colorize' is for task colorize, not 'denoise'"):
        plan(clean, tasks=["denoise"], model="colorize")
    with pytest.raises(UserError, match="is for ×2, not ×4"):
        plan(clean, scale=4, model="super_resolve_x2")
    with pytest.raises(UserError, match="unknown model 'colorise', did you mean 'colorize'"):
        plan(clean, model="colorise")


@pytest.mark.usefixtures("zoo")
def test_a_mask_nobody_uses_and_a_photo_too_small_are_refused(clean: Photo) -> None:
    with pytest.raises(UserError, match=r"^mask: 'denoise' fills nothing.*inpaint"):
        plan(clean, np.ones(clean.rgb.shape[:2], bool), tasks=["denoise"])
    with pytest.raises(UserError, match="15x40: at least 16x16"):
        plan(Photo(np.zeros((40, 15, 3), np.uint8)), tasks=["denoise"])


@pytest.mark.usefixtures("zoo")
def test_steps_chain_in_float_and_end_at_the_photos_depth() -> None:
    photo = old_photo((80, 60))
    done = plan(photo).run(photo)
    step = photo
    for name in ("denoise", "colorize"):
        step = load(name).run(step, dtype=np.float32)
    by_hand = load("super_resolve_x2").run(step, dtype=np.uint8)
    assert done.rgb.dtype == np.uint8
    assert done.size == (160, 120)
    np.testing.assert_array_equal(done.rgb, by_hand.rgb)
    rounded = load("super_resolve_x2").run(load("colorize").run(load("denoise").run(photo)))
    assert (done.rgb != rounded.rgb).any()  # rounding between steps would have been seen


@pytest.mark.usefixtures("zoo")
def test_a_mask_follows_an_enlargement() -> None:
    photo = Photo(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    mask = np.zeros((30, 40), bool)
    mask[8:12, 10:20] = True
    done = plan(photo, mask, ["super-resolve", "inpaint"]).run(photo, mask)
    enlarged = load("super_resolve_x2").run(photo, dtype=np.float32)
    known = ~mask.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(done.rgb[known], quantise(enlarged.rgb, np.uint8)[known])


@pytest.mark.usefixtures("zoo")
def test_progress_is_reported_per_step_and_may_cancel() -> None:
    photo, seen = old_photo((1100, 20)), []
    chain = plan(photo, tasks=["denoise", "colorize"])
    chain.run(photo, on_tile=lambda step, tiles: seen.append((step, tiles)))
    assert seen == [(0, 1), (0, 2), (1, 1)]

    def stop(step: int, tiles: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        plan(photo, tasks=["denoise"]).run(photo, on_tile=stop)
    # The callback is gone: the model that stays loaded is shared by all.
    plan(photo, tasks=["denoise"]).run(photo)


@pytest.mark.usefixtures("zoo")
def test_tiles_are_counted_beforehand_where_that_can_be() -> None:
    photo = old_photo((600, 20))
    chain = plan(photo, tasks=["super-resolve", "denoise", "colorize"])
    seen: dict[int, int] = {}
    chain.run(photo, on_tile=lambda step, tiles: seen.update({step: tiles}))
    counts = chain.tile_counts(photo.size)
    assert counts == (2, seen[1], None)
    assert seen[0] == 2


@pytest.mark.usefixtures("zoo")
def test_models_are_loaded_once_and_again_when_their_file_changes(
    tmp_path: Path, tiny_zoo: Path
) -> None:
    photo = old_photo((40, 30))
    path = tmp_path / "own.safetensors"
    path.write_bytes((tiny_zoo / "denoise.safetensors").read_bytes())
    asked = plan(photo, model=str(path))
    first = asked.run(photo)
    changed = tiny_zoo / "super_resolve_x2.safetensors"
    path.write_bytes(changed.read_bytes())
    assert asked.run(photo).size == (first.size[0] * 2, first.size[1] * 2)


@pytest.mark.usefixtures("zoo")
def test_from_photo_is_for_tasks_that_know_how(clean: Photo) -> None:
    small = clean.with_pixels(clean.rgb[:64, :64])
    options = Options(from_photo=True)
    sketch = plan(small, tasks=["translate"], options=options).run(small)
    assert (sketch.rgb != plan(small, tasks=["translate"]).run(small).rgb).any()
    with pytest.raises(UserError, match=r"^from_photo: 'denoise'"):
        Request(("denoise",), options=options).resolve()
    with pytest.raises(UserError, match=r"^from_photo: '"):
        plan(old_photo(), options=options)
