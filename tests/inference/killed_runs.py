"""`img2img infer` in processes that end at a chosen moment, or at any."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forked import Ended, Forks


class KillableRuns:
    """Runs of the command with the models of `zoo`."""

    def __init__(self, forks: Forks, zoo: Path) -> None:
        self.forks, self.zoo = forks, zoo

    def begin(self, *words: object, fault: Sequence[object] | None = None) -> int:
        """Start a run, and return the number of its process; a fault is a moment, what belongs to
        it, and a signal.
        """
        order = json.dumps([[str(word) for word in words], fault])
        return self.forks.begin(_RUN, self.zoo, order)

    def __call__(self, *words: object, fault: Sequence[object] | None = None) -> Ended:
        self.begin(*words, fault=fault)
        return self.forks.end()


_RUN = """
import json, sys
from pathlib import Path
import img2img.zoo
from img2img.cli import main
from killed_runs import arm

img2img.zoo.zoo_dir = lambda: Path(sys.argv[1])
words, fault = json.loads(sys.argv[2])
if fault:
    arm(*fault)
sys.exit(main(words))
"""


def arm(moment: str, name: Any, number: int) -> None:
    """Have the process end by a signal at a moment of the work on the photo called `name`."""
    from img2img import files
    from img2img.inference import batch
    from img2img.inference.manifest import Manifest
    from img2img.pixels import codecs

    def end() -> None:
        os.kill(os.getpid(), number)

    def before(owner: Any, function: str, is_meant: Callable[..., bool]) -> None:
        real = getattr(owner, function)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if is_meant(*arguments):
                end()
            return real(*arguments, **named)

        setattr(owner, function, wrapped)

    if moment == "seconds":
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends it as abruptly
        signal.setitimer(signal.ITIMER_REAL, name)
    elif moment == "read":
        before(batch, "read_photo", lambda path: path.name == name)
    elif moment == "work":
        before(batch.FileBatch, "_done", lambda _, job, *__: job.input.name == name)
    elif moment == "half":
        real_encode = codecs.encode

        def encode(samples: Any, kind: str, path: Path, *rest: Any) -> None:
            real_encode(samples, kind, path, *rest)
            if path.name.startswith(f".{name}"):
                os.truncate(path, path.stat().st_size // 2)
                end()

        codecs.encode = encode
    elif moment == "landed":
        before(files, "_sync_folder", lambda folder: any(folder.glob(f"{name}.*")))
    else:  # so many lines were written, and half of the next is
        real_write, written = Manifest._write, []

        def write(manifest: Manifest, line: Any) -> None:
            if len(written) == name:
                manifest._file.write(json.dumps(line).encode()[:20])
                end()
            written.append(line)
            real_write(manifest, line)

        Manifest._write = write  # type: ignore[method-assign]  # kills after a line
