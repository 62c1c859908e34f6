"""The HTTP API: every named endpoint against the command line, its two examples, and clients that
mean harm.
"""

from __future__ import annotations

import concurrent.futures
import gzip
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from hostile.calls import ELSEWHERE, MISTAKES, ORIGINS, PATHS, PHOTO
from PIL import Image
from starlette.responses import PlainTextResponse

from img2img.cli import main
from img2img.maintenance.benchmark import costs, photo_of
from img2img.maintenance.browser import RunningApp, free_port, running_app
from img2img.maintenance.client import answered, called, uploaded
from img2img.pixels.images import read_photo
from img2img.resources import inputs_dir
from img2img_apps.unread_bodies import DropUnread

EXAMPLES = Path(__file__).parents[2] / "apps" / "api_examples"
OLD, MASKED, MASK, SKETCH = (
    inputs_dir() / name for name in ("old_photo.jpg", "object.jpg", "object_mask.png", "sketch.png")
)
SMALL = inputs_dir() / "small.jpg"
# endpoint, arguments after the photo, what the command line is given for the same
CALLS = {
    "restore": (OLD, ["auto"], []),
    "restore_chosen": (OLD, ["denoise,colorize"], ["--task", "denoise,colorize"]),
    "colorize": (OLD, [0.5, "", None], ["--task", "colorize", "--strength", "0.5"]),
    "denoise": (OLD, [0.7, ""], ["--task", "denoise", "--strength", "0.7"]),
    "enlarge": (
        inputs_dir() / "small.jpg",
        [4, 1.0, None],
        ["--task", "super-resolve", "--scale", "4"],
    ),
    "enlarge_by_a_factor": (SMALL, [1.3, 1.0, None], ["--task", "super-resolve", "--scale", "1.3"]),
    "enlarge_to_a_size": (
        SMALL,
        [2, 1.0, None, "", 301, None, None],
        ["--task", "super-resolve", "--longer-side", "301"],
    ),
    "enlarge_by_a_model": (
        SMALL,
        [2, 1.0, None, "super_resolve_x4", None, 330, 222],
        ["--model", "super_resolve_x4", "--width", "330", "--height", "222"],
    ),
    "erase": (
        MASKED,
        [MASK, 3, 2, "0,0,16,0", 0, ""],
        ["--mask", str(MASK), "--mask-grow", "3", "--feather", "2", "--extend", "0,0,16,0"],
    ),
    "translate": (SKETCH, [False, 0, "", ""], ["--task", "translate"]),
    "extend": (
        SMALL,
        ["0,8,16,0", 3, 0, ""],
        ["--task", "inpaint", "--extend", "0,8,16,0", "--feather", "3"],
    ),
    "restore_saved_anew": (
        OLD,
        ["none", 1, "", None, "webp", 40, False],
        ["--task", "none", "--format", "webp", "--quality", "40", "--no-metadata"],
    ),
    "denoise_by_region": (
        MASKED,
        [1, "", MASK, "png", None, True],
        ["--task", "denoise", "--strength-mask", str(MASK), "--format", "png"],
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_endpoints_make_the_bytes_the_command_line_makes(
    app: RunningApp, infer: Callable[..., bytes], tmp_path: Path, name: str
) -> None:
    photo, values, flags = CALLS[name]
    made, content, facts = called(app.url, name.partition("_")[0], photo, *values)
    assert content == infer(photo, tmp_path / f"out{Path(made).suffix}", *flags)
    assert facts["size_out"] and facts["reason"]


def test_endpoints_are_named_and_described(app: RunningApp) -> None:
    with urllib.request.urlopen(f"{app.url}gradio_api/info") as answer:
        known = json.load(answer)["named_endpoints"]
    sides = {"longer_side", "width", "height"}
    later = [p for p in known["/enlarge"]["parameters"] if p["parameter_name"] in sides]
    assert len(later) == 3 and all(p["parameter_has_default"] for p in later), "older clients go on"
    assert set(known) - {"/repair"} == {  # which comes with the library's task of that name
        "/restore",
        "/colorize",
        "/denoise",
        "/enlarge",
        "/erase",
        "/extend",
        "/translate",
        "/generate",
    }
    assert all(facts["description"] for facts in known.values())
    names = {
        name: [p["parameter_name"] for p in facts["parameters"]] for name, facts in known.items()
    }
    later = ["strength_mask", "format", "quality", "metadata"]
    assert names["/denoise"] == ["photo", "strength", "model", *later]
    assert names["/erase"][-4:] == later, "the last ones, which older clients leave out"
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
    app: RunningApp, generate: Callable[..., bytes], values: list[Any], flags: list[str]
) -> None:
    name, content, facts = called(app.url, "generate", *values)
    assert name == "clothes.generate.png" and content == generate(*flags)
    assert facts["model"] == "clothes" and len(facts["made"]) == 5


@pytest.mark.parametrize("example", ["denoise.py", "denoise.sh"])
def test_examples_work(
    app: RunningApp, infer: Callable[..., bytes], tmp_path: Path, example: str
) -> None:
    ran(example, app.url, str(OLD), str(tmp_path / "made.jpg"))
    assert (tmp_path / "made.jpg").read_bytes() == infer(
        OLD, tmp_path / "out.jpg", "--task", "denoise"
    )


@pytest.mark.parametrize("example", ["generate.py", "generate.sh"])
def test_examples_of_generate_work(
    app: RunningApp, generate: Callable[..., bytes], tmp_path: Path, example: str
) -> None:
    ran(example, app.url, "own/clothes", str(tmp_path / "grid.png"))
    assert (tmp_path / "grid.png").read_bytes() == generate("--seed", "7", "--n", "16")


def test_two_users_at_once_each_get_their_own(
    app: RunningApp, infer: Callable[..., bytes], photos: list[np.ndarray], tmp_path: Path
) -> None:
    paths = []
    for index, photo in enumerate(photos[:4]):
        (tmp_path / str(index)).mkdir()
        paths.append(
            tmp_path / str(index) / "photo.png"
        )  # one name for all: only the content tells them apart
        Image.fromarray(photo).save(paths[-1])

    def one(path: Path) -> bytes:
        return called(app.url, "denoise", path, 1.0, "")[1]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, paths))
    assert results == [
        infer(path, path.with_name("out.png"), "--task", "denoise") for path in paths
    ]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((5.0, ""), "maximum value"),
        ((1.0, "/etc/passwd"), "Models tab"),
        ((1.0, "../../../etc/passwd"), "Models tab"),
    ],
)
def test_wrong_values_come_back_as_messages(
    app: RunningApp, values: tuple[Any, ...], said: str
) -> None:
    assert said in answered(app.url, "denoise", [uploaded(app.url, OLD), *values])


