"""What a file is, by its content: suffixes are missing, cut off or wrong often enough.

HEIC, JPEG XL and camera raw need the extra `img2img[formats]`; without it, and for what is no
photo, a kind says what a user can do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from PIL import Image, features

from img2img.errors import UserError
from img2img.pixels.codecs import is_whole_tiff, strict_pillow
from img2img.pixels.metadata import orientation_of

_INSTALL = "pip install 'img2img[formats]' opens"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RAW_HEADS = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"FOVb",
    b"\0MRM",
)  # RAF, ORF, RW2, X3F, MRW
_RAW_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *(
            "3fr",
            "arw",
            "cr2",
            "cr3",
            "crw",
            "dcr",
            "dng",
            "erf",
            "iiq",
            "kdc",
            "mef",
            "mos",
            "mrw",
            "nef",
            "nrw",
        ),
        *("orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
    )
)
_JPEG_XL_HEADS = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")  # bare codestream, boxed
_SUFFIXES = {
    "HEIC": frozenset((".heic", ".heif", ".hif")),
    "JPEG XL": frozenset((".jxl",)),
    "camera raw": _RAW_SUFFIXES,
}
_READER = {"HEIC": "pi_heif", "JPEG XL": "pyjpegxl", "camera raw": "rawpy"}
EXTRA_KINDS = frozenset(_READER)
# Formats whose beginning is distinctive enough to recognise a photo without its suffix.
_PLAIN = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PSD")
_WITH_SIZE = (*_PLAIN[:-1], "PPM", "TGA")  # whose headers can be believed
_DISTINCT = ("JPEG", "PNG", "WEBP", "GIF", "AVIF", "JPEG2000", "PSD", "ICNS", "DDS", "QOI")
_CFA, _LINEAR_RAW, _DNG_VERSION, _SUB_IFDS, _REDUCED = 32803, 34892, 50706, 330, 1


@dataclass(frozen=True)
class FileKind:
    """A kind of file by the name people use, whether it can be opened here, and what to do where it
    cannot.
    """

    name: str
    readable: bool
    advice: str = ""


PHOTO = FileKind("photo", True)
_SVG = FileKind("SVG", False, "drawings have no pixels: convert it to PNG first")
_PDF = FileKind("PDF", False, "export the page as PNG first")
_EPS = FileKind("EPS", False, "export it as PNG first")
_VIDEO = FileKind("video", False, "save a frame as PNG first")


def file_kind(path: Path) -> FileKind | None:
    """The kind of a file by its content; None for what is neither a picture nor taken for one.
    Raises OSError as `open` does.
    """
    return special_kind(path) or _plain(path)


def special_kind(path: Path) -> FileKind | None:
    """The kind of a file by its first bytes; None for what Pillow's own readers open, and for the
    unknown.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(_JPEG_XL_HEADS):
        return _optional("JPEG XL")
    return _boxed(head) or _raw(path, head) or _no_picture(head)


def reader_suffixes() -> frozenset[str]:
    """Lower-case suffixes of the kinds that the installed extra readers open."""
    installed = [name for name, module in _READER.items() if find_spec(module)]
    return frozenset().union(*(_SUFFIXES[name] for name in installed))


def counted(kinds: Iterable[FileKind]) -> str:
    """`2 HEIC, 1 camera raw (pip install 'img2img[formats]' opens them), 1 video`."""
    counts = Counter(kind.name for kind in kinds)
    missing = [f"{counts[name]} {name}" for name in counts if name in EXTRA_KINDS]
    others = [f"{counts[name]} {name}" for name in counts if name not in EXTRA_KINDS]
    return ", ".join(([f"{', '.join(missing)} ({_INSTALL} them)"] if missing else []) + others)


def _boxed(head: bytes) -> FileKind | None:
    """Files of ISO boxes: HEIC, AVIF, Canon's CR3, video."""
    if head[4:8] != b"ftyp":
        return None
    size = max(16, min(int.from_bytes(head[:4], "big"), len(head)))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, size, 4))]
    if brands[0] == b"crx ":
        return _optional("camera raw")
    if any(brand in (b"avif", b"avis") for brand in brands):
        return (
            FileKind("AVIF", True)
            if features.check("avif")
            else FileKind("AVIF", False, "save it as PNG first")
        )
    if any(brand in _HEIF_BRANDS for brand in brands):
        return _optional("HEIC")
    return _VIDEO


