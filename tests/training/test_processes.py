"""Several processes: each takes its own samples of a step; together they do what one with a larger batch does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

COMMON = ("denoise_tiny", "train.steps=4", "train.precision=fp32", "train.log_every=1", "--device", "cpu")


def run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(tmp_path: Path) -> None:
    run("img2img", "train", *COMMON, "train.batch_size=4", "--out", str(tmp_path / "one"))
    torchrun = ("torch.distributed.run", "--nproc-per-node", "2", "-m", "img2img", "train")
    run(*torchrun, *COMMON, "train.batch_size=2", "--out", str(tmp_path / "two"))
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-4, rtol=1e-3)
