"""Reading and writing photos: the only module that knows 255, channel order, EXIF orientation and
color profiles.

Everything inside the toolkit sees upright RGB. `read_photo` and `write_photo` are for files,
`from_pil`, `from_array`, `to_pil` and `to_array` for the Python API, `decode_rgb8` for training
data, `to_float` and `quantise` for depth.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from PIL import Image, UnidentifiedImageError

from img2img.errors import Advice, Option, Phrase, UserError
from img2img.files import atomic_path
from img2img.pixels import codecs
from img2img.pixels.alpha import BLEED, seen
from img2img.pixels.color_space import ColorDescription
from img2img.pixels.color_tags import described
from img2img.pixels.drawn_masks import Drawn, marked, misfit
from img2img.pixels.extra_formats import read_extra
from img2img.pixels.file_kind import EXTRA_KINDS, damaged_kind, reader_suffixes, special_kind
from img2img.pixels.metadata import (
    Chunks,
    Metadata,
    icc_space,
    jp2_profile,
    orientation_of,
    read_metadata,
    resized_exif,
    rewritable_exif,
)
from img2img.pixels.xmp import DigitalSourceType, source_type, with_source_type

PathLike = str | os.PathLike[str]
Half = Literal["left", "right"]
"""One of two pictures side by side in a file."""

# Stubs without a decoder, and EPS, which Pillow hands to Ghostscript, a program that runs the file.
_NOT_PHOTOS = frozenset(
    ("EPS", "PDF", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "IPTC", "FITS", "MCIDAS", "SPIDER")
)
_DAMAGED, _COPY_AGAIN = "damaged or cut short", "copy or export it again"
_LOSSY = frozenset(("JPEG", "MPO", "AVIF", "HEIF", "JPEG2000", "GIF"))
_CARRIES_ALPHA = frozenset(("PNG", "TIFF", "WEBP", "AVIF", "JPEG2000", "TGA", "ICO", "QOI"))
_DEEP, _DEEP_GREY = frozenset(("PNG", "TIFF")), frozenset(("PNG", "TIFF", "JPEG2000", "PPM"))
_GREY = frozenset(("PNG", "JPEG", "TIFF", "JPEG2000", "BMP", "PPM", "TGA"))
_HOLDS_PROFILES = frozenset(("PNG", "JPEG", "TIFF", "WEBP", "AVIF"))
_STRIP_ROWS = 256
_SAID_SRGB: Chunks = ((b"sRGB", b"\0"),)
_WRITABLE = frozenset(
    ("PNG", "JPEG", "TIFF", "WEBP", "AVIF", "JPEG2000", "BMP", "PPM", "TGA", "ICO", "QOI")
)
# Longer sides are refused by encoders, or (AVIF) by decoders; ICO would be shrunk.
_MOST_PX = {"JPEG": 65500, "WEBP": 16383, "AVIF": 32768, "TGA": 65535, "ICO": 256}


@dataclass(frozen=True, eq=False)
class Photo:
    """An upright picture and what its file carried.

    `rgb` is (H,W,3) uint8, uint16 or float32 where 1 is white, in the file's own numbers, which
    `color` explains; `alpha` is (H,W) of the same dtype or None. `color_chunks` is what the file
    says of its colors besides `icc` and `exif`, as PNG chunks.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None
    format: str = "PNG"
    exif: bytes | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    is_grey: bool = False
    lossy: bool = False
    notes: tuple[str, ...] = ()
    color_chunks: Chunks = ()

    def __post_init__(self) -> None:
        if (
            self.rgb.ndim != 3
            or self.rgb.shape[2] != 3
            or self.rgb.dtype not in (np.uint8, np.uint16, np.float32)
        ):
            raise ValueError(
                f"rgb is {self.rgb.shape} {self.rgb.dtype}: want (H,W,3) uint8, uint16 or float32"
            )
        if self.alpha is not None and self.alpha.shape != self.rgb.shape[:2]:
            raise ValueError(
                f"alpha is {self.alpha.shape}, rgb is {self.rgb.shape}: the sizes differ"
            )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.rgb.shape[1], self.rgb.shape[0]

    @property
    def color(self) -> ColorDescription:
        """What the numbers mean, which turns them into sRGB and back."""
        return described(self.icc, self.color_chunks, self.exif)

    @property
    def shows_grey(self) -> bool:
        """Whether the photo was grey and is so still."""
        return self.is_grey and codecs.equal_channels(self.rgb)

    def with_pixels(self, rgb: np.ndarray, alpha: np.ndarray | None = None) -> Photo:
        """The same file data around other pixels and the alpha given, so that None removes it."""
        return replace(self, rgb=rgb, alpha=alpha)

    def half(self, which: Half) -> Photo:
        """One of two pictures side by side. Raises UserError for an odd width."""
        width = self.rgb.shape[1]
        if width % 2:
            raise UserError(f"is {width} px wide, and pairs side by side have an even width")
        columns = slice(0, width // 2) if which == "left" else slice(width // 2, width)
        alpha = None if self.alpha is None else self.alpha[:, columns]
        return self.with_pixels(np.ascontiguousarray(self.rgb[:, columns]), alpha)


# --- files


def read_photo(path: PathLike) -> Photo:
    """Read any photo file upright, at its own depth.

    Args:
        path: JPEG, PNG, TIFF, WebP, AVIF, …; HEIC, JPEG XL and camera raw with the extra `formats`.
            The content counts, not the suffix.

    Returns:
        The pixels in the file's own numbers, and what the file carried: EXIF, ICC profile, XMP.

    Raises:
        UserError: the file is none, or broken; it names the file and the fix.

    Example:
        >>> from img2img.resources import inputs_dir
        >>> photo = read_photo(inputs_dir() / "sketch.png")
        >>> photo.rgb.dtype, photo.format
        (dtype('uint8'), 'PNG')
    """
    return _read(path)


def _read(path: PathLike, shorter_px: int | None = None) -> Photo:
    if extra := _extra_reader(path):
        with _naming(path):
            decoded, meta, lossy = read_extra(extra, Path(path))
        return replace(_assembled(decoded, 1, meta, extra), lossy=lossy)
    with _opened(path, shorter_px) as image:
        kind = image.format or "PNG"
        pages, turn = _page_count(image), orientation_of(image)
        meta = read_metadata(image, turn, Path(path))
        decoded, turn = _decode(image, Path(path), turn)
        lossy = _is_lossy(image, Path(path))
    photo = _assembled(decoded, turn, meta, kind)
    return replace(photo, lossy=lossy, notes=photo.notes + _page_note(kind, pages))


def decode_rgb8(
    path: PathLike, background: str = BLEED, parts: int = 1, shorter_px: int | None = None
) -> np.ndarray:
    """Only the upright pixels in sRGB, (H,W,3) uint8, for training data. Same UserErrors.

    Transparency is laid on `background` (see `seen`), in each of so many pictures side by side by
    itself. With `shorter_px` a JPEG file, which is to be shrunk to that anyway, is decoded at a
    half, a quarter or an eighth of its size, the smallest with a shorter side of twice `shorter_px`
    or more: libjpeg then leaves out high frequencies in place of computing and averaging them. That
    is quicker, takes less memory, and after shrinking differs by a few of 255 levels from the whole
    decoding; it is a function of the file and `shorter_px` alone.
    """
    photo = as_srgb(_read(path, shorter_px))
    rgb, alpha = photo.rgb, photo.alpha
    if alpha is not None:
        colors, alphas = (np.array_split(x, parts, axis=1) for x in (rgb, alpha))
        rgb = np.hstack([seen(c, a, background) for c, a in zip(colors, alphas, strict=True)])
    return quantise(rgb, np.uint8)


def read_mask(path: PathLike, size: tuple[int, int], *, must_mark: bool = False) -> np.ndarray:
    """A mask as (H,W) bool, True = fill, read as `drawn_masks.marked` says.

    `size` is the upright photo's (width, height); a mask of another size is a UserError, and with
    `must_mark` so is one that marks nothing or everything.
    """
    drawn = _drawn(path)
    wrong = misfit("mask is", drawn.rgb.shape[1::-1], size)
    if wrong:
        raise UserError(
            wrong, place=Path(path), remedy="draw it on the photo or resize it to match"
        )
    found = marked(drawn)
    return found.checked(Path(path)) if must_mark else found.hole


def _drawn(path: PathLike) -> Drawn:
    """The numbers of a mask's file, which no profile may change, and the indices of a palette with
    a color.
    """
    if _extra_reader(path):
        photo = read_photo(path)
        return _as_drawn(photo.rgb, photo.alpha, None, photo.lossy)
    with _opened(path) as image:
        turn = orientation_of(image)
        lossy, index = _is_lossy(image, Path(path)), _indices(image)
        image.info.pop("icc_profile", None)
        decoded, turn = _decode(image, Path(path), turn)
    rgb, alpha, index = (
        None if x is None else _upright(x, turn) for x in (decoded.rgb, decoded.alpha, index)
    )
    assert rgb is not None
    return _as_drawn(rgb, alpha, index, lossy)


def drawn_in_pil(image: Image.Image) -> Drawn:
    """The mask in a Pillow image that `drawn_masks.drawn_in_array` cannot take for an array of
    numbers.
    """
    photo, index = from_pil(image), _indices(image)
    return _as_drawn(
        photo.rgb,
        photo.alpha,
        None if index is None else _upright(index, orientation_of(image)),
        photo.lossy,
    )


def _indices(image: Image.Image) -> np.ndarray | None:
    """(H,W) of a picture whose palette holds a color that is not grey, be it used or not."""
    if image.mode != "P" or codecs.equal_channels(np.reshape(image.getpalette() or [], (-1, 3))):
        return None
    return np.asarray(image)


def _as_drawn(
    rgb: np.ndarray, alpha: np.ndarray | None, index: np.ndarray | None, lossy: bool
) -> Drawn:
    if (rgb[..., :1] == rgb[..., 1:]).all():
        rgb = rgb[..., :1]
    top = np.float32(65535 if rgb.dtype == np.uint16 and rgb.max(initial=0) > 255 else 1)
    if rgb.dtype == np.uint8 or (rgb.dtype == np.uint16 and top == 1):
        top = np.float32(255)  # 16-bit files that hold 8-bit numbers too
    return Drawn(rgb / top, None if alpha is None else to_float(alpha), index, lossy)


def write_photo(
    path: PathLike, photo: Photo, *, quality: int = 95, bits: Literal[8, 16] | None = None
) -> None:
    """Write `photo` whole or not at all, in the format of the suffix, with its EXIF, color
    description, dpi and XMP.

    What was grey and is so still is written grey where the format knows grey. uint16 stays 16 bits
    in PNG and TIFF (grey also in JPEG 2000 and PGM) and is rounded to 8 elsewhere; float32 stays so
    in TIFF and is rounded to 8 bits elsewhere, to 16 when it came from a TIFF; `bits` overrides
    both. A description of colors that the format cannot hold becomes an ICC profile that says the
    same; where it holds none, the colors become sRGB. Transparency in a format without alpha is
    flattened on white. JPEG keeps full color resolution (4:4:4). WebP is lossless when the photo
    came from a lossless WebP or `quality` is 100.

    Args:
        path: its suffix says the format.
        photo: what to write.
        quality: 1 to 100, of JPEG, WebP and AVIF.
        bits: the depth, where the photo's own is not wanted.

    Raises:
        UserError: the format is unknown, or cannot hold this photo.

    Example:
        >>> import numpy as np
        >>> write_photo("deep.png", Photo(np.full((16, 16, 3), 40000, np.uint16)))
        >>> int(read_photo("deep.png").rgb.max())
        40000
    """
    kind = output_format(path)
    if kind not in _HOLDS_PROFILES:
        photo = as_srgb(photo)
    samples = _samples_for(kind, photo, bits)
    exif = resized_exif(photo.exif, photo.size)
    profile, chunks = _color_for(kind, photo, is_grey=samples.ndim == 2 or samples.shape[2] == 2)
    meta = _fitting(kind, Metadata(exif, profile, photo.dpi, photo.xmp, chunks))
    try:
        with atomic_path(path) as temporary:
            codecs.encode(samples, kind, temporary, meta, _options(kind, photo, quality))
    except UserError as error:
        raise error.at(Path(path)) from None
    except (OSError, ValueError, SystemError, struct.error) as error:
        problem = f"cannot be written as {kind} ({_one_line(error)})"
        raise UserError(problem, place=Path(path)) from error


def without_metadata(photo: Photo) -> Photo:
    """The photo without EXIF, XMP and resolution: where it was taken, when and by whom. What its
    numbers mean is said as before, and so is that a network made them.
    """
    color, kind = photo.color, source_type(photo.xmp)
    by_exif = color.transform is not None and photo.icc is None and not photo.color_chunks
    icc = color.icc_writer(False) if by_exif and color.icc_writer else photo.icc
    stated = get_args(DigitalSourceType)
    xmp = with_source_type(None, cast(DigitalSourceType, kind)) if kind in stated else None
    return replace(photo, exif=None, dpi=None, icc=icc, xmp=xmp)


def check_fits(path: PathLike, size: tuple[int, int]) -> None:
    """Raise UserError when the format of `path` cannot hold a picture of (width, height)."""
    kind = output_format(path)
    most = _MOST_PX.get(kind)
    if most and max(size) > most:
        name = {"WEBP": "WebP"}.get(kind, kind)
        raise UserError(
            f"the result would be {size[0]}x{size[1]}, and {name} holds at most {most} px a side",
            place=Path(path),
            remedy=Advice("choose ", Option("format", "png"), " or tif"),
        )


def lost_in(path: PathLike, photo: Photo) -> tuple[str, ...]:
    """What a file of this suffix cannot keep of the photo, in words for the user."""
    kind, found = output_format(path), []
    if photo.rgb.dtype == np.float32 and kind != "TIFF":
        bits = 8 * _depth_for(kind, photo, None, kind in _GREY and photo.shows_grey).itemsize
        found.append(f"its floating-point numbers were rounded to {bits} bits: TIFF keeps them")
    if kind not in _HOLDS_PROFILES and photo.color.transform is not None:
        found.append(f"its colors were converted to sRGB, because {kind} says nothing of colors")
    if kind not in _HOLDS_PROFILES and photo.color.notes:
        found.append(
            f"what its numbers mean is lost, because {kind} says nothing of colors: write PNG"
        )
    if photo.alpha is not None and kind not in _CARRIES_ALPHA:
        found.append("its transparency was laid on white: PNG, TIFF and WebP keep it")
    if (
        photo.rgb.dtype == np.uint16
        and _depth_for(kind, photo, None, kind in _GREY and photo.shows_grey) == np.uint8
    ):
        found.append("its 16 bits a channel were rounded to 8: PNG and TIFF keep them")
    if (photo.exif or photo.xmp) and kind not in _HOLDS_PROFILES:
        found.append(
            f"its EXIF and XMP were left out, because {kind} holds none: PNG, TIFF and JPEG do"
        )
    return tuple(found)


def output_format(path: PathLike) -> str:
    """Pillow's name of the format `path` would be written in; UserError for a suffix that cannot
    hold a photo.
    """
    suffix = Path(path).suffix.lower()
    kind = Image.registered_extensions().get(suffix, "").replace("MPO", "JPEG")
    if kind not in _WRITABLE:
        found = (
            f"'{suffix}' is not a format photos are written in" if suffix else "it has no suffix"
        )
        raise UserError(found, place=Path(path), remedy="use .png, .jpg, .tif or .webp")
    return kind


def photo_suffixes() -> frozenset[str]:
    """Every lower-case suffix that can be read as a photo, with its dot."""
    readable = {*_readable_formats(), "MPO"}  # Pillow opens MPO through its JPEG plugin
    plain = (suffix for suffix, kind in Image.registered_extensions().items() if kind in readable)
    return frozenset(plain) | reader_suffixes()


# --- arrays and Pillow images


def to_float(pixels: np.ndarray) -> np.ndarray:
    """uint8 or uint16 as float32 in [0,1]; floats pass as float32."""
    if pixels.dtype.kind == "f":
        return pixels.astype(np.float32, copy=False)
    return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)