def test_a_way_of_a_one_way_model_is_explained(app: RunningApp) -> None:
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
def test_wrong_wishes_come_back_as_messages(
    app: RunningApp, values: tuple[Any, ...], said: str
) -> None:
    answer = answered(app.url, "generate", list(values))
    assert said in answer and "--" not in answer


def test_painted_colors_are_followed_as_on_the_command_line(
    app: RunningApp, infer: Callable[..., bytes], tmp_path: Path
) -> None:
    painted = np.asarray(Image.open(OLD).convert("RGB")).copy()
    painted[100:120, 100:160] = (40, 80, 220)
    hints = tmp_path / "hints.png"
    Image.fromarray(painted).save(hints)
    made, content, _ = called(app.url, "colorize", OLD, 1.0, "", hints)
    output = tmp_path / f"out{Path(made).suffix}"
    assert content == infer(OLD, output, "--task", "colorize", "--hints", str(hints))
    assert content != infer(OLD, tmp_path / f"plain{Path(made).suffix}", "--task", "colorize")


def test_painted_colors_that_do_not_fit_are_explained(app: RunningApp) -> None:
    for hints, said in ((MASK, r"they are \d+x\d+, photo is \d+x\d+"), (OLD, "nothing is painted")):
        answer = answered(
            app.url, "colorize", [uploaded(app.url, OLD), 1.0, "", uploaded(app.url, hints)]
        )
        assert re.search(said, answer) and "--" not in answer


