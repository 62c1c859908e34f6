"""Photos that are damaged, odd, or none: of every format that is read."""

from __future__ import annotations

import io
import os
import shutil
import socket
import struct
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from hostile.corpus import Corpus

PHOTOS = Corpus()
SIZE = WIDTH, HEIGHT = 40, 30
_HEIC = Path(__file__).parents[1] / "pixels" / "tiny.heic"
_DAMAGED = "damaged or cut short"
_NO_IMAGE = "not an image that can be read"


def _pixels() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    noise = np.random.default_rng(0).integers(0, 24, (HEIGHT, WIDTH, 3))
    return (np.stack([x * 5, y * 7, (x + y) * 3], axis=-1) + noise).astype(np.uint8)


RGB = _pixels()
PICTURE = Image.fromarray(RGB)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """The bytes of a file that Pillow writes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(samples: np.ndarray, **options: Any) -> bytes:
    """The bytes of a file that tifffile writes."""
    file = io.BytesIO()
    known = {"photometric": "rgb" if samples.ndim == 3 else "minisblack"}
    tifffile.imwrite(file, samples, **(known | options))
    return file.getvalue()


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG file of any chunks, each with its right checksum."""
    parts = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_header(width: int, height: int, bits: int = 8, color_type: int = 2) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, 0)


def png_pixels(width: int, height: int) -> bytes:
    return zlib.compress(bytes((3 * width + 1) * height))


