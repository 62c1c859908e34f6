"""The run: logs, resume bit for bit after a stop and after `kill -9`, checkpoints whole or not at
all, NaN.
"""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forked import Forks
from PIL import Image
from safetensors.torch import load_file
from stopping import after_step, before_step, stopped_at
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from img2img.data.dataset import load_photos
from img2img.diagnostics.recorded_run import Run
from img2img.diagnostics.runlog import read_rows
from img2img.errors import TrainingError, UserError
from img2img.losses.perceptual import missing, perceptual_distance
from img2img.modelfile import read_header
from img2img.recipe import Recipe
from img2img.resources import recipes_dir, samples_dir
from img2img.testing.faults import flip_byte
from img2img.training import train
from img2img.training.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint
from img2img.training.discriminator import DiscriminatorTrainer
from img2img.training.trainer import Trainer


def small(name: str = "inpaint_tiny", **train_fields: Any) -> Recipe:
    """A shipped tiny recipe, adversarial part included, cut to a few steps."""
    fields = Recipe.load(name).fields()
    fields["train"] |= {
        "steps": 8,
        "batch_size": 2,
        "log_every": 1,
        "validate_every": 100,
        "checkpoint_every": 100,
        **train_fields,
    }
    if fields["adversarial"]:
        fields["adversarial"] |= {"phases": None, "start_step": 2}
    return Recipe.parse(fields)


def lines(out: Path) -> list[dict[str, Any]]:
    return read_rows(out / "log.jsonl")


def discriminator_of(trainer: Trainer) -> DiscriminatorTrainer:
    (discriminator,) = trainer.step.discriminators.values()
    return discriminator


def weights(out: Path) -> dict[str, torch.Tensor]:
    checkpoint = latest_checkpoint(out / "checkpoints")
    assert checkpoint is not None
    return checkpoint.tensors


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different, different


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("inpaint_tiny", None), ("translate_tiny", None), ("denoise_tiny", "muon")],
)
def test_stopped_and_resumed_run_ends_with_the_same_bits(
    name: str, optimizer: str | None, precision: str, tmp_path: Path
) -> None:
    recipe = small(name, precision=precision, optimizer=optimizer)
    train(recipe, tmp_path / "whole", device="cpu")
    stopped_at(recipe, tmp_path / "cut", 5)
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert (tmp_path / "whole/model.safetensors").exists()
    same(
        load_file(tmp_path / "whole/model.safetensors"),
        load_file(tmp_path / "cut/model.safetensors"),
    )
    timeless = [
        {k: v for k, v in line.items() if k not in TIMES} for line in lines(tmp_path / "cut")
    ]
    assert {"resumed_from_step": 5, "step": 5} in timeless
    expected = [
        {k: v for k, v in line.items() if k not in TIMES} for line in lines(tmp_path / "whole")
    ]
    assert [line for line in timeless if "resumed_from_step" not in line] == expected


@pytest.mark.skipif(
    missing("stlpips_alex") is not None, reason="wheel stlpips-pytorch is not installed"
)
def test_a_perceptual_network_loaded_anew_changes_nothing_in_a_resumed_run(tmp_path: Path) -> None:
    """A run loads it in its first step, a resumed one again in a later step; both draw crops."""
    fields = small("translate_tiny").fields()
    fields["losses"] = [
        {"kind": "l1"},
        {"kind": "perceptual", "network": "stlpips_alex", "crop_px": 32},
    ]
    recipe = Recipe.parse(fields)
    perceptual_distance.cache_clear()
    train(recipe, tmp_path / "whole", device="cpu")
    stopped_at(recipe, tmp_path / "cut", 5)
    perceptual_distance.cache_clear()  # as in a process of its own
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "cut")


TIMES = ("seconds", "minutes", "images_per_second", "data_wait", "model")


def timeless(out: Path) -> list[dict[str, Any]]:
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in lines(out)]
    return [row for row in rows if "resumed_from_step" not in row]


