"""Every architecture that spandrel knows gives its pixels, from its own file and kept as ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from networks import KNOWN, OTHERS, Known, alone, saved
from test_architectures import photo

import img2img
from img2img.inference.importing import import_model
from img2img.models.spandrel import spandrel


def test_none_is_left_out() -> None:
    registry = {support.architecture.id for support in spandrel().MAIN_REGISTRY}
    assert {known.architecture for known in KNOWN + OTHERS} == registry


@pytest.mark.slow
@pytest.mark.parametrize("known", OTHERS, ids=lambda k: f"{k.architecture}-{k.variant}")
def test_kept_as_ours_it_gives_the_same_pixels(known: Known, tmp_path: Path) -> None:
    path, rgb = saved(known, tmp_path), photo(51, 58)
    model = img2img.load(path, device="cpu")
    torch.manual_seed(0)  # AuraSR draws
    ours = model(rgb)
    theirs = alone(path, rgb)
    assert ours.shape == theirs.shape and np.ptp(theirs) > 3
    draws = known.architecture == "AuraSR"
    assert np.abs(ours - theirs).max() <= (5 if draws else 1)
    kept = import_model(path, tmp_path / "kept.safetensors")
    path.unlink()
    model = img2img.load(kept.path, device="cpu")
    torch.manual_seed(0)
    assert (model(rgb) == ours).all()


@pytest.mark.slow
def test_a_network_of_one_size_sees_large_photos_in_tiles(tmp_path: Path) -> None:
    faces = next(known for known in OTHERS if known.architecture == "GFPGAN")
    rgb = np.tile(photo(), (1, 9, 1))
    assert rgb.shape[1] > 512
    assert img2img.load(saved(faces, tmp_path), device="cpu")(rgb).shape == rgb.shape
