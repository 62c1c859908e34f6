"""Every sickness made on purpose by a real small run, at three severities; healthy runs, in which
nothing is found.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import astuple, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image
from stopping import stopped_at

from img2img.cli import main
from img2img.data.sample import Batch, PhotoSample
from img2img.diagnostics.chart import RunFacts
from img2img.diagnostics.doctor import diagnose, verdict
from img2img.diagnostics.findings import SEVERITIES, Cause, Diagnosis, Finding
from img2img.diagnostics.remedies import REMEDIES, remedy_for
from img2img.diagnostics.rules import RULES
from img2img.diagnostics.runlog import read_rows
from img2img.diagnostics.treatment import treated
from img2img.errors import TrainingError
from img2img.losses.objectives import OBJECTIVES
from img2img.recipe import Recipe
from img2img.resources import recipes_dir
from img2img.tasks.translate import Translate
from img2img.training.checkpoint import latest_checkpoint
from img2img.training.step import Remedies
from img2img.training.trainer import Trainer


class Careless(Translate):
    """Grey to color, by someone who mistakes ranges or hides the input behind noise."""

    kind: str
    source: Literal["pairs", "edges", "grey", "sepia", "blur", "downscale", "unpaired"] = "grey"
    times: float = 1.0
    plus: float = 0.0
    veil: float = 0.0
    stray: float = 1.0

    def make_pair(self, sample: PhotoSample, rng: np.random.Generator) -> Batch:
        pair = super().make_pair(sample, rng)
        noise = torch.from_numpy(rng.random(tuple(pair.condition.shape), dtype=np.float32))
        condition = self.veil * noise + (1 - self.veil) * pair.condition
        times = self.times * (self.stray if rng.random() < STRAYS else 1)
        return replace(pair, condition=condition, target=pair.target * times + self.plus)


STRAYS = 0.01  # share of samples that are so many times too bright
RING = [
    "train.steps=160",
    "train.batch_size=64",
    "train.lr=1e-3",
    "train.log_every=4",
    "train.validate_every=20",
    "train.checkpoint_every=10000",
    "data.validation_max=400",
]
PHOTOS: dict[str, Any] = {
    "name": "careless",
    "task": {"kind": f"{__name__}:Careless"},
    "data": {"crop_px": 32, "resize_px": [40, 48], "validation_share": 0.5},
    "generator": {
        "kind": "unet",
        "width": 8,
        "levels": 4,
        "norm": "instance",
        "dropout": 0.0,
        "upsampling": "resize",
    },
    "losses": [{"kind": "l1"}],
    "train": {
        "steps": 60,
        "batch_size": 4,
        "lr": 2e-3,
        "betas": [0.5, 0.999],
        "schedule": "constant",
        "log_every": 2,
        "validate_every": 10,
        "checkpoint_every": 10000,
        "ema_halflife_images": 0,
        "precision": "fp32",
    },
}
UNBOUND = (
    "adversarial.kind=wasserstein",
    "adversarial.clip_weights=0",
    "adversarial.d_steps=1",
    "discriminator.norm=none",
    "losses=[]",
    "train.warmup_steps=30",
)
PATCHES = {"kind": "patchgan", "width": 8, "layers": 2, "norm": "instance"}


def ring(*overrides: str) -> Recipe:
    return Recipe.load("ring", [*RING, *overrides])


def photos(folder: Path, *overrides: str) -> Recipe:
    """A tiny U-Net on six small photos, three of them held out; against a small PatchGAN if it is
    asked for.
    """
    source = folder / "careless.yaml"
    fields = {**PHOTOS, "data": {**PHOTOS["data"], "path": str(folder / "photos")}}
    if any(text.startswith("adversarial") for text in overrides):
        fields |= {
            "discriminator": PATCHES,
            "adversarial": {"kind": "least_squares", "sees": ["condition"]},
        }
    source.write_text(json.dumps(fields))
    return Recipe.load(source, overrides)


def with_many(folder: Path) -> Path:
    """The folder with 24 photos in place of six: turned and mirrored, so that enough are held out
    to be judged.
    """
    for path in sorted((folder / "photos").glob("photo_*.png")):
        with Image.open(path) as photo:
            for turn in (
                Image.Transpose.ROTATE_90,
                Image.Transpose.ROTATE_180,
                Image.Transpose.FLIP_TOP_BOTTOM,
            ):
                photo.transpose(turn).save(
                    path.with_name(f"{path.stem.removeprefix('photo_')}_{turn.name}.png")
                )
    return folder


def rows_of(recipe: Recipe, out: Path, *, resume: bool = False) -> list[dict[str, Any]]:
    """The log of a run, which may end in NaN."""
    try:
        Trainer(recipe, out, resume=resume, device="cpu").run()
    except TrainingError as error:
        if "NaN" not in str(error):
            raise
    return read_rows(out / "log.jsonl")


def told(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Diagnoses with the worst rank at which each was told."""
    found: dict[str, int] = {}
    for row in rows:
        if "severity" in row:
            found[row["diagnosis"]] = max(
                found.get(row["diagnosis"], 0), SEVERITIES.index(row["severity"])
            )
    return found


