"""What a training survives: `python -m img2img.maintenance.faults` trains a tiny run unbroken, then
many more of it to which something happens, resumes each, and prints a table.

A fault is survived if the run that it ended says so in one line (a kill says nothing), what was
saved before is whole and the newest of it is gone on from, and the resumed run ends with the same
bits as the unbroken one: networks, optimizers, averages, and every number of the log that is no
time. Where nothing had been saved yet, a run that has logged something is refused and stays as it
is. Linux and macOS; minutes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple, Self

import cv2
import numpy as np
import torch
from safetensors.torch import load_file

from img2img.about import aligned
from img2img.cli import main as command_line
from img2img.diagnostics.runlog import read_rows
from img2img.lock import LOCK
from img2img.pixels.sheets import write_sheet
from img2img.recipe import Recipe
from img2img.testing.faults import (
    KILLED,
    Ended,
    Fault,
    FileFaults,
    Moments,
    Part,
    clock_jumping,
    cut_short,
    flip_byte,
    in_child,
)
from img2img.training import train
from img2img.training.checkpoint import OWN_SHA256
from img2img.training.run_folder import MODEL

STEPS, SAVED_EVERY = 6, 2
HELD_S = 1.0  # for which a photo to be decoded is held up, so that a kill finds it
TIMES = ("seconds", "minutes", "images_per_second", "data_wait")
DAY_S = 86400.0


class Survival(NamedTuple):
    """What a fault hit, in a word, and what was wrong afterwards; None where it was survived."""

    where: str
    problem: str | None


@dataclass
class Tally:
    """The faults of one kind."""

    fault: str
    injected: int = 0
    where_hit: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, fault: str, injected: Iterator[Survival]) -> Self:
        """Inject them all; what is not survived is printed at once."""
        tally = cls(fault)
        for where, problem in injected:
            tally.injected += 1
            tally.where_hit[where] += bool(where)
            if problem is not None:
                tally.problems.append(problem)
                print(f"{fault}: {where}: {problem}", file=sys.stderr, flush=True)
        return tally

    @property
    def survived(self) -> int:
        """Of those injected."""
        return self.injected - len(self.problems)

    def where(self) -> str:
        """What they hit, and how often."""
        return ", ".join(f"{where} {times}" for where, times in self.where_hit.items() if times)


class Lab:
    """A tiny recipe with a discriminator, a replay pool and one loader process, its unbroken run,
    and runs of it to which something happens.
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.folder, self.seed, self.random = folder, seed, random.Random(seed)
        self.recipe, self.run, self.whole = (
            folder / name for name in ("recipe.yaml", "run", "whole")
        )
        self._write_recipe()
        # What is imported on the way is so once, for all processes that are forked from here.
        train(Recipe.load(self.recipe, ["train.steps=1", "data.workers=0"]), self.run, device="cpu")
        shutil.rmtree(self.run)
        self.moments = Moments()
        ended = self.train(within=[self.moments])
        if ended.code != 0:
            raise RuntimeError(f"the unbroken run ends with {ended.code}: {ended.output}")
        self.run.rename(self.whole)

    def train(
        self,
        *extra: str,
        resume: bool = False,
        within: Sequence[AbstractContextManager[object]] = (),
        outside: Callable[[int], object] | None = None,
    ) -> Ended:
        """`img2img train` in a process of its own, with further fields of the recipe."""
        words = ["train", str(self.recipe), *extra, f"--out={self.run}", "--device=cpu"]
        words += ["--resume"] * resume
        return in_child(lambda: command_line(words), self.folder / "output.txt", within, outside)

    def after(self, ended: Ended, moments: Moments, *extra: str) -> str | None:
        """What is wrong with the run that a fault has ended; None where it goes on to the end."""
        if problem := misspoken(ended):
            return problem
        newest = newest_whole(self.run)
        if (newest or 0) < moments.saved_steps:
            return f"step {moments.saved_steps} was saved, and of that step {newest} is left"
        before, again = contents(self.run), self.train(*extra, resume=True)
        if newest is None and again.code == 2:  # nothing but a log
            return self.refused(again, before)
        return self.resumed(again, newest or 0)

    def resumed(self, ended: Ended, step: int, said: str = "") -> str | None:
        """What is wrong with a run that was to go on from a step and say so; None for nothing."""
        if ended.code != 0 or said not in ended.output:
            return f"resume ends with {ended.code}: {ended.output}"
        found = [row.get("resumed_from_step") for row in read_rows(self.run / "log.jsonl")]
        begun = [known for known in found if known is not None][-1]
        return self.difference() if begun == step else f"goes on from {begun} instead of {step}"

    def refused(self, ended: Ended, before: dict[str, str], said: str = "") -> str | None:
        """What is wrong where a resume was to change nothing and say why."""
        if ended.code != 2 or said not in ended.output:
            return f"resume ends with {ended.code}: {ended.output}"
        return misspoken(ended) or ("changed" if contents(self.run) != before else None)

    def difference(self) -> str | None:
        """What of the run is not as in the unbroken one."""
        for file in (f"checkpoints/step_{STEPS:08d}.safetensors", MODEL, "best.safetensors"):
            one, other = (load_file(folder / file) for folder in (self.whole, self.run))
            names = one.keys() ^ other.keys()
            names |= {n for n in one.keys() & other.keys() if _bits(one[n]) != _bits(other[n])}
            if names:
                return f"{file}: {len(names)} of {len(one)} tensors differ, first {min(names)}"
        rows, others = (logged(folder) for folder in (self.whole, self.run))
        for row, other in zip_longest(rows, others):
            if row != other:
                return f"log.jsonl differs: {row} → {other}"
        left = sorted(str(path.relative_to(self.run)) for path in self.run.rglob(".*"))
        return f"left behind: {', '.join(left)}" if left else None

    def empty(self) -> None:
        """The run's folder is gone."""
        shutil.rmtree(self.run, ignore_errors=True)

    def finished(self) -> tuple[Path, Path]:
        """The run's folder as of the unbroken run; its newest checkpoint's tensors and facts."""
        self.empty()
        shutil.copytree(self.whole, self.run)
        newest = self.run / "checkpoints" / f"step_{STEPS:08d}.safetensors"
        return newest, newest.with_suffix(".json")

    def _write_recipe(self) -> None:
        photos = self.folder / "photos"
        photos.mkdir()
        rng = np.random.default_rng(self.seed)
        for number in range(8):
            shades = cv2.resize(rng.random((4, 4, 3)), (256, 256), interpolation=cv2.INTER_CUBIC)
            write_sheet(photos / f"{number}.png", shades)
        fields = Recipe.load("translate_tiny").fields()
        fields["data"] |= {"path": [str(photos)], "crop_px": 32, "resize_px": None}
        fields["data"] |= {"workers": 1, "cache_mb": 0, "validation_max": 1}  # each is decoded
        fields["generator"] |= {"width": 4, "levels": 3}
        fields["discriminator"] |= {"width": 4, "layers": 1}
        fields["adversarial"] |= {"replay": 4}
        often = dict.fromkeys(("validate_every", "checkpoint_every"), SAVED_EVERY)
        fields["train"] |= {"steps": STEPS, "batch_size": 2, "log_every": 1, **often}
        fields["train"] |= {"keep_best": True}
        self.recipe.write_text(Recipe.parse(fields).to_yaml())