def quantise(pixels: np.ndarray, dtype: Any) -> np.ndarray:
    """Any pixels as `dtype` (uint8, uint16 or float32): clipped to [0,1] and rounded to nearest for
    whole numbers.
    """
    dtype = np.dtype(dtype)
    if pixels.dtype == dtype:
        return pixels
    if dtype.kind == "f":
        return to_float(pixels).astype(dtype, copy=False)
    white = np.float32(np.iinfo(dtype).max)
    return np.rint(np.clip(to_float(pixels), 0.0, 1.0) * white).astype(dtype)


def as_srgb(photo: Photo) -> Photo:
    """The photo with numbers that are sRGB, at its own depth, colors outside it clipped; itself
    where they are.
    """
    color = photo.color
    if color.transform is None:
        return photo
    rgb = np.empty_like(photo.rgb)
    for top in range(0, len(rgb), _STRIP_ROWS):
        strip = slice(top, top + _STRIP_ROWS)
        rgb[strip] = quantise(color.to_srgb(to_float(photo.rgb[strip])).clip(0, 1), rgb.dtype)
    return replace(photo, rgb=rgb, icc=None, color_chunks=_SAID_SRGB)


def from_pil(image: Image.Image) -> Photo:
    """A Pillow image of any mode, turned upright as its EXIF says. UserError when it cannot be
    decoded.
    """
    try:
        with codecs.strict_pillow():
            image.load()
            turn = orientation_of(image)
            meta, decoded = read_metadata(image, turn), codecs.decode_image(image)
    except UserError as error:
        raise UserError(Phrase("the image ", error.phrase)) from None
    except Exception as error:
        raise UserError(f"the image cannot be decoded ({_one_line(error)})") from error
    return _assembled(decoded, turn, meta, image.format or "PNG")


