"""Training: one recipe in, one run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from img2img.recipe import Recipe


def train(
    recipe: Recipe | str | Path,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Train a recipe into a run folder (default `runs/<name>`) and return the summary.

    Raises UserError for what the caller can mend, Interrupted after Ctrl-C, TrainingError when
    losses become NaN.
    """
    from img2img.training.trainer import Trainer

    known = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    folder = Path(out) if out is not None else Path("runs") / known.name
    return Trainer(known, folder, resume=resume, device=device).run()
