"""What a picture file carries besides its pixels: EXIF, ICC, resolution, XMP.

EXIF blocks are patched in place rather than rebuilt, so that maker notes, which point at absolute
offsets, survive.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from img2img.pixels.xmp import upright_xmp

Chunks = tuple[tuple[bytes, bytes], ...]  # name and data of PNG chunks
COLOR_CHUNKS = (b"cICP", b"mDCV", b"cLLI", b"sRGB", b"gAMA", b"cHRM")

_PREFIX = b"Exif\0\0"
_ORIENTATION, _THUMB_OFFSET, _THUMB_LENGTH, _EXIF_IFD = 0x0112, 0x0201, 0x0202, 0x8769
_COLOR_SPACE, _INTEROP_IFD = 0xA001, 0xA005
_WIDTH_TAGS, _HEIGHT_TAGS = (0x0100, 0xA002), (0x0101, 0xA003)
_LONG, _SHORT = 4, 3
# How a TIFF stores its pixels, and what travels with EXIF: never carried into another file as
# EXIF.
_TIFF_LAYOUT = frozenset(
    (
        *range(254, 260),
        *range(262, 267),
        269,
        273,
        274,
        *range(277, 282),
        *range(284, 294),
        297,
        301,
        *range(317, 326),
    )
) | frozenset((330, *range(332, 352), *range(512, 533), 700, 33723, 34377, 34675, 37724))


@dataclass(frozen=True)
class Metadata:
    """Metadata of an upright picture; `notes` say in plain words what could not be kept."""

    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    color_chunks: Chunks = ()
    notes: tuple[str, ...] = ()


def orientation_of(image: Image.Image) -> int:
    """EXIF (else XMP) orientation 1..8 of an opened, not yet loaded image; 1 when it is missing or
    nonsense.
    """
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow raises anything from struct.error to RecursionError on hostile EXIF
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def read_metadata(image: Image.Image, orientation: int, path: Path | None = None) -> Metadata:
    """Metadata of an opened image as it applies to its upright pixels. Never raises: broken parts
    become notes.
    """
    exif, damaged = _kept(lambda: _exif_of(image))
    dpi = _dpi_of(image)
    if dpi and orientation >= 5:
        dpi = dpi[::-1]
    xmp, dropped = upright_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
    chunks = color_chunks(image, path)
    return Metadata(exif, image.info.get("icc_profile"), dpi, xmp, chunks, damaged + dropped)


def checked_exif(raw: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """A block from a reader of its own, upright and without a thumbnail; None with a note when it
    is damaged.
    """
    return _kept(lambda: _checked(upright_exif(raw)) if raw else None)


def _kept(exif: Callable[[], bytes | None]) -> tuple[bytes | None, tuple[str, ...]]:
    try:
        return exif(), ()
    except Exception:  # see orientation_of
        return None, ("its EXIF data is damaged and was ignored",)


def icc_space(profile: object) -> str:
    """Color space an ICC profile describes ("RGB", "GRAY", "CMYK", ...), or "" when it is not a
    profile.
    """
    if not isinstance(profile, bytes) or len(profile) < 132 or profile[36:40] != b"acsp":
        return ""
    if int.from_bytes(profile[:4], "big") > len(profile):
        return ""
    return profile[16:20].decode("latin-1").strip()


def is_adobe_rgb(exif: bytes | None) -> bool:
    """Whether an EXIF block says Adobe RGB: color space 2, or interoperability "R03" where it does
    not say sRGB.
    """
    try:
        tiff, order = _open_block(exif or b"")
        (details_at,) = struct.unpack_from(order + "I", tiff, _places(tiff, order)[_EXIF_IFD])
        details, space = _places(tiff, order, details_at), 0
        if (place := details.get(_COLOR_SPACE)) is not None:
            (space,) = struct.unpack_from(order + "H", tiff, place)
        if space == 2 or space == 1 or _INTEROP_IFD not in details:
            return space == 2
        (rules_at,) = struct.unpack_from(order + "I", tiff, details[_INTEROP_IFD])
        place = _places(tiff, order, rules_at)[1]
        return tiff[place : place + 3] == b"R03"
    except (struct.error, ValueError, KeyError):  # damaged, or it says nothing of the kind
        return False


def _places(tiff: bytearray, order: str, directory: int | None = None) -> dict[int, int]:
    """Where the value of each tag of a directory stands, or that value's offset."""
    return {tag: at + 8 for tag, at in _entries(tiff, order, directory)}