def misspoken(ended: Ended) -> str | None:
    """What is wrong with a process's last words: an error is one line, and no traceback."""
    errors = [line for line in ended.output.splitlines() if line.startswith("error:")]
    wanted = {None: 0, 0: 0, 1: 1, 2: 1}.get(ended.code)
    if wanted == len(errors) and "Traceback" not in ended.output:
        return None
    return f"ends with {ended.code} and says: {ended.output}"


def newest_whole(run: Path) -> int | None:
    """The last step of which there are tensors with the checksum that the facts name: read without
    the code that resumes.
    """
    steps = []
    for facts in (run / "checkpoints").glob("step_*.json"):
        with suppress(OSError, ValueError, KeyError):
            tensors = facts.with_suffix(".safetensors").read_bytes()
            if hashlib.sha256(tensors).hexdigest() == json.loads(facts.read_bytes())["sha256"]:
                steps.append(int(facts.stem.removeprefix("step_")))
    return max(steps, default=None)


def contents(folder: Path) -> dict[str, str]:
    """A digest of every file but the lock, which a killed run cannot take away."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != LOCK
    }


def logged(run: Path) -> list[Any]:
    """The log's rows without times, and without those that only a resumed run has."""
    rows = read_rows(run / "log.jsonl")
    return [_timeless(row) for row in rows if "resumed_from_step" not in row]


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(each) for name, each in value.items() if name not in TIMES}
    return value


def _bits(tensor: torch.Tensor) -> bytes:
    return str(tensor.dtype).encode() + bytes(tensor.flatten().view(torch.uint8).numpy())


# --- the faults


