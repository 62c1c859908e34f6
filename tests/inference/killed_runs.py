"""`img2img infer` in processes that end at a chosen moment, or at any: a server that has imported
everything, and forks for each line of JSON that it reads. Started by `KillableRuns`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Ended(NamedTuple):
    """How a process ended; a signal is a negative code."""

    code: int
    out: str
    err: str


class KillableRuns:
    """Runs of the command with the models of `zoo`."""

    def __init__(self, zoo: Path, folder: Path) -> None:
        """What they print is kept in `folder`."""
        folder.mkdir()
        self.folder = folder
        command = [sys.executable, __file__, str(zoo)]
        self.server = subprocess.Popen(command, stdin=-1, stdout=-1, text=True)

    def begin(self, *words: object, fault: Sequence[object] | None = None) -> int:
        """Start a run, and return the number of its process; a fault is a moment, what belongs to
        it, and a signal.
        """
        for name in ("out", "err"):
            (self.folder / name).write_text("")
        order = {"words": [str(word) for word in words], "fault": fault, "at": str(self.folder)}
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def end(self) -> Ended:
        """Wait for the run that was begun."""
        assert self.server.stdout is not None
        code = int(self.server.stdout.readline())
        return Ended(code, *((self.folder / name).read_text() for name in ("out", "err")))

    def __call__(self, *words: object, fault: Sequence[object] | None = None) -> Ended:
        self.begin(*words, fault=fault)
        return self.end()

    def close(self) -> None:
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


def _arm(moment: str, name: Any, number: int) -> None:
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


def _serve(zoo: Path) -> None:
    import img2img.zoo

    img2img.zoo.zoo_dir = lambda: zoo
    from img2img import cli, cores, devices  # noqa: F401  # once, not in each child
    from img2img.inference import batch, canvas, folder, pipeline, progress  # noqa: F401  # the same

    cores._COUNTS = Path("/nowhere/stat")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            for number, name in ((1, "out"), (2, "err")):
                file = os.open(Path(order["at"]) / name, os.O_WRONLY)
                os.dup2(file, number)
            if order["fault"]:
                _arm(*order["fault"])
            code = cli.main(order["words"])
            sys.stdout.flush()
            os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
