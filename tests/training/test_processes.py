"""Several processes: each takes its own samples of a step; together they do what one with a larger
batch does.

All of it in real processes on the CPU, started by torchrun as its documentation says.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import replica
import torch
from PIL import Image
from safetensors.torch import load_file

from img2img.diagnostics.runlog import read_rows
from img2img.errors import UserError
from img2img.recipe import Recipe
from img2img.training.processes import check_processes
from img2img.training.resume import recipe_of_process

PROGRAM = Path(__file__).with_name("replica.py")
SHORT: dict[str, Any] = {
    "precision": "fp32",
    "validate_every": 100,
    "checkpoint_every": 100,
    "log_every": 10,
}
PHOTOS = {"path": "data/samples", "validation_share": 0.1, "validation_max": 2}
PICTURES = {
    "data": {**PHOTOS, "crop_px": 28},
    "task": {"kind": "reconstruct", "size_px": 28, "latent": 8},
}
NOISE = {"data": {**PHOTOS, "crop_px": 32}, "task": {"kind": "generate", "size_px": 32}}
DCGAN = {"generator": {"kind": "dcgan", "width": 8}, "losses": []}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "regression": ("denoise_tiny", {}),
    "paired GAN": ("translate_tiny", {}),
    "batch norm, spectral norm and dropout": (
        "translate_tiny",
        {
            "generator": {"kind": "unet", "width": 8, "levels": 5, "norm": "batch", "dropout": 0.5},
            "discriminator": {
                "kind": "patchgan",
                "width": 8,
                "layers": 2,
                "norm": "batch",
                "spectral": True,
            },
        },
    ),
    "global and local discriminator in three phases, with R1": (
        "inpaint_tiny",
        {"train": {"batch_size": 2, "accumulate": 2}},
    ),
    "cycle": ("cyclegan_tiny", {"adversarial": {"replay": 4}}),
    "cycle, accumulated": (
        "cyclegan_tiny",
        {"train": {"accumulate": 2}, "adversarial": {"replay": 4}},
    ),
    "autoencoder": ("vae_tiny", {}),
    "autoencoder of codes": ("aae", PICTURES),
    "autoencoder of features": ("vae_gan", PICTURES),
    "features, accumulated": ("vae_gan", {**PICTURES, "train": {"accumulate": 2}}),
    "noise, batch norm, several steps of D": (
        "dcgan",
        {**NOISE, **DCGAN, "adversarial": {"kind": "wasserstein"}},
    ),
    "a balance that is kept": (
        "ring",
        {"adversarial": {"kind": "began"}, "data": {"validation_max": 100}},
    ),
    "penalties between": (
        "ring",
        {"adversarial": {"kind": "wasserstein_gp"}, "data": {"validation_max": 100}},
    ),
    "muon": ("denoise_tiny", {"train": {"optimizer": "muon", "accumulate": 2}}),
}


def written(folder: Path, name: str, shipped: str, *changes: dict[str, Any]) -> Path:
    """A shipped recipe with changes, of few and cheap steps."""
    fields = Recipe.load(shipped).fields()
    for change in ({"train": {**SHORT, "batch_size": 2}}, *changes):
        for part, value in change.items():
            whole = not isinstance(value, dict) or "kind" in value or fields[part] is None
            fields[part] = value if whole and part != "adversarial" else {**fields[part], **value}
    fields["data"]["workers"] = 0
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(Recipe.parse({**fields, "name": shipped}).to_yaml())
    return folder


def torchrun(*arguments: str | Path, processes: int = 2) -> subprocess.CompletedProcess[str]:
    """What a user gets who starts them with torchrun's defaults."""
    return launched(("-m", "torch.distributed.run"), *arguments, processes=processes)