def test_mask_of_another_size_is_explained(app: RunningApp) -> None:
    data = [uploaded(app.url, MASKED), uploaded(app.url, OLD), 0, 0, "0,0,0,0", 0, ""]
    assert re.search(r"mask is \d+x\d+, photo is \d+x\d+", answered(app.url, "erase", data))


@pytest.mark.parametrize("path", PATHS)
def test_only_uploads_are_taken(app: RunningApp, path: str) -> None:
    answer = answered(
        app.url, "denoise", [{"path": path, "meta": {"_type": "gradio.FileData"}}, 1.0, ""]
    )
    assert "event: error" in answer and "root:" not in answer
    assert "not fetched" in answer or "not uploaded here" in answer
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
def test_nothing_of_the_server_is_served(app: RunningApp, path: str) -> None:
    assert refused(f"{app.url}gradio_api/{path}") in (403, 404)


# --- other hosts, other pages

ROUTES = [
    "",
    "config",
    "gradio_api/info",
    "gradio_api/upload",
    "gradio_api/queue/join",
    "gradio_api/call/denoise",
]
ROUTES += [
    "gradio_api/queue/data?session_hash=x",
    "gradio_api/heartbeat/x",
    "assets/x.js",
    "theme.css",
    "nothing",
]


def asked(url: str, method: str = "GET", **headers: str) -> tuple[int, str, Any]:
    """Status, body and headers of an answer, whatever it is."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = b"{}" if method == "POST" else None
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json"} | named, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return answer.status, answer.read(2000).decode("latin-1"), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_pages_of_others_are_refused_on_every_route(
    app: RunningApp, route: str, method: str
) -> None:
    port = app.url.rstrip("/").rpartition(":")[2]
    others = [text.replace("PORT", port) for text in ORIGINS]
    for origin in others:
        preflight = {"Access_Control_Request_Method": "POST"} if method == "OPTIONS" else {}
        status, body, headers = asked(app.url + route, method, Origin=origin, **preflight)
        assert status == 403 and "Access-Control-Allow-Origin" not in headers, origin
        assert "--allow-origin" in body or origin == "null"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil.example:7860", "127.0.0.1.evil.example"],
)
def test_other_names_are_refused_and_told_what_to_do(app: RunningApp, host: str) -> None:
    for route in ROUTES:
        status, body, _ = asked(app.url + route, Host=host)
        assert status == 403 and "--allow-host" in body


def test_own_names_pages_and_clients_without_one_are_answered(app: RunningApp) -> None:
    port = app.url.rstrip("/").rpartition(":")[2]
    for host in (
        f"127.0.0.1:{port}",
        f"localhost:{port}",
        "[::1]",
        "10.1.2.3:80",
        socket.gethostname(),
        "a.localhost",
    ):
        assert asked(f"{app.url}config", Host=host)[0] == 200
        assert asked(f"{app.url}config", Host=host, Origin=f"http://{host}")[0] == 200


def test_a_browser_telling_of_another_page_is_refused_but_links_are_followed(
    app: RunningApp,
) -> None:
    for site in ("cross-site", "same-site"):
        assert asked(f"{app.url}config", Sec_Fetch_Site=site, Sec_Fetch_Mode="no-cors")[0] == 403
        assert asked(app.url, Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 200
        assert asked(app.url, "POST", Sec_Fetch_Site=site, Sec_Fetch_Mode="navigate")[0] == 403
    assert asked(app.url, Sec_Fetch_Site="same-origin", Sec_Fetch_Mode="cors")[0] == 200


@pytest.fixture(scope="module")
def served_app(
    launcher: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningApp]:
    """An app that other hosts and origins may ask, behind a proxy and with little room; everything
    is gone at its exit.
    """
    flags = [
        *("--allow-host", "photos.example", "--allow-origin", "https://front.example"),
        *("--root-path", "/img2img", "--quota-mb", "5"),
    ]
    with running_app(tmp_path_factory.mktemp("served") / "app.log", flags, launcher) as app:
        pattern = f"img2img-app-{app.process.pid}-*"
        assert list(Path(tempfile.gettempdir()).glob(pattern))
        yield app
    assert not list(Path(tempfile.gettempdir()).glob(pattern))


def test_allowed_hosts_and_origins_are_answered(served_app: RunningApp) -> None:
    app = served_app
    own = asked(f"{app.url}config", Host="photos.example", Origin="https://photos.example")
    status, _, headers = asked(f"{app.url}config", Origin="https://front.example")
    assert (
        own[0] == status == 200
        and headers["Access-Control-Allow-Origin"] == "https://front.example"
    )
    assert asked(app.url, Host="front.example")[0] == 200
    preflight = {"Origin": "https://front.example", "Access_Control_Request_Method": "POST"}
    assert asked(f"{app.url}gradio_api/queue/join", "OPTIONS", **preflight)[0] == 200
    assert asked(f"{app.url}config", Origin="https://other.example")[0] == 403
    with urllib.request.urlopen(f"{app.url}config") as answer:
        assert json.load(answer)["root"].endswith("/img2img")


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--allow-origin", "front.example"),
        ("--allow-origin", "https://front.example/path"),
        ("--allow-origin", "null"),
        ("--allow-host", "https://photos.example"),
        ("--allow-host", "a b"),
        ("--root-path", "img2img"),
        ("--quota-mb", "0"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(
    flag: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["app", flag, value]) == 2
    assert flag in capsys.readouterr().err


# --- how much is taken


def test_uploads_have_a_quota(served_app: RunningApp, tmp_path: Path) -> None:
    app, large = served_app, tmp_path / "large.bin"
    large.write_bytes(bytes(2_000_000))
    assert [uploaded(app.url, large, f"{n}.bin")["path"] for n in range(2)]
    with pytest.raises(urllib.error.HTTPError) as caught:
        uploaded(app.url, large)
    with caught.value as answer:
        assert answer.code == 507 and "--quota-mb" in answer.read().decode()
    page = urllib.request.Request(f"{app.url}gradio_api/upload", bytes(2_000_000))
    page.add_header("Origin", app.url.rstrip("/"))
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(page)
    with caught.value as answer:
        assert answer.read().decode().startswith("there is no room"), "as the page shows it"
    with pytest.raises(urllib.error.HTTPError) as caught:
        chunked(app.url, large)
    with caught.value as answer:
        assert answer.code == 507 and "--quota-mb" in answer.read().decode()
    taken = sum(
        path.stat().st_size
        for path in Path(tempfile.gettempdir()).glob(f"img2img-app-{app.process.pid}-*/**/*.bin")
    )
    assert 0 < taken <= 5_000_000


def chunked(url: str, path: Path) -> None:
    """An upload that does not say how large it is."""
    head = b'--xxx\r\nContent-Disposition: form-data; name="files"; filename="x.bin"\r\n\r\n'
    body = iter([head, *[path.read_bytes()] * 3, b"\r\n--xxx--\r\n"])
    headers = {"Content-Type": "multipart/form-data; boundary=xxx"}
    urllib.request.urlopen(urllib.request.Request(f"{url}gradio_api/upload", body, headers))


def test_a_call_of_fifty_megabytes_is_not_read(app: RunningApp) -> None:
    data = json.dumps({"data": ["x" * 50_000_000, 1, ""]}).encode()
    request = urllib.request.Request(
        f"{app.url}gradio_api/call/restore", data, {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert answer.code == 413 and "upload files first" in answer.read().decode()


# --- a refusal reaches whoever sends all before reading


CHUNK = bytes(100_000)
UPLOAD, CALL = "gradio_api/upload", "gradio_api/call/restore"
FOREIGN, JSON = "Origin: https://evil.example", "Content-Type: application/json"
FORM = "Content-Type: multipart/form-data; boundary=xxx"


@pytest.mark.parametrize(
    ("place", "header", "status", "words"),
    [
        (UPLOAD, FORM, 507, "--quota-mb"),
        (CALL, JSON, 413, "upload files first"),
        (UPLOAD, FOREIGN, 403, "--allow-origin"),
        ("gradio_api/proxy=http://x/", JSON, 404, "not offered"),
    ],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_refusal_reaches_who_sends_all_before_reading(
    served_app: RunningApp, place: str, header: str, status: int, words: str, is_chunked: bool
) -> None:
    for _ in range(10):
        answer = sent_whole(f"{served_app.url}{place}", header, 60, is_chunked)
        assert answer.startswith(f"HTTP/1.1 {status} ") and words in answer


def test_an_answer_at_once_to_who_asks_before_sending(served_app: RunningApp) -> None:
    headers = f"{JSON}\r\nExpect: 100-continue"
    answer = sent_whole(f"{served_app.url}{CALL}", headers, 60, is_chunked=False, sends=0)
    assert answer.startswith("HTTP/1.1 413 ")


@pytest.fixture
def hasty() -> Iterator[tuple[str, list[int]]]:
    """A server that refuses all it is sent, and drops little and briefly; what it has received."""
    received = []

    async def refuse(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await PlainTextResponse("refused", 413)(scope, receive, send)

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        async def counting() -> Any:
            message = await receive()
            received.append(len(message.get("body", b"")))
            return message

        await DropUnread(refuse, most_bytes=300_000, most_seconds=0.2)(scope, counting, send)

    server = uvicorn.Server(uvicorn.Config(counted, port=(port := free_port()), lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.05)
    yield f"http://127.0.0.1:{port}/", received
    server.should_exit = True
    thread.join()


def test_what_is_dropped_is_bounded(hasty: tuple[str, list[int]]) -> None:
    url, received = hasty
    with suppress(ConnectionError):  # beyond the bound the connection is closed
        sent_whole(url, JSON, 300, is_chunked=False)
    assert 0 < sum(received) < 300_000 + 2**20


def test_waiting_for_a_body_is_bounded(hasty: tuple[str, list[int]]) -> None:
    url, received = hasty
    answer = sent_whole(url, JSON, 3, is_chunked=False, sends=2)
    assert answer.startswith("HTTP/1.1 413 ") and answer.endswith("refused")
    assert sum(received) == 2 * len(CHUNK)


def sent_whole(
    url: str, headers: str, chunks: int, is_chunked: bool, sends: int | None = None
) -> str:
    """All that is answered to a body of so many chunks, read after the last of them (or of
    `sends`) was sent; the connection is the client's to close only after that.
    """
    host, place = url.removeprefix("http://").split("/", 1)
    name, port = host.split(":")
    size = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {chunks * len(CHUNK)}"
    piece = b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK) if is_chunked else CHUNK
    with socket.create_connection((name, int(port)), timeout=300) as connection:
        head = f"POST /{place} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        connection.sendall(f"{head}{headers}\r\n{size}\r\n\r\n".encode())
        for _ in range(chunks if sends is None else sends):
            connection.sendall(piece)
        if is_chunked:
            connection.sendall(b"0\r\n\r\n")
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


# --- what is said of mistakes


@pytest.mark.parametrize(("name", "values", "said"), MISTAKES)
def test_mistakes_are_named_in_words(
    app: RunningApp, name: str, values: list[Any], said: str
) -> None:
    photo = uploaded(app.url, SMALL)
    before = app.log.read_text()
    answer = answered(
        app.url, name, [photo if v is PHOTO else [photo] if v == [PHOTO] else v for v in values]
    )
    error = json.loads(answer.partition("event: error\ndata: ")[2].splitlines()[0])["error"]
    assert said in error and len(error) < 500
    assert not re.search(r"--[a-z]|/tmp|img2img-app-|Traceback", error)
    assert app.log.read_text() == before, "nothing of it goes to the terminal"


def test_a_wrong_mask_is_named_without_its_place(app: RunningApp, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_bytes(b"no picture")
    for mask, said in (
        (SMALL, r"^small\.jpg: mask is \d+x\d+"),
        (tmp_path / "text.png", r"^text\.png: not an image"),
    ):
        data = [uploaded(app.url, MASKED), uploaded(app.url, mask), 0, 0, "0,0,0,0", 0, ""]
        answer = answered(app.url, "erase", data)
        error = json.loads(answer.partition("event: error\ndata: ")[2].splitlines()[0])["error"]
        assert re.search(said, error)


@pytest.mark.parametrize(("place", "body"), ELSEWHERE)
def test_calls_of_what_is_not_there_are_answered_in_words(
    app: RunningApp, place: str, body: Any
) -> None:
    before = app.log.read_text()
    request = urllib.request.Request(
        f"{app.url}gradio_api/{place}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        told = answer.read().decode()
    assert 400 <= answer.code < 500 and json.loads(told)["error"] and len(told) < 1000
    assert app.log.read_text() == before, "nothing of it goes to the terminal"


# --- leaving, and the end


def slow_call(app: RunningApp, tmp_path: Path) -> str:
    """Start what takes a while; its stream's address."""
    path = tmp_path / "large.png"
    Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (1900, 2000, 3)).astype(np.uint8)
    ).save(path)
    place = f"{app.url}gradio_api/call/denoise"
    data = json.dumps({"data": [uploaded(app.url, path), 1, ""]}).encode()
    with urllib.request.urlopen(
        urllib.request.Request(place, data, {"Content-Type": "application/json"})
    ) as answer:
        return f"{place}/{json.load(answer)['event_id']}"


