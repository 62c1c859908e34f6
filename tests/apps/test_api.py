"""The HTTP API: every named endpoint against the command line, its two examples, and clients that mean harm."""

from __future__ import annotations

import concurrent.futures
import json
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from img2img.resources.apps.benchmark import costs, photo_of
from img2img.resources.apps.browser import Running, running_app
from img2img.resources.apps.client import answered, called, uploaded
from PIL import Image

from img2img.pixels.images import read_photo
from img2img.resources import inputs_dir

EXAMPLES = Path(sys.modules[Running.__module__].__file__ or "").parent / "api_examples"
OLD, MASKED, MASK, SKETCH = (
    inputs_dir() / name for name in ("old_photo.jpg", "object.jpg", "object_mask.png", "sketch.png")
)
# endpoint, arguments after the photo, what the command line is given for the same
CALLS = {
    "restore": (OLD, ["auto"], []),
    "restore_chosen": (OLD, ["denoise,colorize"], ["--task", "denoise,colorize"]),
    "colorize": (OLD, [0.5, "", None], ["--task", "colorize", "--strength", "0.5"]),
    "denoise": (OLD, [0.7, ""], ["--task", "denoise", "--strength", "0.7"]),
    "enlarge": (inputs_dir() / "small.jpg", [4, 1.0, None], ["--task", "super-resolve", "--scale", "4"]),
    "erase": (
        MASKED,
        [MASK, 3, 2, "0,0,16,0", 0, ""],
        ["--mask", str(MASK), "--mask-grow", "3", "--feather", "2", "--extend", "0,0,16,0"],
    ),
    "translate": (SKETCH, [False, 0, "", ""], ["--task", "translate"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_endpoints_make_the_bytes_the_command_line_makes(
    app: Running, infer: Callable[..., bytes], tmp_path: Path, name: str
) -> None:
    photo, values, flags = CALLS[name]
    made, content, facts = called(app.url, name.partition("_")[0], photo, *values)
    assert content == infer(photo, tmp_path / f"out{Path(made).suffix}", *flags)
    assert facts["size_out"] and facts["reason"]


def test_endpoints_are_named_and_described(app: Running) -> None:
    with urllib.request.urlopen(f"{app.url}gradio_api/info") as answer:
        known = json.load(answer)["named_endpoints"]
    assert set(known) == {"/restore", "/colorize", "/denoise", "/enlarge", "/erase", "/translate", "/generate"}
    assert all(facts["description"] for facts in known.values())
    names = {name: [p["parameter_name"] for p in facts["parameters"]] for name, facts in known.items()}
    assert names["/denoise"] == ["photo", "strength", "model"]
    assert names["/generate"] == ["label", "seed", "count", "to_seed", "model"]


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        (["", 3, 5, None, ""], ["--seed", "3", "--n", "5"]),
        (["Boot", 3, 5, None, "own/clothes"], ["--seed", "3", "--n", "5", "--label", "Boot"]),
        (["1", 3, 5, 8, ""], ["--interpolate", "3", "8", "--n", "5", "--label", "1"]),
    ],
)
def test_generate_makes_the_bytes_the_command_line_makes(
    app: Running, generate: Callable[..., bytes], values: list[Any], flags: list[str]
) -> None:
    name, content, facts = called(app.url, "generate", *values)
    assert name == "clothes.generate.png" and content == generate(*flags)
    assert facts["model"] == "clothes" and len(facts["made"]) == 5


@pytest.mark.parametrize("example", ["denoise.py", "denoise.sh"])
def test_examples_work(app: Running, infer: Callable[..., bytes], tmp_path: Path, example: str) -> None:
    ran(example, app.url, str(OLD), str(tmp_path / "made.jpg"))
    assert (tmp_path / "made.jpg").read_bytes() == infer(OLD, tmp_path / "out.jpg", "--task", "denoise")


@pytest.mark.parametrize("example", ["generate.py", "generate.sh"])
def test_examples_of_generate_work(app: Running, generate: Callable[..., bytes], tmp_path: Path, example: str) -> None:
    ran(example, app.url, "own/clothes", str(tmp_path / "grid.png"))
    assert (tmp_path / "grid.png").read_bytes() == generate("--seed", "7", "--n", "16")


def test_two_users_at_once_each_get_their_own(
    app: Running, infer: Callable[..., bytes], photos: list[np.ndarray], tmp_path: Path
) -> None:
    paths = []
    for index, photo in enumerate(photos[:4]):
        (tmp_path / str(index)).mkdir()
        paths.append(tmp_path / str(index) / "photo.png")  # one name for all: only the content tells them apart
        Image.fromarray(photo).save(paths[-1])

    def one(path: Path) -> bytes:
        return called(app.url, "denoise", path, 1.0, "")[1]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, paths))
    assert results == [infer(path, path.with_name("out.png"), "--task", "denoise") for path in paths]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((5.0, ""), "maximum value"),
        ((1.0, "/etc/passwd"), "Models tab"),
        ((1.0, "../../../etc/passwd"), "Models tab"),
    ],
)
def test_wrong_values_come_back_as_messages(app: Running, values: tuple[Any, ...], said: str) -> None:
    assert said in answered(app.url, "denoise", [uploaded(app.url, OLD), *values])


