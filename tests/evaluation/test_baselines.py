import numpy as np
import pytest
import torch
from made_photos import picture
from PIL import Image

from img2img.data.sample import as_tensor
from img2img.evaluation import baselines
from img2img.evaluation.case import Case, as_8_bit
from img2img.evaluation.metrics import psnr_db
from img2img.pixels import degrade
from img2img.tasks import build_task, task_kinds
from img2img.tasks.base import COPIED
from img2img.tasks.baseline import (
    MEAN,
    MEAN_COLOR,
    NEAREST,
    best_numbers,
    mean_target,
    trivial_answers,
)
from img2img.tasks.photo import PhotoTask
from img2img.testing import sample_for


@pytest.fixture
def holed() -> Case:
    truth = as_tensor(picture(0))
    mask = torch.zeros(1, 1, *truth.shape[-2:])
    mask[..., 20:30, 40:55] = 1
    return Case("p", "", truth * (1 - mask), truth, mask)


def test_pillows_bicubic_is_ours():
    small = as_tensor(picture(0))
    case = Case("p", "×2", small, torch.zeros(1, 3, 144, 176))
    channels = [
        Image.fromarray(c).resize((176, 144), Image.Resampling.BICUBIC) for c in small[0].numpy()
    ]
    made = baselines.trivial(build_task({"kind": "super-resolve"}), case)
    assert set(made) == {"bicubic enlargement", NEAREST}
    assert (made["bicubic enlargement"] - torch.from_numpy(np.stack(channels))).abs().max() < 1e-5
    assert torch.equal(made[NEAREST], small.repeat_interleave(2, -1).repeat_interleave(2, -2))


@pytest.mark.parametrize("sigma", [15, 25, 50])
def test_non_local_means_takes_noise_away_and_keeps_the_order_of_channels(sigma):
    truth = as_tensor(picture(0))
    noisy = degrade.gaussian_noise(
        picture(0).astype(np.float32) / 255, sigma, np.random.default_rng(0)
    )
    case = Case("p", "", as_tensor(noisy), truth, sigma_255=sigma)
    assert (
        psnr_db(as_8_bit(baselines.classic("non_local_means")(case)), truth)
        > psnr_db(as_8_bit(case.given), truth) + 3
    )


@pytest.mark.parametrize("fill", ["telea", "navier_stokes", "biharmonic"])
def test_fills_change_the_hole_alone_and_come_near_the_truth(holed, fill):
    made = as_8_bit(baselines.classic(fill)(holed))
    assert torch.equal(made * (1 - holed.mask), holed.given)
    assert psnr_db(made, holed.truth) > psnr_db(holed.given, holed.truth) + 10


def test_8_bits_are_clipped_and_rounded():
    values = torch.tensor([-0.3, 0.0, 0.6 / 255, 1.7]).view(1, 1, 1, 4).expand(1, 3, 2, 4)
    assert as_8_bit(values)[0, 0, 0].tolist() == pytest.approx([0, 0, 1 / 255, 1])


# --- trivial answers, the same for log, doctor, report and `img2img eval`


def test_the_input_copied_is_an_answer_wherever_the_shapes_allow():
    given = torch.rand(2, 3, 16, 16)
    mean = torch.rand(1, 3, 16, 16)
    translate = trivial_answers(build_task("translate"), given, mean=mean)
    assert list(translate) == ["mid-grey", COPIED, MEAN_COLOR, MEAN]
    assert torch.equal(translate[COPIED], given) and (translate["mid-grey"] == 0.5).all()
    assert torch.allclose(translate[MEAN_COLOR][1, :, 3, 5], mean.mean((0, 2, 3)))
    assert torch.equal(translate[MEAN][1], mean[0])
    assert list(trivial_answers(build_task("denoise"), given)) == [COPIED], (
        "zeros are the input copied"
    )
    sketch = trivial_answers(build_task({"kind": "translate", "source": "edges"}), given[:, :1])
    assert torch.equal(sketch[COPIED], given[:, :1].expand(-1, 3, -1, -1))


def test_what_is_known_is_kept_by_every_answer():
    task, photo, mask = build_task("inpaint"), torch.rand(1, 3, 32, 32), torch.zeros(1, 1, 32, 32)
    mask[..., 8:20, 8:20] = 1
    made = trivial_answers(
        task, task.prepare(photo, mask), mask, photo.mean((-2, -1), keepdim=True)
    )
    assert set(made) == {"the classical fill", MEAN_COLOR}
    assert all(
        torch.allclose(rgb * (1 - mask), photo * (1 - mask), atol=1e-6) for rgb in made.values()
    )
    assert made[MEAN_COLOR][0, :, 12, 12].tolist() == pytest.approx(photo.mean((0, 2, 3)).tolist())


def test_a_clean_picture_is_no_answer_of_an_autoencoder_and_a_noisy_one_is():
    clean, noisy = (
        {"kind": "reconstruct", "size_px": 16, "noise_sigma_255": sigma} for sigma in (0, 30)
    )
    given, mean = torch.rand(3, 3, 16, 16), torch.rand(1, 3, 16, 16)
    assert list(trivial_answers(build_task(clean), given, mean=mean)) == [
        "mid-grey",
        MEAN_COLOR,
        MEAN,
    ]
    assert COPIED in trivial_answers(build_task(noisy), given, mean=mean)


class Silhouette(PhotoTask):
    """A plugin that says nothing of baselines, and whose photos have four channels beside."""

    kind: str = "silhouette"

    @property
    def condition_channels(self):
        return 4

    def decode(self, condition, prediction):
        return condition[:, :3] * 0 + prediction


def test_a_plugins_task_has_its_answers_without_saying_so():
    made = trivial_answers(Silhouette(), torch.rand(1, 4, 8, 8), mean=torch.rand(1, 3, 8, 8))
    assert (
        list(made) == ["predicting nothing", MEAN_COLOR, MEAN]
        and made["predicting nothing"].abs().max() == 0
    )


@pytest.mark.parametrize("kind", task_kinds())
def test_every_task_has_answers_in_the_shape_of_its_targets(kind):
    task = build_task(kind)
    rgb8 = picture(0, 64, 64)
    side = task.output_size((32, 32))[0]
    pair = task.make_pair(sample_for(task, rgb8[:side, :side]), np.random.default_rng(0))
    mean = mean_target([pair.target, pair.target])
    made = trivial_answers(task, pair.condition, pair.mask, mean)
    assert (
        all(rgb.shape == pair.target.shape and rgb.isfinite().all() for rgb in made.values())
        and len(made) >= 2
    )
    assert next(iter(made)) == task.zeros_are


def test_the_best_is_chosen_for_each_number_and_named():
    answers = {
        "mid-grey": {"psnr_db": 13.5, "hole_l1": 0.3, "chroma_ratio": 0.0},
        COPIED: {"psnr_db": 21.5, "hole_l1": 0.4, "chroma_ratio": 1.2},
        MEAN: {"psnr_db": float("nan"), "hole_l1": 0.3, "chroma_ratio": 3.0},
    }
    best, named = best_numbers(answers)
    assert best == {"psnr_db": 21.5, "hole_l1": 0.3, "chroma_ratio": 1.2}
    assert named == {"psnr_db": COPIED, "hole_l1": "mid-grey", "chroma_ratio": COPIED}


def test_targets_of_several_sizes_have_a_mean():
    assert mean_target([]) is None
    mean = mean_target([torch.zeros(3, 3, 8, 8), torch.ones(1, 3, 16, 4)])
    assert mean.shape == (1, 3, 8, 8) and torch.allclose(mean, torch.tensor(0.25))