def killed_from_outside(lab: Lab, times: int) -> Iterator[Survival]:
    """At a random time after a random beginning of each part in turn."""
    for number in range(times):
        part = list(Part)[number % len(Part)]
        happens, seconds = lab.moments.times_of(part)
        held_s = HELD_S if part is Part.DECODE else 0.0
        moments = Moments((part, lab.random.randint(1, happens)), held_s)
        delay_s = lab.random.random() * max(seconds, 0.02)

        def kill(pid: int, moments: Moments = moments, delay_s: float = delay_s) -> None:
            if moments.wait(pid):
                time.sleep(delay_s)
                os.kill(pid, KILLED)

        lab.empty()
        ended = lab.train(within=[moments], outside=kill)
        yield Survival(moments.doing_what(part), lab.after(ended, moments))
        moments.close()


def loaders_killed(lab: Lab, times: int) -> Iterator[Survival]:
    """The process that decodes a photo is killed, as by a lack of memory."""
    for _ in range(times):
        happens, _ = lab.moments.times_of(Part.DECODE)
        moments = Moments((Part.DECODE, lab.random.randint(1, happens - 2)), HELD_S)

        def kill(pid: int, moments: Moments = moments) -> None:
            if moments.wait(pid):
                os.kill(moments.loader, KILLED)

        lab.empty()
        ended = lab.train(within=[moments], outside=kill)
        yield Survival(Part.DECODE.value, lab.after(ended, moments))
        moments.close()


def struck_at_each(
    lab: Lab, fault: Fault, every: int, where: str = "", *extra: str
) -> Iterator[Survival]:
    """At every n-th operation on a file, from the first until the run ends before it comes."""
    at = 1
    while True:
        lab.empty()
        files, moments = FileFaults(lab.run / where, fault, at), Moments()
        ended = lab.train(*extra, within=[files, moments])
        if files.struck:
            problem = lab.after(ended, moments, *extra)
            yield Survival(
                moments.doing_what() if fault is Fault.KILL else "",
                problem and f"operation {at}: {problem}",
            )
        moments.close()
        if not files.struck:
            return
        at += every


def flipped(lab: Lab, times: int) -> Iterator[Survival]:
    """One bit of the newest checkpoint, at places that are spread over its tensors and facts."""
    for number in range(times):
        tensors, facts = lab.finished()
        file = (tensors, facts)[number % 2]
        at = lab.random.randrange(file.stat().st_size)
        flip_byte(file, at, 1 << lab.random.randrange(8))
        yield Survival(f"in {'facts' if number % 2 else 'tensors'}", _one_before(lab))


