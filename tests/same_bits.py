"""Proof that a refactoring changed no number: the same training at another commit and here.

    python tests/same_bits.py PARENT [RECIPE …] [--steps 20] [--resume] [--parent-recipes]

PARENT, any commit, is checked out into a temporary git worktree. Every shipped recipe (or the
RECIPEs named) is trained there and in this working tree, as it is, committed or not: for 20 steps,
on one thread of the CPU, with narrow networks on small crops of the sample photos, and with phases,
replay pools and schedules that all come to pass within 20 steps. `EXTRA` below adds cases that no
shipped recipe has (accumulation, every objective, several D steps, remedies, …); a RECIPE named
brings its own along, and one of them alone is named in full, such as `translate_tiny+accumulate`.
Both sides read their own recipe files; with --parent-recipes this working tree trains on PARENT's,
which shows that the recipes people have still mean the same.

Compared are the last checkpoint (generator, discriminators, optimizers, averaged weights, state of
the objective, replay pools, remedies) and the model files, tensor by tensor for the same bits, and
every number in log.jsonl that is no wall time. One line a case:

    ring+began                   same bits: 86 tensors, 79 of them trained, 169 numbers logged
    linear                       DIFFERENT: 12 of 21 tensors, first …, largest difference …; log …

With --resume, this working tree goes on from PARENT's checkpoint of half of the steps, and must
come to the bits of PARENT's whole run: run folders begun before go on. Where PARENT itself would
not come to them, it must come to the bits that PARENT comes to; the line says so.

Exit code 0 if all is the same, 1 if anything differs, fails, or was not trained at all; the runs
that differ are then kept, and their folder is named. A tensor that only one side has is a
difference, unless `RENAMED` says its new name. All of it takes about five minutes, most recipes two
to eight seconds. Linux and macOS only.

Not covered: GPUs, several processes, bits of inference and evaluation, the pictures and reports
that a run writes, and networks of full size (those that start from a shipped model have it).
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

# Prefixes of tensor names that a refactoring has changed on purpose: (at PARENT, here).
RENAMED: tuple[tuple[str, str], ...] = ()

WALL_TIME = {"seconds", "minutes", "images_per_second", "data_wait"}  # fields of log.jsonl

# Narrow networks by kind, for recipes that do not start from a shipped model.
NARROW: dict[str, list[str]] = {
    "unet": ["width=4", "levels=4"],
    "restorer": ["widths=[8]", "blocks=[1]"],
    "colour_unet": ["width=16"],
    "color_unet": ["width=16"],
    "gated": ["width=8", "dilations=[1,2]"],
    "glcic": ["width=8", "dilations=[2,4]"],
    "patchgan": ["width=4"],
    "unet_sn": ["width=4"],
    "global_local": ["width=4", "features=8", "local_px=32"],
    "dcgan": ["width=4"],
    "resnet": ["width=4", "blocks=2"],
    "autoencoder": ["width=4"],
}
CROP_PX = 64

# What of a recipe would not come to pass in 20 steps as it is written.
WITHIN_REACH: dict[str, list[str]] = {
    "inpaint": ["adversarial.phases=[6,4,10]"],
    "inpaint_glcic": ["adversarial.phases=[4,3,13]"],
    "cyclegan": ["adversarial.replay=6"],
    "cyclegan_tiny": ["adversarial.replay=6"],
    "ring": ["data.validation_max=64"],
    "linear": ["data.validation_max=64"],
}


@dataclass(frozen=True)
class Case:
    """A recipe with overrides; `logged` is a field without which log.jsonl proves nothing."""

    recipe: str
    extra: str = ""
    overrides: tuple[str, ...] = ()
    logged: str = ""

    @property
    def name(self) -> str:
        return f"{self.recipe}+{self.extra}" if self.extra else self.recipe


def _case(recipe: str, extra: str, *overrides: str, logged: str = "") -> Case:
    return Case(recipe, extra, overrides, logged)


_KINDS = ("mm", "lsgan", "wgan", "wgan_gp", "dragan", "began", "hinge", "ragan")
EXTRA: tuple[Case, ...] = (
    *(_case("ring", kind, f"adversarial.kind={kind}") for kind in _KINDS),
    _case("ring", "replay", "adversarial.replay=8"),
    _case("ring", "wgan_gp2", "adversarial.kind=wgan_gp", "adversarial.d_steps=2"),
    _case("translate_tiny", "accumulate", "train.accumulate=2"),
    _case("translate_tiny", "bf16", "train.precision=bf16"),
    _case("translate_tiny", "late", "adversarial.start_step=7", "adversarial.d_steps=2"),
    _case(
        "translate_tiny", "pairs", "task.source=pairs", "task.direction=BtoA", "data.path={sides}"
    ),
    _case(
        "translate_tiny",
        "noisy",
        "adversarial.augment=[colour,translation,cutout]",
        "adversarial.label_noise=0.25",
        "adversarial.instance_noise=0.5",
        "adversarial.replay=5",
    ),
    _case("inpaint_tiny", "accumulate", "adversarial.phases=[1,1,2]", "train.accumulate=2"),
    _case(
        "inpaint_tiny",
        "wgan_gp",
        "adversarial.kind=wgan_gp",
        "adversarial.d_steps=2",
        "adversarial.phases=null",
        "adversarial.r1=0",
    ),
    _case("inpaint_tiny", "r1_every", "adversarial.r1_every=3", "adversarial.replay=5"),
    _case("cyclegan_tiny", "accumulate", "train.accumulate=2"),
    _case("cyclegan_tiny", "files", "task.side_a=files", "data.path={sides}"),
    _case("cyclegan_tiny", "wgan_gp", "adversarial.kind=wgan_gp", "adversarial.d_steps=2"),
    _case("vae_gan", "accumulate", "train.accumulate=2", "adversarial.d_steps=2"),
    _case("aae", "late", "adversarial.start_step=8", "train.accumulate=2"),
    _case(
        "fashion_mnist", "sees_label", "adversarial.sees=[label]", "discriminator.projection=false"
    ),
    _case("infogan", "accumulate", "train.accumulate=2"),
    _case(
        "dcgan",
        "adapt",
        "train.on_trouble=adapt",
        "train.log_every=1",
        "adversarial.lr=0.05",
        logged="remedy",
    ),
    _case("denoise_tiny", "muon", "train.optimizer=muon", "train.keep_best=true"),
    _case(
        "denoise_tiny",
        "freeze",
        "train.init=denoise",
        "train.init_partial=true",
        "train.freeze=stem",
    ),
    _case("colorize", "shallow", "generator.freeze_encoder=shallow"),
    _case("translate_pix2pix", "wgan", "adversarial.kind=wgan", "discriminator.norm=instance"),
)


def overrides_of(case: Case, fields: dict[str, Any], steps: int, data: dict[str, str]) -> list[str]:
    """What makes a run of a recipe (`fields`, as its file has them) small, quick and telling."""
    task, train = fields["task"], fields.get("train", {})
    if isinstance(task, str):
        task = {"kind": task}
    found = [
        f"train.steps={steps}",
        f"train.batch_size={min(2, train.get('batch_size', 2))}",
        "train.log_every=3",  # means over steps, which a resumed run takes up
        f"train.validate_every={steps // 2}",
        f"train.checkpoint_every={steps // 2}",
        "train.checkpoint_minutes=1000",
        "train.precision=fp32",
        "data.workers=0",
        "data.validation_max=4",
    ]
    if train.get("warmup_steps"):
        found.append(f"train.warmup_steps={steps // 5}")
    if train.get("ema_halflife_images", 2000):
        found.append("train.ema_halflife_images=2")  # longer ones come into effect after the ramp
    for part in ("generator", "discriminator"):
        config = fields.get(part)
        if config and not (train.get("init") and part == "generator"):
            found += [f"{part}.{change}" for change in NARROW.get(config["kind"], ())]
    if task["kind"] != "points":
        crop = task.get("size_px", CROP_PX)
        path = fields.get("data", {}).get("path", "photos")
        found += [f"data.crop_px={crop}", f"data.path={data.get(path, data['photos'])}"]
        found.append("data.validation_share=0.2")
        if fields.get("data", {}).get("resize_px"):
            found.append(f"data.resize_px=[{crop},{crop + 16}]")
    for number, loss in enumerate(fields.get("losses", ())):
        if loss.get("crop_px"):
            found.append(f"losses.{number}.crop_px=32")
    found += WITHIN_REACH.get(case.recipe, [])
    return found + [override.format(**data) for override in case.overrides]


def make_data(samples: Path, folder: Path) -> dict[str, str]:
    """Small photos, two sides with the same names, and data sets in the form of MNIST; by name."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    photos = []
    for path in sorted(samples.glob("*.jpg"))[:12]:
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((144, 144))
        photos.append((path.stem, photo))
    for name in ("photos", "sides/A", "sides/B"):
        (folder / name).mkdir(parents=True)
    for name, photo in photos:
        photo.save(folder / "photos" / f"{name}.png")
        photo.save(folder / "sides" / "B" / f"{name}.png")
        photo.convert("L").convert("RGB").save(folder / "sides" / "A" / f"{name}.png")
    small = np.stack([np.asarray(photo.convert("L").resize((28, 28))) for _, photo in photos])
    pictures = small[np.arange(120) % len(small)] ^ rng.integers(
        0, 64, (120, 28, 28), dtype=np.uint8
    )
    labels = (np.arange(120) % 10).astype(np.uint8)
    found = {"photos": str(folder / "photos"), "sides": str(folder / "sides")}
    for name in ("mnist", "fashion-mnist"):
        (folder / name).mkdir()
        for what, array in (("images-idx3", pictures), ("labels-idx1", labels)):
            header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
            (folder / name / f"train-{what}-ubyte").write_bytes(header + array.tobytes())
        found[name] = f"{name}:{folder / name}"
    return found


