"""How much there is of it."""

from __future__ import annotations

from hostile.calls import ELSEWHERE, MISTAKES, ORIGINS, PATHS
from hostile.models import MODELS
from hostile.photos import PHOTOS, SOUND
from hostile.recipes import RECIPES


def test_the_corpus_has_hundreds_of_inputs_of_each_kind() -> None:
    calls = len(MISTAKES) + len(ELSEWHERE) + len(ORIGINS) + len(PATHS)
    assert len(SOUND) >= 25, "formats"
    assert min(len(PHOTOS) - 200, len(RECIPES) - 70, len(MODELS) - 80, calls - 60) >= 0
