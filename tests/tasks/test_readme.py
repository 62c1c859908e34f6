"""The task that img2img/tasks/README.md adds is one: it type-checks, keeps the
contract and trains.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import img2img
from img2img import tasks
from img2img.recipe import Recipe
from img2img.tasks import Task
from img2img.testing import check_task

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "img2img/tasks/README.md").read_text(encoding="utf-8")
CODE, CHECK = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
RECIPE: dict[str, Any] = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)[0])


@pytest.fixture
def sharpen(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Task]]:
    """The task, as if a package had declared it in the group `img2img.tasks`."""
    names: dict[str, Any] = {"__name__": "sharpen"}
    exec(compile(CODE, "README.md", "exec"), names)
    point = SimpleNamespace(name="sharpen", value="sharpen:Sharpen", load=lambda: names["Sharpen"])
    monkeypatch.setattr(tasks, "entry_points", lambda group: [point])
    monkeypatch.setitem(sys.modules, "sharpen", SimpleNamespace(**names))
    tasks.plugins.cache_clear()
    yield names["Sharpen"]
    tasks.plugins.cache_clear()


@pytest.mark.slow  # where the types of the package and of torch are not known yet
def test_it_type_checks(tmp_path: Path) -> None:
    """With the types of the package as they are known since it was last checked as a whole."""
    (tmp_path / "sharpen.py").write_text(CODE)
    cache = ["--cache-dir", str(ROOT / ".mypy_cache"), "--follow-imports", "silent"]
    told = subprocess.run(
        [sys.executable, "-m", "mypy", *cache, str(tmp_path / "sharpen.py")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr


def test_it_keeps_the_contract_as_the_page_checks_it(sharpen: type[Task]) -> None:
    exec(compile(CHECK, "README.md", "exec"), {"Sharpen": sharpen})
    check_task(sharpen, tolerance=1e-6)


@pytest.mark.usefixtures("sharpen")
def test_it_trains_and_sharpens(photo_folder: Path, tmp_path: Path, photos: Any) -> None:
    changed = {"data": {**RECIPE["data"], "path": str(photo_folder)}}
    changed["train"] = {**RECIPE["train"], "steps": 2, "batch_size": 2}
    recipe = Recipe.parse({**RECIPE, **changed})
    img2img.train(recipe, out=tmp_path / "run")
    model = img2img.load(tmp_path / "run")
    sharp = model(photos[0])
    assert sharp.shape == photos[0].shape and sharp.dtype == np.uint8
    x = torch.rand(1, 3, 40, 56)
    condition = recipe.task.decode(x, torch.zeros_like(x))
    assert torch.equal(condition, x), "predicting nothing leaves the photo as it is"
    assert model.predict_tensor(x, strength=0.0).sub(x).abs().max() == 0
