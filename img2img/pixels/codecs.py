"""Between files and arrays: which decoder reads which depth, how Pillow modes become RGB, how files
are written.
"""

from __future__ import annotations

import ctypes
import io
import logging
import os
import re
import struct
import sys
import tempfile
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from PIL import Image, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from img2img.errors import UserError
from img2img.pixels.metadata import Metadata, icc_space, tiff_directory

MAX_PIXELS = 178_956_970
"""Pictures with more pixels are refused as decompression bombs; raise it for files you trust."""

_LOCK = threading.RLock()
if hasattr(
    os, "register_at_fork"
):  # a loader worker forked while another thread decodes must not inherit a held lock
    os.register_at_fork(
        before=_LOCK.acquire, after_in_parent=_LOCK.release, after_in_child=_LOCK.release
    )
for _library in (
    "PIL",
    "tifffile",
):  # their remarks on a damaged file, where no handler is: ours says it
    logging.getLogger(_library).addHandler(logging.NullHandler())

_GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"))
_HIGHEST_FLOAT = 16.0
_STRIP_BYTES = 1 << 20
_CMYK_NOTE = "CMYK colors were converted to sRGB through the file's profile"


class Decoded(NamedTuple):
    """RGB pixels (H,W,3), alpha (H,W) or None of the same dtype, whether the file was grey, notes
    for the user.

    `converted` says that the numbers are sRGB by now, even where the file says otherwise.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    is_grey: bool
    icc: bytes | None
    notes: tuple[str, ...] = ()
    converted: bool = False


@cache
def _quiet_libtiff() -> None:
    """Pillow's libtiff prints what is wrong with a file onto stderr, past Python; Pillow raises it.
    Where it cannot be found in Pillow (linked in, as on Windows), it goes on printing.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(Image.core.__file__).TIFFSetErrorHandler(None)


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Pillow without warnings, with our bomb limit, and refusing truncated files even where the
    host program allows them.

    All three are process-wide switches, hence the lock.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        _quiet_libtiff()
        Image.MAX_IMAGE_PIXELS = (
            MAX_PIXELS // 2
        )  # Pillow warns at this number and raises at twice it
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before


