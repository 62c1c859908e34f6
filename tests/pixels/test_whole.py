"""Files that were cut short are known by their ends; nothing that can be read is ever called
broken.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from img2img.data.folder import Cache
from img2img.pixels.whole import looks_whole

KINDS = ["jpg", "png", "webp", "bmp", "gif", "tif"]


def saved(folder: Path, kind: str, photo: np.ndarray) -> Path:
    path = folder / f"photo.{kind}"
    Image.fromarray(photo).save(path)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.5, 0.95])
def test_a_photo_is_whole_until_it_is_cut(
    tmp_path: Path, photos: list[np.ndarray], kind: str, share: float
) -> None:
    path = saved(tmp_path, kind, photos[0])
    assert looks_whole(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert not looks_whole(path)


@pytest.mark.parametrize("content", [b"", b"\xff", b"<html>404 not found</html>"])
def test_what_is_no_picture_is_not_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "photo.jpg").write_bytes(content)
    assert not looks_whole(tmp_path / "photo.jpg")
    assert not looks_whole(tmp_path / "gone.jpg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_with_something_behind_it_is_decoded_before_it_is_called_broken(
    tmp_path: Path, photos: list[np.ndarray], kind: str
) -> None:
    path, cache = saved(tmp_path, kind, photos[0]), Cache(0)
    path.write_bytes(path.read_bytes() + b"a camera's own notes" * 10)
    cache.check([path])
    assert cache.broken == {}
    path.write_bytes(b"")
    cache.check([path])
    assert list(cache.broken) == [path]