def to_pil(photo: Photo) -> Image.Image:
    """A Pillow image with EXIF, ICC profile, dpi and XMP in `info`, where Pillow's savers look.

    8 bits, RGB or RGBA; what was grey and is so still as L or LA, without alpha also as I;16 or,
    floats, F.
    """
    grey_only = photo.alpha is None and photo.shows_grey
    samples = photo.rgb[..., 0] if grey_only else _samples_for("PNG", photo, 8)
    image = Image.fromarray(np.ascontiguousarray(samples))
    exif = resized_exif(photo.exif, photo.size)
    profile, _ = _color_for("JPEG", photo, is_grey=samples.ndim == 2 or samples.shape[2] == 2)
    known = {"exif": exif, "icc_profile": profile, "dpi": photo.dpi, "xmp": photo.xmp}
    image.info.update({name: value for name, value in known.items() if value})
    return image


def from_array(array: np.ndarray) -> Photo:
    """(H,W), (H,W,1), (H,W,3) RGB or (H,W,4) RGBA; bool, uint8, uint16 or floats, 1 being white."""
    array = np.asarray(array)
    if (
        array.ndim not in (2, 3)
        or 0 in array.shape
        or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
    ):
        raise UserError(
            f"an image array is (H,W), (H,W,1), (H,W,3) or (H,W,4); this one is {array.shape}"
        )
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    elif array.dtype.kind == "f":
        array = _named("the array", codecs.checked_float, array)
    elif array.dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"an image array is uint8, uint16 or float in [0,1]; this one is {array.dtype}"
        )
    rgb, alpha = codecs.split_channels(array.astype(array.dtype.newbyteorder("="), copy=False))
    return Photo(rgb, alpha, is_grey=array.ndim == 2 or array.shape[2] == 1)


