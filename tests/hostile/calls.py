"""Calls of the app's API that mean nothing, or harm."""

from __future__ import annotations

from typing import Any

PHOTO = object()  # stands for an uploaded photo
MISTAKES: list[tuple[str, list[Any], str]] = [
    ("denoise", [PHOTO], "give 3 values (photo, strength, model), not 1"),
    ("denoise", [], "give 3 values"),
    ("denoise", [PHOTO, 1, "", 1], "strength_mask: upload the file"),
    ("denoise", [PHOTO, 1, "", None, "", None, True, 1], "not 8; strength_mask, format"),
    ("denoise", [PHOTO, 1, "", None, "gif", None, True], "format: unknown 'gif'"),
    ("denoise", [PHOTO, 1, "", None, "png", 50, True], "quality: png keeps every pixel"),
    ("denoise", [PHOTO, 1, "", None, "jpg", 101, True], "quality: 101 is more than"),
    ("extend", [PHOTO, "0,0,0,0", 0, 0, ""], "nothing is marked: give extend"),
    ("denoise", [None, 1, ""], "photo: give an uploaded photo"),
    ("denoise", ["x.png", 1, ""], "photo: upload the file"),
    ("denoise", [5, 1, ""], "photo: upload the file"),
    ("denoise", [[PHOTO], 1, ""], "photo: upload the file"),
    (
        "denoise",
        [{"path": "nowhere.png", "meta": {"_type": "gradio.FileData"}}, 1, ""],
        "not uploaded here",
    ),
    ("denoise", [PHOTO, "much", ""], "strength: give a number, not 'much'"),
    ("denoise", [PHOTO, None, ""], "strength: give a number"),
    ("denoise", [PHOTO, True, ""], "strength: give a number"),
    ("denoise", [PHOTO, -0.1, ""], "strength: -0.1 is less than 0"),
    ("denoise", [PHOTO, 1, 7], "model: give a text, not 7"),
    ("denoise", [PHOTO, 1, "m" * 5000], "model: 5000 characters are too many"),
    ("restore", [PHOTO, "sharpen"], "sharpen"),
    ("restore", [PHOTO, "x" * 900], "xxx"),
    ("enlarge", [PHOTO, 17, 1, None], "scale: ×17 is more than ×16"),
    ("enlarge", [PHOTO, 0, 1, None], "scale must be a number above 0, not 0"),
    ("enlarge", [PHOTO, "3", 1, None], "scale: give a number, not '3'"),
    ("enlarge", [PHOTO, None, 1, None], "scale"),
    ("enlarge", [PHOTO, 2, 1, None, "", 0.5, None, None], "longer_side: give a whole number"),
    ("enlarge", [PHOTO, 2, 1, None, "", 90, 60, None], "longer_side and width each say how large"),
    ("enlarge", [PHOTO, 2, 1, None, "", None, 50, 50], "width and height would distort"),
    ("enlarge", [PHOTO, 2, 1, None, "", 2500, None, None], "more than the 4 allowed here"),
    ("enlarge", [PHOTO, 4, 1, 2], "detail: 2 is more than the maximum value 1"),
    (
        "erase",
        [PHOTO, None, 0, 0, "0,0,0,0", 0, ""],
        "nothing is marked: give a mask, white over what should go, or extend",
    ),
    ("restore", [PHOTO, "inpaint"], "/erase fills masks"),
    ("erase", [PHOTO, None, 1.5, 0, "0,0,9,0", 0, ""], "mask_grow: give a whole number"),
    ("erase", [PHOTO, None, 0, 0, "-5,0,0,0", 0, ""], "extend: -5 is less than 0"),
    ("erase", [PHOTO, None, 0, 0, "many", 0, ""], "extend: 'many' is not L,T,R,B"),
    ("erase", [PHOTO, None, 0, 0, "99999,0,99999,0", 0, ""], "megapixels"),
    ("erase", [PHOTO, None, 0, 0, f"{'9' * 900},0,0,0", 0, ""], "megapixels"),
    ("erase", [PHOTO, None, 0, 0, "4096,4096,4096,4096", 0, ""], "more than the 4 allowed here"),
    ("erase", [PHOTO, PHOTO, 0, 0, "0,0,0,0", 2**70, ""], "seed"),
    ("translate", [PHOTO, "yes", 0, "", ""], "from_photo: give true or false"),
    ("translate", [PHOTO, False, 0, "", "CtoD"], "direction: 'CtoD' is none of"),
    ("generate", ["", 2**70, 4, None, ""], "seed"),
    ("generate", ["", "one", 4, None, ""], "seed: give a number"),
    ("generate", ["", 0, 4, 1.5, ""], "to_seed: give a whole number"),
    ("generate", [{"a": 1}, 0, 4, None, ""], "label: give a text"),
]
"""Endpoint, arguments, and what is said of them."""

ELSEWHERE: list[tuple[str, Any]] = [
    ("call/nothing", {"data": []}),
    ("call/v2/nothing", {}),
    ("call/denoise", {"date": 1}),
    ("call/denoise", [1]),
    ("call/denoise", {"data": "x" * 100_000}),
    ("run/denoise", {"data": [1, 1, ""]}),
    ("run/predict", {"data": [], "fn_index": 99_999}),
    ("queue/join", {"data": [1], "fn_index": 99_999, "session_hash": "a"}),
    ("queue/join", {"data": [1], "fn_index": "one", "session_hash": "a"}),
    ("queue/join", {"data": [1]}),
    ("component_server", {"data": 1}),
    ("nothing", {}),
]
"""Routes that are not there, and bodies that are no call."""

PATHS = (
    "/etc/passwd",
    "../../../../etc/passwd",
    "http://192.0.2.1/x.jpg",
    "/proc/self/environ",
)
"""In the place of an uploaded file."""

ORIGINS = (
    "http://evil.example",
    "http://localhost:3000",
    "http://localhost.evil.example:PORT",
    "null",
    "https://127.0.0.1:PORT0",
    "file://",
    "http://127.0.0.1",
    "http://evil@127.0.0.1:PORTx",
)
"""Of other pages; PORT stands for the app's."""
