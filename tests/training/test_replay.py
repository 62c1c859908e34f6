"""The pool of past fakes: it fills, then exchanges every other sample, conditioning included."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from img2img.training.discriminator_input import DiscriminatorInput
from img2img.training.replay import ReplayPool


def marked(*numbers: int) -> DiscriminatorInput:
    """Samples whose picture, planes, label and code all carry one number."""
    n = torch.tensor(numbers)
    planes = (n / 255.0).view(-1, 1, 1, 1)
    return DiscriminatorInput(
        planes.expand(-1, 3, 4, 4),
        planes.expand(-1, 1, 4, 4),
        n[:, None].expand(-1, 2),
        n,
        n[:, None] * 1.5,
    )


def numbers(inputs: DiscriminatorInput) -> list[int]:
    """The number each sample carries, the same wherever it is read."""
    assert inputs.conditioning is not None and inputs.label is not None and inputs.code is not None
    assert inputs.local_center is not None
    read = (inputs.image * 255).round().long()
    n: Tensor = read[:, 0, 0, 0]
    assert torch.equal(read, n.view(-1, 1, 1, 1).expand_as(read))
    assert torch.equal(
        (inputs.conditioning * 255).round().long(),
        n.view(-1, 1, 1, 1).expand_as(inputs.conditioning),
    )
    assert torch.equal(inputs.label, n)
    assert torch.equal(inputs.local_center, n[:, None].expand(-1, 2))
    assert torch.equal(inputs.code, n[:, None] * 1.5)
    return n.tolist()


def test_while_it_fills_every_sample_is_itself() -> None:
    pool = ReplayPool(5)
    assert numbers(pool.exchange(marked(1, 2, 3))) == [1, 2, 3]
    assert len(pool) == 3
    assert numbers(pool.exchange(marked(4, 5))) == [4, 5]
    assert len(pool) == 5
    pool.exchange(marked(*range(6, 20)))
    assert len(pool) == 5


def test_full_it_gives_back_a_past_one_half_of_the_time_with_all_that_was_beside_it() -> None:
    pool, past = ReplayPool(10), set(range(10))
    pool.exchange(marked(*range(10)))
    swapped = 0
    for n in range(10, 250):
        (given,) = numbers(pool.exchange(marked(n)))
        assert given == n or given in past
        swapped += given != n
        past.add(n)
    assert swapped / 240 == pytest.approx(0.5, abs=0.1)
    kept = pool.state()["label"].tolist()
    assert len(set(kept)) == 10 and max(kept) > 200, "what came in took the place of what went out"


def test_no_sample_is_lost_or_doubled() -> None:
    pool = ReplayPool(4)
    out = [
        n
        for first in range(0, 40, 4)
        for n in numbers(pool.exchange(marked(*range(first, first + 4))))
    ]
    assert sorted([*out, *pool.state()["label"].tolist()]) == sorted([*range(40), *out[:4]])


def test_pictures_come_back_within_a_step_of_eight_bits_and_points_exactly() -> None:
    pictures, points = torch.rand(6, 3, 8, 8), torch.randn(6, 2, 1, 1) * 3
    for pool, values, within in (
        (ReplayPool(6), pictures, 0.5 / 255 + 1e-6),
        (ReplayPool(6, exact=True), points, 0),
    ):
        pool.exchange(DiscriminatorInput(values))
        for _ in range(6):
            back = pool.exchange(DiscriminatorInput(torch.zeros_like(values[:1]))).image[0]
            nearest = min(
                float((back - v).abs().max()) for v in [*values, torch.zeros_like(values[0])]
            )
            assert nearest <= within
    assert all(v.dtype == torch.uint8 for v in pool_of(pictures).state().values())


def pool_of(pictures: Tensor) -> ReplayPool:
    pool = ReplayPool(len(pictures))
    pool.exchange(DiscriminatorInput(pictures))
    return pool


def test_what_is_beside_the_picture_keeps_values_beyond_its_range() -> None:
    """A noisy condition in the pool must not differ from a fresh one by its clipping."""
    pool, noisy = ReplayPool(1), torch.randn(1, 3, 4, 4) * 2
    pool.exchange(DiscriminatorInput(torch.rand(1, 3, 4, 4), noisy))
    for _ in range(10):
        given = pool.exchange(
            DiscriminatorInput(torch.rand(1, 3, 4, 4), torch.zeros(1, 3, 4, 4))
        ).conditioning
        assert given is not None
        if given.any():
            assert torch.equal(given, noisy)
            return
    pytest.fail("never exchanged in ten steps")


def test_the_pool_does_not_keep_the_graph_nor_share_memory() -> None:
    picture = torch.rand(2, 3, 4, 4, requires_grad=True)
    pool = ReplayPool(2, exact=True)
    pool.exchange(DiscriminatorInput(picture))
    kept = pool.state()["picture"].clone()
    with torch.no_grad():
        picture.zero_()
    assert torch.equal(pool.state()["picture"], kept) and not kept.requires_grad


def test_a_pool_taken_up_again_goes_on_as_if_nothing_had_been() -> None:
    one, other = ReplayPool(4), ReplayPool(4)
    one.exchange(marked(1, 2, 3, 4))
    other.load_state({name: value.clone() for name, value in one.state().items()})
    for pool in (one, other):
        torch.manual_seed(5)
        pool.exchange(marked(*range(5, 12)))
    left, right = one.state(), other.state()
    assert left.keys() == right.keys() and all(torch.equal(left[n], right[n]) for n in left)


def test_checkpoints_keep_the_names_that_they_had() -> None:
    """Runs begun before go on: their tensors are read, and those of now bear the same names."""
    pool, other = ReplayPool(2), ReplayPool(2)
    pool.exchange(marked(1, 2))
    state = pool.state()
    assert state.keys() == {"picture", "beside", "local_centre", "label", "code"}
    other.load_state(state)
    assert other.kept.keys() == vars(marked(1)).keys()
    assert all(torch.equal(value, pool.kept[name]) for name, value in other.kept.items())
