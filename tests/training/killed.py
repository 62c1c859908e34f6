"""`img2img` as one process of several, of which one is killed: `killed.py MOMENT VICTIM FOLDER
train …`.

MOMENT is `step`: the victim, by its rank, is killed within the third step, when D has learned and
G has not; or `save`: while the first process writes the second checkpoint. In FOLDER the processes
say their ids.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from img2img.cli import main
from img2img.training import checkpoint
from img2img.training.step import TrainingStep

RANK = int(os.environ["RANK"])


def killed(moment: str, victim: int, folder: Path) -> Any:
    """A patch under which it happens."""
    owner, name = {
        "step": (TrainingStep, "backward"),
        "save": (checkpoint, "write_tensors"),
    }[moment]
    real, calls = getattr(owner, name), list[object]()

    def counted(*arguments: Any) -> Any:
        calls.append(None)
        result = real(*arguments)
        if moment == "save" and len(calls) == 2:
            os.kill(int((folder / str(victim)).read_text()), signal.SIGKILL)
        if moment == "step" and len(calls) == 3 and victim == RANK:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return patch.object(owner, name, counted)


if __name__ == "__main__":
    moment, victim, folder, *command = sys.argv[1:]
    (Path(folder) / str(RANK)).write_text(str(os.getpid()))
    with killed(moment, int(victim), Path(folder)):
        sys.exit(main(command))
