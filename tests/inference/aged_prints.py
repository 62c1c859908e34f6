"""Grey, toned and aged pictures made of the shipped samples, and small colored things on them."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from img2img.pixels.images import read_photo
from img2img.resources import samples_dir

SAMPLES = {path.stem: read_photo(path).rgb for path in sorted(samples_dir().glob("*.jpg"))}
SOME = ("astronaut", "coffee", "great_wall", "lemurs", "pagoda")
Change = Callable[[np.ndarray], np.ndarray]

TONES = {  # color at black, at some grey, at white
    "sepia": [(0, (15, 8, 5)), (80, (110, 75, 50)), (160, (190, 155, 115)), (255, (250, 240, 215))],
    "linear sepia": [(0, (40, 26, 13)), (255, (255, 240, 200))],
    "cyanotype": [(0, (5, 20, 50)), (110, (40, 100, 160)), (255, (235, 245, 250))],
    "selenium": [(0, (20, 12, 22)), (128, (125, 112, 128)), (255, (248, 246, 244))],
    "duotone": [(0, (20, 10, 60)), (128, (140, 110, 120)), (255, (255, 235, 190))],
    "green": [(0, (5, 20, 10)), (128, (90, 140, 100)), (255, (235, 250, 235))],
}
RED, BLUE, GREEN, YELLOW, PINK = (
    (200, 30, 30),
    (30, 90, 200),
    (40, 150, 60),
    (235, 205, 40),
    (240, 150, 170),
)


def rounded(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def grey(rgb: np.ndarray) -> np.ndarray:
    return rounded(rgb @ [0.299, 0.587, 0.114])[..., None].repeat(3, 2)


def toned(rgb: np.ndarray, name: str) -> np.ndarray:
    at, color = zip(*TONES[name], strict=True)
    luma = grey(rgb)[..., 0]
    return rounded(np.stack([np.interp(luma, at, [c[k] for c in color]) for k in range(3)], -1))


def noisy(rgb: np.ndarray, sigma_255: float, seed: int = 0) -> np.ndarray:
    return rounded(rgb + np.random.default_rng(seed).normal(0, sigma_255, rgb.shape))


def jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    """Through a JPEG file whose chroma has half the size."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, subsampling=2)
    return np.asarray(Image.open(file).convert("RGB"))


def aged(rgb: np.ndarray, seed: int = 0) -> np.ndarray:
    """A sepia print on yellowed paper: fading from one side, three brown stains, grain, a paper
    margin.
    """
    rng = np.random.default_rng(seed)
    print_ = toned(rgb, "sepia").astype(float)
    height, width = print_.shape[:2]
    y, x = np.mgrid[:height, :width]
    faded = 0.35 * (x / width)[..., None]
    print_ = print_ * (1 - faded) + faded * np.array([225, 205, 165])
    for _ in range(3):
        top, left, radius = (
            rng.uniform(0, height),
            rng.uniform(0, width),
            rng.uniform(0.12, 0.25) * min(height, width),
        )
        stain = 0.35 * np.exp(-((y - top) ** 2 + (x - left) ** 2) / (2 * radius**2))[..., None]
        print_ = print_ * (1 - stain * np.array([0.15, 0.35, 0.6]))
    return framed(noisy(rounded(print_), 3, seed), 0.05, (238, 226, 190))


def framed(rgb: np.ndarray, share: float, color: tuple[int, int, int]) -> np.ndarray:
    width = int(share * min(rgb.shape[:2]))
    return cv2.copyMakeBorder(rgb, width, width, width, width, cv2.BORDER_CONSTANT, value=color)


def with_disc(
    rgb: np.ndarray, share: float, color: tuple[int, int, int], blur_px: float = 0
) -> np.ndarray:
    made, (height, width) = rgb.copy(), rgb.shape[:2]
    radius = round((share * height * width / np.pi) ** 0.5)
    cv2.circle(made, (width // 2, height // 2), radius, color, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(made, (0, 0), blur_px) if blur_px else made


def with_text(rgb: np.ndarray, text: str, color: tuple[int, int, int], share: float) -> np.ndarray:
    """Letters in the lower right that cover this share of the photo."""
    height, width = rgb.shape[:2]
    for scale in np.arange(0.2, 4, 0.05):
        ink, thick = np.zeros((height, width), np.uint8), max(1, int(2 * scale))
        (long, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        place = (int(width * 0.97) - long, int(height * 0.95))
        cv2.putText(ink, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
        if (ink > 127).mean() >= share:
            break
    cover = (ink / 255)[..., None]
    return rounded(rgb * (1 - cover) + cover * np.array(color))


def hand_tinted(rgb: np.ndarray) -> np.ndarray:
    """A sepia print with two pink cheeks."""
    made, (height, width) = toned(rgb, "sepia").astype(float), rgb.shape[:2]
    y, x = np.mgrid[:height, :width]
    for left in (0.4, 0.6):
        cover = (
            0.5
            * np.exp(-(((y / height - 0.45) ** 2 + (x / width - left) ** 2) / (2 * 0.03**2)))[
                ..., None
            ]
        )
        made = made * (1 - cover) + cover * np.array([225, 110, 120])
    return rounded(made)


def captioned(rgb: np.ndarray) -> np.ndarray:
    made = cv2.copyMakeBorder(grey(rgb), 0, 60, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return with_text(made, "Summer 1931", (30, 60, 200), 0.004)