def test_a_way_of_a_one_way_model_is_explained(app: Running) -> None:
    answer = answered(app.url, "translate", [uploaded(app.url, SKETCH), False, 0, "", "BtoA"])
    assert "choose a model that goes both ways, or none" in answer and "--" not in answer


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (("Hat", 0, 4, None, ""), "unknown class 'Hat'"),
        (("", -1, 4, None, ""), "seeds are 0 or more"),
        (("", 0, 145, None, ""), "maximum value"),
        (("", 0, 4, None, "/etc/passwd"), "Models tab"),
        (("", 0, 4, None, "denoise"), "Models tab"),
    ],
)
def test_wrong_wishes_come_back_as_messages(app: Running, values: tuple[Any, ...], said: str) -> None:
    answer = answered(app.url, "generate", list(values))
    assert said in answer and "--" not in answer


def test_painted_colours_are_followed_as_on_the_command_line(
    app: Running, infer: Callable[..., bytes], tmp_path: Path
) -> None:
    painted = np.asarray(Image.open(OLD).convert("RGB")).copy()
    painted[100:120, 100:160] = (40, 80, 220)
    hints = tmp_path / "hints.png"
    Image.fromarray(painted).save(hints)
    made, content, _ = called(app.url, "colorize", OLD, 1.0, "", hints)
    output = tmp_path / f"out{Path(made).suffix}"
    assert content == infer(OLD, output, "--task", "colorize", "--hints", str(hints))
    assert content != infer(OLD, tmp_path / f"plain{Path(made).suffix}", "--task", "colorize")


def test_painted_colours_that_do_not_fit_are_explained(app: Running) -> None:
    for hints, said in ((MASK, r"they are \d+x\d+, photo is \d+x\d+"), (OLD, "nothing is painted")):
        answer = answered(app.url, "colorize", [uploaded(app.url, OLD), 1.0, "", uploaded(app.url, hints)])
        assert re.search(said, answer) and "--" not in answer


def test_mask_of_another_size_is_explained(app: Running) -> None:
    data = [uploaded(app.url, MASKED), uploaded(app.url, OLD), 0, 0, "0,0,0,0", 0, ""]
    assert re.search(r"mask is \d+x\d+, photo is \d+x\d+", answered(app.url, "erase", data))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../../etc/passwd", "http://192.0.2.1/x.jpg", "/proc/self/environ"]
)
def test_only_uploads_are_taken(app: Running, path: str) -> None:
    answer = answered(app.url, "denoise", [{"path": path, "meta": {"_type": "gradio.FileData"}}, 1.0, ""])
    assert "event: error" in answer and "root:" not in answer
    assert ("not fetched" in answer) == path.startswith("http")


@pytest.mark.parametrize(
    "path",
    [
        "file=/etc/passwd",
        "file=../../../etc/passwd",
        "file=http://127.0.0.1:9/",
        "proxy=http://127.0.0.1:9/",
        f"file={Path(__file__).resolve()}",
    ],
)
def test_nothing_of_the_server_is_served(app: Running, path: str) -> None:
    assert refused(f"{app.url}gradio_api/{path}") in (403, 404)


def test_other_host_names_and_origins_are_refused(app: Running) -> None:
    assert refused(urllib.request.Request(app.url, headers={"Host": "evil.example"})) == 400


def test_page_names_nothing_outside_and_forbids_it(app: Running) -> None:
    with urllib.request.urlopen(app.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "http" not in policy


def test_hostile_upload_name_stays_in_the_folder(app: Running) -> None:
    path = uploaded(app.url, OLD, "../../../../tmp/img2img-evil.png")["path"]
    assert "/img2img-app-" in path and ".." not in path
    assert not Path("/tmp/img2img-evil.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "most_mb"), [("colorize", 3000), ("denoise", 1500), ("erase", 1800)])
def test_24_megapixels_take_bounded_memory_with_the_shipped_weights(tmp_path: Path, name: str, most_mb: int) -> None:
    photo, hole = photo_of(24, tmp_path / "photo.jpg"), tmp_path / "mask.png"
    mask = np.zeros(read_photo(photo).rgb.shape[:2], np.uint8)
    mask[2000:2200, 2000:2300] = 255
    Image.fromarray(mask).save(hole)
    more = {"erase": [hole, 4, 0, "0,0,0,0", 0, ""], "colorize": [1.0, "", None]}
    with running_app(tmp_path / "app.log") as app:
        with costs(app) as cost:
            _, _, facts = called(app.url, name, photo, *more.get(name, [1.0, ""]))
        assert facts["size_out"] == [mask.shape[1], mask.shape[0]]
        print(f"24 megapixels, {name}: {cost}")
        assert cost.peak_mb < most_mb


# --- a client of a few lines -----------------------------------------------------------------------------------------


def ran(example: str, *arguments: str) -> None:
    """Run one of the examples."""
    if example.endswith(".sh") and not shutil.which("curl"):
        pytest.skip("no curl on this machine")
    command = [sys.executable if example.endswith(".py") else "bash", str(EXAMPLES / example), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def refused(request: str | urllib.request.Request) -> int:
    """The status code of a request that fails."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    return caught.value.code
