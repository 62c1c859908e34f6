"""A request is checked once, before any photo; the plan that comes of it looks nothing up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from img2img.errors import UserError
from img2img.inference.canvas import Canvas
from img2img.inference.loaded import LoadedModels
from img2img.inference.options import Options
from img2img.inference.request import Request
from img2img.pixels.hints import Hints
from img2img.pixels.images import Photo
from img2img.zoo import catalogue
from img2img.zoo.catalogue import CATALOGUE

pytestmark = pytest.mark.usefixtures("zoo")


def photo(size: tuple[int, int] = (40, 56)) -> Photo:
    return Photo(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8))


@pytest.mark.parametrize(
    ("request_", "known", "words"),
    [
        (Request(("inpaint",)), {"with_mask": False}, "task inpaint fills masks"),
        (Request(canvas=Canvas(grow_px=2)), {"with_mask": False}, "need something to fill"),
        (Request(canvas=Canvas(mask_invert=True)), {"with_mask": False}, "no mask to turn round"),
        (Request(("denoise",)), {"with_hints": True}, "denoise colors nothing"),
        (
            Request(("colorize",), canvas=Canvas(extend=(4, 0, 0, 0))),
            {"with_hints": True},
            "changes the photo's size",
        ),
        (Request(options=Options(direction="AtoB")), {}, "name the model that goes both ways"),
        (
            Request(model="denoise", options=Options(direction="AtoB")),
            {},
            "model 'denoise' goes one way only",
        ),
        (Request(("denoise",), options=Options(from_photo=True)), {}, "takes the photo as it is"),
        (Request(detail=2), {}, "2 is not between 0 and 1"),
        (Request(device="abacus"), {}, "abacus"),
    ],
)
def test_what_would_fail_on_every_photo_is_refused_before_any(
    request_: Request, known: dict[str, bool], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        request_.resolve(**known)


def test_what_is_not_known_yet_is_not_held_against_a_request() -> None:
    mask = np.zeros((40, 56), bool)
    mask[4:9, 4:9] = True
    request = Request(("inpaint",), canvas=Canvas(feather_px=1)).resolve()
    assert request.plan(photo(), mask).models == "inpaint"
    assert Request(("inpaint",)).resolve(with_mask=True).steps is not None


def test_a_resolved_request_and_its_plans_ask_for_no_name_again(
    zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(("denoise", "super-resolve"), scale=4).resolve()
    plan = request.plan(photo())
    expected = plan.run(photo())

    def lost(*_: Any, **__: Any) -> Any:
        raise AssertionError("a model was looked up by its name")

    monkeypatch.setattr(catalogue, "model_path", lost)
    assert plan.scale == 4 and plan.tile_counts((56, 40)) == (1, 1)
    np.testing.assert_array_equal(plan.run(photo()).rgb, expected.rgb)


def test_colors_of_one_photo_are_in_its_plan_alone() -> None:
    request = Request(("colorize",)).resolve(with_hints=True)
    hints = Hints(np.zeros((40, 56, 3), np.uint8), np.ones((40, 56), bool))
    assert request.plan(photo(), hints=hints).options.hints is hints
    assert request.plan(photo()).options.hints is None


def test_plain_data_of_a_plan_names_models_as_they_were_asked_for(zoo: Path) -> None:
    path = str(zoo / "super_resolve_x2.safetensors")
    [step] = Request(model=path, scale=2).resolve().plan(photo()).steps
    assert step.fields() == {
        "task": "super-resolve",
        "model": path,
        "verb": "enlarge ×2",
        "reason": "",
        "detail": None,
    }


def test_loaded_models_are_shared_and_let_go() -> None:
    models, names = LoadedModels(most=2), ("denoise", "colorize", "inpaint")
    denoise, colorize, inpaint = (CATALOGUE.entry(name) for name in names)
    first = models.get(denoise)
    assert models.get(denoise) is first
    assert models.get(denoise, "cpu") is not first, "asked for another device"
    assert models.get(denoise) is first
    models.get(colorize), models.get(inpaint)
    assert models.get(denoise) is not first, "the least recently used went first"
    kept = models.get(denoise)
    models.clear()
    assert models.get(denoise) is not kept
