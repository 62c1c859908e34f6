"""Programs in processes of their own, without the seconds that each would spend on imports: a
server has imported everything, and forks for each line of JSON that it reads. Started by `Forks`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import NamedTuple


class Ended(NamedTuple):
    """How a process ended; a signal is a negative code."""

    code: int
    out: str
    err: str


class Forks:
    """Programs one after the other, each in a process that nothing has happened to but imports."""

    def __init__(self, folder: Path) -> None:
        """What they print is kept in `folder`."""
        folder.mkdir()
        self.folder = folder
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.server = subprocess.Popen(
            [sys.executable, __file__], stdin=-1, stdout=-1, text=True, env=os.environ | paths
        )

    def begin(self, code: str, *arguments: object) -> int:
        """Start a program, whose `sys.argv[1:]` are the arguments; the number of its process."""
        for name in ("out", "err"):
            (self.folder / name).write_text("")
        order = {"code": code, "arguments": [*map(str, arguments)], "at": str(self.folder)}
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def end(self) -> Ended:
        """Wait for the program that was begun."""
        assert self.server.stdout is not None
        code = int(self.server.stdout.readline())
        return Ended(code, *((self.folder / name).read_text() for name in ("out", "err")))

    def __call__(self, code: str, *arguments: object) -> Ended:
        self.begin(code, *arguments)
        return self.end()

    def close(self) -> None:
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()


def _run(code: str, arguments: list[str], at: str) -> int:
    """In the forked process: what `python -c code` does; its exit code."""
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(Path(at) / name, os.O_WRONLY), number)
    sys.argv[1:] = arguments
    try:
        exec(compile(code, "<program>", "exec"), {"__name__": "__main__"})
    except SystemExit as ended:
        return int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def _serve() -> None:
    import psutil  # noqa: F401  # once, not in each child
    import torch._dynamo  # noqa: F401  # the same
    from PIL import Image
    from torch.utils import tensorboard  # noqa: F401  # the same

    from img2img import cli, cores, devices, training  # noqa: F401  # the same
    from img2img.inference import canvas, folder, pipeline, progress  # noqa: F401  # the same
    from img2img.training import trainer  # noqa: F401  # the same

    Image.init()
    cores._COUNTS = Path("/nowhere/stat")  # who else uses this machine is not told
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 70
            try:
                code = _run(**json.loads(line))
            finally:
                os._exit(code)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    _serve()