# Where it is made (a name may go on after a comma), what is done to three degrees, and how bad the
# last is at least.
Case = tuple[Callable[..., Recipe], tuple[str, str, str], int]
CASES: dict[str, Case] = {
    # A discriminator that goes on learning against a generator that hardly does.
    "discriminator winning": (
        lambda folder, *o: photos(
            folder, "adversarial.kind=non_saturating", "train.lr=1e-6", "adversarial.lr=3e-3", *o
        ),
        ("train.steps=36", "train.steps=60", "train.steps=120"),
        2,
    ),
    # Noise on all it sees, up to ten times as wide as the ring.
    "discriminator blind": (
        lambda _, *o: ring("adversarial.instance_noise_until=1", *o),
        (
            "adversarial.instance_noise=15",
            "adversarial.instance_noise=30",
            "adversarial.instance_noise=100",
        ),
        2,
    ),
    # A discriminator that hardly or never learns is fooled by points further and further out.
    "fooling D with garbage": (
        lambda _, *o: ring(*o),
        ("adversarial.lr=1e-6", "adversarial.lr=1e-7", "adversarial.lr=1e-9"),
        2,
    ),
    # A sample in a hundred is too bright, and its square counts.
    "loss spikes": (
        lambda folder, *o: photos(folder, "losses=[{kind: l2}]", "train.steps=100", *o),
        ("task.stray=30", "task.stray=100", "task.stray=1000"),
        2,
    ),
    # A Wasserstein critic that nothing holds to a slope, as its gradient to G grows with its
    # weights: further by time, for by learning rates the processor decides which explodes first.
    "exploding gradients": (
        lambda folder, *o: photos(folder, *UNBOUND, "adversarial.lr=1e-2", *o),
        ("train.steps=60", "train.steps=80", "train.steps=120"),
        2,
    ),
    # A generator hastier and hastier than its discriminator puts all points into one place after
    # another.
    "mode collapse": (
        lambda _, *o: ring(
            "adversarial.lr=3e-4", "adversarial.instance_noise=0", "train.batch_size=16", *o
        ),
        ("train.lr=5e-3", "train.lr=1e-2", "train.lr=4e-2"),
        2,
    ),
    "not a number": (
        lambda _, *o: ring(*o),
        ("train.lr=1e15", "train.lr=1e20", "train.lr=1e30"),
        2,
    ),
    # The condition disappears behind noise: the same is made of every input.
    "mode collapse, without a discriminator": (
        lambda folder, *o: photos(with_many(folder), *o),
        ("task.veil=0.9", "task.veil=0.97", "task.veil=1"),
        2,
    ),
    "input ignored": (photos, ("task.veil=0.9", "task.veil=0.97", "task.veil=1"), 2),
    # Steps that throw the weights about.
    "saturated outputs": (photos, ("train.lr=0.1", "train.lr=0.3", "train.lr=1"), 2),
    # Transposed convolutions, whose first grid a loud and hasty adversarial loss does not let go.
    "checkerboard": (
        lambda folder, *o: photos(folder, "generator.upsampling=transposed", "train.lr=1e-2", *o),
        (
            "adversarial.weight=6",
            "adversarial.weight=10",
            "adversarial.weight=10 train.lr=4e-2",
        ),
        2,
    ),
    # Three photos, always the same crop, and time.
    "overfitting": (
        lambda folder, *o: photos(
            folder, "task.source=edges", "data.crop_px=96", "data.resize_px=null", *o
        ),
        tuple(f"data.flip=false train.lr=5e-3 train.steps={steps}" for steps in (30, 100, 300)),
        1,
    ),
    # Targets no tanh reaches: every output is white.
    "dead outputs": (photos, ("task.times=6", "task.times=20", "task.times=255"), 2),
    "wrong data range": (
        photos,
        ("task.plus=-0.1", "task.times=2 task.plus=-1", "task.times=255"),
        2,
    ),
}
AT_ONCE = (
    "not a number",
    "dead outputs",
    "fooling D with garbage",
)  # at its worst as soon as it is there
QUICK = ("not a number", "input ignored", "wrong data range")


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in CASES]
)
def test_a_sickness_made_on_purpose_is_found_at_three_severities(
    name: str, tmp_path: Path, photo_folder: Path
) -> None:
    make, levels, least = CASES[name]
    ranks = []
    for number, overrides in enumerate(levels):
        found = told(rows_of(make(tmp_path, *overrides.split()), tmp_path / str(number)))
        sickness = name.partition(",")[0]
        assert sickness in found, (overrides, found)
        ranks.append(found[sickness])
    assert ranks == sorted(ranks) and ranks[-1] >= least, ranks
    assert name in AT_ONCE or ranks[0] < ranks[-1], ranks