def to_array(photo: Photo, dtype: Any = None) -> np.ndarray:
    """(H,W,3), or (H,W,4) when there is alpha, in `dtype` or the photo's own."""
    dtype = np.dtype(dtype or photo.rgb.dtype)
    rgb = quantise(photo.rgb, dtype)
    return rgb if photo.alpha is None else np.dstack([rgb, quantise(photo.alpha, dtype)])


# --- inside


def _extra_reader(path: PathLike) -> str | None:
    """The kind of a file that one of the extra readers opens; None where Pillow does. UserError
    where neither can.
    """
    _check_file(Path(path))
    kind = special_kind(Path(path))
    if kind is None or kind.readable:
        return kind.name if kind and kind.name in EXTRA_KINDS else None
    article = "an" if kind.name[0] in "AES" else "a"
    raise UserError(f"is {article} {kind.name} file", place=Path(path), remedy=kind.advice)


@contextmanager
def _naming(path: PathLike) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise error.at(Path(path)) from None


@contextmanager
def _opened(path: PathLike, shorter_px: int | None = None) -> Iterator[Image.Image]:
    """An opened Pillow image, every failure inside the block turned into a one-line UserError."""
    limit, place = f"{codecs.MAX_PIXELS / 1e6:.0f} megapixels", Path(path)
    try:
        with codecs.strict_pillow(), _open(path) as image:
            if min(image.size) < 1:
                raise UserError("has no pixels")
            if shorter_px and image.format in ("JPEG", "MPO"):
                codecs.decode_smaller(image, 2 * shorter_px)
            if image.format == "PNG":
                codecs.check_png_chunks(place)
            if (
                image.format != "TIFF"
            ):  # metadata may follow the pixels; a TIFF forgets its orientation when loaded
                image.load()
            if image.format == "JPEG2000" and (profile := jp2_profile(Path(path))):
                image.info["icc_profile"] = profile
            yield image
    except UserError as error:
        raise error.at(place) from None
    except UnidentifiedImageError:
        raise _unidentified(place) from None
    except Image.DecompressionBombError:
        raise UserError(
            f"more than {limit}", place=place, remedy="crop it or make it smaller first"
        ) from None
    except MemoryError:
        raise UserError(
            "not enough memory to open it", place=place, remedy="make it smaller first"
        ) from None
    # decoders raise OSError, SyntaxError, struct.error, ... on damaged files
    except Exception as error:
        raise UserError(
            f"{_DAMAGED} ({_one_line(error)})",
            place=place,
            remedy=_COPY_AGAIN,
        ) from error