# --- training, each side in a process of its own


class Side:
    """A process that trains with the package of one checkout, and with nothing of another's."""

    def __init__(self, checkout: Path, log: Path) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith(("ACCELERATE_", "IMG2IMG_"))}
        env |= {"PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"}
        env |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self.checkout, self.log, self.error = checkout, log, log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--worker", str(checkout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.error,
            cwd=checkout,
            env=env,
            text=True,
        )

    def train(
        self, recipe: Path, overrides: list[str], out: Path, resume: bool = False
    ) -> str | None:
        """Train into a run folder; returns what went wrong, or None."""
        assert self.process.stdin and self.process.stdout
        job = {"recipe": str(recipe), "overrides": overrides, "out": str(out), "resume": resume}
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            return f"its process has died: {self.log.read_text()[-600:]}"
        return json.loads(answer)["error"]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.error.close()


def work(checkout: Path) -> None:
    """In a side's process: train what comes in line by line, and answer each with what went wrong.

    Each training has a fork of its own, so that nothing is left over from one to the next (a loaded
    perceptual network, for one). What it had to import, the next finds imported.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed
    import torch

    import img2img

    at = Path(img2img.__file__).resolve()
    assert checkout.resolve() in at.parents, f"{at} is not in {checkout}"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with os.fdopen(writing, "w") as told:
                json.dump({"error": trained(json.loads(line)), "modules": list(sys.modules)}, told)
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            answer = told.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = (
            json.loads(answer) if answer else {"error": f"it ended with {status}", "modules": ()}
        )
        for module in found["modules"]:
            if module not in sys.modules and not module.startswith("__"):
                with suppress(Exception):
                    importlib.import_module(module)
        print(json.dumps({"error": found["error"]}), file=answers, flush=True)


def trained(job: dict[str, Any]) -> str | None:
    """Train by the package's public names; returns what went wrong, or None."""
    import img2img

    try:
        recipe = img2img.Recipe.load(job["recipe"], job["overrides"])
        img2img.train(recipe, job["out"], resume=job["resume"], device="cpu")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """A temporary git worktree of a commit."""
    git = ["git", "-C", str(ROOT), "worktree"]
    if subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit]).returncode:
        sys.exit(f"'{commit}' cannot be checked out")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def cut_in_half(run: Path, out: Path, steps: int) -> None:
    """A copy of a whole run's folder as it would be if the run had ended at half of its steps."""
    shutil.copytree(run, out)
    for path in (out / "checkpoints").glob(f"step_{steps:08d}.*"):
        path.unlink()
    (out / "model.safetensors").unlink()
    (out / "best.safetensors").unlink(missing_ok=True)