@pytest.mark.slow
def test_a_game_that_swings_is_told_as_spikes(tmp_path: Path) -> None:
    recipe = ring("adversarial.kind=hinge", "adversarial.lr=1e-4")
    assert "loss spikes" in told(rows_of(recipe, tmp_path / "run"))


def written(count: int = 40, **columns: Callable[[int], Any]) -> list[dict[str, Any]]:
    """Rows of a log of a steady game, with some columns as functions of the row's place."""
    steady: dict[str, Any] = {"d_loss": 1.2, "adversarial": 0.8, "d_accuracy": 0.7, "g_signal": 1.0}
    steady |= {"d_grad_norm": 1.0, "g_grad_norm": 1.0}
    rows = []
    for n in range(count):
        measured = {
            "validation": {"psnr_db": 20 + n / 10},
            "baseline": {"psnr_db": 15.0},
            "vitals": {"diversity": 0.9},
        }
        row = {"step": 10 * (n + 1), **steady, **(measured if n % 4 == 3 else {})}
        rows.append(row | {name: column(n) for name, column in columns.items()})
    return rows


def vital(**values: float) -> dict[str, Callable[[int], Any]]:
    return {"vitals": lambda n: {"diversity": 0.9, **values} if n % 4 == 3 else None}


# The same sicknesses as they stand in a log: the thresholds of all three severities.
LOGS: dict[str, tuple[dict[str, Callable[[int], Any]], ...]] = {
    "discriminator winning": tuple(
        {"d_accuracy": lambda n: 1.0, "d_loss": lambda n, x=x: 1.386 / x} for x in (15, 50, 300)
    ),
    "discriminator blind": tuple({"d_accuracy": lambda n, x=x: x} for x in (0.545, 0.53, 0.5)),
    "loss spikes": tuple(
        {"peaks": lambda n, x=x: {"g_grad_norm": x if n == 37 else 1.5, "d_grad_norm": 1.5}}
        for x in (30, 100, 1000)
    ),
    "fooling D with garbage": tuple(
        {
            "adversarial": lambda n, x=x: -(n // 3) * 0.3 - (n % 2) * x,
            "d_accuracy": lambda n: 0.4,
            "validation": lambda n: {"psnr_db": 15.0} if n % 4 == 3 else None,
        }
        for x in (0.4, 0.15, 0.01)
    ),
    "mode collapse": tuple(vital(diversity=x) for x in (0.5, 0.3, 0.1)),
    "excess diversity": tuple(vital(diversity=x) for x in (3.0, 5.0, 9.0)),
    "input ignored": tuple(vital(own_input=x) for x in (0.93, 0.97, 1.0)),
    "overfitting": tuple(
        {
            "validation": lambda n, x=x: {"psnr_db": 20 - x * n / 39} if n % 4 == 3 else None,
            "training": lambda n, x=x: {"psnr_db": 20 + x * n / 39} if n % 4 == 3 else None,
        }
        for x in (1.5, 3, 6)
    ),
    "checkerboard": tuple(vital(checkerboard=x) for x in (6, 20, 50)),
    "exploding gradients": tuple(
        {"g_grad_norm": lambda n, x=x: 1.0 if n < 9 else x} for x in (200, 3e3, 1e5)
    ),
    "dead outputs": tuple(vital(dead=x) for x in (0.2, 0.5, 1.0)),
    "saturated outputs": tuple(vital(saturated=x) for x in (0.2, 0.4, 0.9)),
    "wrong data range": tuple(
        {"ranges": lambda n, r=r: {"target_low": r[0], "target_high": r[1]}}
        for r in ((-0.1, 1), (-1, 1), (0, 255))
    ),
}


@pytest.mark.parametrize("name", LOGS)
def test_three_severities_are_told_apart_in_a_log(name: str) -> None:
    facts = RunFacts(steps=400, kind="non_saturating")
    for severity, columns in zip(SEVERITIES, LOGS[name], strict=True):
        found = {d.name: d for d in diagnose(written(**columns), facts)}
        assert name in found and found[name].severity == severity, (severity, found)
        assert found[name].line.endswith(found[name].remedy) and found[name].step == 400


def test_the_side_that_is_out_of_range_is_named() -> None:
    held = {"target_low": 0.0, "target_high": 1.0, "condition_low": 0.0, "condition_high": 255.0}
    (found,) = diagnose(written(ranges=lambda n: held), RunFacts(steps=400, kind="non_saturating"))
    assert found.line.startswith(
        "wrong data range (severe): the condition values reach from 0 to 255"
    )


def test_a_steady_log_raises_nothing_under_any_objective() -> None:
    for kind in OBJECTIVES:
        assert diagnose(written(), RunFacts(steps=400, kind=kind)) == []


def test_a_strong_critic_is_no_sickness_and_a_rising_sign_is_given_time() -> None:
    strong = written(d_accuracy=lambda n: 1.0, d_loss=lambda n: -50.0)
    assert diagnose(strong, RunFacts(steps=400, kind="wasserstein_gp")) == []
    growing = written(vitals=lambda n: {"diversity": 1.3**n / 1e5} if n % 4 == 3 else None)
    assert diagnose(growing, RunFacts(steps=4000, kind="non_saturating")) == []


def test_a_discriminator_that_has_taught_all_there_is_is_not_blind() -> None:
    def modest(share: float) -> list[dict[str, Any]]:
        numbers = {"modes_covered": 8 * share, "share_near_modes": share}
        plain = {"modes_covered": 0.0, "share_near_modes": 0.05}
        return written(
            d_accuracy=lambda n: 0.53,
            validation=lambda n: numbers if n % 4 == 3 else None,
            baseline=lambda n: plain if n % 4 == 3 else None,
        )

    alone = RunFacts(steps=400, kind="dragan", modes=8, d_alone=True)
    assert diagnose(modest(0.9), alone) == []
    for rows, facts in (
        (modest(0.2), alone),
        (modest(0.9), RunFacts(steps=400, kind="dragan", modes=8)),
    ):
        assert [d.name for d in diagnose(rows, facts)] == ["discriminator blind"]


def test_a_measure_that_cannot_get_better_is_not_asked_to() -> None:
    """One Gaussian, found at once, as the baseline has it; a training that leaves it again is
    garbage all the same.
    """

    def fooled(covered: Callable[[int], float]) -> list[dict[str, Any]]:
        numbers = [
            {"modes_covered": covered(n), "share_near_modes": 0.999 * covered(n)} for n in range(40)
        ]
        return written(
            adversarial=lambda n: 2 - 0.05 * n,
            d_accuracy=lambda n: 0.7 if n < 20 else 0.5,
            validation=lambda n: numbers[n] if n % 4 == 3 else None,
            baseline=lambda n: (
                {"modes_covered": 1.0, "share_near_modes": 1.0} if n % 4 == 3 else None
            ),
        )

    single, many = (RunFacts(steps=400, kind="non_saturating", modes=modes) for modes in (1, 8))
    steady, lost = fooled(lambda n: 1.0), fooled(lambda n: float(n < 20))
    assert diagnose(steady, single) == []
    assert verdict(steady, single).startswith("Healthy: as good as can be (modes_covered 1")
    assert [d.name for d in diagnose(lost, single)] == ["fooling D with garbage"]
    assert verdict(steady, many).startswith("Not yet better")


def checkpointed(out: Path) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(out / "checkpoints")
    assert checkpoint is not None
    return checkpoint.tensors


STRONG = ("adversarial.kind=non_saturating", "train.lr=1e-6", "adversarial.lr=3e-3")


def test_stop_saves_says_so_in_one_line_and_can_be_resumed(
    tmp_path: Path, photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(photos(tmp_path, *STRONG, "train.on_trouble=stop").to_yaml())
    command = ["train", str(recipe), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main(command) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert (
        error.startswith("error: step ")
        and "input ignored (severe): " in error
        and "--resume" in error
    )
    stopped = latest_checkpoint(tmp_path / "run/checkpoints")
    assert stopped is not None and f"step {stopped.facts['step']}:" in error
    assert (tmp_path / "run/report.html").is_file() and (
        tmp_path / "run/model.safetensors"
    ).is_file()
    assert main([*command, "--resume", "train.on_trouble=warn"]) == 0


def test_adapt_weakens_the_discriminator_and_resumes_bit_for_bit(
    tmp_path: Path, photo_folder: Path
) -> None:
    recipe = photos(tmp_path, *STRONG, "train.on_trouble=adapt")
    rows = rows_of(recipe, tmp_path / "whole")
    given = [row for row in rows if "remedy" in row]
    assert len(given) >= 2 and {"step", "diagnosis", "remedy"} <= set(given[0])
    assert (
        given[0]["remedy"] == "d_lr_factor 1 → 0.5"
        and given[1]["remedy"] == "instance_noise 0 → 0.05"
    )
    whole = checkpointed(tmp_path / "whole")
    given_in_all = Remedies()
    for place in range(len(given)):
        given_in_all = treated(sick("discriminator winning"), given_in_all, given[:place])
    assert whole["remedies"].tolist() == list(astuple(given_in_all))
    stopped_at(recipe, tmp_path / "cut", given[0]["step"] + 10)
    rows_of_cut = rows_of(recipe, tmp_path / "cut", resume=True)
    same(whole, checkpointed(tmp_path / "cut"))
    assert [row for row in rows_of_cut if "diagnosis" in row] == [
        row for row in rows if "diagnosis" in row
    ]


def sick(name: str) -> Diagnosis:
    return Diagnosis(name, "clear", 400, "", "")


def test_a_strong_discriminator_is_weakened_in_turn_and_a_weak_one_strengthened() -> None:
    """Rate, noise, turns, to their limits; then all of it taken back before D learns faster than it
    was asked to.
    """
    now, rows = Remedies(), list[dict[str, Any]]()
    course = []
    while (after := treated(sick("discriminator winning"), now, rows)) != now:
        course.append(after)
        now = after
        rows.append({"remedy": ""})
    assert course[:3] == [Remedies(0.5), Remedies(0.5, 0.05), Remedies(0.5, 0.05, 2)]
    assert now == Remedies(1 / 16, 0.2, 4), "nothing goes beyond its limit"
    assert treated(sick("overfitting"), now, rows) == now, "no remedy of D's helps there"
    back = []
    for _ in range(8):
        now = treated(sick("discriminator blind"), now, rows)
        back.append(now)
    assert back[:3] == [Remedies(1 / 16, 0.2), Remedies(1 / 16), Remedies(1 / 8)]
    assert now == Remedies(4.0), "up to four times its rate"


def test_each_diagnosis_is_warned_of_once(
    tmp_path: Path, photo_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = rows_of(photos(tmp_path, *STRONG), tmp_path / "run")
    lines = [message for message in caplog.messages if "discriminator winning" in message]
    told_rows = [row for row in rows if row.get("diagnosis") == "discriminator winning"]
    assert 1 <= len(told_rows) <= 3  # again only when it gets worse, and then in the terminal too
    assert len(lines) == len(told_rows) and all("Lower adversarial.lr" in line for line in lines)
    assert all("(it was " in line for line in lines[1:]) and "(it was " not in lines[0]
    assert (
        Recipe.parse(photos(tmp_path, *STRONG).fields()).changed(told_rows[0]["overrides"])
        is not None
    )
    assert all(
        SEVERITIES.index(a["severity"]) < SEVERITIES.index(b["severity"])
        for a, b in pairwise(told_rows)
    )


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_a_healthy_game_and_a_healthy_translation_raise_nothing(
    tmp_path: Path, photo_folder: Path
) -> None:
    for number, recipe in enumerate(
        (ring("adversarial.kind=least_squares", "train.steps=200"), photos(tmp_path))
    ):
        assert told(rows_of(recipe, tmp_path / str(number))) == {}


@pytest.mark.slow
def test_the_healthy_linear_recipe_raises_nothing(tmp_path: Path) -> None:
    assert told(rows_of(Recipe.load("linear"), tmp_path / "run")) == {}


def test_a_log_of_any_kind_can_be_read() -> None:
    """Rows cut short, of other methods, of before the doctor: nothing is found, nothing fails."""
    odd: list[dict[str, Any]] = [
        {},
        {"step": 3},
        {"resumed_from_step": 2, "step": 2},
        {"step": 4, "validation": {}},
    ]
    odd += [
        {"step": 5, "validation": {"psnr_db": 1.0}, "baseline": {}},
        {"step": 6, "d_accuracy": None, "ranges": {}},
    ]
    assert diagnose([], RunFacts()) == diagnose(odd * 20, RunFacts(kind="non_saturating")) == []
    assert verdict([{"step": 5, "l1": 0.1}]).startswith("Too early")


def test_every_finding_has_one_rule_and_every_rule_its_remedies() -> None:
    """The table is whole: names, signs and remedies refer to each other, and treatment to them."""
    assert [rule.name for rule in RULES] == list(Finding)
    causes = {sign.remedy for rule in RULES for sign in rule.signs} | {
        rule.remedy_without_d for rule in RULES
    }
    assert causes - {None} == set(Cause)
    own = {rule.name for rule in RULES if not all(sign.remedy for sign in rule.signs)}
    assert set(REMEDIES) == own | set(Cause)
    for rule in RULES:
        assert len({sign.reading for sign in rule.signs}) == len(rule.signs)
        for sign in rule.signs:
            assert sorted(sign.grades) in (list(sign.grades), list(sign.grades)[::-1])


# --- what was found wanting in runs of others


def rings(
    covered: float, fidelity: float, *, modes: int = 8, diversity: float = 1.0, **more: Any
) -> Verdict:
    """The findings in a steady log of points, by name, and the verdict."""
    signs = {"diversity": diversity, "coverage": 1.0, "fidelity": fidelity}
    rows = written(
        step=lambda n: 100 * (n + 1),
        validation=lambda n: (
            {"modes_covered": covered, "share_near_modes": fidelity} if n % 4 == 3 else None
        ),
        baseline=lambda n: {"modes_covered": 0.0, "share_near_modes": 0.0} if n % 4 == 3 else None,
        vitals=lambda n: signs if n % 4 == 3 else None,
        **more,
    )
    facts = RunFacts(steps=4000, kind="non_saturating", modes=modes, d_alone=True)
    return {d.name: d.severity for d in diagnose(rows, facts)}, verdict(rows, facts)


Verdict = tuple[dict[str, str], str]


@pytest.mark.parametrize(
    ("covered", "fidelity", "expected"),
    [
        (1, 0.19, {"mode collapse": "severe", "low fidelity": "severe"}),  # lr=1e-2 against 1e-4
        (
            4,
            0.17,
            {"mode collapse": "clear", "low fidelity": "severe"},
        ),  # twenty steps of D to one of G
        (0, 0.05, {"mode collapse": "severe", "low fidelity": "severe"}),  # batches of two
        (8, 0.25, {"low fidelity": "clear"}),
        (5, 0.9, {"mode collapse": "mild"}),
        (7, 0.5, {}),
    ],
)
def test_modes_left_out_and_samples_astray_are_found(
    covered: float, fidelity: float, expected: dict[str, str]
) -> None:
    found, said = rings(covered, fidelity)
    assert found == expected
    assert said.startswith("In trouble") == any(
        severity != "mild" for severity in expected.values()
    )


def test_a_few_hundred_steps_are_no_game_to_judge_by_its_modes() -> None:
    rows = written(validation=lambda n: {"modes_covered": 2.0} if n % 4 == 3 else None)
    assert diagnose(rows, RunFacts(steps=400, kind="non_saturating", modes=8)) == []


@pytest.mark.parametrize(
    ("fidelity", "severity"), [(0.09, "mild"), (0.04, "clear"), (0.0, "severe"), (0.2, None)]
)
def test_pictures_far_from_all_real_ones_are_found(fidelity: float, severity: str | None) -> None:
    rows = written(step=lambda n: 100 * (n + 1), **vital(fidelity=fidelity))
    assert {
        d.name: d.severity for d in diagnose(rows, RunFacts(steps=4000, kind="non_saturating"))
    } == ({"low fidelity": severity} if severity else {})


def test_one_gaussian_has_no_modes_to_lose() -> None:
    assert rings(1, 0.9, modes=1)[0] == {}


def test_a_game_that_still_finds_modes_is_given_time() -> None:
    growing = written(
        step=lambda n: 100 * (n + 1),
        validation=lambda n: (
            {"modes_covered": n // 8, "share_near_modes": n / 60} if n % 4 == 3 else None
        ),
        vitals=lambda n: (
            {"diversity": 1.0, "coverage": 0.9, "fidelity": n / 80} if n % 4 == 3 else None
        ),
    )
    whole, half = (
        RunFacts(steps=4000, kind="non_saturating", modes=8),
        RunFacts(steps=8000, kind="non_saturating", modes=8),
    )
    assert [d.name for d in diagnose(growing, half)] == []
    assert [d.name for d in diagnose(growing[:30], whole)] == []


@pytest.mark.parametrize("low", [0.04, 0.15, 0.3])
def test_a_discriminator_held_back_by_noise_or_that_has_taught_all_is_not_blind(low: float) -> None:
    """DRAGAN on the shipped ring ranks fakes above real ones for a thousand steps, and then
    teaches all modes.
    """
    fooled = {"d_accuracy": lambda n: 0.7 if n < 4 else low}
    plain = RunFacts(steps=400, kind="dragan", modes=8, d_alone=True)
    assert "discriminator blind" in {d.name for d in diagnose(written(**fooled), plain)}
    late = written(36, **{"d_accuracy": lambda n: low})
    assert diagnose(late, replace(plain, steps=800, noisy=400)) == []
    assert rings(8, 0.9, **fooled)[0] == {}


def test_a_game_that_turns_for_good_is_no_swing() -> None:
    course = [0.4, 0.13, 0.04, 0.2, 0.24, 0.36, 0.69, 0.8]
    rows = written(d_accuracy=lambda n: 0.4 if n < 32 else course[n - 32])
    assert diagnose(rows, RunFacts(steps=4000, kind="dragan", noisy=2000)) == []
    swinging = written(d_accuracy=lambda n: 0.98 if n % 4 < 2 else 0.2)
    (found,) = diagnose(swinging, RunFacts(steps=400, kind="non_saturating"))
    assert found.name == "loss spikes" and found.numbers.startswith("D's accuracy varies by")


def test_only_what_is_bad_is_told_as_its_evidence() -> None:
    """Never "0 times the usual one": what was not measured shows nothing."""
    swinging = {"d_accuracy": lambda n: 0.9 if n % 4 < 2 else 0.1}
    logs = [
        *(columns for each in LOGS.values() for columns in each),
        swinging,
        vital(coverage=0.2, fidelity=0.8),
    ]
    for columns in logs:
        for without in ("d_grad_norm", "g_grad_norm", "g_signal", "d_loss"):
            rows = [{k: v for k, v in row.items() if k != without} for row in written(**columns)]
            for found in diagnose(rows, RunFacts(steps=400, kind="wasserstein_gp")):
                assert (
                    " 0 times" not in found.line
                    and "0-fold" not in found.line
                    and "inf" not in found.line
                )
    covered = written(vitals=lambda n: {"coverage": 0.2, "fidelity": 0.8} if n % 4 == 3 else None)
    (found,) = diagnose(covered, RunFacts(steps=400, kind="non_saturating"))
    assert found.numbers == "20% of the real samples have fakes around them"


@pytest.mark.parametrize("count", [1, 3, 7])
def test_too_few_validation_photos_are_said_and_not_judged(count: int) -> None:
    rows = written(
        vitals=lambda n: {"diversity": 0.3, "count": float(count)} if n % 4 == 3 else None
    )
    for kind in (None, "non_saturating"):
        facts = RunFacts(steps=400, kind=kind)  # type: ignore[arg-type]  # a kind
        assert diagnose(rows, facts) == []
        assert verdict(rows, facts).startswith("Healthy: better than its baseline")
        assert "too few to tell how varied outputs are: 8 do" in verdict(rows, facts)
    enough = [
        row | ({"vitals": row["vitals"] | {"count": 8.0}} if row.get("vitals") else {})
        for row in rows
    ]
    assert [d.name for d in diagnose(enough, RunFacts(steps=400, kind="non_saturating"))] == [
        "mode collapse"
    ]
    assert "too few" not in verdict(enough, RunFacts(steps=400, kind="non_saturating"))


# --- remedies


SHIPPED = sorted(path.stem for path in recipes_dir().glob("*.yaml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_every_remedy_of_every_diagnosis_is_taken_by_every_shipped_recipe(name: str) -> None:
    recipe = Recipe.load(name)
    for sickness, (_, candidates) in REMEDIES.items():
        told = remedy_for(sickness, recipe)
        assert not candidates or told.overrides or recipe.adversarial is None, (
            f"nothing is told against {sickness}"
        )
        if told.overrides:
            again = Recipe.load(name, told.overrides)  # as a user types them
            assert again != recipe and all(o in told.line for o in told.overrides)


def test_what_a_recipe_refuses_is_not_told() -> None:
    """A PatchGAN has no minibatch discrimination, batch norm no gradient penalty, and clipping is
    G's alone.
    """
    patches, clothes = Recipe.load("translate_tiny"), Recipe.load("dcgan")
    assert remedy_for("mode collapse", patches).overrides == ("train.batch_size=32",)
    larger = patches.changed(["train.batch_size=32", "adversarial.instance_noise=0.1"])
    assert remedy_for("mode collapse", larger).overrides == ("discriminator.minibatch_std=true",)
    assert remedy_for("spikes of D", clothes).overrides[0].startswith("adversarial.lr="), (
        "norm: batch"
    )
    assert remedy_for("spikes of D", Recipe.load("ring")).overrides == ("adversarial.r1=1",)
    assert "clip_norm" not in remedy_for("spikes of D", patches).line
    assert remedy_for("spikes of G", clothes).overrides == ("train.clip_norm=1",)
    assert remedy_for("mode collapse", None).overrides == ()


def test_the_remedy_is_that_of_the_player_who_is_ill() -> None:
    facts = RunFacts.of(Recipe.load("ring").fields())
    for player, expected in (
        ("d_grad_norm", "adversarial.r1=1"),
        ("g_grad_norm", "train.clip_norm=1"),
    ):
        peaks = {"d_grad_norm": 1.5, "g_grad_norm": 1.5, player: 1000.0}
        rows = written(
            peaks=lambda n, p=peaks: p if n == 37 else {"d_grad_norm": 1.5, "g_grad_norm": 1.5}
        )
        (found,) = diagnose(rows, replace(facts, modes=None, steps=400))
        assert found.overrides == (expected,) and player in found.numbers


def test_a_worse_form_of_what_was_told_is_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = Trainer(ring("train.steps=2"), tmp_path / "run", device="cpu")
    for severity in SEVERITIES:
        trainer.doctor.report([replace(sick("mode collapse"), severity=severity)])
    trainer.folder.close()
    lines = [message for message in caplog.messages if "mode collapse" in message]
    assert [f"({severity})" in line for severity, line in zip(SEVERITIES, lines, strict=True)] == [
        True
    ] * 3
    assert lines[1].endswith("(it was mild)") and lines[2].endswith("(it was clear)")


@pytest.mark.slow
def test_a_collapsed_ring_is_not_healthy(tmp_path: Path) -> None:
    """Two runs as a reader tried them: a hasty generator, and one that hardly has a turn."""
    hasty = ("adversarial.instance_noise=0", "train.lr=1e-2", "adversarial.lr=1e-4")
    for number, overrides in enumerate(
        (hasty, ("adversarial.d_steps=20",), ("train.batch_size=2",))
    ):
        recipe = Recipe.load("ring", ["train.steps=1200", *overrides])
        rows = rows_of(recipe, tmp_path / str(number))
        assert {"mode collapse", "low fidelity"} & told(rows).keys(), overrides
        assert verdict(rows, RunFacts.of(recipe.fields())).startswith("In trouble"), overrides


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_shipped_ring_under_dragan_raises_nothing(seed: int, tmp_path: Path) -> None:
    rows = rows_of(
        Recipe.load("ring", ["adversarial.kind=dragan", f"seed={seed}"]), tmp_path / "run"
    )
    assert told(rows) == {}
