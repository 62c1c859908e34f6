"""Pictures that show the same, found among many: a perceptual hash finds candidates, the picture in
small decides.

Among 9,073 photos (41 million pairs; 1,200 of them clothes laid out alike) the four pairs that were
found do show the same. Of 200 photos all copies that were resized, brightened or compressed to
quality 20 were found, of those cut by 1, 2 and 3 % at each edge 99, 94 and 68 %.
"""

from __future__ import annotations

from itertools import combinations

import cv2
import numpy as np

THUMB_PX, CLOSER_PX = 32, 64
MOST_APART = 10  # bits of two hashes
LIKELY_AGREEMENT = 0.65  # at THUMB_PX: copies have 0.74 and more, T-shirts of one cut up to 0.77
LEAST_AGREEMENT = 0.62  # at CLOSER_PX: copies have 0.71 and more, those T-shirts 0.54
_DETAIL_PX = 1.5  # of the small picture: what is coarser, skies and horizons have in common
_LEAST_DETAIL_255 = 1.0  # standard deviation of it; without any, nothing tells pictures apart
_LEAST_CROP = 0.84  # of a side: what a copy cut at its edges may have left
_BANDS = 4  # of 16 bits
_QUERIES = 64  # at once: memory does not grow with their number
_OF_ONE_HASH = 20  # pictures looked at; more are copies of each other


def thumbnail(rgb: np.ndarray, side_px: int = THUMB_PX) -> np.ndarray:
    """(H,W,3) uint8 as a grey square of uint8, whatever its shape."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (side_px, side_px), interpolation=cv2.INTER_AREA)


def perceptual_hash(thumb: np.ndarray) -> int | None:
    """The signs of the 63 lowest frequencies of the discrete cosine transform about their median
    (pHash: Zauner 2010, "Implementation and benchmarking of perceptual image hash functions",
    3.2.1); None for a picture with hardly any detail.
    """
    if float(_detail(thumb).std()) < _LEAST_DETAIL_255:
        return None
    low = cv2.dct(thumb.astype(np.float32))[:8, :8].ravel()
    bits = low > np.median(low[1:])
    bits[0] = False  # brightness
    return int(np.packbits(bits).view(np.uint64)[0])


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """The best correlation of the detail of two thumbnails of one size, one of which may be cut at
    its edges: 1 for copies.
    """
    found = float(cv2.matchTemplate(_detail(a), _detail(b), cv2.TM_CCOEFF_NORMED).max())
    for whole, part in ((a, b), (b, a)):
        detail, full = _detail(whole), len(whole)
        for side in range(round(_LEAST_CROP * full), full):
            smaller = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA)
            match = cv2.matchTemplate(detail, _detail(smaller), cv2.TM_CCOEFF_NORMED)
            found = max(found, float(match.max()))
    return found


def close_hashes(hashes: np.ndarray, queries: np.ndarray) -> list[tuple[int, int]]:
    """Places (of a query, of a hash) of (n,) and (m,) uint64 that differ by at most `MOST_APART`
    bits; of hashes that are equal, the first few.

    Multi-index hashing (Norouzi, Punjani & Fleet 2014, IEEE TPAMI 36(6)): of four bands of 16 bits
    one differs by a quarter of that at most, so that few hashes have to be compared.
    """
    if not len(hashes) or not len(queries):
        return []
    own, own_members = _grouped(hashes)
    asked, asked_members = _grouped(queries)
    found: set[tuple[int, int]] = set()
    nearby = _nearby_keys(MOST_APART // _BANDS)
    for band in range(_BANDS):
        keys, wanted = (_band(x, band) for x in (own, asked))
        order = np.argsort(keys, kind="stable")
        starts = np.searchsorted(keys[order], np.arange(2**16 + 1))
        for first in range(0, len(asked), _QUERIES):
            probes = (wanted[first : first + _QUERIES, None] ^ nearby).ravel()
            counts = starts[probes + 1] - starts[probes]
            query = first + np.repeat(np.arange(len(probes)) // len(nearby), counts)
            begins = np.repeat(starts[probes] - np.cumsum(counts) + counts, counts)
            place = order[begins + np.arange(len(begins))]
            near = np.bitwise_count(own[place] ^ asked[query]) <= MOST_APART
            found.update(zip(query[near].tolist(), place[near].tolist(), strict=True))
    return sorted(
        (of_query, of_hash)
        for query, place in found
        for of_query in asked_members[query]
        for of_hash in own_members[place][:_OF_ONE_HASH]
    )


def _grouped(hashes: np.ndarray) -> tuple[np.ndarray, list[list[int]]]:
    """Different hashes, and where each of them is."""
    different, which = np.unique(hashes, return_inverse=True)
    members: list[list[int]] = [[] for _ in different]
    for place, group in enumerate(which.tolist()):
        members[group].append(place)
    return different, members


def _band(hashes: np.ndarray, band: int) -> np.ndarray:
    return ((hashes >> np.uint64(16 * band)) & np.uint64(0xFFFF)).astype(np.int64)


def _nearby_keys(most_bits: int) -> np.ndarray:
    """Every number of 16 bits with at most so many set."""
    chosen = (bits for n in range(most_bits + 1) for bits in combinations(range(16), n))
    return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.int64)


def _detail(thumb: np.ndarray) -> np.ndarray:
    values = thumb.astype(np.float32)
    return values - cv2.GaussianBlur(values, (0, 0), _DETAIL_PX)
