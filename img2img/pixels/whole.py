"""Whether a photo's file is complete, by its beginning and its end, without decoding it."""

from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from img2img.pixels.codecs import strict_pillow

ENDS = 64  # bytes looked at on either side
_PNG_END = b"IEND\xaeB`\x82"
_STRIPS, _TILES = (273, 279), (324, 325)  # TIFF's tags of places and lengths


def looks_whole(path: Path) -> bool:
    """False for a file without its format's end, or of a beginning not known here: it takes
    decoding to be sure.

    A few bytes of JPEG, PNG, WebP, GIF and BMP are read, the tags of TIFF. What is damaged in the
    middle is not seen.
    """
    try:
        with path.open("rb") as file:
            size, head = os.fstat(file.fileno()).st_size, file.read(ENDS)
            file.seek(max(0, size - ENDS))
            tail = file.read(ENDS)
        if head[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_ends(path) <= size
    except Exception:  # of any kind, as a damaged file makes Pillow raise it; a bomb among them
        return False
    if head.startswith(b"\xff\xd8\xff"):
        return tail.rstrip(b"\0").endswith(b"\xff\xd9")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return tail.endswith(_PNG_END)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if head.startswith(b"BM"):
        return 0 < int.from_bytes(head[2:6], "little") <= size
    return head.startswith(b"GIF8") and tail.endswith(b"\x3b")


def _tiff_ends(path: Path) -> float:
    """Where the last strip or tile of the first picture ends; infinity where no tag says so."""
    with strict_pillow(), Image.open(path, formats=["TIFF"]) as image:
        tags = image.tag_v2  # type: ignore[attr-defined]  # TIFF's own
        for places, lengths in (_STRIPS, _TILES):
            if places in tags and lengths in tags:
                return max(
                    at + length for at, length in zip(tags[places], tags[lengths], strict=True)
                )
    return float("inf")