def on(folder: Path, recipe: Recipe, **data: Any) -> Recipe:
    """The recipe with other photos."""
    fields = recipe.fields()
    return Recipe.parse(
        {**fields, "data": {**fields["data"], "path": str(folder), "crop_px": 32, **data}}
    )


@pytest.fixture
def ninety_six(tmp_path: Path, photos: list[np.ndarray]) -> Path:
    """96 photos, one of them cut in half."""
    folder = tmp_path / "ninety_six"
    folder.mkdir()
    for index in range(96):
        Image.fromarray(np.roll(photos[index % 6], index, (0, 1))).save(
            folder / f"photo_{index:02d}.jpg"
        )
    cut = folder / "photo_40.jpg"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_one_broken_photo_of_96_costs_a_run_nothing(
    ninety_six: Path, tmp_path: Path, workers: int
) -> None:
    recipe = on(
        ninety_six, small("denoise_tiny", steps=4), workers=workers
    )  # fewer steps than an epoch
    cut = str(ninety_six / "photo_40.jpg")
    whole = train(recipe, tmp_path / "whole", device="cpu")
    assert list(whole["left_out"]) == [cut] and "cut short" in whole["left_out"][cut]
    assert whole["photos"] == 96 and (tmp_path / "whole/model.safetensors").is_file()
    page = (tmp_path / "whole/report.html").read_text()
    assert "1 left out" in page and cut in page and "77 photos; 19 for validation, held out" in page
    stopped_at(recipe, tmp_path / "stopped", 2)
    assert (
        train(recipe, tmp_path / "stopped", resume=True, device="cpu")["left_out"]
        == whole["left_out"]
    )
    same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_loader_finds_broken_is_told_the_same_after_a_resume(
    photo_folder: Path, tmp_path: Path, workers: int
) -> None:
    content = bytearray((photo_folder / "photo_4.png").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 60] = bytes(60)
    (photo_folder / "photo_4.png").write_bytes(
        content
    )  # its ends are whole: only who decodes it sees the damage
    plain = small("denoise_tiny", steps=6, batch_size=1, validate_every=2)
    recipes = [on(photo_folder, plain, workers=w, validation_share=0.2) for w in (0, workers)]
    summary = train(recipes[0], tmp_path / "whole", device="cpu")
    assert [Path(name).name for name in summary["left_out"]] == ["photo_4.png"]
    stopped_at(recipes[1], tmp_path / "cut", 1)
    train(recipes[1], tmp_path / "cut", resume=True, device="cpu")
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "cut")


def test_photos_that_vanish_are_left_out_and_when_none_is_left_everything_is_saved(
    photo_folder: Path, tmp_path: Path
) -> None:
    recipe = on(photo_folder, small("denoise_tiny", steps=30), cache_mb=0, validation_share=0)
    trainer = Trainer(recipe, tmp_path / "run", device="cpu")
    after_step(trainer, 3, (photo_folder / "photo_0.png").unlink)
    others = [photo_folder / f"photo_{i}.png" for i in range(1, 6)]
    after_step(trainer, 20, lambda: [path.unlink() for path in others])
    with pytest.raises(
        UserError, match=r"step 21: .*none of the photos can be read.*everything is saved"
    ) as ended:
        trainer.run()
    assert "\n" not in str(ended.value)
    kept = latest_checkpoint(tmp_path / "run/checkpoints")
    assert kept is not None and kept.facts["step"] == 20
    assert any(
        list(row.get("left_out", {})) == [str(photo_folder / "photo_0.png")]
        for row in lines(tmp_path / "run")
    )


