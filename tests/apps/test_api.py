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
from img2img.resources.apps.browser import Running
from PIL import Image

from img2img.resources import inputs_dir

EXAMPLES = Path(sys.modules[Running.__module__].__file__ or "").parent / "api_examples"
OLD, MASKED, MASK, SKETCH = (
    inputs_dir() / name for name in ("old_photo.jpg", "object.jpg", "object_mask.png", "sketch.png")
)
# endpoint, arguments after the photo, what the command line is given for the same
CALLS = {
    "restore": (OLD, ["auto"], []),
    "restore_chosen": (OLD, ["denoise,colorize"], ["--task", "denoise,colorize"]),
    "colorize": (OLD, [0.5, ""], ["--task", "colorize", "--strength", "0.5"]),
    "denoise": (OLD, [0.7, ""], ["--task", "denoise", "--strength", "0.7"]),
    "enlarge": (inputs_dir() / "small.jpg", [4, 1.0], ["--task", "super-resolve", "--scale", "4"]),
    "erase": (
        MASKED,
        [MASK, 3, 2, "0,0,16,0", 0, ""],
        ["--mask", str(MASK), "--mask-grow", "3", "--feather", "2", "--extend", "0,0,16,0"],
    ),
    "translate": (SKETCH, [False, 0, ""], ["--task", "translate"]),
}


@pytest.mark.parametrize("name", CALLS)
def test_endpoints_make_the_bytes_the_command_line_makes(
    app: Running, infer: Callable[..., bytes], tmp_path: Path, name: str
) -> None:
    photo, values, flags = CALLS[name]
    made, content, facts = called(app, name.partition("_")[0], photo, *values)
    assert content == infer(photo, tmp_path / f"out{Path(made).suffix}", *flags)
    assert facts["size_out"] and facts["reason"]


def test_endpoints_are_named_and_described(app: Running) -> None:
    with urllib.request.urlopen(f"{app.url}gradio_api/info") as answer:
        known = json.load(answer)["named_endpoints"]
    assert set(known) == {"/restore", "/colorize", "/denoise", "/enlarge", "/erase", "/translate"}
    assert all(facts["description"] for facts in known.values())
    assert [p["parameter_name"] for p in known["/denoise"]["parameters"]] == ["photo", "strength", "model"]


@pytest.mark.parametrize("example", ["denoise.py", "denoise.sh"])
def test_examples_work(app: Running, infer: Callable[..., bytes], tmp_path: Path, example: str) -> None:
    if example.endswith(".sh") and not shutil.which("curl"):
        pytest.skip("no curl on this machine")
    program = [sys.executable] if example.endswith(".py") else ["bash"]
    command = [*program, str(EXAMPLES / example), app.url, str(OLD), str(tmp_path / "made.jpg")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "made.jpg").read_bytes() == infer(OLD, tmp_path / "out.jpg", "--task", "denoise")


def test_two_users_at_once_each_get_their_own(
    app: Running, infer: Callable[..., bytes], photos: list[np.ndarray], tmp_path: Path
) -> None:
    paths = []
    for index, photo in enumerate(photos[:4]):
        (tmp_path / str(index)).mkdir()
        paths.append(tmp_path / str(index) / "photo.png")  # one name for all: only the content tells them apart
        Image.fromarray(photo).save(paths[-1])

    def one(path: Path) -> bytes:
        return called(app, "denoise", path, 1.0, "")[1]

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
    assert said in answered(app, "denoise", [uploaded(app, OLD), *values])


def test_mask_of_another_size_is_explained(app: Running) -> None:
    data = [uploaded(app, MASKED), uploaded(app, OLD), 0, 0, "0,0,0,0", 0, ""]
    assert re.search(r"mask is \d+x\d+, photo is \d+x\d+", answered(app, "erase", data))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../../../etc/passwd", "http://192.0.2.1/x.jpg", "/proc/self/environ"]
)
def test_only_uploads_are_taken(app: Running, path: str) -> None:
    answer = answered(app, "denoise", [{"path": path, "meta": {"_type": "gradio.FileData"}}, 1.0, ""])
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
    path = uploaded(app, OLD, "../../../../tmp/img2img-evil.png")["path"]
    assert "/img2img-app-" in path and ".." not in path
    assert not Path("/tmp/img2img-evil.png").exists()


# --- a client of a few lines -----------------------------------------------------------------------------------------


def uploaded(app: Running, path: Path, name: str | None = None) -> dict[str, Any]:
    """Upload a file; the value of a file parameter."""
    head = f'--xxx\r\nContent-Disposition: form-data; name="files"; filename="{name or path.name}"\r\n\r\n'
    body = head.encode() + path.read_bytes() + b"\r\n--xxx--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=xxx"}
    with urllib.request.urlopen(urllib.request.Request(f"{app.url}gradio_api/upload", body, headers)) as answer:
        return {"path": json.load(answer)[0], "meta": {"_type": "gradio.FileData"}}


def answered(app: Running, name: str, data: list[Any]) -> str:
    """The whole stream an endpoint answers with."""
    url, headers = f"{app.url}gradio_api/call/{name}", {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, json.dumps({"data": data}).encode(), headers)) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{url}/{event}", timeout=120) as answer:
        return str(answer.read().decode())


def called(app: Running, name: str, *values: Any) -> tuple[str, bytes, dict[str, Any]]:
    """Name, content and facts of what an endpoint makes of values; paths are uploaded."""
    stream = answered(app, name, [uploaded(app, v) if isinstance(v, Path) else v for v in values])
    assert "event: complete" in stream, stream
    made, facts = json.loads(stream.partition("event: complete\ndata: ")[2].splitlines()[0])
    with urllib.request.urlopen(f"{app.url}gradio_api/file={made['path']}") as answer:
        return Path(made["path"]).name, answer.read(), facts


def refused(request: str | urllib.request.Request) -> int:
    """The status code of a request that fails."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    return caught.value.code