def launched(
    launcher: Sequence[str], *arguments: str | Path, processes: int = 2
) -> subprocess.CompletedProcess[str]:
    number = "--num_processes" if "accelerate.commands.launch" in launcher else "--nproc_per_node"
    known = {
        name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"
    }  # torchrun sets it
    return subprocess.run(
        [sys.executable, *launcher, number, str(processes), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=600,
        env=known,
    )


def trained(folder: Path, processes: int = 2, *, resume: bool = False) -> str:
    """Train all recipes of a folder; returns what was printed."""
    mode = "resume" if resume else "none"
    if processes == 1:
        with _one_thread():  # as torchrun gives each: two sum in another order, and differ by 3e-5
            replica.main(folder, mode)
        return ""
    done = torchrun(PROGRAM, folder, mode, processes=processes)
    assert done.returncode == 0, done.stderr
    return done.stderr


def same_bits(folder: Path, processes: int = 2) -> None:
    first, *others = (load_file(folder / f"last_{rank}.safetensors") for rank in range(processes))
    for other in others:
        assert first.keys() == other.keys()
        assert [name for name in first if not torch.equal(first[name], other[name])] == []


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, photos: list[np.ndarray]) -> Path:
    """The folder of what two processes have trained: `run`, and `taught` by a teacher."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "photos").mkdir()
    for index, photo in enumerate(photos):
        Image.fromarray(photo).save(folder / f"photos/{index}.png")
    taught = {
        "data": {"path": str(folder / "photos"), "crop_px": 32, "validation_max": 1},
        "losses": [{"kind": "l1"}, {"kind": "l1", "against": "teacher"}],
        "train": {"steps": 2, "batch_size": 1, "teacher": "super_resolve_x2"},
    }
    once = {"train": {"steps": 3, "batch_size": 1, "accumulate": 2}}
    written(folder, "taught", "super_resolve_tiny", taught)
    trained(written(folder, "run", "translate_tiny", once))
    return folder


def test_two_processes_hold_the_same_bits_and_are_one_training(two: Path, tmp_path: Path) -> None:
    """The quick one: G and D in two processes, against one with twice the batch."""
    one = written(
        tmp_path / "one",
        "run",
        "translate_tiny",
        {"train": {"steps": 3, "batch_size": 2, "accumulate": 2}},
    )
    trained(one, 1)
    same_bits(two / "run")
    assert gradients_apart(one / "run", two / "run") <= 1e-5
    assert len(list((two / "run/tensorboard").rglob("events*"))) == 1  # one folder is written once


def test_each_photo_is_shown_to_the_teacher_of_one_process(two: Path) -> None:
    same_bits(two / "taught")
    made = list((two / "taught/teacher").iterdir())  # of six photos one is held out
    assert len(made) == 5 and {path.suffix for path in made} == {".npy"}


def gradients_apart(one: Path, several: Path) -> float:
    """How far from each other, as a share of the side's largest, are the gradients that the first
    optimizer steps saw.
    """
    mine, theirs = (load_file(folder / "first_0.safetensors") for folder in (one, several))
    assert mine.keys() == theirs.keys()
    shares = []
    for side in {name.rpartition(".")[0] for name in mine}:
        own = [name for name in mine if name.startswith(side)]
        largest = max(float(mine[name].abs().max()) for name in own)
        shares.append(max(float((mine[n] - theirs[n]).abs().max()) for n in own) / largest)
    return max(shares)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_replicas_are_the_same_bits_after_twenty_steps_of_every_kind(
    tmp_path: Path, processes: int
) -> None:
    for name, (shipped, *changes) in CASES.items():
        written(
            tmp_path / "runs", name.replace(" ", "_"), shipped, *changes, {"train": {"steps": 20}}
        )
    trained(tmp_path / "runs", processes)
    for name in CASES:
        same_bits(tmp_path / "runs" / name.replace(" ", "_"), processes)


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_are_those_of_one_process_at_the_same_batch(
    tmp_path: Path, accumulate: int
) -> None:
    """Recipes without batch statistics or randomness in the step; of the hole loss, the mean over
    the batch is one.

    Where rounding turns the sign of one L1 term or rectifier, gradients are 4e-4 apart instead of
    1e-6: it does so by some seeds of a recipe, a fault would by all.
    """
    recipes = (
        "denoise_tiny",
        "super_resolve_tiny",
        "translate_tiny",
        "cyclegan_tiny",
        "colorize_tiny",
    )
    seeds = (0, 1, 2, 3)
    for shipped, seed in product(recipes, seeds):
        for name, size in (("one", 4), ("two", 2)):
            changes = {"train": {"steps": 1, "batch_size": size, "accumulate": accumulate}}
            written(tmp_path / name, f"{shipped}_{seed}", shipped, changes, {"seed": seed})
    trained(tmp_path / "two")
    trained(tmp_path / "one", 1)
    for shipped in recipes:
        runs = [f"{shipped}_{seed}" for seed in seeds]
        apart = [gradients_apart(tmp_path / "one" / run, tmp_path / "two" / run) for run in runs]
        assert min(apart) <= 1e-5 and max(apart) <= 1e-2, (shipped, apart)


OF_SAMPLES = {
    "regression": ("denoise_tiny", {}),
    "paired": ("translate_tiny", {}),
    "cycle": ("cyclegan_tiny", {}),
    "autoencoder": (
        "vae_tiny",
        {"generator": {"variational": False, "norm": "instance"}, "losses": [{"kind": "l2"}]},
    ),
}
"""A recipe of each method whose steps are functions of their samples alone: they draw nothing, look
at no statistic of a batch, and their replay pool is not full."""


@pytest.mark.slow
@pytest.mark.parametrize(("began", "goes_on"), [(2, 1), (1, 2), (2, 3)])
def test_a_run_goes_on_in_another_number_of_processes(
    tmp_path: Path, began: int, goes_on: int
) -> None:
    """With the same samples a step, against going on in as many as before: gradients, then all that
    a checkpoint holds, the average too.
    """
    size = {1: 4, 2: 2}[began] if goes_on < 3 else 3

    def write(folder: Path, steps: int) -> None:
        for name, (shipped, changes) in OF_SAMPLES.items():
            train = {"steps": steps, "batch_size": size, "checkpoint_every": 100}
            written(folder, name, shipped, changes, {"train": train})

    write(tmp_path / "same", 3)
    trained(tmp_path / "same", began)
    shutil.copytree(tmp_path / "same", tmp_path / "other")
    for folder in ("same", "other"):
        write(tmp_path / folder, 6)
    trained(tmp_path / "same", began, resume=True)
    said = trained(tmp_path / "other", goes_on, resume=True)
    if goes_on > 1:
        assert said.count(f"began in {began} processes and goes on in {goes_on}") == len(OF_SAMPLES)
        assert said.count("the replay pool of the first process is taken up by all") == 1  # cycle
    for name in OF_SAMPLES:
        same, other = (tmp_path / folder / name for folder in ("same", "other"))
        assert gradients_apart(same, other) <= 1e-3, name
        one, two = (load_file(folder / "last_0.safetensors") for folder in (same, other))
        assert one.keys() == two.keys() and any(each.startswith("ema.") for each in one)
        # Adam turns a gradient's sign that rounding has turned into a step of the whole rate.
        close = [torch.isclose(one[each], two[each], atol=1e-3, rtol=1e-2) for each in one]
        assert torch.cat([each.flatten() for each in close]).double().mean() >= 0.999, name
        logs = [read_rows(folder / "log.jsonl")[-1]["images"] for folder in (same, other)]
        assert logs == [6 * began * size] * 2
        if goes_on > 1:
            same_bits(other, goes_on)


def test_each_process_takes_an_equal_part_of_the_samples_that_a_step_had() -> None:
    def batches(began: int | None, now: int, *overrides: str) -> tuple[int, int]:
        recipe = Recipe.load("dcgan", overrides)
        facts = None if began is None else {"processes": began}
        there: Any = SimpleNamespace(num_processes=now, is_main_process=True)
        train = recipe_of_process(recipe, facts, there).train
        return train.batch_size, train.accumulate

    three, four = "train.batch_size=3", "train.batch_size=4"
    twice = "train.accumulate=2"
    assert batches(None, 2, four) == batches(2, 2, four) == (4, 1)
    assert batches(2, 1, four) == batches(8, 4, four) == (4, 2)
    assert batches(2, 1, four, twice) == (4, 4)
    assert batches(1, 2, four, twice) == (4, 1)
    assert batches(1, 2, four) == (2, 1)
    assert batches(2, 3, three, twice) == (2, 2)  # 12 samples: 4 each
    for began, now, size in ((1, 2, three), (1, 4, four), (1, 5, four)):  # 1 is no batch to norm
        with pytest.raises(UserError, match=f"began in {began} processes.*: {now} cannot"):
            batches(began, now, size)
    assert recipe_of_process(Recipe.load("ring"), {}, SimpleNamespace(num_processes=2))  # type: ignore[arg-type]  # all that is asked


LAUNCHERS = {
    "module": ("-m", "torch.distributed.run"),
    "script": ("-m", "torch.distributed.run"),
    # `accelerate launch`: several processes have this name, on a CPU too
    "accelerate": (
        *("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1"),
        *("--mixed_precision", "no", "--dynamo_backend", "no"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", LAUNCHERS)
def test_a_launcher_on_a_machine_without_a_gpu_trains_one_model(tmp_path: Path, how: str) -> None:
    common = ("denoise_tiny", "train.steps=20", "train.precision=fp32", "train.log_every=1")
    started = (script(tmp_path),) if how == "script" else ("-m", "img2img")
    command = (*started, "train", *common, "train.batch_size=2", "--out", tmp_path / "two")
    done = launched(LAUNCHERS[how], *command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run folder:") == 1
    replica.main(
        written(
            tmp_path / "alone", "one", "denoise_tiny", {"train": {"steps": 20, "batch_size": 4}}
        ),
        "none",
    )
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("alone/one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-4, rtol=0)
    rows = [row for row in read_rows(tmp_path / "two/log.jsonl") if "g_loss" in row]
    assert [row["step"] for row in rows] == list(range(1, 21)) and rows[-1]["images"] == 80


def script(folder: Path) -> Path:
    """What `which img2img` finds, wherever it is installed."""
    path = folder / "img2img"
    path.write_text("import sys\nfrom img2img.cli import main\nsys.exit(main())\n")
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", "step 3: the loss is not a number"),
        ("disk", "Input/output error"),
        ("stop", "stopped at step 3, everything is saved"),
    ],
)
def test_what_ends_one_process_ends_all(tmp_path: Path, fault: str, message: str) -> None:
    folder = written(
        tmp_path / "runs", "run", "denoise_tiny", {"train": {"steps": 9, "checkpoint_every": 2}}
    )
    done = torchrun(PROGRAM, folder, fault)
    assert done.returncode == 1 and message in done.stderr
    step = {"nan": 2, "disk": 2, "stop": 3}[fault]
    assert (
        max(path.stem for path in (folder / "run/checkpoints").glob("*.json")) == f"step_{step:08d}"
    )
    if fault == "nan":
        assert "not a number" in read_rows(folder / "run/log.jsonl")[-1]["error"]
    else:
        trained_on = torchrun(
            "-m", "img2img", "train", folder / "run.yaml", "--out", folder / "run", "--resume"
        )
        assert trained_on.returncode == 0, trained_on.stderr
        assert f"resumed from step {step}" in trained_on.stderr


@pytest.mark.slow
def test_a_folder_that_holds_a_run_is_refused_in_all_processes(tmp_path: Path) -> None:
    folder = written(tmp_path / "runs", "run", "denoise_tiny", {"train": {"steps": 1}})
    replica.main(folder, "none")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = torchrun("-m", "img2img", "train", folder / "run.yaml", "--out", folder / "run")
    assert (
        done.returncode == 1
        and "already holds a run" in done.stderr
        and "exitcode  : 2" in done.stderr
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_more_processes_than_gpus_and_processes_on_apples_gpu_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    check_processes(torch.device("cpu"))
    for device, problem in (("mps", "takes one"), ("cuda", "1 GPU found")):
        with pytest.raises(UserError, match=f"{problem}.*use device cpu"):
            check_processes(torch.device(device))
