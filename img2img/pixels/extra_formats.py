"""Readers of the extra `img2img[formats]`: HEIC through libheif, JPEG XL through libjxl, camera raw
through LibRaw.

Each gives the developed picture, upright, never a thumbnail; the imports are inside, since the
extra may be missing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from img2img.errors import UserError
from img2img.pixels.codecs import (
    MAX_PIXELS,
    Decoded,
    checked_float,
    decoded_samples,
    without_remarks,
)
from img2img.pixels.metadata import Metadata, checked_exif, nclx_chunks, upright_xmp

_SRGB_CURVE = 2.4, 12.92  # power and slope of LibRaw's output curve
# The camera, the lens, when and where: what of a raw file's directory still holds for the developed
# picture.
_KEPT_TAGS = 271, 272, 305, 306, 315, 33432, 34665, 34853


def read_extra(name: str, path: Path) -> tuple[Decoded, Metadata, bool]:
    """Pixels, metadata and whether the pixels went through a lossy codec, for a kind that
    `file_kind` named.
    """
    try:
        return _READERS[name](path)
    except UserError:
        raise
    except MemoryError:
        raise UserError("not enough memory to open it", remedy="make it smaller first") from None
    except Exception as error:  # these libraries raise what they please on damaged files
        raw = b"".join(a for a in error.args if isinstance(a, bytes))
        message = raw.decode("utf-8", "replace") or str(error)
        reason = " ".join(message.split())[:120] or type(error).__name__
        raise UserError(
            f"damaged or cut short ({reason})", remedy="copy or export it again"
        ) from error


def _read_heic(path: Path) -> tuple[Decoded, Metadata, bool]:
    import pi_heif

    file = pi_heif.open_heif(path, convert_hdr_to_8bit=False, bgr_mode=False)
    _check_size(file.size)
    samples = np.asarray(file)
    more = f"holds {len(file)} pictures: only the first is used"
    meta = _metadata(file.info.get("exif"), file.info.get("xmp"), (more,) if len(file) > 1 else ())
    profile = file.info.get("icc_profile")
    chunks = () if profile else nclx_chunks(path)
    return (
        decoded_samples(samples, samples.ndim == 2, profile),
        replace(meta, color_chunks=chunks),
        True,
    )


def _read_jpeg_xl(path: Path) -> tuple[Decoded, Metadata, bool]:
    import pyjpegxl

    coded = path.read_bytes()
    seen = pyjpegxl.probe(coded)
    _check_size((seen.width, seen.height))
    meta, samples = pyjpegxl.decode_to_numpy(coded)
    if samples.dtype == np.float32:
        samples = checked_float(samples)
    decoded = decoded_samples(samples, meta.num_color_channels == 1, meta.icc)
    decoded = decoded._replace(
        converted=not meta.icc
    )  # EXIF has no say: the stream itself names its colors
    return decoded, _metadata(meta.exif, meta.xmp), False


def _read_raw(path: Path) -> tuple[Decoded, Metadata, bool]:
    import rawpy

    with rawpy.imread(str(path)) as raw:
        sizes = raw.sizes
        _check_size((sizes.width, sizes.height))
        remark = re.escape(os.fsencode(path)) + rb": (Unexpected end|data corrupted).*\n"
        with without_remarks(remark):  # LibRaw raises it as well
            raw.unpack()
        samples = raw.postprocess(use_camera_wb=True, output_bps=16, gamma=_SRGB_CURVE)
    notes = ("camera raw: developed with the camera's white balance",)
    developed = Decoded(np.ascontiguousarray(samples), None, False, None, converted=True)
    return developed, _metadata(_raw_exif(path), None, notes), False


def _raw_exif(path: Path) -> bytes | None:
    """What still holds of a TIFF-like raw file's tags; CR3 and RAF keep theirs elsewhere, which
    nobody reads here.
    """
    source, kept = Image.Exif(), Image.Exif()
    try:
        with path.open("rb") as file:
            source.load_from_fp(file)
        for tag in set(source).intersection(_KEPT_TAGS):
            kept[tag] = source.get_ifd(tag) if tag in (34665, 34853) else source[tag]
        return kept.tobytes() if set(kept) else None
    except Exception:  # Pillow raises anything on directories it does not know
        return None


def _metadata(exif: bytes | None, xmp: bytes | None, notes: tuple[str, ...] = ()) -> Metadata:
    kept, damaged = checked_exif(exif)
    packet, dropped = upright_xmp(xmp)
    return Metadata(kept, xmp=packet, notes=(*notes, *damaged, *dropped))


def _check_size(size: tuple[int, int]) -> None:
    if size[0] * size[1] > MAX_PIXELS:
        limit = f"{MAX_PIXELS / 1e6:.0f} megapixels"
        raise UserError(f"more than {limit}", remedy="crop it or make it smaller first")


_READERS: dict[str, Callable[[Path], tuple[Decoded, Metadata, bool]]] = {
    "HEIC": _read_heic,
    "JPEG XL": _read_jpeg_xl,
    "camera raw": _read_raw,
}
