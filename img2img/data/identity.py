"""Which data a run was trained on: enough to tell, when it is taken up again, whether they are
still the same.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from img2img.data.source import Source, hashed, name_of


def files_of(source: Source) -> list[Path]:
    """Every file of a source once, in order; side A's too where sides are not paired."""
    items = [path for index in range(len(source)) for path in source.files(index)]
    return list(dict.fromkeys([*items, *getattr(source, "partners", ())]))


def identity_of(source: Source) -> dict[str, Any]:
    """Count, bytes, and the digests of names and of sizes: JSON, of one length however many files
    there are.

    Names are those that part training from validation, so a data set may lie elsewhere. Nothing is
    read.
    """
    files = files_of(source)
    names = [name_of(path) for path in files] or [source.key(i) for i in range(len(source))]
    sizes = [_size(path) for path in files]
    digests = [hashed("\n".join(words)).hex()[:16] for words in (names, map(str, sizes))]
    return {
        "count": len(names),
        "bytes": sum(sizes),
        "names": digests[0],
        "sizes": digests[1],
    }


def data_change(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What is different about the data, in words that follow "the data has changed: ", or None."""
    if before == now:
        return None
    if before["count"] != now["count"]:
        return f"{before['count']} files then, {now['count']} now"
    if before["names"] != now["names"]:
        return f"{now['count']} files as before, with other names"
    return (
        f"the same names, and other contents ({before['bytes']:,} bytes then, {now['bytes']:,} now)"
    )


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
