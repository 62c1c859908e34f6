"""Commands in one process of bounded memory, each watched: `python -m hostile.battery`.

Reads from stdin a line of JSON for each command, `[name, [words…]]`, and writes one for each:
`{"name", "code", "out", "err"}`. A command that takes longer than any does ends the process with a
stack trace, one that takes too much memory gets MemoryError, a crash of a decoder is the process's.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

BOUND_BYTES = 2 << 30
"""What a command may take beyond what the libraries themselves take."""
HANGS_AFTER_S = 240  # none takes seconds, but a machine may be crowded


@dataclass(frozen=True)
class Outcome:
    """What became of a command; `code` None: the process ended."""

    code: int | None
    out: str
    err: str


def run(commands: Mapping[str, Sequence[str]], folder: Path, zoo: Path) -> dict[str, Outcome]:
    """The outcome of each command by its name, in the order given; a process that ended is started
    anew for those that are left.
    """
    left, outcomes = dict(commands), {}
    while left:
        lines = "".join(json.dumps([name, list(words)]) + "\n" for name, words in left.items())
        done = subprocess.run(
            [*_without_leave(), sys.executable, "-m", "hostile.battery", str(zoo)],
            input=lines.encode(),
            capture_output=True,
            cwd=folder,
            env=os.environ | {"PYTHONPATH": _import_path(), "OMP_NUM_THREADS": "1"},
            check=False,
        )
        for line in done.stdout.splitlines():
            record = json.loads(line)
            outcomes[record["name"]] = Outcome(record["code"], record["out"], record["err"])
            del left[record["name"]]
        if left:
            name = next(iter(left))
            told = done.stderr.decode("utf-8", "replace")[-3000:]
            outcomes[name] = Outcome(None, "", f"the process ended ({done.returncode}): {told}")
            del left[name]
    return outcomes


def may_do_all() -> bool:
    """Whether nothing here keeps this user from reading what may not be read."""
    return os.name == "posix" and os.geteuid() == 0 and not _without_leave()


def _without_leave() -> list[str]:
    """What starts a process that, though root's, may read only what its owner may."""
    if os.name != "posix" or os.geteuid() != 0:
        return []
    taken = "-dac_override,-dac_read_search"
    words = ["setpriv", f"--bounding-set={taken}", f"--inh-caps={taken}"]
    try:
        subprocess.run([*words, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return words


def _import_path() -> str:
    return os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])


def _main(zoo: str, commands: Iterable[str]) -> None:
    import typer.main

    import img2img.cores
    import img2img.zoo
    from img2img.cli import main

    typer.main.get_command = functools.cache(typer.main.get_command)  # declared once, not each time

    img2img.zoo.zoo_dir = lambda: Path(zoo)
    img2img.cores._COUNTS = Path("/nowhere/stat")  # who else uses this machine is not told
    answers = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        watched = os.dup(2)
        bounded = False
        for line in commands:
            name, words = json.loads(line)
            faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True, file=watched)
            for file, number in ((out, 1), (err, 2)):
                file.seek(0)
                file.truncate()
                os.dup2(file.fileno(), number)
            warnings.simplefilter("error")
            try:
                call = _CALLS.get(words[0])
                code = main(words) if call is None else _called(call, words[1])
            except BaseException:
                traceback.print_exc()
                code = None
            sys.stdout.flush()
            sys.stderr.flush()
            told = []
            for file in (out, err):
                file.seek(0)
                told.append(file.read().decode("utf-8", "backslashreplace"))
            record = {"name": name, "code": code, "out": told[0], "err": told[1]}
            answers.write(json.dumps(record) + "\n")
            answers.flush()
            if not bounded:  # the first has imported what all need
                _bound_memory()
                bounded = True
    faulthandler.cancel_dump_traceback_later()


def _called(call: Callable[[str], object], argument: str) -> int:
    """The exit code of a call of Python's, and the line that the command line would print."""
    from img2img.cli import on_one_line
    from img2img.errors import UserError

    try:
        call(argument)
    except UserError as error:
        print(on_one_line(f"error: {error}"), file=sys.stderr)
        return 2
    return 0


def _load(name: str) -> None:
    import img2img

    img2img.load(name)


def _read(path: str) -> None:
    """What is asked of a photo's file: its kind, its pixels, and that it can be written."""
    from img2img.pixels.file_kind import file_kind
    from img2img.pixels.images import decode_rgb8, read_photo, write_photo

    file_kind(Path(path))
    photo = read_photo(path)
    decode_rgb8(path)
    written = Path(path).with_name("written.tif")
    write_photo(written, photo)
    assert read_photo(written).size == photo.size


_CALLS = {"load": _load, "read": _read}


def _bound_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + BOUND_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    _main(sys.argv[1], sys.stdin)