def decode_smaller(image: Image.Image, least_px: int) -> None:
    """Have a JPEG decoded at the smallest of 1/2, 1/4 and 1/8 with a shorter side of `least_px` or
    more, if any.
    """
    for divisor in (8, 4, 2):
        if min(image.size) // divisor >= least_px:
            width, height = image.size
            image.draft(None, (width // divisor, height // divisor))
            return


def is_deep(image: Image.Image, path: Path) -> bool:
    """Whether the file declares samples Pillow would cut to 8 bits: 16-bit PNG, 16-bit or
    floating-point TIFF.
    """
    if image.format == "PNG":
        return _png_kind(path)[0] == 16
    if _is_stand_in(image):
        return True
    if image.format != "TIFF" or image.mode in ("CMYK", "LAB"):
        return False
    tags = cast(TiffImageFile, image).tag_v2
    return max(_as_tuple(tags.get(258, 1))) >= 16 or 3 in _as_tuple(tags.get(339, 1))


def decode_deep(image: Image.Image, path: Path) -> Decoded:
    """Pixels of a file for which `is_deep` holds, at the depth it declares; not yet upright."""
    if not _is_stand_in(image):
        image.load()  # refuses damaged files that OpenCV and tifffile would read in part
    return _from_samples(
        _read_png16(path) if image.format == "PNG" else _read_tiff(image, path), image
    )


def tiff_stand_in(path: Path) -> io.BytesIO | None:
    """A deep TIFF that Pillow cannot open (RGB floats, deep grey with alpha) with its samples
    declared as 8 bits.

    Pillow reads the tags of that, never its pixels. None for any other file.
    """
    import tifffile

    content = path.read_bytes()
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page = file.pages.first
            if (
                page.dtype is None
                or page.samplesperpixel > 4
                or not (page.dtype.kind == "f" or page.dtype == np.uint16)
            ):
                return None
            order, patched = file.byteorder, bytearray(content)
            for tag, value in (
                (page.tags.get("BitsPerSample"), 8),
                (page.tags.get("SampleFormat"), 1),
            ):
                if tag is not None:
                    struct.pack_into(
                        f"{order}{tag.count}H", patched, tag.valueoffset, *(value,) * tag.count
                    )
    except Exception:  # no TIFF, or a damaged one: Pillow's own complaint is the one to show
        return None
    return io.BytesIO(patched)


def is_whole_tiff(path: Path) -> bool:
    """Whether the first picture's tags can be read, and its pixels lie in the file."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
            return max(ends) <= path.stat().st_size
    except Exception:  # whatever a damaged file makes of it
        return False


def _is_stand_in(image: Image.Image) -> bool:
    return image.format == "TIFF" and isinstance(cast(TiffImageFile, image).fp, io.BytesIO)


def _png_kind(path: Path) -> tuple[int, int]:
    """Bits a sample and color type of a PNG (4: grey with alpha)."""
    with path.open("rb") as file:
        bits, color_type = file.read(26)[24:]
    return bits, color_type


def check_png_chunks(path: Path) -> None:
    """Raise OSError where a chunk of a PNG says that it is longer than the file: Pillow would take
    so much memory for it, up to 4 GB, before it finds that nothing is there.
    """
    with path.open("rb") as file:
        size, at = os.fstat(file.fileno()).st_size, len(b"\x89PNG\r\n\x1a\n")
        while at < size:
            file.seek(at)
            length, kind = int.from_bytes(file.read(4), "big"), file.read(4)
            if length > size:
                raise OSError("image file is truncated: a chunk is longer than the file")
            if kind == b"IEND":
                return
            at += 12 + length  # its length, kind and checksum besides


def decode_image(image: Image.Image) -> Decoded:
    """RGB and alpha of a Pillow image of any mode; the profiles of CMYK pictures are applied."""
    mode, profile = image.mode, image.info.get("icc_profile")
    if mode in ("CMYK", "LAB"):
        return _through_lcms(image)
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _from_samples(_numbers(image), image)
    if mode in ("La", "PA"):
        image = image.convert("LA" if mode == "La" else "RGBA")
    rgb, alpha = _rgb_and_alpha(image)
    greys = (
        mode in ("P", "PA") and equal_channels(rgb) and bool(np.ptp(rgb))
    )  # one color alone says nothing
    return _with_profile(rgb, alpha, greys or mode in _GREY_MODES, profile)


def _rgb_and_alpha(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """(H,W,3) and (H,W) or None, 8 bits, converted a strip at a time: nothing but Pillow's picture
    and the result is ever held whole.
    """
    width, height = image.size
    has_alpha = image.has_transparency_data
    rgb = np.empty((height, width, 3), np.uint8)
    alpha = np.empty((height, width), np.uint8) if has_alpha else None
    rows = max(1, _STRIP_BYTES // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = image.crop((0, top, width, bottom)).convert("RGBA" if has_alpha else "RGB")
        samples = np.asarray(strip)
        rgb[top:bottom] = samples[..., :3]
        if alpha is not None:
            alpha[top:bottom] = samples[..., 3]
    return rgb, alpha


def decoded_samples(samples: np.ndarray, is_grey: bool, profile: bytes | None) -> Decoded:
    """Upright samples (H,W) or (H,W,1|2|3|4), uint8, uint16 or float32, of a reader of its own."""
    rgb, alpha = split_channels(samples)
    return _with_profile(rgb, alpha, is_grey, profile)


def split_channels(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(H,W), (H,W,1|2|3|4) as (rgb, alpha): grey is repeated, channel 2 or 4 is the alpha."""
    if samples.ndim == 2:
        samples = samples[..., None]
    count = samples.shape[2]
    color = samples[..., :3] if count >= 3 else np.repeat(samples[..., :1], 3, axis=2)
    alpha = samples[..., count - 1] if count in (2, 4) else None
    return np.ascontiguousarray(color), None if alpha is None else np.ascontiguousarray(alpha)


def equal_channels(rgb: np.ndarray) -> bool:
    """Whether (...,3) is grey throughout."""
    return bool((rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all())


def checked_float(values: np.ndarray) -> np.ndarray:
    """`values` as float32 where 1 is white; UserError for NaN, or for a range that is plainly not
    0..1.
    """
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and refused
        values = values.astype(np.float32, copy=False)
    if not np.isfinite(values).all():
        raise UserError("holds values that are not finite", remedy="replace NaN and infinity first")
    if values.size and float(np.abs(values).max()) > _HIGHEST_FLOAT:
        raise UserError(
            f"holds floating-point values up to {float(values.max()):g}",
            remedy="scale them so that 1.0 is white",
        )
    return values


def _from_samples(samples: np.ndarray, image: Image.Image) -> Decoded:
    """Deep samples as they came from a decoder, RGB order, to a picture."""
    rgb, alpha = split_channels(samples)
    key = image.info.get("transparency")
    if alpha is None and isinstance(key, int) and rgb.dtype == np.uint16:
        alpha = np.where(rgb[..., 0] == key, 0, 65535).astype(np.uint16)
    is_grey = samples.ndim == 2 or samples.shape[2] < 3 or image.mode in _GREY_MODES
    return _with_profile(rgb, alpha, is_grey, image.info.get("icc_profile"))


def _with_profile(
    rgb: np.ndarray, alpha: np.ndarray | None, is_grey: bool, profile: bytes | None
) -> Decoded:
    """Keep a profile that fits, drop any other."""
    space = icc_space(profile)
    if not profile or space == "RGB" or (space == "GRAY" and is_grey):
        return Decoded(rgb, alpha, is_grey, profile or None)
    return Decoded(
        rgb, alpha, is_grey, None, ("its color profile does not fit the picture and was ignored",)
    )


def _through_lcms(image: Image.Image) -> Decoded:
    """CMYK and Lab pictures as sRGB: through the embedded profile, else Lab by definition and CMYK
    by Pillow's rule.
    """
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if image.mode == "LAB":
        rgb = _to_srgb(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
        return Decoded(
            np.array(rgb), None, False, None, ("Lab colors were converted to sRGB",), True
        )
    if icc_space(profile) == "CMYK":
        with suppress(UserError):
            return Decoded(
                np.array(_to_srgb(image, profile)), None, False, None, (_CMYK_NOTE,), True
            )
    notes = ("CMYK colors were converted to sRGB without a profile: they may look too bright",)
    return Decoded(np.array(image.convert("RGB")), None, False, None, notes, True)


def _to_srgb(image: Image.Image, profile: Any) -> Image.Image:
    from PIL import ImageCms

    source = io.BytesIO(profile) if isinstance(profile, bytes) else profile
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        transform = ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), image.mode, "RGB", intent, flags
        )
    except Exception as error:  # PyCMSError, OSError or TypeError, as the profile is damaged
        raise UserError("has a damaged color profile") from error
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _numbers(image: Image.Image) -> np.ndarray:
    """Modes I;16*, I and F as uint16 or float32 (H,W); UserError when the numbers fit neither."""
    values = np.asarray(image)
    if image.mode == "F":
        return checked_float(values)
    if image.mode == "I" and values.size and (values.min() < 0 or values.max() > 65535):
        raise UserError(
            "holds whole numbers outside 0..65535", remedy="save it as 8 or 16 bits a channel"
        )
    return values.astype(np.uint16)


def _read_png16(path: Path) -> np.ndarray:
    """(H,W) or (H,W,2|3|4) uint16, RGB order; OpenCV gives grey with alpha as four channels."""
    samples = _cv2_decoded(np.fromfile(path, np.uint8))
    if samples is None or samples.dtype != np.uint16:
        raise UserError(
            "is a 16-bit PNG that could not be decoded",
            remedy="save it again from an image editor",
        )
    samples = _bgr_to_rgb(samples)
    return samples[..., [0, 3]] if _png_kind(path)[1] == 4 else samples


def _read_tiff(image: Image.Image, path: Path) -> np.ndarray:
    """The first page of a 16-bit or floating-point TIFF, RGB order; planes, polarity and
    premultiplied alpha undone.
    """
    import tifffile

    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        try:
            samples = page.asarray()
        except ValueError:  # a compression tifffile has no decoder for, such as LZW
            samples = _read_tiff_cv2(path, page)
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and samples.ndim == 3:
        samples = np.moveaxis(samples, 0, -1)
    return _tiff_meaning(samples, image)


def _read_tiff_cv2(path: Path, page: Any) -> np.ndarray:
    """Through OpenCV's libtiff; the orientation is blanked first, because OpenCV's versions differ
    in applying it.
    """
    coded = np.fromfile(path, np.uint8)
    if tag := page.tags.get("Orientation"):
        coded[tag.valueoffset : tag.valueoffset + 2] = (
            (1, 0) if page.parent.byteorder == "<" else (0, 1)
        )
    samples = _cv2_decoded(coded)
    if samples is None and not is_whole_tiff(path):
        raise ValueError("its pixels end too early")
    if samples is None or samples.dtype not in (np.uint16, np.float32):
        raise UserError(
            "is a deep TIFF in a compression that cannot be read", remedy="save it with deflate"
        )
    return _bgr_to_rgb(samples)


def _cv2_decoded(coded: np.ndarray) -> np.ndarray | None:
    """Samples of a file's bytes as OpenCV reads them, None where it does not; what it and libpng
    would print of a damaged one is what the caller says.
    """
    import cv2

    log: Any = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        with without_remarks(rb"libpng (error|warning): .*\n"):
            return cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    finally:
        log.setLogLevel(before)


@contextmanager
def without_remarks(remark: bytes) -> Iterator[None]:
    """While a decoder works that prints what is wrong with a file onto stderr, past Python: what
    matches the pattern is dropped, all else that is written there meanwhile follows. One at a time,
    since stderr is the whole process's.
    """
    with _STDERR, tempfile.TemporaryFile() as written:
        try:
            stderr = os.dup(2)
        except OSError:  # there is none
            yield
            return
        sys.stderr.flush()
        os.dup2(written.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            written.seek(0)
            os.write(stderr, re.sub(remark, b"", written.read()))
            os.close(stderr)


_STDERR = threading.Lock()


def _tiff_meaning(samples: np.ndarray, image: Image.Image) -> np.ndarray:
    """Samples as white-is-high, straight alpha, at most one extra channel."""
    tags = cast(TiffImageFile, image).tag_v2
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    if samples.dtype.kind == "f":
        samples = checked_float(samples)
    elif samples.dtype != np.uint16:
        raise UserError(
            f"holds {samples.dtype} samples", remedy="save it as 8 or 16 bits a channel"
        )
    if tags.get(262) == 0:
        samples = (65535 if samples.dtype == np.uint16 else 1) - samples
    extras = _as_tuple(tags.get(338, ()))
    if samples.ndim == 3:
        colors = samples.shape[2] - len(extras) if extras else (1 if samples.shape[2] < 3 else 3)
        samples = samples[..., : colors + (bool(extras) and extras[0] in (1, 2))]
    return _unpremultiplied(samples) if extras[:1] == (1,) else samples


def _unpremultiplied(samples: np.ndarray) -> np.ndarray:
    """Color divided by the last channel (associated alpha)."""
    top = 65535.0 if samples.dtype == np.uint16 else 1.0
    alpha = samples[..., -1:].astype(np.float64) / top
    color = np.divide(
        samples[..., :-1], alpha, out=np.zeros(samples[..., :-1].shape), where=alpha > 0
    )
    color = np.rint(np.clip(color, 0, top)) if samples.dtype == np.uint16 else color
    return np.concatenate([color.astype(samples.dtype), samples[..., -1:]], axis=2)


def _bgr_to_rgb(samples: np.ndarray) -> np.ndarray:
    if samples.ndim == 3 and samples.shape[2] >= 3:
        return samples[..., [2, 1, 0, *range(3, samples.shape[2])]]
    return samples


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


# --- writing


def encode(
    samples: np.ndarray, kind: str, path: Path, meta: Metadata, options: dict[str, Any]
) -> None:
    """Write (H,W) grey or (H,W,2|3|4) samples to `path` in Pillow's format `kind`.

    uint8; uint16 for PNG and TIFF, grey also for JPEG 2000 and PPM; float32 for TIFF.
    """
    writers: dict[str, Callable[[np.ndarray, Path, Metadata], None]] = {
        "PNG": _write_png,
        "TIFF": _write_tiff,
    }
    if kind in writers:
        writers[kind](samples, path, meta)
    else:
        known = {"exif": meta.exif, "icc_profile": meta.icc, "dpi": meta.dpi, "xmp": meta.xmp}
        with strict_pillow():
            image = Image.fromarray(samples)
            image.save(
                path,
                format=kind,
                **options,
                **{name: value for name, value in known.items() if value},
            )


def _write_png(samples: np.ndarray, path: Path, meta: Metadata) -> None:
    """Pillow writes 8 bits; 16-bit pixels get the metadata chunks of a 1-pixel Pillow PNG."""
    color = b"".join(_png_chunk(name, data) for name, data in meta.color_chunks)
    with path.open("wb") as file:
        if samples.dtype == np.uint8:
            _save_png(Image.fromarray(samples), meta, _AfterHeader(file, color))
            return
        content = (
            _grey_alpha_png16(samples)
            if samples.ndim == 3 and samples.shape[2] == 2
            else _cv2_png16(samples)
        )
        pillows = io.BytesIO()
        _save_png(Image.new("RGB", (1, 1)), meta, pillows)
        chunks = _png_chunks(pillows.getvalue())
        lent = b"".join(c for c in chunks if c[4:8] in _METADATA_CHUNKS)
        _AfterHeader(file, color + lent).write(content)


class _AfterHeader:
    """A file that a PNG is written to as it is encoded, with chunks added after its header."""

    def __init__(self, file: BinaryIO, chunks: bytes) -> None:
        self.file, self.chunks, self.head = file, chunks, _PNG_HEAD_BYTES

    def write(self, content: bytes | memoryview) -> int:
        """Pillow writes the header by itself, in a few short pieces; others all at once."""
        content = memoryview(content)
        head = content[: self.head]
        self.file.write(head)
        if head and len(head) == self.head:
            self.file.write(self.chunks)
        self.head -= len(head)
        self.file.write(content[len(head) :])
        return len(content)


_PNG_HEAD_BYTES = 33  # signature and IHDR
_METADATA_CHUNKS = (b"iCCP", b"pHYs", b"eXIf", b"iTXt")


def _cv2_png16(samples: np.ndarray) -> bytes:
    import cv2

    bgr = samples if samples.ndim == 2 else samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    done, coded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    if not done:
        raise UserError("could not be encoded as a 16-bit PNG")
    return coded.tobytes()


def _grey_alpha_png16(samples: np.ndarray) -> bytes:
    """(H,W,2) grey and alpha, which neither Pillow nor OpenCV writes; each row as its difference to
    the one above.
    """
    height, width = samples.shape[:2]
    rows = samples.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.full((height, rows.shape[1] + 1), 2, np.uint8)
    filtered[:, 1:] = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    head = struct.pack(">IIBBBBB", width, height, 16, 4, 0, 0, 0)
    pixels = zlib.compress(filtered.tobytes(), 6)
    parts = ((b"IHDR", head), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(name, data) for name, data in parts)


def _save_png(image: Image.Image, meta: Metadata, file: Any) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    if meta.xmp:
        text.add_itxt("XML:com.adobe.xmp", meta.xmp.decode("utf-8", "replace"))
    with strict_pillow():
        image.save(file, "PNG", pnginfo=text, exif=meta.exif, icc_profile=meta.icc, dpi=meta.dpi)


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _png_chunks(content: bytes) -> Iterator[bytes]:
    """The chunks of a PNG file, each whole: length, name, data, checksum."""
    at = 8
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield content[at:end]
        at = end


def _write_tiff(samples: np.ndarray, path: Path, meta: Metadata) -> None:
    """Deflated strips after a directory by Pillow, which knows the EXIF sub-IFDs; whole numbers
    with a predictor.
    """
    samples = samples if samples.ndim == 3 else samples[..., None]
    height, width, channels = samples.shape
    is_float = samples.dtype.kind == "f"
    rows = max(1, min(height, _STRIP_BYTES // (width * channels * samples.itemsize)))
    strips = [
        zlib.compress(_strip_bytes(samples[y : y + rows], predicted=not is_float), 6)
        for y in range(0, height, rows)
    ]
    offsets = np.cumsum([0] + [len(strip) for strip in strips])[:-1]
    with strict_pillow():
        directory = tiff_directory(meta)
        directory[256], directory[257], directory[258] = (
            width,
            height,
            (8 * samples.itemsize,) * channels,
        )
        directory[259], directory[262], directory[277] = 8, 2 if channels > 2 else 1, channels
        directory[278], directory[284], directory[317] = rows, 1, 1 if is_float else 2
        directory[339] = (3 if is_float else 1,) * channels
        directory[273], directory[279] = tuple(map(int, offsets)), tuple(map(len, strips))
        if channels in (2, 4):
            directory[338] = 2
        with path.open("wb") as file:
            directory.save(file)
            file.writelines(strips)


def _strip_bytes(strip: np.ndarray, *, predicted: bool) -> bytes:
    """Little-endian samples; `predicted`: each minus its left neighbour, wrapping (TIFF predictor
    2).
    """
    little = strip.astype(strip.dtype.newbyteorder("<"))
    if predicted:
        little[:, 1:] -= strip[:, :-1]
    return little.tobytes()