def color_chunks(image: Image.Image, path: Path | None = None) -> Chunks:
    """What a picture says of its colors besides ICC and EXIF, as PNG chunks; HEIF and AVIF have a
    box for it.
    """
    source = path or Path(getattr(image, "filename", "") or "")
    if image.format == "PNG" and source.is_file():
        with source.open("rb") as file:
            return tuple(_chunks_before_pixels(file))
    if image.format == "AVIF" and source.is_file() and not image.info.get("icc_profile"):
        return nclx_chunks(source)
    return _chunks_of_info(image.info)


def _chunks_before_pixels(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        if head[4:] in COLOR_CHUNKS:
            yield head[4:], file.read(min(int.from_bytes(head[:4], "big"), 64))
            file.seek(4, 1)
        else:
            file.seek(int.from_bytes(head[:4], "big") + 4, 1)


def nclx_chunks(path: Path) -> Chunks:
    """Primaries and transfer of an AVIF's or HEIC's nclx box as cICP; its matrix and range are
    those of YCbCr.
    """
    with path.open("rb") as file:
        head = file.read(1 << 16)
    at = head.find(b"colrnclx")
    if at < 0 or at + 12 > len(head):
        return ()
    primaries, transfer = struct.unpack_from(">HH", head, at + 8)
    return (
        ((b"cICP", bytes((primaries, transfer, 0, 1))),) if max(primaries, transfer) < 256 else ()
    )


def jp2_profile(path: Path) -> bytes | None:
    """The ICC profile in a JPEG 2000 file's color box, which Pillow leaves alone."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
    at = head.find(
        b"colr", 0, head.find(b"jp2c")
    )  # boxes: length, name, content; the pixels' one comes last
    if at < 8 or head[at + 4] not in (2, 3):  # 1: sRGB, grey or sYCC by number, which Pillow knows
        return None
    return head[at + 7 : at - 4 + int.from_bytes(head[at - 4 : at], "big")]


def _chunks_of_info(info: dict[Any, Any]) -> Chunks:
    """Color chunks by the `info` of a Pillow image that is no file any more."""
    found: list[tuple[bytes, bytes]] = []
    try:
        if isinstance(info.get("srgb"), int):
            found.append((b"sRGB", bytes((info["srgb"],))))
        if info.get("gamma"):
            found.append((b"gAMA", struct.pack(">I", round(info["gamma"] * 1e5))))
        if info.get("chromaticity"):
            found.append(
                (b"cHRM", struct.pack(">8I", *(round(n * 1e5) for n in info["chromaticity"])))
            )
    except (struct.error, TypeError, ValueError):  # not what Pillow would have put there
        return ()
    return tuple(found)


def resized_exif(exif: bytes | None, size: tuple[int, int]) -> bytes | None:
    """The block with any width and height tags set to `size`; unreadable blocks give None."""
    if not exif:
        return None
    try:
        tiff, order = _open_block(exif)
        _patch_sizes(tiff, order, size)
    except (struct.error, ValueError):
        return None
    return _PREFIX + bytes(tiff)


def rewritable_exif(exif: bytes | None) -> bytes | None:
    """The block if Pillow could write its tags anew, as its AVIF writer does; else None."""
    block = Image.Exif()
    try:
        block.load(exif or b"")
        block.tobytes()
    except (
        Exception
    ):  # tags whose values contradict their types: Pillow reads them, but cannot write them again
        return None
    return exif


def tiff_directory(meta: Metadata) -> TiffImagePlugin.ImageFileDirectory_v2:
    """A TIFF directory holding the EXIF tags and their sub-directories, ICC, resolution and XMP; no
    pixel tags yet.
    """
    try:
        directory = _exif_directory(meta.exif)
    except Exception:  # see rewritable_exif
        directory = TiffImagePlugin.ImageFileDirectory_v2()
    if meta.icc:
        directory[34675] = meta.icc
    if meta.xmp:
        directory[700] = meta.xmp
    if meta.dpi:
        directory[296], directory[282], directory[283] = 2, *meta.dpi
    return directory


def _exif_directory(exif: bytes | None) -> TiffImagePlugin.ImageFileDirectory_v2:
    directory, block = TiffImagePlugin.ImageFileDirectory_v2(), Image.Exif()
    block.load(exif or b"")
    for tag in set(block) - _TIFF_LAYOUT:
        directory[tag] = _value_of(block, tag)
    directory.tobytes()  # raises now rather than in the middle of a file
    return directory


def _exif_of(image: Image.Image) -> bytes | None:
    """The picture's EXIF block with orientation 1 and no thumbnail; ValueError or worse when it is
    damaged.
    """
    raw = image.info.get("exif")
    block = upright_exif(raw) if isinstance(raw, bytes) else _rebuilt_exif(image)
    return _checked(block) if block else None


def _rebuilt_exif(image: Image.Image) -> bytes | None:
    """For files without a raw block (TIFF tags, PNG text): collect the tags, leave out how pixels
    are stored.
    """
    source = image.getexif()
    kept = Image.Exif()
    for tag in set(source) - _TIFF_LAYOUT:
        kept[tag] = _value_of(source, tag)
    return kept.tobytes() if set(kept) - {282, 283, 296} else None


def _value_of(block: Image.Exif, tag: int) -> Any:
    """A tag's value, sub-directories and what hangs below them whole."""
    if tag not in TiffTags.TAGS_V2_GROUPS:
        return block[tag]
    values = dict(block.get_ifd(tag))
    if ExifTags.IFD.Interop in values:
        values[ExifTags.IFD.Interop] = dict(block.get_ifd(ExifTags.IFD.Interop))
    return values


def upright_exif(raw: bytes) -> bytes:
    """A copy of an EXIF block saying "orientation 1" and without its (now stale) embedded
    thumbnail.
    """
    tiff, order = _open_block(raw)
    end = 0
    for tag, at in _entries(tiff, order):
        end = at + 12
        if tag == _ORIENTATION:
            struct.pack_into(order + "HHIHH", tiff, at, tag, _SHORT, 1, 1, 0)
    if end and end + 4 <= len(tiff):
        _drop_thumbnail(tiff, order, end)
    return _PREFIX + bytes(tiff)


def _drop_thumbnail(tiff: bytearray, order: str, link: int) -> None:
    """Unlink the directory `link` points to and blank its picture, which would show what the user
    edited away.
    """
    (second,) = struct.unpack_from(order + "I", tiff, link)
    struct.pack_into(order + "I", tiff, link, 0)
    if not 8 <= second < len(tiff):
        return
    values = {
        tag: struct.unpack_from(order + "I", tiff, at + 8)[0]
        for tag, at in _entries(tiff, order, second)
    }
    start, length = values.get(_THUMB_OFFSET, 0), values.get(_THUMB_LENGTH, 0)
    if 8 <= start < start + length <= len(tiff):
        tiff[start : start + length] = bytes(length)
        if start + length >= len(tiff) - 1:
            del tiff[start:]


def _patch_sizes(tiff: bytearray, order: str, size: tuple[int, int]) -> None:
    """Set the width and height tags of the first and the Exif directory to `size`."""
    entries = list(_entries(tiff, order))
    for pointer in [at for tag, at in entries if tag == _EXIF_IFD]:
        entries += _entries(tiff, order, struct.unpack_from(order + "I", tiff, pointer + 8)[0])
    for tag, at in entries:
        if tag in _WIDTH_TAGS + _HEIGHT_TAGS:
            struct.pack_into(order + "HHII", tiff, at, tag, _LONG, 1, size[tag in _HEIGHT_TAGS])


def _open_block(raw: bytes) -> tuple[bytearray, str]:
    """The TIFF structure inside an EXIF block and its struct byte order."""
    tiff = bytearray(raw.removeprefix(_PREFIX))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(tiff[:4]))
    if order is None:
        raise ValueError("not an EXIF block")
    return tiff, order


def _entries(
    tiff: bytearray, order: str, directory: int | None = None
) -> Iterator[tuple[int, int]]:
    """(tag, position of its 12-byte entry) of one directory, else of the first; struct.error when
    it leaves the block.
    """
    start = struct.unpack_from(order + "I", tiff, 4)[0] if directory is None else directory
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        yield struct.unpack_from(order + "HHII", tiff, at)[0], at


def _checked(block: bytes) -> bytes:
    """The block; raises unless Pillow can read every tag, as other programs, and its own writers,
    will want to.
    """
    if resized_exif(block, (1, 1)) is None:
        raise ValueError("EXIF directories are damaged")
    exif = Image.Exif()
    exif.load(block)
    exif.get_ifd(ExifTags.IFD.GPSInfo)
    if ExifTags.IFD.Interop in exif.get_ifd(
        ExifTags.IFD.Exif
    ):  # Pillow 13 raises where there is none
        exif.get_ifd(ExifTags.IFD.Interop)
    return block


def _dpi_of(image: Image.Image) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in image.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if all(math.isfinite(v) and 1 < v <= 30000 for v in (x, y)) else None
