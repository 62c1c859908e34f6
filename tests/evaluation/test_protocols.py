from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from made_photos import picture
from torch import Tensor

from img2img.data.sample import Batch, PairSample, PhotoSample, as_tensor
from img2img.errors import UserError
from img2img.evaluation import protocols
from img2img.evaluation.protocols import PROTOCOLS, PairProtocol, protocol_for
from img2img.pixels.augment import Augment
from img2img.pixels.color import to_lab
from img2img.tasks import build_task
from img2img.tasks.photo import PhotoTask


def cases(task, sample=None, crop_px=48):
    sample = sample or PhotoSample(3, picture(0))
    return list(protocol_for(build_task(task), Augment(crop_px=crop_px)).cases("p", sample))


def is_8_bit(x):
    return torch.allclose(x * 255, (x * 255).round(), atol=1e-4)


def test_denoise_draws_once_per_photo_and_does_not_clip():
    made = cases("denoise")
    assert [c.setting for c in made] == ["σ 15", "σ 25", "σ 50"]
    noise = [(c.given - c.truth) / c.sigma_255 for c in made]
    assert torch.allclose(noise[0], noise[1], atol=1e-7)
    assert torch.allclose(noise[0], noise[2], atol=1e-7)
    assert float(noise[0].std()) == pytest.approx(1 / 255, rel=0.02)
    assert made[2].given.min() < 0
    assert not torch.equal(cases("denoise", PhotoSample(4, picture(0)))[0].given, made[0].given)
    assert torch.equal(cases("denoise")[0].given, made[0].given)


def test_models_of_found_photos_meet_the_same_camera_each_time():
    real = {"kind": "denoise", "camera_share": 0.7}
    (case,) = cases(real)
    assert case.setting == "camera"
    assert case.sigma_255 == pytest.approx(
        255 * float((case.given - case.truth).square().mean() ** 0.5)
    )
    assert 2 < case.sigma_255 < 60
    assert torch.equal(cases(real)[0].given, case.given)
    assert not torch.equal(cases(real, PhotoSample(4, picture(0)))[0].given, case.given)


