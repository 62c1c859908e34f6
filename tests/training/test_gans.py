"""GANs as runs: exactly resumed, on lines as theory has it, and on the ring of eight Gaussians,
every kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from stopping import stopped_at

from img2img.cli import main
from img2img.diagnostics.runlog import read_rows
from img2img.losses.objectives import OBJECTIVES
from img2img.modelfile import load_generator
from img2img.recipe import Recipe
from img2img.training import train
from img2img.training.checkpoint import latest_checkpoint

QUICK = [
    "train.log_every=1",
    "train.validate_every=100",
    "train.checkpoint_every=100",
    "data.validation_max=20",
]
SMALL = ["generator.hidden=[8]", "discriminator.hidden=[8]", "train.batch_size=8", "train.steps=14"]


def state(out: Path) -> dict[str, torch.Tensor]:
    found = latest_checkpoint(out / "checkpoints")
    assert found is not None
    return found.tensors


def lines(out: Path) -> list[dict[str, Any]]:
    return read_rows(out / "log.jsonl")


@pytest.mark.parametrize(
    "overrides",
    [
        ["adversarial.kind=began", "adversarial.k_rate=0.1", "task.center=[90, 0]"],
        ["adversarial.kind=wasserstein"],
        ["adversarial.kind=wasserstein_gp", "adversarial.r1=1", "adversarial.r1_every=4"],
        [
            "adversarial.kind=non_saturating",
            "discriminator.spectral=true",
            "train.validate_every=3",
        ],
    ],
    ids=lambda o: o[0].split("=")[1],
)
def test_a_stopped_and_resumed_gan_ends_with_the_same_bits(
    overrides: list[str], tmp_path: Path
) -> None:
    steady = [
        "adversarial.replay=20",
        "adversarial.instance_noise=0.3",
        "adversarial.label_noise=0.1",
    ]
    recipe = Recipe.load("ring", [*QUICK, *SMALL, *steady, *overrides])
    train(recipe, tmp_path / "whole", device="cpu")
    stopped_at(
        recipe, tmp_path / "cut", 6
    )  # after a move of wgan's G at 5, before the noise has fallen to nothing
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    whole, cut = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert whole.keys() == cut.keys()
    assert [name for name in whole if not torch.equal(whole[name], cut[name])] == []
    assert len(whole["critic.replay.picture"]) == 20
    if "adversarial.kind=began" in overrides:
        assert whole["critic.objective.k"] > 0


def test_a_pool_of_pictures_is_resumed_exactly(tmp_path: Path, photo_folder: Path) -> None:
    fields = {
        "name": "x",
        "task": {"kind": "generate", "size_px": 16, "latent": 4},
        "data": {"path": str(photo_folder), "crop_px": 16},
        "generator": {"kind": "dcgan", "width": 4},
        "discriminator": {"kind": "dcgan", "width": 4},
        "adversarial": {
            "kind": "non_saturating",
            "replay": 6,
            "augment": ["color", "translation", "cutout"],
        },
        "losses": [],
        "train": {"steps": 6, "batch_size": 4, "precision": "fp32"},
    }
    recipe = Recipe.parse(fields)
    train(recipe, tmp_path / "whole", device="cpu")
    stopped_at(recipe, tmp_path / "cut", 3)
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    whole, cut = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert [name for name in whole if not torch.equal(whole[name], cut[name])] == []
    assert whole["critic.replay.picture"].dtype == torch.uint8


def test_a_gan_without_validation_ends_well(tmp_path: Path) -> None:
    recipe = Recipe.load("ring", [*QUICK, *SMALL, "train.steps=2", "data.validation_share=0"])
    assert train(recipe, tmp_path / "run", device="cpu")["step"] == 2


# --- lines


def samples(out: Path, count: int = 20_000) -> np.ndarray:
    header, network = load_generator(out / "model.safetensors")
    latent = header.recipe.task.model_dump()["latent"]
    with torch.inference_mode():
        return network(torch.randn(count, latent, 1, 1)).flatten(1).numpy()


@pytest.mark.parametrize("quadratic", [True, False])
def test_a_linear_discriminator_teaches_the_mean_and_a_quadratic_one_the_spread_too(
    quadratic: bool, tmp_path: Path
) -> None:
    frames = ["train.steps=500", "train.validate_every=100", "data.validation_max=300"]
    recipe = Recipe.load("linear", [f"discriminator.quadratic={str(quadratic).lower()}", *frames])
    train(recipe, tmp_path / "run", device="cpu")
    drawn_points, spread = samples(tmp_path / "run"), 0.8**2 * np.eye(2)
    assert np.abs(drawn_points.mean(0) - [1.5, 1]).max() < 0.1
    error = np.abs(np.cov(drawn_points.T) - spread).max() / 0.8**2
    assert error < 0.2 if quadratic else error > 0.5
    with Image.open(tmp_path / "run/samples/animation.gif") as drawn:
        assert drawn.n_frames == 5
        first, last = (
            np.asarray((drawn.seek(n), drawn.convert("RGB"))[1], dtype=float) for n in (0, 4)
        )
    assert np.abs(first - last).mean() > 1, "samples and surface move"


# --- the ring


def counted(run: Path) -> tuple[int, float]:
    """Modes covered and share near modes, counted from the file anyone gets: 2.5 % of 10,000 points
    within 4 σ.
    """
    drawn_points = run / "points.npy"
    assert (
        main(["generate", "--model", str(run), "--n", "10000", "--output", str(drawn_points)]) == 0
    )
    angles = np.arange(8) * np.pi / 4
    modes = 10 * np.stack([np.cos(angles), np.sin(angles)], 1)
    near = np.linalg.norm(np.load(drawn_points)[:, None] - modes, axis=2) <= 4 * 0.5
    return int((near.mean(0) >= 0.025).sum()), float(near.any(1).mean())


@pytest.mark.slow
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_every_kind_covers_the_ring_in_good_health(kind: str, tmp_path: Path) -> None:
    # BEGAN is chaotic there: seeds 0 and 1 reach it (7 modes, 0.83 and 0.74), seed 2 does not (8
    # modes, 0.53), and another machine's rounding is as good as another seed.
    ends = []
    for seed in range(3 if kind == "began" else 1):
        train(
            Recipe.load("ring", [f"adversarial.kind={kind}", f"seed={seed}"]),
            tmp_path / str(seed),
            device="cpu",
        )
        rows = lines(tmp_path / str(seed))
        ends.append((rows[-1]["modes_covered"], rows[-1]["share_near_modes"]))
        if ends[-1][0] >= 7 and ends[-1][1] >= 0.6:
            assert counted(tmp_path / str(seed)) == (
                ends[-1][0],
                pytest.approx(ends[-1][1], abs=0.03),
            )
            assert [row for row in rows if "diagnosis" in row] == []
            measure = [row["began_measure"] for row in rows if "began_measure" in row]
            tenth = max(1, len(measure) // 10)
            assert kind != "began" or np.mean(measure[-tenth:]) < np.mean(measure[:tenth]) / 2
            return
    pytest.fail(f"{ends}")


@pytest.mark.slow
def test_minimax_fails_against_an_overstrong_discriminator(tmp_path: Path) -> None:
    strong = ["adversarial.kind=minimax", "adversarial.lr=1e-2", "adversarial.d_steps=10"]
    train(Recipe.load("ring", strong), tmp_path / "run", device="cpu")
    last = lines(tmp_path / "run")[-1]
    assert last["modes_covered"] < 7 or last["share_near_modes"] < 0.6, last