def _open(path: PathLike) -> Image.Image:
    """Pillow's image; of a deep TIFF that Pillow does not know, one that serves for its tags."""
    try:
        return Image.open(path, formats=_readable_formats())
    except UnidentifiedImageError:
        stand_in = codecs.tiff_stand_in(Path(path))
        if stand_in is None:
            raise
        return Image.open(stand_in, formats=["TIFF"])


def _check_file(path: Path) -> None:
    if os.path.isdir(path):  # a name may be too long even to ask for
        raise UserError("is a folder", place=path, remedy="name a picture file")
    if not os.path.exists(path):
        raise UserError("no such file", place=path)
    if not path.is_file():
        raise UserError("is not a regular file", place=path)
    if path.stat().st_size == 0:
        raise UserError("is empty (0 bytes)", place=path, remedy="copy it again")
    if not os.access(path, os.R_OK):
        raise UserError("may not be read", place=path, remedy="check its permissions")


def _unidentified(path: Path) -> UserError:
    """What is to be said of a file that Pillow does not know."""
    if kind := damaged_kind(path):
        problem, remedy = f"{_DAMAGED} (a {kind} by its beginning)", _COPY_AGAIN
    else:
        problem, remedy = "not an image that can be read", "save it as PNG, JPEG, TIFF or WebP"
        with path.open("rb") as file:
            if file.read(4) in (b"II*\0", b"MM\0*"):
                problem += ": this kind of TIFF is not supported"
                remedy = "save it with 8 or 16 bits a channel, grey, RGB or RGBA"
    return UserError(problem, place=path, remedy=remedy)