def test_a_model_of_two_sides_has_no_truth_to_be_measured_by():
    with pytest.raises(UserError, match=r"^model: it learned from two sides.*a model of pairs"):
        cases({"kind": "translate", "source": "unpaired"})


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolve_cuts_to_a_multiple_and_gives_8_bits(scale):
    (case,) = cases({"kind": "super-resolve", "factor": scale}, PhotoSample(0, picture(0, 75, 89)))
    assert case.setting == f"×{scale}"
    assert case.scale == scale
    assert case.truth.shape[-2:] == (75 // scale * scale, 89 // scale * scale)
    assert case.given.shape[-2:] == (75 // scale, 89 // scale)
    assert is_8_bit(case.given)


def test_inpaint_masks_are_frozen_in_their_range_and_what_they_hide_is_given_to_nobody():
    for number in range(8):
        photo = picture(number, 300, 280)
        made = cases("inpaint", PhotoSample(number, photo))
        assert [c.setting for c in made] == ["10–20 %", "20–30 %", "30–40 %"]
        for low, case in zip((0.1, 0.2, 0.3), made, strict=True):
            assert case.truth.shape[-2:] == (256, 256)
            assert low <= float(case.mask.mean()) <= low + 0.1
            assert (case.given * case.mask).abs().max() == 0
        again = cases("inpaint", PhotoSample(number, photo))
        assert all(torch.equal(a.mask, b.mask) for a, b in zip(made, again, strict=True))
    assert not torch.equal(made[0].mask, cases("inpaint", PhotoSample(0, photo))[0].mask)


def test_inpaint_crops_the_center():
    photo = picture(0, 260, 300)
    truth = cases("inpaint", PhotoSample(0, photo))[0].truth
    assert np.array_equal(
        truth[0].permute(1, 2, 0).mul(255).round().byte().numpy(), photo[2:258, 22:278]
    )


def test_repair_draws_the_same_damage_and_counts_what_a_method_changes():
    protocol = protocol_for(build_task("repair"), Augment(crop_px=48))
    number = 0
    while True:  # the first print on which much is drawn
        sample = PhotoSample(number, picture(number, 96, 96))
        (case,) = protocol.cases(str(number), sample)
        damage = protocol.damage[str(number)]
        if damage.mean() > 0.02:
            break
        number += 1
    assert is_8_bit(case.given)
    assert is_8_bit(case.truth)
    assert torch.equal(cases("repair", sample)[0].given, case.given)
    mask = as_tensor(damage.astype(np.float32)[..., None])
    mended = torch.where(mask > 0.5, 1 - case.given, case.given)
    found = {name: protocol.measure(case, x) for name, x in {"a": case.given, "b": mended}.items()}
    assert (found["a"]["F1"], round(found["b"]["F1"], 2)) == (0, 1)
    assert protocol.trivial(case).keys() == {"the damaged print"}


def test_colorize_gives_the_grey_of_the_same_luminance():
    (case,) = cases("colorize")
    given, truth = to_lab(case.given), to_lab(case.truth)
    assert (given[:, 0] - truth[:, 0]).abs().max() < 0.05
    assert given[:, 1:].abs().max() < 0.05
    assert truth[:, 1:].abs().max() > 10


@pytest.mark.parametrize("source", ["edges", "grey", "blur", "downscale"])
def test_translate_makes_the_condition_from_the_recipes_middle_crop(source):
    (case,) = cases({"kind": "translate", "source": source})
    assert case.given.shape == case.truth.shape == (1, 3, 48, 48)
    assert np.array_equal(
        case.truth[0].permute(1, 2, 0).mul(255).round().byte().numpy(), picture(0)[12:60, 20:68]
    )


def test_translate_takes_pairs_in_their_direction():
    sample = PairSample(0, photo=picture(0), other=picture(1))
    (forth,) = cases({"kind": "translate", "direction": "AtoB"}, sample)
    (back,) = cases({"kind": "translate", "direction": "BtoA"}, sample)
    assert torch.equal(forth.given, back.truth)
    assert torch.equal(forth.truth, back.given)
    assert not torch.equal(forth.given, forth.truth)


class Darken(PhotoTask):
    """A package's task: the photo from a darker one, drawn anew for each sample."""

    kind: Literal["darken"] = "darken"
    draws: ClassVar[bool] = True

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        target = as_tensor(sample.photo)
        return Batch(condition=target * float(rng.uniform(0.2, 0.8)), target=target)

    def decode(self, condition: Tensor, prediction: Tensor) -> Tensor:
        return condition + prediction


class DarkenProtocol(PairProtocol):
    """A package's own protocol."""

    statement = "as dark as it gets"


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Declares something as the protocol of `darken`, as a package would."""

    def offer(protocol: object) -> None:
        point = EntryPoint("darken", "package:Protocol", "img2img.protocols")
        monkeypatch.setattr(EntryPoint, "load", lambda self: protocol)
        monkeypatch.setattr(
            protocols, "entry_points", lambda group, name: [point] if name == "darken" else []
        )

    return offer


def test_any_task_is_measured_on_its_own_pairs() -> None:
    task = Darken()
    protocol = protocol_for(task, Augment(crop_px=48))
    assert type(protocol) is PairProtocol
    (case,) = protocol.cases("photo", PhotoSample(3, picture(0)))
    (again,) = protocol.cases("photo", PhotoSample(3, picture(0)))
    assert torch.equal(case.given, again.given), "every model meets the same condition"
    (other,) = protocol.cases("photo", PhotoSample(4, picture(0)))
    assert not torch.equal(case.given, other.given)
    assert np.array_equal(
        case.truth[0].permute(1, 2, 0).mul(255).round().byte().numpy(), picture(0)[12:60, 20:68]
    )
    assert protocol.measure(case, case.truth) == {"PSNR dB": 100.0, "SSIM": pytest.approx(1.0)}
    assert list(protocol.trivial(case)) == ["predicting nothing", "the input itself"]


def test_a_package_may_offer_the_protocol_of_its_task(
    offered: Callable[[object], None],
) -> None:
    offered(DarkenProtocol)
    assert type(protocol_for(Darken(), Augment())) is DarkenProtocol
    assert type(protocol_for(build_task("denoise"), Augment())) is PROTOCOLS["denoise"]


def test_what_is_offered_and_is_no_protocol_is_named(offered: Callable[[object], None]) -> None:
    offered(Darken)
    with pytest.raises(UserError, match="'package:Protocol' is no protocol for task 'darken'"):
        protocol_for(Darken(), Augment())


def test_a_condition_that_is_no_picture_needs_a_protocol_of_its_own() -> None:
    class TwoChannels(Darken):
        def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
            target = as_tensor(sample.photo)
            return Batch(condition=target[:, :2], target=target)

    protocol = protocol_for(TwoChannels(), Augment(crop_px=48))
    with pytest.raises(UserError, match="the condition of task 'darken' is no picture"):
        list(protocol.cases("photo", PhotoSample(0, picture(0))))


def test_two_sides_without_pairs_have_no_truth() -> None:
    task = build_task({"kind": "translate", "source": "unpaired"})
    with pytest.raises(UserError, match="no photo is another's truth"):
        protocol_for(task, Augment())
