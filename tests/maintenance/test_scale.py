"""What many photos take: computed from what was measured, never by hand."""

from __future__ import annotations

import pytest

from img2img.maintenance import scale
from img2img.maintenance.showcase import between_marks

MEASURED = scale.ScaleMeasured(
    megapixels=0.5,
    photos=64,
    bytes_in=100_000,
    bytes_out=200_000,
    runs=(
        scale.MeasuredRun("plain", 1, 2.0, 1.0, 500, 0),
        scale.MeasuredRun("Ray, 2 workers", 2, 4.0, 10.0, 600, 0.002),
    ),
)


def test_a_million_photos_take_what_one_takes_a_million_times() -> None:
    assert MEASURED.core_s == pytest.approx(1.0)  # 2 cores, 4 photos a second of half a megapixel
    found = scale.takes(MEASURED, 1e6, 12, scale.Prices(core_hour=0.1))
    assert found == {
        "photos": "10⁶",
        "MP each": "12",
        "core hours": "3,300",  # 12e6 s
        "hours on one machine of 64 cores": "52",
        "machines for a day": "3",
        "runs at once": "1",
        "US$ for cores": "330",
        "US$ for requests": "17",
        "TB in": "2.4",
        "TB out": "4.8",
        "Gbit/s on a day": "0.67",
    }
    assert scale.takes(MEASURED, 1e9, 1, scale.Prices())["runs at once"] == "24"  # of 500 a second


def test_the_page_has_a_place_for_it() -> None:
    text = scale.text_of(MEASURED, scale.Prices())
    page = scale.PAGE.read_text(encoding="utf-8")
    assert text in between_marks(page, "scale", text, scale.COMMAND)
    assert "| Ray, 2 workers | 4.00 | ×2.00 | 10.0 s | 600 MB |" in text
