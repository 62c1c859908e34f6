"""Files of other people give what spandrel alone gives, through everything our pipeline does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import KNOWN, Known, alone, saved
from safetensors.torch import save_file

import img2img
from img2img.cli import main
from img2img.community.foreign import foreign_header
from img2img.errors import UserError
from img2img.inference.pipeline import Model
from img2img.modelfile import read_header
from img2img.pixels.images import read_photo
from img2img.resources import inputs_dir
from img2img.zoo.catalogue import CATALOGUE

ESRGAN, SPAN, SWINIR = KNOWN[0], KNOWN[3], KNOWN[4]
LAMA = next(known for known in KNOWN if known.architecture == "LaMa")


def photo(height: int = 72, width: int = 61) -> np.ndarray:
    return read_photo(inputs_dir() / "noisy.png").rgb[100 : 100 + height, 60 : 60 + width].copy()


def hole(rgb: np.ndarray) -> np.ndarray:
    mask = np.zeros(rgb.shape[:2], bool)
    mask[24:40, 20:33] = True
    return mask


@pytest.mark.parametrize("known", KNOWN, ids=lambda k: f"{k.architecture}-{k.scale}x")
def test_pixels_are_those_of_spandrel_alone(known: Known, tmp_path: Path) -> None:
    path, rgb = saved(known, tmp_path), photo()
    model = img2img.load(path, device="cpu")
    mask = hole(rgb) if model.fills else None
    ours, theirs = model(rgb, mask), alone(path, rgb, mask)
    assert (model.task.kind, model.photo_task.scale) == (known.task, known.scale)
    assert np.ptp(theirs) > 5, "the network says something"
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("known", [ESRGAN, SPAN], ids=lambda k: k.architecture)
def test_tiles_are_the_whole(known: Known, tmp_path: Path) -> None:
    model = img2img.load(saved(known, tmp_path), device="cpu")
    rgb = read_photo(inputs_dir() / "noisy.png").rgb[:, :140]
    rgb = np.concatenate([rgb] * 4)[:400]
    assert max(rgb.shape) > model.recipe.generator.tile_px(known.scale)
    tiled = model(rgb).astype(int)
    whole = alone(tmp_path / f"{known.scale}x-{known.architecture}-{known.variant}.pth", rgb)
    assert model.card.tile_overlap_px in (8, 16, 24, 32)
    assert np.abs(tiled - whole).max() <= 1.51


def test_a_network_that_may_not_be_cut_sees_the_whole(tmp_path: Path) -> None:
    generator = img2img.load(saved(SWINIR, tmp_path), device="cpu").recipe.generator
    assert (generator.tiles_photo((1024, 900)), generator.tiles_photo((1025, 16))) == (False, True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return img2img.load(saved(SWINIR, tmp_path_factory.mktemp("swinir")), device="cpu")


def test_depth_alpha_and_grey_come_back(model: Model) -> None:
    rgb = photo()
    assert model(rgb.astype(np.uint16) * 257).dtype == np.uint16
    with_alpha = model(np.dstack([rgb, np.full(rgb.shape[:2], 200, np.uint8)]))
    assert with_alpha.shape == (144, 122, 4) and (with_alpha[..., 3] == 200).all()
    grey = model(rgb[..., :1].repeat(3, 2))
    assert np.ptp(grey, axis=-1).max() == 0
    assert model(rgb[..., 0]).shape == (144, 122)


def test_strength_leads_from_the_trivial_answer(model: Model) -> None:
    rgb = photo()
    none, half, full = (model(rgb, strength=s).astype(float) for s in (0.0, 0.5, 1.0))
    inside = (full > 0) & (full < 255) & (none > 0) & (none < 255)
    assert inside.mean() > 0.2
    assert np.abs(half - (none + full) / 2)[inside].max() <= 1.01


def test_a_masked_network_leaves_what_is_known(tmp_path: Path) -> None:
    rgb = photo()
    filled = img2img.load(saved(LAMA, tmp_path), device="cpu")(rgb, hole(rgb))
    assert (filled[~hole(rgb)] == rgb[~hole(rgb)]).all()
    assert (filled[hole(rgb)] != rgb[hole(rgb)]).any()


def test_one_channel_networks_see_each_channel(tmp_path: Path) -> None:
    known = next(known for known in KNOWN if known.architecture == "DnCNN")
    rgb = photo()
    ours = img2img.load(saved(known, tmp_path), device="cpu")(rgb)
    assert (ours.std((0, 1)) > 1).all()


def test_import_keeps_the_network_and_its_terms(tmp_path: Path) -> None:
    theirs = saved(ESRGAN, tmp_path, "4x-Tiny.pth")
    facts = {"name": "Tiny", "author": ["A", "B"], "license": "CC-BY-4.0", "description": "d."}
    theirs.with_suffix(".json").write_text(json.dumps(facts))
    kept = tmp_path / "kept.safetensors"
    assert main(["import", str(theirs), "--output", str(kept)]) == 0
    card = read_header(kept).card
    assert (card.title, card.author, card.terms) == ("Tiny", "A, B", "CC-BY-4.0")
    assert card.network.startswith("ESRGAN") and card.tile_overlap_px is not None
    rgb = photo()
    again = img2img.load(kept, device="cpu")(rgb)
    assert (again == img2img.load(theirs, device="cpu")(rgb)).all()
    assert main(["import", str(kept), "--output", str(tmp_path / "b.safetensors")]) == 2


def test_terms_are_unknown_where_nothing_tells_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(ESRGAN, tmp_path)
    path.with_suffix(".json").write_text("[not json")
    assert foreign_header(path).card.terms == "unknown"
    assert main(["models", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "ESRGAN (16nf, 2nb)" in shown and "super-resolve ×4" in shown
    assert "terms         unknown" in shown


def test_safetensors_of_other_programs_open(tmp_path: Path) -> None:
    state = torch.load(saved(ESRGAN, tmp_path), weights_only=True)
    save_file(state, tmp_path / "4x.safetensors", {"format": "pt"})
    rgb = photo()
    ours = img2img.load(tmp_path / "4x.safetensors", device="cpu")(rgb)
    assert np.abs(ours - alone(tmp_path / "4x.safetensors", rgb)).max() <= 1


@pytest.mark.parametrize(
    "state",
    [{"fc.weight": torch.zeros(3, 3)}, {"conv_first.weight": torch.zeros(4, 3, 3, 3)}, {}],
)
def test_weights_of_no_restorer_are_refused(
    state: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(state, tmp_path / "x.pth")
    assert main(["models", str(tmp_path / "x.pth")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "x.pth" in line


def test_layers_without_end_are_refused(tmp_path: Path) -> None:
    state = torch.load(saved(ESRGAN, tmp_path), weights_only=True)
    state["model.1.sub.99999999.RDB1.conv1.0.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(UserError, match="layers that no network has"):
        CATALOGUE.entry(tmp_path / "x.pth")


def test_a_wrong_shape_is_refused(tmp_path: Path) -> None:
    state = torch.load(saved(SPAN, tmp_path), weights_only=True)["params"]
    name = next(n for n in state if "block_3" in n and state[n].dim() == 4)
    state[name] = torch.zeros(1, 2, 3, 3)
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(UserError, match=r"x\.pth' does not load"):
        CATALOGUE.entry(tmp_path / "x.pth")


def test_training_goes_on_from_a_file_of_other_people(tmp_path: Path) -> None:
    theirs = saved(SPAN, tmp_path)
    recipe = img2img.Recipe.load(
        "super_resolve_x2",
        [
            *("generator={kind: spandrel}", f"train.init={theirs}", "train.steps=2"),
            *(
                "data.workers=0",
                "data.crop_px=32",
                "train.batch_size=2",
                "train.lr=1e-12",
                "train.warmup_steps=0",
            ),
        ],
    )
    summary = img2img.train(recipe, tmp_path / "run", device="cpu")
    rgb = photo()
    trained = img2img.load(summary["model"], device="cpu")
    assert trained.recipe.generator.architecture == "SPAN"
    same = img2img.load(theirs, device="cpu").predict_tensor(_tensor(rgb))
    own = trained.generator(_tensor(rgb)) + torch.nn.functional.interpolate(
        _tensor(rgb), scale_factor=2, mode="bicubic", antialias=True
    )
    assert (own.clamp(0, 1) - same).abs().max() < 1e-3
    theirs.unlink()  # a run goes on without the file that it began with
    longer = recipe.changed(["train.steps=3"])
    assert longer is not None
    assert img2img.train(longer, tmp_path / "run", resume=True, device="cpu")["step"] == 3


def _tensor(rgb: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255
