"""DiffAugment: right on average, exact in space, and open to gradients."""

from __future__ import annotations

import pytest
import torch

from img2img.losses.diffaugment import Augmentation, diffaugment

KINDS: list[Augmentation] = ["color", "translation", "cutout"]


def test_color_changes_nothing_on_average_and_nothing_but_colors() -> None:
    picture = torch.rand(1, 5, 4, 4)
    drawn = diffaugment(picture.expand(4000, -1, -1, -1), ("color",))
    assert torch.equal(drawn[:, 3:], picture[:, 3:].expand(4000, -1, -1, -1)), (
        "conditioning keeps its values"
    )
    assert torch.allclose(drawn[:, :3].mean(0), picture[0, :3], atol=0.02)
    assert drawn[:, :3].std(0).min() > 0.1


def test_color_has_the_published_ranges() -> None:
    grey = diffaugment(torch.full((2000, 3, 2, 2), 0.5), ("color",))
    assert grey.min().item() == pytest.approx(
        0.25, abs=0.01
    ) and grey.max().item() == pytest.approx(0.75, abs=0.01)
    drawn = diffaugment(
        torch.tensor([0.2, 0.4, 0.6]).view(1, 3, 1, 1).expand(4000, 3, 2, 2), ("color",)
    )
    saturation = (drawn[:, 2] - drawn[:, 0])[:, 0, 0] / 0.4
    assert 0 <= saturation.min() < 0.1 and 2.5 < saturation.max() <= 3, (
        "up to twice, times 1½ the contrast"
    )


def shifted(picture: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """By loops: row y comes from row y - down, mid-grey where there is none."""
    moved = torch.full_like(picture, 0.5)
    for y in range(picture.shape[-2]):
        for x in range(picture.shape[-1]):
            if 0 <= y - down < picture.shape[-2] and 0 <= x - right < picture.shape[-1]:
                moved[:, y, x] = picture[:, y - down, x - right]
    return moved


def test_translation_moves_by_whole_pixels_up_to_an_eighth() -> None:
    picture = torch.randint(256, (2, 8, 16)) / 256  # exact when ½ is taken off and added
    possible = {(d, r): shifted(picture, d, r) for d in (-1, 0, 1) for r in (-2, -1, 0, 1, 2)}
    seen = set()
    for moved in diffaugment(picture.expand(400, -1, -1, -1), ("translation",)):
        seen |= {shift for shift, expected in possible.items() if torch.equal(moved, expected)}
        assert any(torch.equal(moved, expected) for expected in possible.values())
    assert seen == set(possible)


def test_cutout_greys_one_square_of_half_the_size_that_may_leave_the_picture() -> None:
    cut = diffaugment(torch.ones(600, 2, 8, 8), ("cutout",))
    assert torch.equal(cut[:, 0], cut[:, 1])
    sizes = []
    for hole in cut[:, 0] == 0.5:
        rows, columns = hole.any(1), hole.any(0)
        assert torch.equal(hole, rows[:, None] & columns[None]), "a rectangle"
        sizes.append((int(rows.sum()), int(columns.sum())))
    assert max(sizes) == (4, 4) and min(min(s) for s in sizes) >= 2
    assert (cut[:, 0] == 0.5).float().mean((1, 2)).mean().item() == pytest.approx(
        ((2 + 3 + 4 * 5 + 3) / 64) ** 2, abs=0.02
    )


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_flow_through_what_stays(kind: Augmentation) -> None:
    picture = torch.rand(8, 3, 16, 16, requires_grad=True)
    seen = diffaugment(picture, (kind,))
    seen.square().sum().backward()
    assert seen.shape == picture.shape
    assert picture.grad is not None and picture.grad.isfinite().all()
    assert (picture.grad != 0).float().mean() > 0.5


def test_nothing_is_asked_nothing_is_done() -> None:
    picture = torch.rand(2, 3, 8, 8)
    assert torch.equal(diffaugment(picture, ()), picture)


def test_samples_are_changed_each_by_itself_and_alike_by_seed() -> None:
    pictures = torch.rand(1, 3, 16, 16).expand(6, -1, -1, -1)
    torch.manual_seed(3)
    one = diffaugment(pictures, tuple(KINDS))
    torch.manual_seed(3)
    assert torch.equal(one, diffaugment(pictures, tuple(KINDS)))
    assert all(not torch.equal(one[0], other) for other in one[1:])
