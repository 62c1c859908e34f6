"""What every part of the corpus is made of: a name, how the file is written, what is to be said."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostile.battery import Outcome


@dataclass(frozen=True)
class Hostile:
    """One file, or what stands in the place of one."""

    name: str
    file: str
    """What it is called."""
    write: Callable[[Path], object]
    """Writes it to the path given."""
    size: tuple[int, int] | None = None
    """(width, height) of the result where it is handled."""
    refused: str | None = None
    """A pattern in the line by which it is refused; None where it is handled. With neither this nor
    a size, either may happen."""
    said: str = ""
    """A pattern in each warning of what is handled, but not wholly; empty: nothing is said. Where
    either may happen, anything may be said."""

    def check(self, outcome: Outcome, named: str = "") -> None:
        """What holds of every command on it: refused in one line that says what it should, naming
        the file or a field, with exit code 2; or handled, with nothing on stderr but what is
        expected. Nothing breaks a line or reaches the terminal's commands.
        """
        assert outcome.code in (0, 2), outcome
        assert "Traceback" not in outcome.err and "(IMG2IMG_DEBUG=1 shows where)" not in outcome.err
        for text in (outcome.out, outcome.err):
            assert all(character.isprintable() or character == "\n" for character in text), text
        lines = outcome.err.splitlines()
        if outcome.code == 2:
            assert not self.size, outcome
            assert len(lines) == 1 and lines[0].startswith("error: ") and len(lines[0]) < 1000
            assert re.search(self.refused or "", lines[0]), lines[0]
            assert named in lines[0], lines[0]
        else:
            assert self.refused is None, outcome
            expected = self.said or ("^$" if self.size else "")
            assert all(re.search(expected, line) for line in lines), lines
            assert lines or self.said in ("", ".*"), "it is to be said"

    def place(self, folder: Path) -> Path:
        """The file, written into a folder of its own."""
        inside = folder / self.name.replace("/", "_").replace(" ", "_")
        inside.mkdir(parents=True, exist_ok=True)
        path = inside / self.file
        self.write(path)
        return path


class Corpus(dict[str, Hostile]):
    """Files by name."""

    def add(
        self,
        name: str,
        file: str,
        write: Callable[[Path], object] | bytes,
        *,
        size: tuple[int, int] | None = None,
        refused: str | None = None,
        said: str = "",
    ) -> None:
        """Add one; a name is used once. Bytes are what the file holds."""
        assert name not in self, name
        content = write
        writer = (lambda path: path.write_bytes(content)) if isinstance(content, bytes) else content
        self[name] = Hostile(name, file, writer, size, refused, said)