# --- comparing


@dataclass
class Compared:
    """How many tensors and logged numbers two runs have, and in what they differ."""

    different: list[str] = field(default_factory=list)
    tensors: int = 0
    trained: int = 0
    numbers: int = 0


def compare(parent: Path, here: Path, steps: int, case: Case) -> Compared:
    """Compare all that two runs have learned and logged."""
    found = Compared()
    last, half = (f"checkpoints/step_{n:08d}.safetensors" for n in (steps, steps // 2))
    differing: list[tuple[str, float]] = []
    only: list[str] = []
    names = [last, "model.safetensors"]
    if (parent / "best.safetensors").exists() or (here / "best.safetensors").exists():
        names.append("best.safetensors")
    for name in names:
        one = {renamed(tensor): value for tensor, value in tensors_in(parent / name).items()}
        two = tensors_in(here / name)
        only += [f"{n} (PARENT's {name} alone)" for n in sorted(one.keys() - two.keys())]
        only += [f"{n} ({name} here alone)" for n in sorted(two.keys() - one.keys())]
        both = sorted(one.keys() & two.keys())
        found.tensors += len(both)
        differing += [
            (f"{n} in {name}", distance(one[n], two[n]))
            for n in both
            if not same_bits(one[n], two[n])
        ]
    if only:
        found.different.append(f"{len(only)} tensors on one side only: {', '.join(only)}")
    if differing:
        worst = max(differing, key=lambda each: each[1])
        found.different.append(
            f"{len(differing)} of {found.tensors} tensors, first {differing[0][0]} by "
            f"{differing[0][1]:.3g}, largest difference {worst[1]:.3g} of {worst[0]}"
        )
    rows, others = (numbers_in(run / "log.jsonl") for run in (parent, here))
    found.numbers = sum(len(row) for _, row in rows)
    found.different += compare_rows(rows, others)
    facts, others_facts = (facts_in((run / last).with_suffix(".json")) for run in (parent, here))
    if facts != others_facts:
        found.different.append(f"step or averages of the checkpoint: {facts} → {others_facts}")
    # Two runs in which nothing happened would be alike as well.
    before, after = tensors_in(parent / half), tensors_in(parent / last)
    moved = {n for n in before.keys() & after.keys() if not same_bits(before[n], after[n])}
    found.trained = len(moved)
    networks = {n.split(".")[0] for n in after if n.count(".") > 1}
    if idle := sorted(networks - {n.split(".")[0] for n in moved}):
        found.different.append(f"NOT TRAINED: {', '.join(idle)}: this case proves nothing")
    if case.logged and f'"{case.logged}":' not in (parent / "log.jsonl").read_text("utf-8"):
        found.different.append(f"no '{case.logged}' in log.jsonl: this case proves nothing")
    return found


def tensors_in(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(path)


def renamed(name: str) -> str:
    """The name that PARENT's tensor bears here."""
    for old, new in RENAMED:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def same_bits(one: Any, two: Any) -> bool:
    import torch

    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (one, two)))


def distance(one: Any, two: Any) -> float:
    """The largest difference of two tensors; infinite where they have nothing in common."""
    if one.shape != two.shape:
        return math.inf
    return float((one.double() - two.double()).abs().max()) if one.numel() else 0.0


Row = dict[str, float | str]


def numbers_in(path: Path) -> list[tuple[str, Row]]:
    """Each row of log.jsonl: what it is, and its numbers by name; no wall time, no resume's own."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "resumed_from_step" not in row:
            told = row.get("diagnosis") or ("summary" if row.get("summary") else "")
            found.append((f"step {row.get('step', 0)} {told}".strip(), dict(_numbers("", row))))
    return found


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float | str]]:
    if isinstance(value, bool | int | float):
        yield name, repr(value) if isinstance(value, float) and math.isnan(value) else value
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in WALL_TIME:
                yield from _numbers(f"{name}.{key}".strip("."), each)


def compare_rows(rows: list[tuple[str, Row]], others: list[tuple[str, Row]]) -> list[str]:
    """What differs in two logs, the first of it alone."""
    for (label, row), (other_label, other) in zip(rows, others, strict=False):
        if label != other_label:
            return [f"log.jsonl: a row '{label}' → '{other_label}'"]
        for name in [*row, *(n for n in other if n not in row)]:
            if row.get(name) != other.get(name):
                return [f"log.jsonl {label}: {name} {row.get(name)} → {other.get(name)}"]
    if len(rows) != len(others):
        return [f"log.jsonl: {len(rows)} rows → {len(others)}"]
    return []


def facts_in(path: Path) -> dict[str, Any]:
    facts = json.loads(path.read_text(encoding="utf-8"))
    averages = {name: sums for name, sums in facts["averages"].items() if name not in WALL_TIME}
    return {"step": facts["step"], "averages": averages}


# --- the whole


def chosen_cases(wanted: list[str], parent: Path) -> list[Case]:
    """The shipped recipes, each with its extra cases; or those of them that are named."""
    shipped = sorted(path.stem for path in (parent / "recipes").glob("*.yaml"))
    cases = [c for name in shipped for c in (Case(name), *(e for e in EXTRA if e.recipe == name))]
    if strange := [
        name for name in wanted if name not in {n for c in cases for n in (c.name, c.recipe)}
    ]:
        sys.exit(f"no recipe or case at PARENT: {', '.join(strange)}")
    return [c for c in cases if not wanted or c.name in wanted or c.recipe in wanted]


def prove(
    case: Case, sides: tuple[Side, Side], runs: Path, options: argparse.Namespace
) -> str | None:
    """Train a case on both sides and print how they compare; returns what differs, or None."""
    import yaml

    parent, here = sides
    steps, started, note = options.steps, time.monotonic(), ""
    recipes = [side.checkout / "recipes" / f"{case.recipe}.yaml" for side in sides]
    if options.parent_recipes:
        recipes[1] = recipes[0]
    fields = yaml.safe_load(recipes[0].read_text(encoding="utf-8"))
    overrides = overrides_of(case, fields, steps, options.data)
    whole, own, other = (runs / case.name / name for name in ("parent", "parent_resumed", "here"))
    problem = parent.train(recipes[0], overrides, whole)
    if problem:
        problem = f"FAILED at PARENT: {problem}"
    else:
        if options.resume:
            cut_in_half(whole, other, steps)
        problem = here.train(recipes[1], overrides, other, resume=options.resume)
        problem = problem and f"FAILED here: {problem}"
    if not problem:
        found = compare(whole, other, steps, case)
        if options.resume and found.different:  # is it PARENT that does not resume exactly?
            cut_in_half(whole, own, steps)
            if not parent.train(recipes[0], overrides, own, resume=True):
                again = compare(own, other, steps, case)
                if not again.different:
                    found, note = again, f"; but PARENT's own resume differs: {found.different[-1]}"
        problem = "; ".join(found.different) and f"DIFFERENT: {'; '.join(found.different)}"
        alike = f"{found.tensors} tensors, {found.trained} of them trained, {found.numbers} numbers"
    told = problem or f"same bits: {alike} logged{note}"
    print(f"{case.name:28} {told}  [{time.monotonic() - started:.1f} s]", flush=True)
    if not problem:
        shutil.rmtree(runs / case.name)
    return problem


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("parent", metavar="PARENT", help="the commit to compare with")
    parser.add_argument(
        "recipes", metavar="RECIPE", nargs="*", help="recipes or cases; all of them"
    )
    parser.add_argument("--steps", type=int, default=20, help="an even number, 16 or more")
    parser.add_argument("--resume", action="store_true", help="go on from PARENT's half of the run")
    parser.add_argument("--parent-recipes", action="store_true", help="train PARENT's recipe files")
    options = parser.parse_args()
    if options.steps < 16 or options.steps % 2:
        parser.error("--steps: an even number, 16 or more: all phases of the cases take so many")
    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="same_bits_"))
    sides: tuple[Side, ...] = ()
    failed = []
    try:
        with checked_out(options.parent, folder / "checkout") as checkout:
            options.data = make_data(checkout / "data" / "samples", folder / "data")
            cases = chosen_cases(options.recipes, checkout)
            try:
                sides = Side(checkout, folder / "parent.log"), Side(ROOT, folder / "here.log")
                failed = [c for c in cases if prove(c, sides, folder / "runs", options)]
            finally:
                for side in sides:
                    side.close()
        print(f"{len(failed)} of {len(cases)} cases differ, {time.monotonic() - started:.0f} s")
        if failed:
            print(f"their runs, and what was printed, are kept in {folder}")
    finally:
        if not failed:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]))
    else:
        sys.exit(main())