def _decode(image: Image.Image, path: Path, turn: int) -> tuple[codecs.Decoded, int]:
    """Pixels and the turn they still need: Pillow turns TIFF upright itself, the readers for deep
    files do not.
    """
    if codecs.is_deep(image, path):
        return codecs.decode_deep(image, path), turn
    return codecs.decode_image(image), 1 if image.format == "TIFF" else turn


def _assembled(decoded: codecs.Decoded, turn: int, meta: Metadata, kind: str) -> Photo:
    photo = Photo(
        rgb=_upright(decoded.rgb, turn),
        alpha=None if decoded.alpha is None else _upright(decoded.alpha, turn),
        format=kind,
        exif=meta.exif,
        icc=decoded.icc,
        dpi=meta.dpi,
        xmp=meta.xmp,
        is_grey=decoded.is_grey,
        lossy=kind in _LOSSY,
        notes=meta.notes + decoded.notes,
        color_chunks=_SAID_SRGB if decoded.converted else meta.color_chunks,
    )
    return replace(photo, notes=photo.notes + photo.color.notes + _range_note(photo.rgb))


def _range_note(rgb: np.ndarray) -> tuple[str, ...]:
    if rgb.dtype != np.float32 or (rgb.min() >= 0 and rgb.max() <= 1):
        return ()
    values = f"holds values from {rgb.min():.3g} to {rgb.max():.3g}"
    return (f"{values}: beyond 0 to 1 they are cut off where worked on",)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation 1..8 on (H,W) or (H,W,C)."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _page_count(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # counting walks the whole file, whose later frames may be damaged
        return 1


