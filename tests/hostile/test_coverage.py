"""Readers against bytes that a fuzzer makes, for a bounded while each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostile import models, photos, recipes
from hostile.corpus import Corpus

WHILE_S = 20
CORPORA: dict[str, tuple[Corpus, str]] = {
    "recipe": (recipes.RECIPES, ".yaml"),
    "header": (models.MODELS, ".safetensors"),
    "foreign": (models.MODELS, ".pth"),
    "photo": (photos.PHOTOS, ".png"),
}


@pytest.mark.slow
@pytest.mark.parametrize("reader", CORPORA)
def test_a_reader_refuses_what_a_fuzzer_finds(reader: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="pip install atheris (Linux and macOS)")
    corpus, suffix = CORPORA[reader]
    (seeds := tmp_path / "seeds").mkdir()
    for number, hostile in enumerate(corpus.values()):
        path = hostile.place(tmp_path / "corpus")
        if path.suffix == suffix and os.access(path, os.R_OK) and path.is_file():
            content = path.read_bytes()
            if len(content) <= 100_000:
                (seeds / str(number)).write_bytes(content)
    bounds = [f"-max_total_time={WHILE_S}", "-timeout=60", "-rss_limit_mb=4096", "-max_len=100000"]
    done = subprocess.run(
        [sys.executable, "-m", "hostile.coverage_fuzz", reader, *bounds, str(seeds)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-5000:]
    assert "Done" in done.stderr or "DONE" in done.stderr, done.stderr[-2000:]
