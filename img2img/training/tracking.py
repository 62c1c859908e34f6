"""The trackers of a run (`train.track`), by Accelerate's classes. None of them sends anything
anywhere unless its own variables say so (`WANDB_MODE=online`, `MLFLOW_TRACKING_URI`, …).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from accelerate.tracking import (
    GeneralTracker,
    MLflowTracker,
    TensorBoardTracker,
    TrackioTracker,
    WandBTracker,
)

from img2img.errors import RecipeField, UserError

PROJECT = "img2img"  # under which other trackers than TensorBoard gather runs


def _mlflow(folder: Path) -> GeneralTracker:
    """In a database of the run's folder, unless a server is named."""
    if "MLFLOW_TRACKING_URI" not in os.environ:
        database = f"sqlite:///{(folder / 'mlflow.db').resolve().as_posix()}"
        importlib.import_module("mlflow").set_tracking_uri(database)
    artifacts = (folder / "mlflow").resolve().as_uri()
    return MLflowTracker(PROJECT, logging_dir=artifacts, run_name=folder.name)


TRACKERS: Mapping[str, Callable[[Path], GeneralTracker]] = {
    "tensorboard": lambda folder: TensorBoardTracker("tensorboard", folder),
    "wandb": lambda folder: WandBTracker(PROJECT, name=folder.name, dir=str(folder)),
    "mlflow": _mlflow,
    "trackio": lambda folder: TrackioTracker(PROJECT, name=folder.name),
}


def run_trackers(names: Sequence[str], folder: Path) -> list[GeneralTracker]:
    """Those of a run in a folder, none of which has begun. Raises UserError for one that is not
    installed.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"'{name}' is not installed",
                field=RecipeField("train.track"),
                remedy="pip install 'img2img[track]'",
            )
    return [TRACKERS[name](folder) for name in dict.fromkeys(names)]
