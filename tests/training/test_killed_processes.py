"""One of several processes is killed: the others end, each with a line, and the run goes on from
its checkpoint to the same bits.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from img2img.diagnostics.runlog import read_rows
from img2img.recipe import Recipe

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9"),
]

PROGRAM = Path(__file__).with_name("killed.py")
STEPS, SAVED_EVERY = 6, 2
LOST = "another process of this run has ended"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def processes(number: int, *words: str | Path) -> list[subprocess.CompletedProcess[str]]:
    """How each ends, without a launcher that would end the others."""
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(number),
                "LOCAL_WORLD_SIZE": str(number),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
        )
        for rank in range(number)
    ]
    try:
        said = [each.communicate(timeout=300) for each in started]
    finally:
        for each in started:
            each.kill()
    return [
        subprocess.CompletedProcess(each.args, each.returncode, *texts)
        for each, texts in zip(started, said, strict=True)
    ]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GAN that saves every other step, and validates at the end alone."""
    fields = Recipe.load("translate_tiny").fields()
    fields["train"] |= {"steps": STEPS, "checkpoint_every": SAVED_EVERY, "batch_size": 1}
    fields["train"] |= {"validate_every": 100, "track": []}
    fields["data"] |= {"workers": 0, "validation_max": 1}
    path = tmp_path_factory.mktemp("killed") / "recipe.yaml"
    path.write_text(Recipe.parse(fields).to_yaml())
    return path


@pytest.fixture(scope="module")
def unbroken(recipe: Path) -> Iterator[dict[int, Path]]:
    """Runs to which nothing happens, by their number of processes."""
    runs = {}
    for number in (2, 3):
        runs[number] = recipe.with_name(f"unbroken_{number}")
        ended = processes(number, "-m", "img2img", "train", recipe, "--out", runs[number])
        assert [each.returncode for each in ended] == [0] * number, ended
    yield runs
    for run in runs.values():
        shutil.rmtree(run)


@pytest.mark.parametrize(
    ("moment", "victim", "number", "kept"),
    [("step", 0, 2, 2), ("step", 1, 3, 2), ("save", 0, 3, 2), ("save", 1, 2, 4)],
)
def test_the_others_end_with_a_line_and_the_checkpoint_is_gone_on_from(
    recipe: Path,
    unbroken: dict[int, Path],
    tmp_path: Path,
    moment: str,
    victim: int,
    number: int,
    kept: int,
) -> None:
    run = tmp_path / "run"
    command = ("train", recipe, "--out", run)
    ended = processes(number, PROGRAM, moment, str(victim), tmp_path, *command)
    assert ended.pop(victim).returncode == -signal.SIGKILL
    for other in ended:
        (line,) = [line for line in other.stderr.splitlines() if line.startswith("error: ")]
        assert other.returncode == 1 and LOST in line and "--resume" in line, other.stderr
        assert "Traceback" not in other.stderr
    if victim != 0:
        assert f"the checkpoint of step {kept} is kept" in ended[0].stderr
        assert LOST in read_rows(run / "log.jsonl")[-1]["error"]

    again = processes(number, "-m", "img2img", *command, "--resume")
    assert [each.returncode for each in again] == [0] * number, again
    assert f"resumed from step {kept}" in again[0].stderr
    last = f"checkpoints/step_{STEPS:08d}.safetensors"
    one, other = (load_file(folder / last) for folder in (unbroken[number], run))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
