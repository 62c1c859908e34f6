"""Translation: from pairs, from conditions made of photos, and without pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kornia.filters import canny
from task_samples import (
    pair,
    zeros,
)

from img2img.data.sample import PairSample, as_tensor, sample_rng
from img2img.errors import UserError
from img2img.evaluation.protocols import TranslateProtocol
from img2img.pixels.augment import Augment
from img2img.pixels.color import resize
from img2img.pixels.hints import Hints
from img2img.pixels.images import decode_rgb8
from img2img.recipe import Recipe
from img2img.resources import samples_dir
from img2img.tasks import (
    UnpairedTask,
    build_task,
)
from img2img.tasks.forward import ForwardOptions, forward
from img2img.tasks.translate import Translate
from img2img.testing import check_task


@pytest.mark.parametrize(
    "fields",
    [
        *(
            {"source": source}
            for source in ("pairs", "edges", "grey", "sepia", "blur", "downscale")
        ),
        {"direction": "BtoA"},
        {"input_channels": 1},
        {"output_channels": 1},
        {"source": "unpaired"},
        {"source": "unpaired", "side_a": "sepia"},
        {"line_jitter_px": 1.0},
    ],
    ids=str,
)
def test_it_keeps_the_contract(fields: dict[str, Any]) -> None:
    check_task(build_task({"kind": "translate", **fields}), tolerance=1e-6)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"hint_strokes": 3, "line_jitter_px": 1.0},
        {"source": "edges", "hint_strokes": 2},
        {"gap_px": 0, "input_channels": 1},
    ],
    ids=str,
)
def test_with_flat_regions_it_keeps_the_contract(fields: dict[str, Any]) -> None:
    check_task(Translate(regions="flat", **fields), tolerance=1e-5)  # means of thousands of pixels


@pytest.mark.parametrize("source", ["pairs", "edges", "grey", "blur", "downscale", "unpaired"])
def test_zeros_are_mid_grey(source: str, photos: list[np.ndarray]) -> None:
    task = build_task({"kind": "translate", "source": source})
    assert torch.equal(zeros(task, pair(task, photos[0])), torch.full((1, 3, 96, 96), 0.5))


def test_without_pairs_it_is_of_the_family_of_two_sides(photos: list[np.ndarray]) -> None:
    for side_a in ("files", "sepia"):
        fields = {"kind": "translate", "source": "unpaired", "side_a": side_a}
        task = build_task(fields)
        assert isinstance(task, UnpairedTask) and build_task(task.model_dump(mode="json")) == task
        known = task.other_side(as_tensor(photos[0]))
        assert (known is None) == (side_a == "files")
    assert not isinstance(build_task({"kind": "translate", "source": "grey"}), UnpairedTask)


@pytest.mark.parametrize("size", [(16, 16), (3000, 41), (1500, 2000)])
def test_the_network_sees_at_most_the_working_size(size: tuple[int, int]) -> None:
    (view,) = build_task("translate").views(size)
    assert max(view.size) <= 1024 and min(view.size) >= 1


def test_translation_reads_pairs_in_the_asked_direction(photos: list[np.ndarray]) -> None:
    both = PairSample(0, photo=photos[0], other=photos[1])
    there, back = (
        build_task({"kind": "translate", "direction": d}).make_pair(both, sample_rng(0, 0, 0))
        for d in ("AtoB", "BtoA")
    )
    assert torch.equal(there.condition, as_tensor(photos[1]))
    assert torch.equal(there.target, as_tensor(photos[0]))
    assert torch.equal(there.condition, back.target)
    assert torch.equal(there.target, back.condition)


@pytest.mark.parametrize("source", ["edges", "grey", "blur", "downscale"])
def test_a_condition_from_a_photo_is_the_one_trained_on(
    source: str, photos: list[np.ndarray]
) -> None:
    task = build_task({"kind": "translate", "source": source})
    made = task.from_photo(as_tensor(photos[0]))
    assert made.shape == (1, 3, 96, 96)
    assert not torch.allclose(made, as_tensor(photos[0]), atol=0.05)
    assert torch.equal(task.prepare(made), pair(task, photos[0]).condition)


def test_edges_are_black_lines_on_white() -> None:
    square = torch.zeros(1, 3, 64, 64)
    square[..., 16:48, 16:48] = 1
    drawn = build_task({"kind": "translate", "source": "edges"}).from_photo(square)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert (drawn[..., 24:40, 24:40] == 1).all()
    assert (drawn[0, 0, 32] == 0).sum() == 2, "a line on either side"


@pytest.mark.parametrize("sigma_px", [0.5, 1.5, 2.0])
def test_edges_are_kornias_own(sigma_px: float) -> None:
    """Hysteresis by connected lines gives what repeating it until nothing changes gives."""
    shipped = [decode_rgb8(path) for path in sorted(samples_dir().glob("*.jpg"))[:4]]
    noise = np.random.default_rng(0).integers(0, 256, (2, 96, 80, 3), np.uint8)
    side = 2 * round(2 * sigma_px) + 1
    for pictures in (
        *(as_tensor(p[:200, :150]) for p in shipped),
        torch.cat([*map(as_tensor, noise)]),
    ):
        kernel, sigmas = (side, side), (sigma_px, sigma_px)
        expected = canny(pictures, 0.08, 0.2, kernel, sigmas)[1]
        task = build_task({"kind": "translate", "source": "edges", "edge_sigma_px": sigma_px})
        assert torch.equal(task.from_photo(pictures), (1 - expected).expand(-1, 3, -1, -1))
        assert 0 < expected.mean() < 1


@pytest.mark.parametrize("source", ["pairs", "edges", "grey"])
def test_a_network_may_see_luma_alone(source: str, photos: list[np.ndarray]) -> None:
    """As published networks of one channel do; what is grey already is the same to the old way."""
    old, new = (
        build_task({"kind": "translate", "source": source, "input_channels": channels})
        for channels in (None, 1)
    )
    batch = pair(new, photos[0])
    assert new.condition_channels == batch.condition.shape[1] == 1
    if source == "pairs":
        red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(-1, -1, 16, 16)
        assert torch.allclose(new.prepare(red), torch.full((1, 1, 16, 16), 0.299))
    else:
        assert torch.allclose(batch.condition, pair(old, photos[0]).condition, atol=1e-6)


def test_a_network_may_predict_grey_and_the_picture_has_three_channels() -> None:
    task = build_task({"kind": "translate", "output_channels": 1})
    assert task.prediction_channels == 1
    prediction = torch.rand(1, 1, 8, 8) * 2 - 1
    picture = task.decode(torch.rand(1, 3, 8, 8), prediction)
    assert torch.equal(picture, ((prediction + 1) / 2).expand(1, 3, 8, 8))


@pytest.mark.parametrize("field", ["input_channels", "output_channels"])
def test_without_pairs_both_sides_have_three_channels(field: str) -> None:
    with pytest.raises(UserError, match=rf"task\.{field} is 1, and without pairs both .*: use 3"):
        Recipe.load("cyclegan", [f"task.{field}=1"])


def drawn_pair(scale: int = 1) -> PairSample:
    """A house of two rooms, and what it looks like in color, shaded; black lines on both."""
    side = 96 * scale
    photo = np.full((side, side, 3), 255, np.uint8)
    photo[20 * scale : 70 * scale, 20 * scale : 45 * scale] = (200, 40, 40)
    photo[50 * scale : 70 * scale, 20 * scale : 45 * scale] = (150, 30, 30)
    photo[20 * scale : 70 * scale, 45 * scale : 80 * scale] = (40, 90, 200)
    drawing = np.full_like(photo, 255)
    for at in (20, 70):
        drawing[(at - 1) * scale : (at + 2) * scale, 19 * scale : 82 * scale] = 0
    for at in (20, 45, 80):
        drawing[19 * scale : 72 * scale, (at - 1) * scale : (at + 2) * scale] = 0
    return PairSample(0, photo=np.minimum(photo, drawing), other=drawing)


def flat(**fields: Any) -> Translate:
    return Translate(regions="flat", **fields)


def test_flat_training_pictures_have_one_color_a_region_and_the_drawing_over_it() -> None:
    pair_ = flat().make_pair(drawn_pair(), sample_rng(0, 0, 0))
    target = (pair_.target[0] * 255).round()
    assert torch.equal(pair_.condition, as_tensor(drawn_pair().other))
    assert target[:, 30, 30].tolist() == target[:, 60, 30].tolist() == [200, 40, 40]
    assert target[:, 30, 60].tolist() == [40, 90, 200]
    assert target[:, 5, 5].tolist() == [255, 255, 255]
    assert (target[:, (pair_.condition[0] == 0).all(0)] == 0).all()


def test_any_prediction_gives_flat_regions_under_unchanged_lines() -> None:
    task, condition = flat(), as_tensor(drawn_pair().other)
    prediction = torch.randn(1, 3, 96, 96, requires_grad=True)
    rgb = task.decode(condition, prediction)
    for top, left in ((22, 22), (22, 47), (73, 0)):
        room = rgb[0, :, top : top + 20, left : left + 20].flatten(1)
        assert torch.equal(room, room[:, :1].expand_as(room))
    assert torch.equal(rgb[condition == 0], condition[condition == 0])
    rgb[0, 0, 30, 30].backward()
    assert prediction.grad is not None
    reached = prediction.grad[0, 0] != 0
    assert reached[68, 43] and not reached[30, 60] and not reached[5, 5]


@pytest.mark.parametrize("scale", [1, 4])
def test_finish_finds_the_regions_at_the_photos_own_size(scale: int) -> None:
    task, sample = flat(), drawn_pair(scale)
    photo = as_tensor(sample.other)
    rgb = task.decode(resize(photo, (96, 96)), torch.randn(1, 3, 96, 96))
    done = task.finish(photo, rgb)
    assert done.shape == photo.shape
    assert torch.equal(done[photo == 0], photo[photo == 0])
    for y, x in ((30, 30), (30, 60), (5, 5)):
        color = rgb[0, :, y, x].clamp(0, 1)
        assert torch.allclose(done[0, :, y * scale, x * scale], color, atol=1e-5)
    room = done[0, :, 22 * scale : 69 * scale, 22 * scale : 44 * scale].flatten(1)
    assert torch.equal(room, room[:, :1].expand_as(room)), "filled to the line"


def test_hints_in_training_are_the_colors_of_their_regions() -> None:
    task = flat(hint_strokes=3)
    pairs = [task.make_pair(drawn_pair(), sample_rng(seed, 0, 0)) for seed in range(30)]
    marked = [p for p in pairs if p.condition[:, 6:].any()]
    assert 5 < len(marked) < 25, "half of the samples"
    for p in marked:
        marks = p.condition[0, 6] > 0
        assert torch.equal(p.condition[0, 3:6, marks], p.target[0, :, marks])
        assert not p.condition[0, 3:6, ~marks].any()


def test_a_hint_colors_its_region_exactly_and_no_other() -> None:
    task = flat(hint_strokes=3)
    condition = task.prepare(as_tensor(drawn_pair().other))
    prediction = torch.randn(1, 3, 96, 96)
    strokes = np.zeros((96, 96), bool)
    strokes[30:34, 25:48] = True  # runs over the wall
    painted = np.zeros((96, 96, 3), np.uint8)
    painted[strokes] = (51, 204, 102)
    hinted = task.with_hints(condition, Hints(painted, strokes))
    plain, colored = task.decode(condition, prediction), task.decode(hinted, prediction)
    hint = torch.tensor([0.2, 0.8, 0.4])
    assert torch.allclose(colored[0, :, 60, 40], hint, atol=1e-5)
    assert torch.equal(colored[0, :, :, 47:], plain[0, :, :, 47:])
    assert torch.equal(colored[0, :, 75:], plain[0, :, 75:])


def test_hints_reach_the_full_size_through_the_network() -> None:
    task, photo = flat(hint_strokes=3), as_tensor(drawn_pair(4).other)
    strokes = np.zeros((384, 384), bool)
    strokes[120:126, 100:160] = True
    painted = np.where(strokes[..., None], np.uint8([51, 204, 102]), np.uint8(0))
    seen = []

    def network(condition: torch.Tensor) -> torch.Tensor:
        seen.append(condition)
        return torch.zeros_like(condition[:, :3])

    options = ForwardOptions(working_size=(96, 96), hints=Hints(painted, strokes))
    done = forward(task, network, 32, photo, options=options)
    assert seen[0].shape == (1, 7, 96, 96) and seen[0][0, 6].any()
    room = done[0, :, 90:270, 90:170].flatten(1)
    assert torch.equal(room, room[:, :1].expand_as(room))
    assert torch.allclose(room[:, 0], torch.tensor([0.2, 0.8, 0.4]), atol=1e-5)
    assert torch.allclose(done[0, :, 200, 250], torch.tensor(0.5), atol=1e-5)
    assert torch.equal(done[photo == 0], photo[photo == 0])


def test_a_hint_colors_all_of_a_shape_whose_neck_was_closed() -> None:
    task, drawing = flat(hint_strokes=1, gap_px=12), as_tensor(drawn_pair().other)
    drawing[..., 40:48, 44:47] = 1  # a doorway between the rooms
    condition = task.prepare(drawing)
    strokes = np.zeros((96, 96), bool)
    strokes[28:32, 28:32] = True
    painted = np.where(strokes[..., None], np.uint8([51, 204, 102]), np.uint8(0))
    hinted = task.with_hints(condition, Hints(painted, strokes))
    alike, other = torch.zeros(1, 3, 96, 96), torch.zeros(1, 3, 96, 96)
    other[..., 46:] = 0.6
    hint = torch.tensor([0.2, 0.8, 0.4])
    both, one = (task.decode(hinted, prediction) for prediction in (alike, other))
    for rgb in (both, one):
        assert torch.allclose(rgb[0, :, 60, 30], hint, atol=1e-5)
    assert torch.allclose(both[0, :, 60, 60], hint, atol=1e-5)
    assert torch.allclose(one[0, :, 60, 60], torch.tensor(0.8).expand(3), atol=0.02)


def test_wider_lines_change_the_drawing_and_what_is_drawn_over_flat_colors() -> None:
    widths = set()
    for seed in range(8):
        made = flat(line_jitter_px=1.0).make_pair(drawn_pair(), sample_rng(seed, 0, 0))
        row = made.condition[0, 0, 30]
        widths.add(round(float((1 - row).sum()), 3))
        assert (made.target[0, :, 30] <= row + 1e-6).all()
    assert len(widths) == 8 and min(widths) < 9 < max(widths)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"regions": "flat", "source": "grey"}, "line drawing"),
        ({"regions": "flat", "source": "unpaired"}, "line drawing"),
        ({"hint_strokes": 2}, "regions: flat"),
        ({"line_jitter_px": 1, "source": "blur"}, "line_jitter_px"),
    ],
    ids=str,
)
def test_what_needs_a_drawing_is_refused_without_one(fields: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word):
        build_task({"kind": "translate", **fields})


def test_evaluation_measures_against_the_true_picture_and_not_the_flat_one() -> None:
    task = flat(hint_strokes=3, line_jitter_px=1.0)
    sample = drawn_pair()
    crop = Augment(crop_px=96, resize_px=(96, 96), flip=False)
    (case,) = TranslateProtocol(task, crop).cases("house", sample)
    assert torch.equal(case.given, as_tensor(sample.other))
    assert torch.equal(case.truth, as_tensor(sample.photo))