def dng(path: Path) -> None:
    """A camera's file: a thumbnail first, a sensor's samples in a directory below."""
    identity = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    common = [
        (50706, "B", 4, (1, 4, 0, 0), True),
        (271, "s", 0, "Maker", True),
        (50708, "s", 0, "Maker One", True),
        (50721, "2i", 9, identity, True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    sensor = [(33421, "H", 2, (2, 2), True), (33422, "B", 4, (0, 1, 1, 2), True)]
    sensor += [(50714, "H", 1, 0, True), (50717, "H", 1, 65535, True)]
    mosaic = np.random.default_rng(0).integers(0, 60000, (128, 192)).astype(np.uint16)
    with tifffile.TiffWriter(path) as file:
        small = np.zeros((16, 24, 3), np.uint8)
        file.write(small, photometric="rgb", subfiletype=1, subifds=1, extratags=common)
        file.write(mosaic, photometric=32803, subfiletype=0, extratags=sensor)


def _dng_bytes(folder: Path) -> bytes:
    dng(folder / "whole.dng")
    return (folder / "whole.dng").read_bytes()


def _icns() -> bytes:
    """One picture of 128 px; Pillow would write ten, up to 1024 px."""
    picture = saved(PICTURE.resize((128, 128)), "PNG")
    entry = b"ic07" + struct.pack(">I", 8 + len(picture)) + picture
    return b"icns" + struct.pack(">I", 8 + len(entry)) + entry


def sound_files() -> dict[str, bytes]:
    """A whole file of each format that is read, by its suffix or a name with it."""
    import tempfile

    files = {
        "jpg": saved(PICTURE, "JPEG", quality=90),
        "progressive.jpg": saved(PICTURE, "JPEG", progressive=True),
        "cmyk.jpg": saved(PICTURE.convert("CMYK"), "JPEG"),
        "png": saved(PICTURE, "PNG"),
        "palette.png": saved(PICTURE.quantize(16), "PNG"),
        "deep.png": cv2.imencode(".png", RGB.astype(np.uint16) * 257)[1].tobytes(),
        "webp": saved(PICTURE, "WEBP"),
        "lossless.webp": saved(PICTURE, "WEBP", lossless=True),
        "tif": saved(PICTURE, "TIFF"),
        "lzw.tif": saved(PICTURE, "TIFF", compression="tiff_lzw"),
        "jpeg.tif": saved(PICTURE, "TIFF", compression="jpeg"),
        "deep.tif": tiff(RGB.astype(np.uint16) * 257, compression="zlib"),
        "float.tif": tiff(RGB.astype(np.float32) / 255),
        "bmp": saved(PICTURE, "BMP"),
        "gif": saved(PICTURE.quantize(16), "GIF"),
        "avif": saved(PICTURE, "AVIF"),
        "jp2": saved(PICTURE, "JPEG2000"),
        "ppm": saved(PICTURE, "PPM"),
        "tga": saved(PICTURE, "TGA", compression="tga_rle"),
        "ico": saved(PICTURE.resize((32, 32)), "ICO", sizes=[(32, 32)]),
        "icns": _icns(),
        "dds": saved(PICTURE, "DDS"),
        "pcx": saved(PICTURE, "PCX"),
        "sgi": saved(PICTURE, "SGI"),
        "qoi": saved(PICTURE, "QOI"),
    }
    if find_spec("pi_heif"):
        files["heic"] = _HEIC.read_bytes()
    if find_spec("pyjpegxl"):
        import pyjpegxl

        files["jxl"] = pyjpegxl.encode_from_numpy(RGB)
    if find_spec("rawpy"):
        with tempfile.TemporaryDirectory() as folder:
            files["dng"] = _dng_bytes(Path(folder))
    return files


def named(kind: str) -> str:
    """A file's name by a key of `sound_files`."""
    return kind if "." in kind else f"photo.{kind}"


SOUND = sound_files()
OTHER_SIZES = {"ico": (32, 32), "icns": (128, 128), "heic": (96, 64), "dng": (192, 128)}
_SAID = {"cmyk.jpg": "CMYK", "dng": "white balance", "float.tif": "rounded to 16"}


def _add_damage() -> None:
    """Each format whole, cut in the middle, and with a byte in its pixels turned over."""
    for kind, content in SOUND.items():
        size, name = OTHER_SIZES.get(kind, SIZE), named(kind)
        PHOTOS.add(f"{kind} whole", name, content, size=size, said=_SAID.get(kind, ""))
        PHOTOS.add(f"{kind} cut", name, content[: len(content) // 2], refused=_DAMAGED)
        middle = len(content) * 2 // 3
        turned = content[:middle] + bytes([content[middle] ^ 0x5A]) + content[middle + 1 :]
        PHOTOS.add(f"{kind} turned byte", name, turned)


# --- sizes


def _add_sizes() -> None:
    for size in ((16, 16), (16, 20_000), (20_000, 16), (1, 1), (2, 3), (1, 20_000), (20_000, 1)):
        plain = saved(Image.new("RGB", size, (90, 120, 60)), "PNG")
        small = min(size) < 16
        PHOTOS.add(
            f"{size[0]}x{size[1]}",
            "a.png",
            plain,
            size=None if small else size,
            refused="at least 16x16 pixels are needed" if small else None,
        )
    pixels = (b"IDAT", png_pixels(1, 1))
    end = (b"IEND", b"")
    too_many = "more than 179 megapixels"
    PHOTOS.add(
        "png of 30000x30000",
        "a.png",
        png([png_header(30000, 30000), pixels, end]),
        refused=too_many,
    )
    PHOTOS.add(
        "png of 2^31",
        "a.png",
        png([png_header(2**31 - 1, 2**31 - 1), pixels, end]),
        refused=too_many,
    )
    PHOTOS.add(
        "png without width",
        "a.png",
        png([png_header(0, 30), pixels, end]),
        refused=f"{_DAMAGED}|no pixels",
    )
    endless = bytearray(SOUND["png"])
    idat = endless.index(b"IDAT")
    endless[idat - 4 : idat] = b"\xff" * 4
    PHOTOS.add(
        "png with a chunk of 4 GB",
        "a.png",
        bytes(endless),
        refused="a chunk is longer than the file",
    )
    jpeg = bytearray(SOUND["jpg"])
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 30000, 30000)
    PHOTOS.add("jpg of 30000x30000", "a.jpg", bytes(jpeg), refused=too_many)
    bmp = bytearray(SOUND["bmp"])
    bmp[18:26] = struct.pack("<ii", 30000, -30000)
    PHOTOS.add("bmp of 30000x30000", "a.bmp", bytes(bmp), refused=too_many)
    gif = bytearray(SOUND["gif"])
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    PHOTOS.add("gif of 65535x65535", "a.gif", bytes(gif), refused=too_many)
    tga = bytearray(SOUND["tga"])
    tga[12:16] = struct.pack("<HH", 30000, 30000)
    PHOTOS.add("tga of 30000x30000", "a.tga", bytes(tga), refused=too_many)
    PHOTOS.add(
        "ppm of 10^9", "a.ppm", b"P6 1000000000 1000000000 255\n" + bytes(300), refused=too_many
    )
    qoi = bytearray(SOUND["qoi"])
    qoi[4:12] = struct.pack(">II", 30000, 30000)
    PHOTOS.add("qoi of 30000x30000", "a.qoi", bytes(qoi), refused=too_many)
    for kind in ("tif", "deep.tif", "float.tif"):
        PHOTOS.add(
            f"{kind} of 30000x30000",
            named(kind),
            _resized_tiff(SOUND[kind], 30000),
            refused=too_many,
        )
    webp = bytearray(SOUND["lossless.webp"])
    webp[21:25] = struct.pack("<I", 16382 | 16382 << 14)
    PHOTOS.add("webp of 16383x16383", "a.webp", bytes(webp), refused=f"{too_many}|{_DAMAGED}")


def _resized_tiff(content: bytes, side: int) -> bytes:
    """The file with another width and height in its first directory."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        changed, order = bytearray(content), file.byteorder
        for name in ("ImageWidth", "ImageLength"):
            tag = file.pages.first.tags[name]
            code = {3: "H", 4: "I"}[int(tag.dtype)]
            struct.pack_into(order + code, changed, tag.valueoffset, side)
    return bytes(changed)


# --- kinds of pixels


def _add_modes() -> None:
    grey, alpha = PICTURE.convert("L"), PICTURE.copy()
    alpha.putalpha(grey)
    for name, image in {
        "grey": grey,
        "one bit": PICTURE.convert("1"),
        "grey with alpha": alpha.convert("LA"),
        "alpha": alpha,
    }.items():
        PHOTOS.add(f"png {name}", "a.png", saved(image, "PNG"), size=SIZE)
    palette = PICTURE.quantize(16)
    clear = saved(palette, "PNG", transparency=bytes(range(0, 256, 16)))
    PHOTOS.add("palette with transparency", "a.png", clear, size=SIZE)
    PHOTOS.add("palette of two for indices up to 15", "a.png", _short_palette(), size=SIZE)
    PHOTOS.add("16 bit grey png", "a.png", saved(_deep_grey(), "PNG"), size=SIZE)
    PHOTOS.add("16 bit pgm", "a.pgm", saved(_deep_grey(), "PPM"), size=SIZE)
    PHOTOS.add("cmyk tif", "a.tif", saved(PICTURE.convert("CMYK"), "TIFF"), size=SIZE, said="CMYK")
    lab = ImageCms.applyTransform(
        PICTURE,
        ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        ),
    )
    assert lab is not None
    PHOTOS.add("lab tif", "a.tif", saved(lab, "TIFF"), size=SIZE, said="Lab")
    floats = RGB.astype(np.float32) / 255
    for name, value in (("NaN", np.nan), ("infinity", np.inf)):
        broken = floats.copy()
        broken[3, 5] = value
        PHOTOS.add(f"float with {name}", "a.tif", tiff(broken), refused="not finite")
    PHOTOS.add("float up to 255", "a.tif", tiff(floats * 255), refused="1.0 is white")
    PHOTOS.add(
        "float beyond 1", "a.tif", tiff(floats * 3), size=SIZE, said="beyond 0 to 1|rounded to 16"
    )
    PHOTOS.add(
        "half floats", "a.tif", tiff(floats.astype(np.float16)), size=SIZE, said="rounded to 16"
    )
    PHOTOS.add("double floats", "a.tif", tiff(floats.astype(np.float64)))
    PHOTOS.add(
        "32 bit whole numbers",
        "a.tif",
        tiff(RGB.astype(np.uint32)),
        refused="16 bits a channel|8 or 16",
    )
    PHOTOS.add(
        "complex numbers",
        "a.tif",
        tiff(floats[..., 0].astype(np.complex64)),
        refused="8 or 16 bits a channel",
    )
    PHOTOS.add("big tif", "a.tif", tiff(RGB, bigtiff=True), size=SIZE)
    PHOTOS.add("tiled tif", "a.tif", tiff(RGB, tile=(16, 16)), size=SIZE)
    PHOTOS.add(
        "seven channels",
        "a.tif",
        tiff(np.dstack([RGB, RGB, RGB[..., 0]]), photometric="minisblack", planarconfig="contig"),
        refused="8 or 16 bits a channel",
    )
    frames = [PICTURE.rotate(turn) for turn in (90, 180)]
    for kind, name in (("PNG", "a.png"), ("WEBP", "a.webp"), ("GIF", "a.gif"), ("AVIF", "a.avif")):
        moving = saved(PICTURE, kind, save_all=True, append_images=frames)
        PHOTOS.add(f"animated {name}", name, moving, size=SIZE, said="animated")
    PHOTOS.add(
        "tif of three pages",
        "a.tif",
        saved(PICTURE, "TIFF", save_all=True, append_images=frames),
        size=SIZE,
        said="only the first",
    )
    PHOTOS.add(
        "mpo",
        "a.mpo",
        saved(PICTURE, "MPO", save_all=True, append_images=frames),
        size=SIZE,
        said="only the first",
    )


def _deep_grey() -> Image.Image:
    return Image.fromarray(RGB[..., 0].astype(np.uint16) * 257)


def _short_palette() -> bytes:
    rows = np.zeros((HEIGHT, WIDTH + 1), np.uint8)
    rows[:, 1:] = np.arange(WIDTH) % 16
    return png(
        [
            png_header(WIDTH, HEIGHT, 8, 3),
            (b"PLTE", bytes([0, 0, 0, 255, 200, 100])),
            (b"IDAT", zlib.compress(rows.tobytes())),
            (b"IEND", b""),
        ]
    )


# --- what stands beside the pixels


def _add_metadata() -> None:
    exif = Image.Exif()
    exif[271], exif[274] = "Maker", 6
    turned = exif.tobytes()
    PHOTOS.add("turned by exif", "a.jpg", saved(PICTURE, "JPEG", exif=turned), size=(30, 40))
    exif[274] = 99
    PHOTOS.add(
        "turned by nonsense", "a.jpg", saved(PICTURE, "JPEG", exif=exif.tobytes()), size=SIZE
    )
    broken = b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 60
    for kind in ("JPEG", "PNG", "WEBP"):
        PHOTOS.add(
            f"exif of garbage, {kind}",
            f"a.{kind.lower()}",
            saved(PICTURE, kind, exif=broken),
            size=SIZE,
            said="EXIF data is damaged",
        )
    loop = struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + struct.pack("<I", 8)
    PHOTOS.add(
        "exif that leads to itself",
        "a.jpg",
        saved(PICTURE, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + loop),
        size=SIZE,
        said=".*",
    )
    far = struct.pack("<HHHII", 1, 271, 2, 2**31, 2**31) + struct.pack("<I", 0)
    PHOTOS.add(
        "exif that claims gigabytes",
        "a.jpg",
        saved(PICTURE, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + far),
        size=SIZE,
        said=".*",
    )
    for name, profile, words in (
        ("of garbage", b"\xff" * 400, "does not fit"),
        ("cut short", SRGB[:200], "does not fit"),
        ("turned bytes", SRGB[:128] + bytes(len(SRGB) - 128), "cannot be read|does not fit"),
        ("of no pixels", SRGB[:16] + b"XYZ " + SRGB[20:], "does not fit"),
    ):
        for kind in ("JPEG", "PNG", "TIFF"):
            PHOTOS.add(
                f"profile {name}, {kind}",
                f"a.{kind.lower()}",
                saved(PICTURE, kind, icc_profile=profile),
                size=SIZE,
                said=words,
            )
    entities = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><x>&e11;</x>'.encode()
    outside = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    for name, packet in (
        ("of a billion laughs", bomb),
        ("that reads files", outside),
        ("that is no xml", b"<<<<\xff\xfe>>>"),
        ("nested", b"<a>" * 15_000),
    ):
        PHOTOS.add(f"xmp {name}", "a.jpg", saved(PICTURE, "JPEG", xmp=packet), size=SIZE, said=".*")
    info = PngInfo()
    info.add_text("comment", "x" * 50_000_000, zip=True)
    PHOTOS.add("png text of 50 MB", "a.png", saved(PICTURE, "PNG", pnginfo=info))
    head, pixels = png_header(WIDTH, HEIGHT), (b"IDAT", png_pixels(WIDTH, HEIGHT))
    end, packed = (b"IEND", b""), zlib.compress(bytes(80_000_000))
    PHOTOS.add(
        "png profile of 80 MB", "a.png", png([head, (b"iCCP", b"icc\0\0" + packed), pixels, end])
    )
    PHOTOS.add("png without its end", "a.png", png([head, pixels]))
    PHOTOS.add("png without pixels", "a.png", png([head, end]), refused=_DAMAGED)
    PHOTOS.add(
        "png with too many pixels",
        "a.png",
        png([head, (b"IDAT", zlib.compress(bytes(50_000_000))), end]),
    )
    PHOTOS.add("png with two headers", "a.png", png([head, png_header(30000, 30000), pixels, end]))
    wrong = bytearray(png([head, pixels, end]))
    wrong[-16] ^= 1
    PHOTOS.add("png with a wrong checksum", "a.png", bytes(wrong))
    PHOTOS.add("jpg and then a zip", "a.jpg", SOUND["jpg"] + b"PK\x03\x04" + bytes(500), size=SIZE)
    PHOTOS.add("garbage and then a jpg", "a.jpg", bytes(64) + SOUND["jpg"], refused=_NO_IMAGE)


# --- what a file is called, and where it lies


def _add_names() -> None:
    png_file, jpg = SOUND["png"], SOUND["jpg"]
    PHOTOS.add("png called jpg", "a.jpg", png_file, size=SIZE)
    PHOTOS.add("jpg called tif", "a.tif", jpg, size=SIZE)
    PHOTOS.add("jpg called heic", "a.heic", jpg, size=SIZE)
    PHOTOS.add("jpg called dng", "a.dng", jpg, size=SIZE)
    PHOTOS.add("webp called mp4", "a.mp4", SOUND["webp"], size=SIZE)
    PHOTOS.add("png called safetensors", "a.safetensors", png_file, size=SIZE)
    PHOTOS.add("no suffix", "photo", png_file, size=SIZE)
    PHOTOS.add("unicode name", "фото 写真 🖼 é.png", png_file, size=SIZE)
    PHOTOS.add("name with a new line", "a\nerror: b.png", png_file, size=SIZE)
    PHOTOS.add("name with escape sequences", "a\x1b[31m\x1b]0;x\x07\r.png", png_file, size=SIZE)
    PHOTOS.add("name with a new line, damaged", "a\nb.png", png_file[:99], refused=_DAMAGED)
    PHOTOS.add(
        "name with escape sequences, damaged", "a\x1b[2J\r.png", png_file[:99], refused=_DAMAGED
    )
    PHOTOS.add("name of 255 bytes", "x" * 251 + ".png", png_file, size=SIZE)
    PHOTOS.add("name with a pattern", "a[0-9]*?.png", png_file, size=SIZE)
    PHOTOS.add("name with a dash", "--output.png", png_file, size=SIZE)
    PHOTOS.add("name with a percent", "%s%n{0}$(id)`id`;'\".png", png_file, size=SIZE)
    if os.name == "posix":
        PHOTOS.add("name that is no text", os.fsdecode(b"\xff\xfe.png"), png_file, size=SIZE)


def _add_no_photos() -> None:
    pipe = b"MZ" + bytes(200)
    for name, file, content, words in (
        ("0 bytes", "a.png", b"", "is empty"),
        ("1 byte", "a.png", b"\x89", _NO_IMAGE),
        ("text", "a.jpg", b"hello", _NO_IMAGE),
        ("page of an error", "a.jpg", b"<!DOCTYPE html><html>404", _NO_IMAGE),
        ("pointer of git lfs", "a.png", b"version https://git-lfs.github.com/spec/v1\n", _NO_IMAGE),
        ("program", "a.png", pipe, _NO_IMAGE),
        ("zip", "a.png", b"PK\x03\x04" + bytes(100), _NO_IMAGE),
        ("gzip", "a.png", b"\x1f\x8b\x08" + bytes(100), _NO_IMAGE),
        ("drawing", "a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "PNG first"),
        ("drawing that reads files", "a.svg",
         b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><svg>&e;</svg>", "PNG first"),
        ("pdf", "a.jpg", b"%PDF-1.7\n", "PNG first"),
        ("eps that runs a program", "a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
         b"(%pipe%touch /tmp/img2img-was-here) (w) file\n", "PNG first"),
        ("video", "a.png", b"\0\0\0\x18ftypisom" + bytes(100), "save a frame"),
        ("windows metafile", "a.wmf", b"\xd7\xcd\xc6\x9a" + bytes(100), _NO_IMAGE),
        ("spaces", "a.tga", b" " * 500, f"{_NO_IMAGE}|{_DAMAGED}"),
        ("zeros", "a.jpg", bytes(5000), _NO_IMAGE),
        ("tif of nothing", "a.tif", b"II*\0\x08\0\0\0\0\0", _DAMAGED),
        ("tif that leads to itself", "a.tif", b"II*\0\x08\0\0\0\0\0\x08\0\0\0", _DAMAGED),
        ("raw of nothing", "a.nef", b"II*\0" + bytes(200), _DAMAGED),
        ("raw of a phone", "a.raf", b"FUJIFILMCCD-RAW" + bytes(300), _DAMAGED),
        ("heic of nothing", "a.heic", b"\0\0\0\x18ftypheic" + bytes(100), _DAMAGED),
        ("jxl of nothing", "a.jxl", b"\xff\x0a" + bytes(50), _DAMAGED),
    ):  # fmt: skip
        PHOTOS.add(name, file, content, refused=words)
    PHOTOS.add("no file", "a.png", lambda path: None, refused="no such file")
    if os.name != "posix":
        return
    PHOTOS.add("link to a photo", "a.png", _link, size=SIZE)
    PHOTOS.add(
        "link to itself", "a.png", lambda path: path.symlink_to(path), refused="no such file|leads"
    )
    PHOTOS.add(
        "link to nowhere", "a.png", lambda path: path.symlink_to("gone.png"), refused="no such file"
    )
    PHOTOS.add(
        "link to a device",
        "a.png",
        lambda path: path.symlink_to("/dev/zero"),
        refused="not a regular file",
    )
    PHOTOS.add("named pipe", "a.png", lambda path: os.mkfifo(path), refused="not a regular file")
    PHOTOS.add("socket", "a.png", _socket, refused="not a regular file")
    PHOTOS.add(
        "file that may not be read",
        "a.png",
        lambda path: (path.write_bytes(SOUND["png"]), path.chmod(0)),
        refused="may not be read",
    )
    PHOTOS.add(
        "in a folder that may not be entered",
        "inside/a.png",
        _closed_folder,
        refused="no such file|may not be|Permission denied",
    )


def _link(path: Path) -> None:
    shutil.copyfile(Path(_write(path.with_name("real.png"))), path.with_name("real.png.tmp"))
    path.with_name("real.png.tmp").unlink()
    path.symlink_to("real.png")


def _write(path: Path) -> Path:
    path.write_bytes(SOUND["png"])
    return path


def _socket(path: Path) -> None:
    """A socket of that name; the address may be too long for the system, so by a short way."""
    place = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.bind(f"/proc/self/fd/{place}/{path.name}")
    finally:
        os.close(place)


def _closed_folder(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(SOUND["png"])
    path.parent.chmod(0)


for _add in (_add_damage, _add_sizes, _add_modes, _add_metadata, _add_names, _add_no_photos):
    _add()

NEEDS_LEAVE = ("file that may not be read", "in a folder that may not be entered")
"""What root may all the same."""
