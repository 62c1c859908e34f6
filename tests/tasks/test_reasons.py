"""Why a photo wants a task, in words for a sentence and for a list of findings."""

from __future__ import annotations

from typing import Any

import pytest

from img2img.tasks import PhotoStatistics, Reason, ask

UNTOUCHED: dict[str, Any] = {
    "width": 1200,
    "height": 900,
    "has_mask": False,
    "tints": 2,
    "noise_sigma_255": 1.0,
}
NOISY, BLOCKS = "noisy (σ about 20 of 255)", "the blocks of strong JPEG compression show"


@pytest.mark.parametrize(
    ("kind", "change", "clause", "finding"),
    [
        ("denoise", {"noise_sigma_255": 20.0}, f"it is {NOISY}", NOISY),
        ("denoise", {"blockiness_255": 3.0}, BLOCKS, BLOCKS),
        (
            "denoise",
            {"noise_sigma_255": 20.0, "blockiness_255": 3.0},
            f"it is {NOISY} and {BLOCKS}",
            f"{NOISY} and {BLOCKS}",
        ),
        ("colorize", {"tints": 0}, "it has no color", "grey"),
        ("colorize", {"tints": 1}, "it has a single tint", "one tint"),
        ("super-resolve", {"width": 90, "height": 60}, "it is small (90×60)", "small (90×60)"),
    ],
)
def test_a_reason_completes_a_sentence_and_names_what_was_found(
    kind: str, change: dict[str, Any], clause: str, finding: str
) -> None:
    reason = ask("applies", kind, PhotoStatistics(**{**UNTOUCHED, **change}))
    assert reason == clause and isinstance(reason, Reason) and reason.finding == finding


def test_a_plain_text_is_a_reason_and_what_was_found() -> None:
    assert Reason("it is dusty").finding == "it is dusty"
