"""What the page asks of the app besides the API's endpoints: its tools, what one would do to a
photo, and parts of photos at a zoom.
"""

from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from img2img.cli import main
from img2img.errors import UserError
from img2img.inference.outputs import FORMATS, Saving
from img2img.maintenance.browser import RunningApp, running_app
from img2img.maintenance.client import uploaded
from img2img.resources import inputs_dir
from img2img.tasks import photo_tasks
from img2img_apps.offered_models import Models
from img2img_apps.regions import MOST_PX, PhotoTiles
from img2img_apps.service import Service
from img2img_apps.settings import Settings
from img2img_apps.tools import enlarge, own_tools
from img2img_apps.workspace import Workspace

OLD, SMALL = inputs_dir() / "old_photo.jpg", inputs_dir() / "small.jpg"
RAIL = ["restore", "denoise", "colorize", "enlarge", "erase", "extend", "translate", "generate"]


def asked(url: str, data: dict[str, Any] | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body of an answer, whatever it is."""
    body = None if data is None else json.dumps(data).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"} | named)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def looked(app: RunningApp, file: str, tool: str, **values: Any) -> dict[str, Any]:
    wanted = {"file": file, "tool": tool, "values": values}
    found: dict[str, Any] = json.loads(asked(f"{app.url}img2img/look", wanted)[2])
    return found


# --- tools


def test_every_tool_describes_the_parameters_of_its_endpoint(app: RunningApp) -> None:
    found = json.loads(asked(f"{app.url}img2img/tools")[2])
    tools = {tool["name"]: tool for tool in found["tools"]}
    known = [tool.name for tool in own_tools() if tool.kind in (None, *photo_tasks())]
    assert list(tools) == known and set(known) >= set(RAIL), "as they are in the rail"
    with urllib.request.urlopen(f"{app.url}gradio_api/info") as answer:
        endpoints = json.load(answer)["named_endpoints"]
    for name, tool in tools.items():
        taken = {p["parameter_name"]: p for p in endpoints[f"/{name}"]["parameters"]}
        controls = {control["name"]: control for control in tool["controls"]}
        assert controls.keys() == taken.keys() - {"photo", "format", "quality", "metadata"}
        for control in controls.values():
            assert control["default"] == taken[control["name"]]["parameter_default"]
            assert control["label"] and control["help"] is not None
        assert tool["lead"].endswith(".") and tool["available"] is (tool["missing"] is None)
        assert 1 <= sum(control["main"] for control in controls.values()) <= 3
        assert tool["available"] or name not in RAIL
    assert found["limits"]["megapixels"] == 4
    denoise = {control["name"]: control for control in tools["denoise"]["controls"]}
    assert {"value": "", "label": "Shipped with img2img"} in denoise["model"]["choices"]


def test_the_formats_that_are_offered_can_be_asked_for(app: RunningApp) -> None:
    offered = json.loads(asked(f"{app.url}img2img/tools")[2])["formats"]
    assert {"jpg", "png", "tif", "webp"} <= {one["name"] for one in offered} <= set(FORMATS)
    for one in offered:
        assert Saving(one["name"], 50 if one["quality"] else None).suffix == f".{one['name']}"


# --- looking


@pytest.mark.parametrize(
    ("tool", "values", "flags"),
    [
        ("restore", {}, []),
        ("restore", {"task": "denoise,colorize"}, ["--task", "denoise,colorize"]),
        ("enlarge", {"scale": 3.5}, ["--task", "super-resolve", "--scale", "3.5"]),
        ("extend", {"extend": "0,0,40,0"}, ["--task", "inpaint", "--extend", "0,0,40,0"]),
    ],
)
def test_what_a_tool_will_do_is_what_the_command_line_plans(
    app: RunningApp,
    zoo: Path,
    capsys: pytest.CaptureFixture[str],
    tool: str,
    values: dict[str, Any],
    flags: list[str],
) -> None:
    found = looked(app, uploaded(app.url, OLD)["path"], tool, **values)
    assert main(["infer", "--input", str(OLD), "--plan", "--json", *flags]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert found["steps"] == planned["steps"] and found["size_out"] == planned["size_out"]
    first = found["does"].rstrip(".")
    assert first.lower() == planned["reason"].split("; ")[0].lower() and found["error"] is None
    assert found["sees"].startswith("A grey photo of 478 × 560 px") and found["ready"]
    assert asked(f"{app.url}gradio_api/file={found['preview']}")[0] == 200
    assert (found["format"], found["bits"], found["grey"], found["alpha"]) == (
        "JPEG",
        8,
        True,
        False,
    )


def test_controls_follow_the_values(tmp_path: Path) -> None:
    """With the models that ship, of which the one for ×4 has a crisper half."""
    workspace, tool = Workspace(tmp_path), enlarge.TOOL
    service = Service(Settings(), workspace, Models(workspace))

    def enabled(**values: Any) -> dict[str, bool]:
        found = tool.controls_for(service, tool.given(values))
        return {control.name: control.enabled for control in found}

    assert enabled(scale=4)["detail"] and not enabled(scale=2)["detail"]
    by_model = enabled(scale=4, model="super_resolve_x4")
    assert not by_model["detail"] and not by_model["scale"]
    assert not enabled(longer_side=300)["scale"]


def test_what_cannot_be_done_is_said_before_it_is_tried(app: RunningApp) -> None:
    file = uploaded(app.url, SMALL)["path"]
    unmarked = looked(app, file, "erase")
    assert not unmarked["ready"] and unmarked["does"] == "Fill the masked part, as asked."
    assert looked(app, file, "erase", mask=uploaded(app.url, SMALL)["path"])["ready"]
    large = looked(app, file, "enlarge", scale=16)
    assert "megapixels" in large["error"] and not large["does"]
    for wanted, said in (
        ({"file": "/etc/passwd", "tool": "denoise"}, "not there any more"),
        ({"file": file, "tool": "generate"}, "no tool for photos"),
        ({"file": file, "tool": "denoise", "values": {"x": 1}}, "has no 'x'"),
        ({"file": file, "tool": "denoise", "values": {"strength": 2}}, "strength: 2 is more"),
    ):
        status, _, body = asked(f"{app.url}img2img/look", wanted)
        assert status == 400 and said in json.loads(body)["error"]
    assert asked(f"{app.url}img2img/look", {"file": 1})[0] == 422


def test_several_results_come_in_one_zip(app: RunningApp) -> None:
    files = [uploaded(app.url, path)["path"] for path in (OLD, SMALL, OLD)]
    files[2] = str(uploaded(app.url, SMALL, OLD.name)["path"])
    made = json.loads(asked(f"{app.url}img2img/zip", {"files": files})[2])["path"]
    content = io.BytesIO(asked(f"{app.url}gradio_api/file={made}")[2])
    with zipfile.ZipFile(content) as archive:
        assert archive.namelist() == [OLD.name, SMALL.name, "old_photo-2.jpg"]
        assert archive.read(OLD.name) == OLD.read_bytes()
    for files, status in ((["/etc/passwd"], 400), ([], 422), (["x"] * 501, 422)):
        assert asked(f"{app.url}img2img/zip", {"files": files})[0] == status


# --- regions


def test_a_region_is_that_part_of_the_photo(app: RunningApp, large: Path) -> None:
    file, photo = uploaded(app.url, large)["path"], np.asarray(Image.open(large))
    address = f"{app.url}img2img/region?format=png&file={file}"
    status, headers, body = asked(f"{address}&box=300,200,512,256")
    assert status == 200 and headers["Content-Type"] == "image/png"
    assert "immutable" in headers["Cache-Control"]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), photo[200:456, 300:812])
    again, tag = f"{address}&box=300,200,512,256", headers["ETag"]
    assert asked(again, If_None_Match=tag)[::2] == (304, b"")
    halves = [
        np.asarray(Image.open(io.BytesIO(asked(f"{address}&box={box}&scale=0.25")[2])))
        for box in ("0,0,1024,512", "1024,0,1024,512", "0,0,2048,512")
    ]
    assert halves[1].shape == (128, (1900 - 1024) // 4, 3), "what lies in the photo"
    assert np.array_equal(np.hstack(halves[:2]), halves[2]), "tiles meet without a seam"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("&box=0,0,9,9&scale=2", "scale: 2 is not above 0"),
        ("&box=5000,0,9,9", "box: lies outside the photo"),
        ("&box=0,0,9", "is not x,y,w,h"),
        ("&box=0,0,-9,9", "box: lies outside the photo"),
    ],
)
def test_regions_that_are_none_are_explained(app: RunningApp, query: str, said: str) -> None:
    file = uploaded(app.url, SMALL)["path"]
    status, _, body = asked(f"{app.url}img2img/region?file={file}{query}")
    assert status == 400 and said in json.loads(body)["error"]


@pytest.mark.parametrize("path", ["/etc/passwd", f"{SMALL}", "../../etc/passwd", "", "http://x/y"])
def test_regions_are_of_the_workspace_alone(app: RunningApp, path: str) -> None:
    status, _, body = asked(f"{app.url}img2img/region?file={path}")
    assert status == 400 and "not there any more" in json.loads(body)["error"]


def test_another_page_is_refused(app: RunningApp) -> None:
    for place in ("tools", "look", f"region?file={SMALL}"):
        status, _, _ = asked(f"{app.url}img2img/{place}", Origin="http://evil.example")
        assert status == 403


def test_whoever_has_not_logged_in_is_refused(launcher: list[str], tmp_path: Path) -> None:
    with running_app(tmp_path / "app.log", ["--auth", "me:secret"], launcher) as app:
        assert asked(f"{app.url}img2img/tools")[0] == 401
        form = urllib.request.Request(f"{app.url}login", b"username=me&password=secret")
        with urllib.request.urlopen(form) as answer:
            cookies = [value.partition(";")[0] for value in answer.headers.get_all("Set-Cookie")]
        assert asked(f"{app.url}img2img/tools", Cookie="; ".join(cookies))[0] == 200
        assert asked(f"{app.url}img2img/tools", Cookie=f"{cookies[0]}x")[0] == 401


def test_photos_are_held_up_to_a_number_of_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.new("RGB", (64, 64), "teal").save(path)
    regions = PhotoTiles(most_bytes=2 * 64 * 64 * 3)
    for path in paths:
        regions.tile(path, None, 1, "png")
    assert [key[0] for key in regions._held] == paths[1:], "the oldest was let go"
    for unused in PhotoTiles(kept_s=0), PhotoTiles(most_bytes=0):
        assert unused.tile(paths[0], None, 1, "jpeg")
    huge = tmp_path / "huge.png"
    Image.new("L", (MOST_PX + 1, 9)).save(huge)
    with pytest.raises(UserError, match=f"at most {MOST_PX} px a side"):
        regions.tile(huge, None, 1, "jpeg")


def test_transparency_is_kept_or_laid_on_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    pixels = np.full((32, 32, 4), (200, 0, 0, 255), np.uint8)
    pixels[:16, :, 3] = 0
    Image.fromarray(pixels).save(path)
    kept = Image.open(io.BytesIO(PhotoTiles().tile(path, None, 0.5, "webp")))
    assert kept.mode == "RGBA" and kept.getpixel((4, 2))[3] == 0  # type: ignore[index]  # RGBA
    white = Image.open(io.BytesIO(PhotoTiles().tile(path, None, 0.5, "jpeg"))).convert("RGB")
    assert min(white.getpixel((4, 2))) > 240  # type: ignore[type-var, arg-type]  # RGB