def truncated(lab: Lab, times: int) -> Iterator[Survival]:
    """The newest checkpoint's files, to nothing, by a byte and by any number of them."""
    for number in range(times):
        tensors, facts = lab.finished()
        file = (tensors, facts)[number % 2]
        size = file.stat().st_size
        cut_short(file, (0, size - 1, lab.random.randrange(1, size))[number // 2 % 3])
        yield Survival(f"in {'facts' if number % 2 else 'tensors'}", _one_before(lab))


def _one_before(lab: Lab) -> str | None:
    said = f"step_{STEPS:08d} is damaged: trying the one before"
    return lab.resumed(lab.train(resume=True), STEPS - SAVED_EVERY, said)


def both_damaged(lab: Lab, times: int) -> Iterator[Survival]:
    """Each checkpoint that is kept: the run is left as it is, and its model can be gone on from."""
    for number in range(times):
        lab.finished()
        for file in sorted((lab.run / "checkpoints").glob(("*.safetensors", "*.json")[number % 2])):
            cut_short(file, file.stat().st_size * number // times)
        before = contents(lab.run)
        said = f"train.init={lab.run}, which begins with its model of step {STEPS}"
        yield Survival("", lab.refused(lab.train(resume=True), before, said))


def older_formats(lab: Lab) -> Iterator[Survival]:
    """Facts without what later versions wrote, and in a recipe's older words, are gone on from;
    those that no version has written so are refused.
    """
    for lacking in ([OWN_SHA256], [OWN_SHA256, "left_out", "data"]):
        _, facts = lab.finished()
        found = json.loads(facts.read_text())
        found["recipe"]["adversarial"]["kind"] = "lsgan"
        facts.write_text(json.dumps({k: v for k, v in found.items() if k not in lacking}))
        ended = lab.train(resume=True)
        yield Survival("gone on from", lab.resumed(ended, STEPS))
    for lacking in (["averages"], ["recipe"], ["step"], ["seconds"]):
        _, facts = lab.finished()
        found = json.loads(facts.read_text())
        lacking.append(OWN_SHA256)
        facts.write_text(json.dumps({k: v for k, v in found.items() if k not in lacking}))
        before = contents(lab.run)
        ended = lab.train(resume=True)
        yield Survival("refused", lab.refused(ended, before, "another version of img2img"))


def clock_jumps(lab: Lab, times: int) -> Iterator[Survival]:
    """The time of day goes back or forth within a run; the one that is resumed is of another day,
    and its newest checkpoint looks the oldest.
    """
    for number in range(times):
        by_s = (-DAY_S, 365 * DAY_S, -3600.0, -20 * 365 * DAY_S)[number % 4]
        clocks = [clock_jumping(by_s * sign, after=lab.random.randrange(50)) for sign in (1, -1)]
        moments = Moments((Part.STEP, STEPS - 1))

        def kill(pid: int, moments: Moments = moments) -> None:
            if moments.wait(pid):
                os.kill(pid, KILLED)

        lab.empty()
        ended = lab.train(within=[clocks[0], moments], outside=kill)
        moments.close()
        newest = newest_whole(lab.run) or 0
        for file in (lab.run / "checkpoints").glob(f"step_{newest:08d}.*"):
            os.utime(file, (0, 0))
        again = lab.train(resume=True, within=[clocks[1]])
        yield Survival("", misspoken(ended) or lab.resumed(again, newest))


def faults(
    lab: Lab, kills: int, every: int, others: int
) -> dict[str, Callable[[], Iterator[Survival]]]:
    """All kinds by name: so many kills from outside, a fault at every n-th operation on a file, and
    so many of each other kind.
    """
    alone = ("train.track=[]", "data.workers=0")  # no operation but the run's own

    def at_files(fault: Fault) -> Callable[[], Iterator[Survival]]:
        return lambda: struck_at_each(lab, fault, every, "", *alone)

    return {
        "kill -9 at a random moment": lambda: killed_from_outside(lab, kills),
        "kill -9 at each file operation": at_files(Fault.KILL),
        "kill -9 of the loader": lambda: loaders_killed(lab, others),
        "full disk at each write": at_files(Fault.FULL_DISK),
        "full disk for TensorBoard": lambda: struck_at_each(
            lab, Fault.FULL_DISK, 20 * every, "tensorboard", alone[1]
        ),
        "read-only from each file operation on": at_files(Fault.READ_ONLY),
        "a bit flipped": lambda: flipped(lab, 2 * others),
        "a file cut short": lambda: truncated(lab, 2 * others),
        "both checkpoints cut short": lambda: both_damaged(lab, others),
        "an older format": lambda: older_formats(lab),
        "a clock that jumps": lambda: clock_jumps(lab, others),
    }


def main() -> int:
    """Print the table; 1 if a fault was not survived."""
    parser = argparse.ArgumentParser(
        prog="python -m img2img.maintenance.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number = partial(parser.add_argument, type=int, metavar="N")
    number("--kills", default=50, help="at random moments")
    number("--every", default=1, help="strike at every n-th operation on a file")
    number("--others", default=6, help="of each other kind")
    number("--seed", default=0)
    parser.add_argument("--only", default="", metavar="WORDS", help="kinds that have them")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # a forked process lacks the threads of its parent
    cv2.setNumThreads(0)
    tallies: list[Tally] = []
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder  # loaders that are killed leave folders of their own
        lab = Lab(Path(folder), chosen.seed)
        for name, injected in faults(lab, chosen.kills, chosen.every, chosen.others).items():
            if chosen.only in name:
                tallies.append(Tally.of(name, injected()))
                print(table(tallies[-1:]), file=sys.stderr, flush=True)
    print(as_json(tallies) if chosen.json else table([*tallies, total(tallies)]))
    return int(any(tally.problems for tally in tallies))


def total(tallies: Sequence[Tally]) -> Tally:
    """The sum of all kinds."""
    problems = [problem for tally in tallies for problem in tally.problems]
    return Tally("all", sum(tally.injected for tally in tallies), problems=problems)


def table(tallies: Sequence[Tally]) -> str:
    """A line for each kind of fault."""
    rows = [(t.fault, str(t.injected), str(t.survived), t.where()) for t in tallies]
    return aligned([("fault", "injected", "survived", "where"), *rows])


def as_json(tallies: Sequence[Tally]) -> str:
    """The same by kind, with what was wrong."""
    named = {tally.fault: {"survived": tally.survived, **vars(tally)} for tally in tallies}
    return json.dumps(named, indent=2)


if __name__ == "__main__":
    sys.exit(main())