def _page_note(kind: str, pages: int) -> tuple[str, ...]:
    if pages < 2 or kind == "PSD":  # Photoshop's "frames" are layers of the one picture
        return ()
    if kind in ("TIFF", "MPO", "ICO"):
        return (f"holds {pages} pictures: only the first is used",)
    return (f"animated: only the first of {pages} frames is used",)


def _is_lossy(image: Image.Image, path: Path) -> bool:
    """Whether the file's pixels went through a lossy codec, so that writing the same kind again
    would change them.
    """
    if (
        image.format == "WEBP"
    ):  # a lossless picture is a chunk named VP8L, behind at most a few headers
        with path.open("rb") as file:
            return b"VP8L" not in file.read(1 << 16)
    return image.format in _LOSSY or image.info.get("compression") in ("jpeg", "tiff_jpeg")


def _samples_for(kind: str, photo: Photo, bits: int | None) -> np.ndarray:
    """(H,W) grey or (H,W,2|3|4) in the depth and with the channels that `kind` can hold."""
    is_grey = kind in _GREY and photo.shows_grey
    if photo.alpha is not None and kind not in _CARRIES_ALPHA:
        cover = to_float(photo.alpha)[..., None]
        photo = photo.with_pixels(
            quantise(to_float(photo.rgb) * cover + (1 - cover), photo.rgb.dtype)
        )
    dtype = _depth_for(kind, photo, bits, is_grey)
    if not is_grey:
        return to_array(photo, dtype)
    grey = quantise(np.ascontiguousarray(photo.rgb[..., 0]), dtype)
    return grey if photo.alpha is None else np.dstack([grey, quantise(photo.alpha, dtype)])


