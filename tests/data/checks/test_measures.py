"""Copies are known among many pictures, and shifts where something shows them, and only there."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from img2img.data.checks.registration import registration_error
from img2img.data.checks.similar import (
    CLOSER_PX,
    LEAST_AGREEMENT,
    MOST_APART,
    agreement,
    close_hashes,
    perceptual_hash,
    thumbnail,
)


def test_close_hashes_are_all_those_that_comparing_each_with_each_finds(
    rng: np.random.Generator,
) -> None:
    hashes = rng.integers(0, 2**63, 3000).astype(np.uint64)
    queries = hashes[:300].copy()
    for place, query in enumerate(queries.tolist()):  # 0 to 13 bits are changed
        bits = rng.permutation(64)[: place % 14].tolist()
        queries[place] = query ^ sum(1 << int(bit) for bit in bits)
    apart = np.bitwise_count(queries[:, None] ^ hashes[None])
    expected = sorted(map(tuple, np.argwhere(apart <= MOST_APART).tolist()))
    assert len(expected) > 200
    assert close_hashes(hashes, queries) == expected


def test_many_copies_of_one_picture_do_not_make_many_more_pairs() -> None:
    same = np.full(5000, 7, np.uint64)
    assert len(close_hashes(same, same[:100])) == 100 * 20
    assert close_hashes(same[:0], same) == [] == close_hashes(same, same[:0])


def test_a_picture_without_detail_has_no_hash() -> None:
    slope = np.repeat(np.linspace(90, 99, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    assert perceptual_hash(thumbnail(slope)) is None


def test_different_photos_do_not_agree(photos: list[np.ndarray]) -> None:
    thumbs = [thumbnail(photo, CLOSER_PX) for photo in photos]
    for place, thumb in enumerate(thumbs):
        assert agreement(thumb, thumb) > 0.99
        others = thumbs[:place] + thumbs[place + 1 :]
        assert max(agreement(thumb, other) for other in others) < LEAST_AGREEMENT - 0.1


def outlined(photo: np.ndarray) -> np.ndarray:
    lines = cv2.Canny(cv2.GaussianBlur(photo, (0, 0), 1.0), 40, 100)
    return np.repeat(255 - lines[..., None], 3, 2)


def larger(photo: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(photo, (side, side), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("side", "shift"), [(192, (0, 0)), (192, (9, -4)), (720, (5, 3))])
def test_the_shift_of_a_photo_against_its_lines(
    photos: list[np.ndarray], side: int, shift: tuple[int, int]
) -> None:
    """Of a larger picture, also one that vanishes where it is looked at as a whole."""
    told = []
    for photo in photos:
        picture = larger(photo, side)
        moved = np.roll(picture, shift[::-1], (0, 1))
        found = registration_error(outlined(picture), moved)
        if found is not None:
            told.append(found)
    assert len(told) >= 4
    assert np.abs(np.array(told) - shift).max() <= 1.5


def test_unrelated_photos_and_plain_pictures_tell_no_shift(photos: list[np.ndarray]) -> None:
    pictures = [larger(photo, 192) for photo in photos]
    for a, b in pairwise(pictures):
        assert registration_error(a, b) is None
    plain = np.full((64, 64, 3), 200, np.uint8)
    assert registration_error(plain, plain) is None
    assert registration_error(plain[:20], plain[:20]) is None