def _raw(path: Path, head: bytes) -> FileKind | None:
    """Camera raw; most of it is TIFF whose first picture is a thumbnail, which must not pass for
    the photo.
    """
    if head.startswith(_RAW_HEADS):
        return _optional("camera raw")
    if head[:4] not in (b"II*\0", b"MM\0*"):
        return None
    named = path.suffix.lower() in _RAW_SUFFIXES
    return _optional("camera raw") if named or head[8:10] == b"CR" or _holds_raw(path) else None


def _holds_raw(path: Path) -> bool:
    """Whether a TIFF's first directory is of a sensor's samples, of a DNG, or a reduced picture
    before others.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            tags = file.pages.first.tags
            reduced = bool(tags.valueof(254, 0) & _REDUCED) and _SUB_IFDS in tags
            return reduced or _DNG_VERSION in tags or tags.valueof(262, 0) in (_CFA, _LINEAR_RAW)
    except Exception:  # damaged: whoever opens it says how
        return False


def _no_picture(head: bytes) -> FileKind | None:
    if head.startswith(b"%PDF"):
        return _PDF
    if head.startswith((b"%!PS", b"\xc5\xd0\xd3\xc6")):
        return _EPS
    if head.startswith(b"\x1a\x45\xdf\xa3") or (head.startswith(b"RIFF") and head[8:12] == b"AVI "):
        return _VIDEO
    return _SVG if b"<svg" in head else None


def _plain(path: Path) -> FileKind | None:
    """A photo by Pillow's own readers; its header is parsed, since two letters (BMP) begin many a
    text.
    """
    accepting = _beginning_of(path, _PLAIN)
    if not accepting:
        return None
    try:
        with strict_pillow(), Image.open(path, formats=accepting):
            return PHOTO
    except Image.DecompressionBombError:
        return PHOTO  # whoever opens it says so
    except Exception:
        return PHOTO if accepting[0] in ("JPEG", "PNG") else None


def damaged_kind(path: Path) -> str | None:
    """The format of a file that Pillow does not know although it begins as one: its first bytes are
    whole, and what follows is not. None for what is no photo, and for a TIFF that is whole.
    """
    if found := _beginning_of(path, _DISTINCT):
        return found[0]
    return "TIFF" if _beginning_of(path, ("TIFF",)) and not is_whole_tiff(path) else None


def _beginning_of(path: Path, names: Iterable[str]) -> list[str]:
    """Those of Pillow's formats whose first bytes a file has."""
    Image.init()
    with path.open("rb") as file:
        prefix = file.read(16)
    readers = {name: Image.OPEN[name][1] for name in names if name in Image.OPEN}
    return [name for name, accept in readers.items() if accept and accept(prefix) is True]


def size_in_header(path: Path) -> tuple[int, int] | None:
    """(width, height) as a file claims, nothing decoded; None where only decoding can tell, or tell
    what is wrong. Raises UserError for a claim that no memory could hold.
    """
    try:
        with strict_pillow(), Image.open(path, formats=_WITH_SIZE) as image:
            return image.size
    except Image.DecompressionBombError:
        raise UserError(
            "claims to be gigantic (a decompression bomb?)",
            place=path,
            remedy="make it smaller first",
        ) from None
    except Exception:  # any damage; whoever decodes it names it
        return None


def turn_in_header(path: Path) -> int:
    """The EXIF (else XMP) orientation 1..8 that a file states, nothing decoded; 1 where it is
    missing, or the header cannot be read.
    """
    try:
        with strict_pillow(), Image.open(path, formats=_WITH_SIZE) as image:
            return orientation_of(image)
    except Exception:  # any damage; whoever decodes it names it
        return 1


def _optional(name: str) -> FileKind:
    """A kind that an extra reader opens where it is installed."""
    if find_spec(_READER[name]):
        return FileKind(name, True)
    return FileKind(name, False, f"{_INSTALL} it")