def _depth_for(kind: str, photo: Photo, bits: int | None, is_grey: bool) -> np.dtype[Any]:
    if bits is None and photo.rgb.dtype == np.float32 and kind == "TIFF":
        return photo.rgb.dtype
    holds_16 = kind in (_DEEP_GREY if is_grey and photo.alpha is None else _DEEP)
    deep = photo.rgb.dtype == np.uint16 or (
        photo.rgb.dtype == np.float32 and photo.format == "TIFF"
    )
    wants_16 = bits == 16 or (bits is None and deep)
    return np.dtype(np.uint16 if holds_16 and wants_16 else np.uint8)


def _color_for(kind: str, photo: Photo, is_grey: bool) -> tuple[bytes | None, Chunks]:
    """The ICC profile and, in a PNG, the chunks that say what the numbers mean; pixels are as
    `is_grey` says.
    """
    if kind not in _HOLDS_PROFILES:
        return None, ()
    if kind != "PNG":
        return _profile_for(
            photo, is_grey and icc_space(photo.icc) != "RGB"
        ), ()  # an RGB one may lie in a grey file
    by_exif = photo.icc is None and not photo.color_chunks
    profile = (
        _profile_for(replace(photo, color_chunks=()), is_grey) if photo.icc or by_exif else None
    )
    return profile, tuple(c for c in photo.color_chunks if not (profile and c[0] == b"sRGB"))


def _profile_for(photo: Photo, is_grey: bool) -> bytes | None:
    """An ICC profile for the photo's numbers; the file's own wherever it fits."""
    color = photo.color
    return photo.icc if color.icc_writer is None else color.icc_writer(is_grey)


def _options(kind: str, photo: Photo, quality: int) -> dict[str, Any]:
    lossless = quality >= 100 or (photo.format == "WEBP" and not photo.lossy)
    return {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WEBP": {"lossless": True, "exact": True} if lossless else {"quality": quality},
        "AVIF": {"quality": quality, "subsampling": "4:4:4"},
        "ICO": {"sizes": [photo.size]},
        "QOI": {"colorspace": "sRGB"},  # Pillow would call it linear
    }.get(kind, {})


def _fitting(kind: str, meta: Metadata) -> Metadata:
    """Without what the format cannot hold: JPEG segments end at 64 kB, AVIF needs EXIF tags Pillow
    can write anew.
    """
    if kind == "AVIF":
        with codecs.strict_pillow():
            return replace(meta, exif=rewritable_exif(meta.exif))
    if kind != "JPEG":
        return meta
    exif = meta.exif if meta.exif and len(meta.exif) <= 65533 else None
    xmp = meta.xmp
    if xmp and len(xmp) > 65502:
        stated = source_type(xmp)
        xmp = (
            None
            if stated not in get_args(DigitalSourceType)
            else with_source_type(None, cast(Any, stated))
        )
    return replace(meta, exif=exif, xmp=xmp)


def _named(subject: str, check: Any, *args: Any) -> Any:
    """Run a check whose message starts with a verb, and put its subject before it."""
    try:
        return check(*args)
    except UserError as error:
        raise UserError(Phrase(subject, " ", error.phrase)) from None


def _readable_formats() -> list[str]:
    """Pillow's decoders fit for photos, the frequent ones first, because they are tried in this
    order.
    """
    Image.init()
    frequent = ["JPEG", "PNG", "WEBP", "TIFF"]
    return frequent + sorted(set(Image.OPEN) - _NOT_PHOTOS - set(frequent))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
