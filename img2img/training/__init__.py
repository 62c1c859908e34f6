"""Training: one recipe in, one run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Never

from img2img.arguments import check_flag, check_path, refuse_unknown
from img2img.recipe import Recipe


def train(
    recipe: Recipe | str | Path,
    out: str | Path | None = None,
    *,
    resume: bool = False,
    device: str = "auto",
    **unknown: Never,
) -> dict[str, Any]:
    """Train a recipe into a run's folder.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        out: the folder; `runs/<name>` by default.
        resume: go on from the last checkpoint in it, to the same weights as without the stop.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        unknown: no other keyword is taken; a misspelt one is answered by the one that is near.

    Returns:
        The summary that closes `log.jsonl`: step, images, validation, baseline, model, …

    Raises:
        UserError: what the caller can mend: recipe, data, folder, device; a keyword that `train`
            does not have (a TypeError too).
        Interrupted: Ctrl-C; everything is saved.
        TrainingError: a loss became NaN, or the disk is full; the last checkpoint is kept.

    Example:
        >>> recipe = Recipe.load("ring", ["train.steps=2"])
        >>> summary = train(recipe, "ring", device="cpu")
        >>> summary["step"], summary["baseline_is"]["modes_covered"]
        (2, 'the origin')
        >>> Path("ring/model.safetensors").is_file()
        True
    """
    refuse_unknown("train", unknown, ("recipe", "out", *(train.__kwdefaults__ or ())))
    if not isinstance(recipe, Recipe):
        check_path("recipe", recipe, "a recipe, its file or the name of a shipped one")
    if out is not None:
        check_path("out", out, "a folder")
    check_flag("resume", resume)
    from img2img.training.starting import with_network_of_start
    from img2img.training.trainer import Trainer

    read = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)
    folder = Path(out) if out is not None else Path("runs") / read.name
    known = with_network_of_start(read, folder if resume else None)
    return Trainer(known, folder, resume=resume, device=device).run()