def test_a_run_whose_photos_go_after_its_last_step_ends_whole(
    photo_folder: Path, tmp_path: Path
) -> None:
    recipe = on(photo_folder, small("denoise_tiny", steps=2), cache_mb=0, validation_share=0)
    trainer = Trainer(recipe, tmp_path / "run", device="cpu")
    after_step(trainer, 2, lambda: shutil.rmtree(photo_folder))
    summary = trainer.run()
    assert summary["step"] == 2 and len(summary["left_out"]) == 6
    assert (tmp_path / "run/model.safetensors").is_file()


def test_only_broken_photos_are_refused_before_a_folder_is_made(
    photo_folder: Path, tmp_path: Path
) -> None:
    for path in photo_folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the photos can be read; first: .*is empty"):
        train(on(photo_folder, small("denoise_tiny")), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_other_photos_are_told_when_a_run_is_taken_up_again(
    photo_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = on(photo_folder, small("denoise_tiny", steps=4))
    stopped_at(recipe, tmp_path / "run", 2)
    stopped_at(recipe, tmp_path / "other", 2)
    train(recipe, tmp_path / "run", resume=True, device="cpu")
    assert "data has changed" not in caplog.text
    (photo_folder / "photo_5.png").unlink()
    train(recipe, tmp_path / "other", resume=True, device="cpu")
    assert (
        "resume: the data has changed: 6 files then, 5 now; the run goes on with what is there"
        in caplog.text
    )


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from img2img.recipe import Recipe
from img2img.training.trainer import Trainer
from stopping import after_step

torch.set_num_threads(int(sys.argv[3]))
trainer = Trainer(Recipe.load(sys.argv[1]), Path(sys.argv[2]), device="cpu")
after_step(trainer, 7, lambda: os.kill(os.getpid(), signal.SIGKILL))
trainer.run()
"""


def test_kill_9_loses_nothing_but_the_steps_since_the_checkpoint(
    forks: Forks, tmp_path: Path
) -> None:
    recipe = small("denoise_tiny", steps=12, checkpoint_every=5)
    yaml = tmp_path / "r.yaml"
    yaml.write_text(recipe.to_yaml())
    killed = forks(KILLED, yaml, tmp_path / "cut", torch.get_num_threads())
    assert killed.code == -signal.SIGKILL, killed
    reached = latest_checkpoint(tmp_path / "cut/checkpoints")
    assert reached is not None and reached.facts["step"] == 5
    train(recipe, tmp_path / "cut", resume=True, device="cpu")
    train(recipe, tmp_path / "whole", device="cpu")
    same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    steps = [line["step"] for line in lines(tmp_path / "cut") if "g_loss" in line]
    assert steps == list(range(1, 13))


def test_log_has_one_line_a_step_and_ends_with_the_summary(tmp_path: Path) -> None:
    summary = train(small("denoise_tiny", validate_every=4), tmp_path / "run", device="cpu")
    written = lines(tmp_path / "run")
    assert [line["step"] for line in written if "g_loss" in line] == list(range(1, 9))
    assert written[-1] == summary and summary["summary"] is True
    assert set(summary["validation"]) == set(summary["baseline"]) == {"psnr_db"}
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        *("checkpoints", "log.jsonl", "model.safetensors"),
        *("recipe.yaml", "report.html", "samples", "tensorboard"),
    ]
    assert any((tmp_path / "run/tensorboard").rglob("events*")) and any(
        (tmp_path / "run/samples").iterdir()
    )
    assert Recipe.load(tmp_path / "run/recipe.yaml") == small("denoise_tiny", validate_every=4)


def test_the_loss_of_color_is_logged_as_it_was_once_spelled(tmp_path: Path) -> None:
    overrides = ["losses=[{kind: l1}, {kind: colorfulness}]", "data.crop_px=32", "train.steps=2"]
    sizes = ["train.batch_size=2", "train.log_every=1"]
    train(Recipe.load("colorize_tiny", [*overrides, *sizes]), tmp_path / "run", device="cpu")
    assert any(row.keys() >= {"0_l1", "1_colourfulness"} for row in lines(tmp_path / "run"))


def test_resume_without_checkpoint_starts_at_zero_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(small("denoise_tiny", steps=2), tmp_path / "run", resume=True, device="cpu")
    assert "starting at 0" in caplog.text
    assert lines(tmp_path / "run")[0] == {"resumed_from_step": 0, "step": 0}


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    train(small("denoise_tiny", steps=1), tmp_path / "run", device="cpu")
    with pytest.raises(UserError, match="already holds a run: add resume to go on"):
        train(small("denoise_tiny", steps=1), tmp_path / "run", device="cpu")


def test_resume_with_another_network_is_refused(tmp_path: Path) -> None:
    train(small("denoise_tiny", steps=1), tmp_path / "run", device="cpu")
    other = small("denoise_tiny", steps=1).fields()
    other["generator"]["widths"] = [8, 16]
    with pytest.raises(UserError, match="another generator"):
        train(Recipe.parse(other), tmp_path / "run", resume=True, device="cpu")


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, Checkpoint({"w": torch.full((3,), float(step))}, {"step": step}))
    assert sorted(p.name for p in tmp_path.glob("*.safetensors")) == [
        "step_00000002.safetensors",
        "step_00000003.safetensors",
    ]
    newest = tmp_path / "step_00000003.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1] + b"\xff")
    found = latest_checkpoint(tmp_path)
    assert found is not None and found.facts["step"] == 2 and float(found.tensors["w"][0]) == 2
    assert "damaged" in caplog.text


def test_any_byte_of_a_checkpoint_that_changes_is_found(tmp_path: Path) -> None:
    """In tensors, header and facts. Files of before have no checksum of their facts."""
    facts = {"step": 2, "averages": {"l1": [0.1, 1, float("nan")]}, "left_out": {"ä": "é"}}
    saved = save_checkpoint(tmp_path, Checkpoint({"w": torch.ones(2)}, facts))
    for file in (saved, saved.with_suffix(".json")):
        content = file.read_bytes()
        for place in range(len(content)):
            flip_byte(file, place, 1 << place % 8)
            assert latest_checkpoint(tmp_path) is None
            file.write_bytes(content)
    assert latest_checkpoint(tmp_path) is not None
    older = json.loads(saved.with_suffix(".json").read_text())
    del older["facts_sha256"]
    saved.with_suffix(".json").write_text(json.dumps(older))
    assert latest_checkpoint(tmp_path) is not None


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    recipe = small("denoise_tiny", steps=6, checkpoint_every=2)
    trainer = Trainer(recipe, tmp_path / "run", device="cpu")
    before_step(trainer, 3, lambda batches: batches[0].target.fill_(float("nan")))
    with pytest.raises(TrainingError, match=r"step 4: .*NaN.*checkpoint"):
        trainer.run()
    kept = latest_checkpoint(tmp_path / "run/checkpoints")
    assert kept is not None and kept.facts["step"] == 2
    assert all(torch.isfinite(value).all() for value in kept.tensors.values())
    assert "NaN" in lines(tmp_path / "run")[-1]["error"]
    mended = small(
        "denoise_tiny", steps=6, checkpoint_every=2, lr=1e-5, clip_norm=1.0
    )  # what the error tells to do
    Trainer(mended, tmp_path / "run", resume=True, device="cpu").run()
    assert not any("error" in row or "diagnosis" in row for row in lines(tmp_path / "run"))
    assert Run(tmp_path / "run").verdict.startswith(("Healthy", "Not yet better"))


def test_a_nan_before_the_first_checkpoint_says_that_nothing_was_saved(tmp_path: Path) -> None:
    trainer = Trainer(small("denoise_tiny", steps=6, lr=1e30), tmp_path / "run", device="cpu")
    with pytest.raises(TrainingError, match=r"NaN.*; nothing was saved yet; lower train\.lr"):
        trainer.run()


def test_a_nan_of_d_is_mended_by_its_own_rate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def played(lr: float) -> Recipe:
        fields = small("translate_tiny", steps=6, checkpoint_every=3).fields()
        fields["adversarial"] |= {"lr": lr}
        return Recipe.parse(fields)

    trainer = Trainer(played(2e-4), tmp_path / "run", device="cpu")

    def poison(_: object) -> None:
        with torch.no_grad():
            next(discriminator_of(trainer).module.parameters()).fill_(float("nan"))

    before_step(trainer, 4, poison)
    with pytest.raises(TrainingError, match=r"NaN.*lower train\.lr \(or adversarial\.lr\)"):
        trainer.run()
    mended = Trainer(played(1e-5), tmp_path / "run", resume=True, device="cpu")
    mended.run()
    assert "adversarial.lr was 0.0002, and is 1e-05 from here on" in caplog.text
    assert discriminator_of(mended).optimized.choice.lr == 1e-5


def test_tensorboard_has_what_the_log_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Trainer(
        small("translate_tiny", steps=4, on_trouble="adapt"), tmp_path / "run", device="cpu"
    )
    given = {"step": 2, "diagnosis": "mode collapse", "remedy": "d_every 1 → 2"}
    monkeypatch.setattr(trainer.treatment, "adapted", lambda rows, remedies: (remedies, given))
    trainer.run()
    (events,) = {path.parent for path in (tmp_path / "run/tensorboard").rglob("events*")}
    written = EventAccumulator(str(events)).Reload()
    (row,) = (row for row in lines(tmp_path / "run") if "vitals" in row)
    for group in ("validation", "baseline", "training", "vitals"):
        for name, value in row[group].items():
            (event,) = written.Scalars(f"{group}/{name}")
            assert (event.step, event.value) == (4, pytest.approx(value, rel=1e-5))
    said = [
        event.tensor_proto.string_val[0].decode()
        for event in written.Tensors("doctor/text_summary")
    ]
    assert "mode collapse: d_every 1 → 2" in said


def test_fine_tuning_starts_from_the_given_model(tmp_path: Path) -> None:
    train(small("denoise_tiny", steps=3), tmp_path / "first", device="cpu")
    recipe = small("denoise_tiny", steps=1, lr=1e-12, init=str(tmp_path / "first"))
    train(recipe, tmp_path / "second", device="cpu")
    first, second = (
        load_file(tmp_path / name / "model.safetensors") for name in ("first", "second")
    )
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=1e-6, rtol=0)


def test_fine_tuning_another_network_is_refused(tmp_path: Path) -> None:
    train(small("denoise_tiny", steps=1), tmp_path / "first", device="cpu")
    with pytest.raises(UserError, match=r"train\.init"):
        train(
            small("super_resolve_tiny", steps=1, init=str(tmp_path / "first")),
            tmp_path / "second",
            device="cpu",
        )
    (tmp_path / "notes.md").write_text("no model")
    with pytest.raises(UserError, match=r"notes\.md"):
        train(
            small("denoise_tiny", steps=1, init=str(tmp_path / "notes.md")),
            tmp_path / "third",
            device="cpu",
        )
    assert not (tmp_path / "third" / "log.jsonl").exists()


def test_accumulated_batches_equal_one_large_batch(tmp_path: Path) -> None:
    plain = {"precision": "fp32", "steps": 2, "clip_norm": None}
    train(small("denoise_tiny", batch_size=4, **plain), tmp_path / "large", device="cpu")
    train(
        small("denoise_tiny", batch_size=2, accumulate=2, **plain), tmp_path / "small", device="cpu"
    )
    large, summed = (
        load_file(tmp_path / name / "model.safetensors") for name in ("large", "small")
    )
    for name in large:
        torch.testing.assert_close(large[name], summed[name], atol=2e-4, rtol=1e-3)


def test_card_tells_what_the_model_was_trained_on(tmp_path: Path) -> None:
    recipe = Recipe.parse(
        small("denoise_tiny", steps=2).fields()
        | {"data": {"path": str(samples_dir()), "terms": "CC0", "crop_px": 64}}
    )
    train(recipe, tmp_path / "run", device="cpu")
    header = read_header(tmp_path / "run/model.safetensors")
    assert header.recipe == recipe
    assert (header.card.steps, header.card.images, header.card.data_terms) == (2, 4, "CC0")
    assert header.card.photos == len(
        list(samples_dir().glob("*.jpg"))
    ) and header.card.tile_overlap_px in (
        8,
        16,
        24,
        32,
        48,
        64,
        96,
        128,
    )


def test_phases_of_glcic(tmp_path: Path) -> None:
    """Completion alone, discriminator alone, both: who has losses tells who learned (Iizuka et al.
    2017, 3.4).
    """
    fields = small("inpaint_tiny").fields()
    fields["adversarial"] |= {"start_step": 0, "phases": [3, 2, 3]}
    train(Recipe.parse(fields), tmp_path / "run", device="cpu")
    who = [
        ("g_loss" in line, "d_loss" in line, "adversarial" in line)
        for line in lines(tmp_path / "run")
        if "seconds" in line
    ]
    assert who == [(True, False, False)] * 3 + [(False, True, False)] * 2 + [(True, True, True)] * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted({p.stem for p in recipes_dir().glob("*_tiny.yaml")} - {"cyclegan_tiny"})
)
def test_tiny_recipes_learn_on_photos_held_out(name: str, tmp_path: Path) -> None:
    """At least 1 dB better than the best trivial answer, or 10 % of the loss; and the doctor has
    nothing to say.

    A minute does not bring grey photos nearer to their colors than they are: there, mid-grey is
    what has to be beaten, and the verdict says that the input copied is better.
    """
    summary = train(Recipe.load(name), tmp_path / "run", device="cpu")
    rows = lines(tmp_path / "run")
    assert len(rows) >= 50 and [row for row in rows if "diagnosis" in row] == []
    made, plain = summary["validation"], summary["baseline"]
    if name == "translate_tiny":
        known = Recipe.load(name)
        held_out = load_photos(known.task, known.data, known.seed).validation
        plain = {
            "psnr_db": sum(-10 * float((b.target - 0.5).square().mean().log10()) for b in held_out)
            / len(held_out)
        }
        assert Run(tmp_path / "run").verdict.startswith("Not yet better than its baseline")
        assert (
            summary["baseline_is"]["psnr_db"] == "copying the input"
            and made["psnr_db"] > plain["psnr_db"] + 4
        )
    if "f1" in made:  # of masks
        assert made["f1"] >= plain["f1"] + 0.1, summary
        return
    gains = [made[key] - plain[key] for key in made if key.endswith("_db")]
    less_error = [1 - 10 ** (-gain / 20) for gain in gains]  # of the root mean square error
    assert max(gains) >= 1 or max(less_error) >= 0.1, summary


def test_a_resumed_run_that_would_be_another_says_which_fields_differ(tmp_path: Path) -> None:
    train(small("denoise_tiny", steps=1), tmp_path / "run", device="cpu")
    other = small("denoise_tiny", steps=1).fields()
    other["train"] |= {"batch_size": 3, "schedule": "linear"}
    with pytest.raises(
        UserError, match=r"another train: train\.batch_size was 2, and is 3; train\.schedule"
    ):
        train(Recipe.parse(other), tmp_path / "run", resume=True, device="cpu")


def test_a_network_that_no_memory_holds_is_told_in_one_line(tmp_path: Path) -> None:
    fields = small("denoise_tiny").fields()
    fields["generator"] |= {"widths": [10**9, 10**9], "blocks": [1, 1]}
    with pytest.raises(UserError, match=r"^generator: the network does not fit into the memory"):
        Trainer(Recipe.parse(fields), tmp_path / "run", device="cpu")