def test_a_client_that_goes_away_ends_its_job(app: RunningApp, tmp_path: Path) -> None:
    stream = urllib.request.urlopen(slow_call(app, tmp_path), timeout=300)
    stream.close()
    # The next one's turn comes although nobody took the first result.
    assert called(app.url, "denoise", SMALL, 1.0, "")[2]["task"] == "denoise"


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_server_in_the_middle_of_a_job_is_clean(
    launcher: list[str], tmp_path: Path, by: int
) -> None:
    with running_app(tmp_path / "app.log", (), launcher) as app:
        stream = urllib.request.urlopen(slow_call(app, tmp_path), timeout=300)
        app.process.send_signal(by)
        assert app.process.wait(120) == 0
        said = app.log.read_text() + rest_of(stream).decode()
        assert not re.search(r"Traceback|terminate|Abort|/site-packages/", said)
        assert not list(Path(tempfile.gettempdir()).glob(f"img2img-app-{app.process.pid}-*"))


def rest_of(stream: Any) -> bytes:
    """What still came before the server left; it may leave in the middle of a chunk."""
    try:
        return bytes(stream.read())
    except http.client.IncompleteRead as cut:
        return cut.partial


def test_the_page_is_sent_compressed_and_without_pictures(app: RunningApp) -> None:
    request = urllib.request.Request(app.url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        sent = answer.read()
    page = gzip.decompress(sent).decode()
    assert len(sent) < 80_000 and len(page) < 700_000
    assert "data:image" not in page
    pictures = re.findall(r"gradio_api/file=[^\"\\]+/cards/[^\"\\]+", page)
    assert len(pictures) == len(set(pictures)) >= 5, "of the models that ship"
    with urllib.request.urlopen(f"{app.url}{pictures[0]}") as answer:
        assert answer.headers["Content-Type"] == "image/jpeg" and "Content-Encoding" not in (
            answer.headers
        )


def test_page_names_nothing_outside_and_forbids_it(app: RunningApp) -> None:
    with urllib.request.urlopen(app.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy and "http" not in policy


def test_hostile_upload_name_stays_in_the_folder(app: RunningApp) -> None:
    path = uploaded(app.url, OLD, "../../../../tmp/img2img-evil.png")["path"]
    assert "/img2img-app-" in path and ".." not in path
    assert not Path("/tmp/img2img-evil.png").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most_mb"), [("colorize", 3000), ("denoise", 1500), ("erase", 1800)]
)
def test_24_megapixels_take_bounded_memory_with_the_shipped_weights(
    tmp_path: Path, name: str, most_mb: int
) -> None:
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


# --- a client of a few lines


def ran(example: str, *arguments: str) -> None:
    """Run one of the examples."""
    if example.endswith(".sh") and not shutil.which("curl"):
        pytest.skip("no curl on this machine")
    command = [
        sys.executable if example.endswith(".py") else "bash",
        str(EXAMPLES / example),
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def refused(request: str | urllib.request.Request) -> int:
    """The status code of a request that fails."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    caught.value.close()
    return caught.value.code
