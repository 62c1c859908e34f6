"""The app without its page: settings, temporary folder, uploads nobody should trust, models, masks,
zips.
"""

from __future__ import annotations

import html
import inspect
import io
import os
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from img2img import cli
from img2img.errors import Advice, Option, Phrase, TaskKind, UserError
from img2img.inference.canvas import Canvas
from img2img.inference.output_size import OutputSize
from img2img.inference.outputs import Result
from img2img.inference.plan import Plan
from img2img.inference.request import Request
from img2img.inference.statistics import statistics
from img2img.modelfile import read_header
from img2img.pixels import degrade
from img2img.pixels.images import Photo, read_photo
from img2img.resources import samples_dir
from img2img.tasks import PhotoStatistics
from img2img.zoo import catalogue
from img2img_apps.jobs import Finished, with_progress
from img2img_apps.offered_models import Models
from img2img_apps.progress_line import Progress
from img2img_apps.service import Service, Stopped, escaped, zipped
from img2img_apps.settings import Settings, parse_auth
from img2img_apps.wording import MOST_CHARACTERS, for_the_api, plan_on_page
from img2img_apps.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    folder = tmp_path / "work"
    folder.mkdir()
    made = Workspace(folder)
    yield made
    made.close()


@pytest.fixture
def service(workspace: Workspace, zoo: Path) -> Service:
    return Service(Settings(max_megapixels=1), workspace, Models(workspace))


@pytest.fixture
def upload(workspace: Workspace, photos: list[np.ndarray]) -> Callable[..., Path]:
    """Put a file where uploads lie."""

    def put(name: str = "photo.png", content: bytes | None = None, photo: int = 0) -> Path:
        folder = workspace.new_folder()
        (folder / name).write_bytes(png(photos[photo]) if content is None else content)
        return folder / name

    return put


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


# --- settings


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False)]
)
def test_on_loopback_only_for_addresses_of_this_machine(host: str, local: bool) -> None:
    assert Settings(host).on_loopback is local


@pytest.mark.parametrize("text", ["user", "user:", ":password"])
def test_auth_needs_both_parts(text: str) -> None:
    with pytest.raises(UserError, match="auth: give USER:PASSWORD"):
        parse_auth(text)


def test_the_command_line_and_the_library_begin_with_the_same_settings() -> None:
    """The command line has them to show in its help, without loading the app."""
    shown = {name: p.default for name, p in inspect.signature(cli.serve).parameters.items()}
    settings = {f.name: f.default for f in fields(Settings) if f.default is not MISSING}
    both = {name for name in shown.keys() & settings.keys() if shown[name] is not None}
    assert {"port", "max_megapixels", "quota_mb"} <= both
    assert {name: shown[name] for name in both} == {name: settings[name] for name in both}


def test_settings_refuse_what_cannot_be(tmp_path: Path) -> None:
    for wrong in ({"port": 70000}, {"max_megapixels": 0.0}, {"models": tmp_path / "none"}):
        with pytest.raises(UserError):
            Settings(**wrong)  # type: ignore[arg-type]


# --- temporary folder


def test_sweep_deletes_what_is_an_hour_old_and_keeps_the_rest(workspace: Workspace) -> None:
    old, new = workspace.new_folder() / "old.png", workspace.new_folder() / "new.png"
    (workspace.kept / "example.png").write_bytes(b"x")
    for path in (old, new):
        path.write_bytes(b"x")
    for path in (old, workspace.kept / "example.png"):
        os.utime(path, (time.time() - 4000,) * 2)

    workspace.sweep()

    assert not old.exists() and new.exists() and (workspace.kept / "example.png").exists()


def test_close_deletes_everything(workspace: Workspace) -> None:
    (workspace.new_folder() / "photo.png").write_bytes(b"x")
    workspace.close()
    assert not workspace.root.exists()


def test_folder_is_private(workspace: Workspace) -> None:
    made = Workspace()
    assert made.root.stat().st_mode & 0o077 == 0
    made.close()


# --- hostile uploads

TEXT = b"this is no picture, whatever its name says\n" * 40
SVG = (
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
)


def bomb() -> bytes:
    """A PNG of a few bytes that claims 60000 × 60000 pixels."""
    content = bytearray(png(np.zeros((1, 1, 3), np.uint8)))
    content[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.jpg", TEXT, "not an image"),
        ("empty.jpg", b"", "0 bytes"),
        ("drawing.svg", SVG, "drawing"),
        ("drawing.png", SVG, "drawings have no pixels"),
        ("bomb.png", bomb(), "gigantic|megapixels"),
        ("large.png", png(np.zeros((1100, 1000, 3), np.uint8)), "more than the 1 allowed"),
        (
            "cut.png",
            png(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[:900],
            "damaged|cut short",
        ),
    ],
)
def test_bad_uploads_are_named_and_explained(
    service: Service, upload: Callable[..., Path], name: str, content: bytes, said: str
) -> None:
    path = upload(name, content)
    with pytest.raises(UserError, match=said) as caught:
        service.inspect(path)
    for told in (escaped(str(caught.value)), for_the_api(str(caught.value))):
        assert name in told
        assert str(service.workspace.root) not in told, "a message tells no path of the server"


@pytest.mark.parametrize(
    "name",
    ["a;rm -rf ~.png", "<img src=x onerror=alert(1)>.png", "[a-z]*?.png", "-rf.png", "ü ☃.png"],
)
def test_hostile_names_are_only_names(
    service: Service, upload: Callable[..., Path], name: str
) -> None:
    outcome = service.run([upload(name)], Request(("denoise",)))
    assert outcome.download.name == f"{name.removesuffix('.png')}.denoise.png"
    assert service.workspace.holds(outcome.download)


def test_files_outside_the_folder_are_not_read(service: Service, tmp_path: Path) -> None:
    outside, link = tmp_path / "secret.png", service.workspace.new_folder() / "link.png"
    outside.write_bytes(png(np.zeros((32, 32, 3), np.uint8)))
    link.symlink_to(outside)
    for path in (outside, link, service.workspace.root / ".." / "secret.png"):
        with pytest.raises(UserError, match="upload it again"):
            service.inspect(path)


# --- running


def test_look_says_what_it_sees(service: Service, upload: Callable[..., Path]) -> None:
    grey = np.repeat(np.random.default_rng(0).integers(90, 130, (80, 80, 1), np.uint8), 3, 2)
    seen = service.inspect(upload(content=png(grey)))
    tint, noise, size = seen.words
    assert (tint, size) == ("grey", "small (80×80)") and noise.startswith("noisy (σ about ")
    assert {step.task for step in seen.proposed.steps} == {"denoise", "colorize", "super-resolve"}


def test_an_upload_is_decoded_and_measured_once_from_looking_to_the_result(
    service: Service, upload: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = ("img2img.inference.inspection", "img2img.inference.batch")
    decoded, measured = list[Path](), list[Photo]()

    def read(path: Path) -> Photo:
        decoded.append(path)
        return read_photo(path)

    def measure(photo: Photo, mask: np.ndarray | None = None) -> PhotoStatistics:
        measured.append(photo)
        return statistics(photo, mask)

    for room in rooms:
        monkeypatch.setattr(f"{room}.read_photo", read)
    for room in (rooms[0], "img2img.inference.request"):
        monkeypatch.setattr(f"{room}.statistics", measure)
    first, second = upload(), upload(photo=1)
    service.inspect(first)
    assert service.run([first], Request()).results[0].output is not None
    assert (decoded, len(measured)) == ([first], 1)
    service.inspect(first), service.inspect(second)
    service.run([first], Request(("denoise",)))
    assert decoded == [first, second, first], "another was looked at since: it is read again"
    assert len(measured) == 2


def test_clicks_read_the_header_of_each_model_once(
    service: Service, upload: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(
        catalogue, "read_header", lambda path: read.append(path) or read_header(path)
    )
    catalogue.CATALOGUE.clear()
    for request in (Request(), Request(("denoise",)), Request(("super-resolve",), scale=2)):
        assert service.run([upload()], request).results[0].error is None
    assert len(read) == len(set(read)) > 0


def test_several_photos_come_as_a_zip_and_bad_ones_are_reported(
    service: Service, upload: Callable[..., Path]
) -> None:
    uploads = [upload(photo=0), upload(photo=1), upload("broken.png", TEXT)]
    outcome = service.run(uploads, Request(("denoise",)))
    with zipfile.ZipFile(outcome.download) as archive:
        assert archive.namelist() == ["photo.denoise.png", "photo.denoise-2.png"]
    assert [bool(result.error) for result in outcome.results] == [False, False, True]


def test_names_in_a_zip_are_unique(tmp_path: Path) -> None:
    results = []
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(folder.encode())
        results.append(Result(tmp_path / "x.png", tmp_path / folder / "x.png"))
    with zipfile.ZipFile(zipped(results, tmp_path / "all.zip")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "x.png": b"a",
            "x-2.png": b"b",
            "x-3.png": b"c",
        }


def test_too_large_a_result_is_refused_before_any_work(
    workspace: Workspace, zoo: Path, upload: Callable[..., Path]
) -> None:
    service = Service(Settings(max_megapixels=50), workspace, Models(workspace))
    path = upload("wide.png", png(np.zeros((3000, 4000, 3), np.uint8)))
    with pytest.raises(UserError, match="smaller enlargement"):
        service.run([path], Request(("super-resolve",), scale=4))


@pytest.mark.parametrize(
    ("size", "wanted", "said"),
    [
        (
            (1000, 900),
            Request(("super-resolve",), scale=2),
            "3.6 megapixels after ×2, more than the 1 allowed",
        ),
        (
            (1000, 900),
            Request(("inpaint",), canvas=Canvas(extend=(0, 0, 200, 0))),
            "1.1 megapixels when extended",
        ),
        (
            (16, 17),
            Request(("inpaint",), canvas=Canvas(extend=(99999, 0, 99999, 0))),
            "4096 px a side, and 1 megapixels",
        ),
        (
            (16, 17),
            Request(("inpaint",), canvas=Canvas(extend=(10**400, 0, 0, 0))),
            "4096 px a side",
        ),
        (
            (400, 300),
            Request(("super-resolve",), size=OutputSize(longer_side=1400)),
            "1.5 megapixels after ×3.5, more than the 1 allowed",
        ),
        ((600, 600), Request(), "after ×2"),  # an automatic plan enlarges small photos
    ],
)
def test_one_limit_for_what_is_taken_and_what_is_made(
    service: Service, upload: Callable[..., Path], size: tuple[int, int], wanted: Request, said: str
) -> None:
    path = upload(content=png(np.zeros((size[1], size[0], 3), np.uint8)))
    heard: list[int] = []
    with pytest.raises(UserError, match=re.escape(said)):
        service.run([path], wanted, on_progress=lambda done, total, doing: heard.append(done))
    assert not heard, "before any work"


def test_each_photo_may_have_a_request_of_its_own(
    service: Service, upload: Callable[..., Path]
) -> None:
    one, other = upload("one.png"), upload("other.png", photo=1)
    outcome = service.run(
        [one, other], lambda look: Request(("denoise",)) if look.path == one else None
    )
    with zipfile.ZipFile(outcome.download) as archive:
        assert archive.namelist() == ["one.denoise.png", "other.png"]
        assert archive.read("other.png") == other.read_bytes()


def test_a_job_is_stopped_on_its_own_tab_alone(
    service: Service, upload: Callable[..., Path]
) -> None:
    path = upload("wide.png", png(np.zeros((600, 1500, 3), np.uint8)))
    for tab, user, ends in (
        ("denoise", "me", True),
        ("restore", "me", False),
        ("denoise", "you", False),
    ):

        def report(
            done: int, total: int | None, doing: str, tab: str = tab, user: str = user
        ) -> None:
            service.stop(user, tab)

        def run(report: Callable[..., None] = report) -> None:
            service.run([path], Request(("denoise",)), user="me", tab="denoise", on_progress=report)

        if ends:
            with pytest.raises(Stopped):
                run()
        else:
            run()


def test_who_leaves_ends_all_his_jobs_and_at_the_end_none_begins(
    service: Service, upload: Callable[..., Path]
) -> None:
    path = upload("wide.png", png(np.zeros((600, 1500, 3), np.uint8)))
    with pytest.raises(Stopped):
        service.run(
            [path],
            Request(("denoise",)),
            user="me",
            tab="x",
            on_progress=lambda *_: service.jobs.leave("me"),
        )
    assert service.jobs.end(0)
    with pytest.raises(Stopped):
        service.run([path], Request(("denoise",)), user="me")


def test_closing_what_watches_a_job_stops_it() -> None:
    stopped = threading.Event()
    lines = with_progress(lambda report: stopped.wait(60), stopped.set, Progress())
    assert isinstance(next(lines), str)
    lines.close()
    assert stopped.is_set()


def test_what_a_watched_job_gives_or_raises_comes_at_the_end() -> None:
    assert list(with_progress(lambda report: 5, lambda: None, Progress())) == [Finished(5)]
    with pytest.raises(ZeroDivisionError):
        list(with_progress(lambda report: 1 / 0, lambda: None, Progress()))


@pytest.mark.parametrize(
    ("calls", "passed", "line"),
    [
        ([(0, 25, "denoise")], 5.0, "Denoise: 0 of 25 tiles …"),
        ([(0, 20, "denoise"), (5, 20, "denoise")], 4.0, "Denoise: 5 of 20 tiles, about 12 s left"),
        ([(0, 20, "denoise"), (5, 20, "denoise")], 0.5, "Denoise: 5 of 20 tiles …"),
        ([(0, None, "colorize")], 9.0, "Colorize …"),
        (
            [(0, 4, "photo 1 of 2: x"), (4, 4, "x"), (0, 4, "photo 2 of 2: x")],
            300.0,
            "about 5 min left",
        ),
        ([], 9.0, "Starting …"),
    ],
)
def test_a_line_says_how_far_and_how_long(
    calls: list[tuple[int, int | None, str]], passed: float, line: str
) -> None:
    progress = Progress(photos=2 if len(calls) == 3 else 1, started=100.0)
    for call in calls:
        progress.report(*call)
    assert line in progress.line(100.0 + passed)


def test_room_is_made_of_the_oldest_but_not_of_what_may_be_in_use(workspace: Workspace) -> None:
    workspace.quota_bytes = 1000
    old, older, new = (
        workspace.new_folder() / name for name in ("old.png", "older.png", "new.png")
    )
    for path, age in ((old, 2000), (older, 3000), (new, 0)):
        path.write_bytes(bytes(300))
        os.utime(path, (time.time() - age,) * 2)
    (workspace.kept / "example.png").write_bytes(bytes(900))  # the app's own: not counted
    assert workspace.room(100) == 100 and older.exists()
    assert workspace.room(400) == 400 and not older.exists() and old.exists()
    assert workspace.room(900) == 700 and not old.exists() and new.exists()


@pytest.mark.parametrize(
    ("error", "on_the_page", "from_the_api"),
    [
        (
            UserError("mask is 9x9", place=Path("/tmp/img2img-app-1/ab/mask.png")),
            "mask.png: mask is 9x9",
            "mask.png: mask is 9x9",
        ),
        (
            UserError("-5 is less than 0", field="extend"),
            "Extend: -5 is less than 0",
            "extend: -5 is less than 0",
        ),
        (
            UserError("are wide", field=("mask_grow", "feather"), remedy=Advice.give("mask")),
            "Grow and Feather are wide: give Mask",
            "mask_grow and feather are wide: give mask",
        ),
        (
            UserError("makes none from noise", remedy=Advice.run("generate", Option("seed", 3))),
            "makes none from noise: use the Generate tab",
            "makes none from noise: use /generate",
        ),
        (
            UserError("/erase and 'a -- b' stay", remedy=Advice.set("output", Path("/tmp/a.png"))),
            "/erase and 'a -- b' stay: use “a.png” under Output",
            "/erase and 'a -- b' stay: use output a.png",
        ),
        (
            UserError("no photo", remedy=Advice.run("infer", Option("input", "PHOTO"))),
            "no photo: use img2img infer",
            "no photo: use img2img infer",
        ),
        (
            UserError(
                Phrase(Option("task", "inpaint"), " has no model for ", TaskKind("super-resolve")),
                remedy=Advice.set("task", "denoise, colorize") | Advice.set("task", "a|b"),
            ),
            "the Erase tab has no model for Enlarge: use the Denoise tab or the Colorize tab, "
            "or use “a|b” under Steps",
            "/erase has no model for /enlarge: use /denoise or /colorize, or use task a|b",
        ),
        (
            UserError("is none", field="train.lr"),
            "train.lr: is none",
            "train.lr: is none",
        ),
    ],
)
def test_messages_are_in_the_words_of_page_and_api(
    error: UserError, on_the_page: str, from_the_api: str
) -> None:
    assert html.unescape(escaped(str(error))) == on_the_page
    assert for_the_api(str(error)) == from_the_api
    assert len(for_the_api("x" * 5000)) == MOST_CHARACTERS + 1


def test_a_plan_is_told_in_the_words_of_the_page() -> None:
    declined = Phrase("not done: colorize; ", Option("task", "colorize"), " does it all the same")
    told = [escaped(sentence) for sentence in plan_on_page(Plan((), declined=(declined,)))]
    assert told == [
        "nothing needs doing, this is your photo unchanged",
        "not done: colorize; the Colorize tab does it all the same",
    ]
    plan = Plan((), skipped=("not done: denoise",))
    assert plan_on_page(plan) == ["unchanged", "not done: denoise"]


def test_progress_counts_tiles_and_stop_ends_the_work(
    service: Service, upload: Callable[..., Path]
) -> None:
    path = upload("wide.png", png(np.zeros((600, 1500, 3), np.uint8)))
    heard: list[tuple[int, int | None]] = []

    def report(done: int, total: int | None, doing: str) -> None:
        heard.append((done, total))
        if done == 1:
            service.stop("me")

    with pytest.raises(Stopped):
        service.run([path], Request(("denoise",)), user="me", on_progress=report)
    assert heard == [(0, 2), (1, 2)]


# --- models


def test_only_offered_model_names_are_taken(
    service: Service, tiny_model: Callable[[str], Path]
) -> None:
    for name in ("/etc/passwd", "../../zoo/denoise", str(tiny_model("denoise")), "colorize"):
        with pytest.raises(UserError, match="Models tab"):
            service.models.path(name, "denoise", "me")


def test_own_model_is_its_users_alone(
    service: Service, upload: Callable[..., Path], tiny_model: Callable[[str], Path]
) -> None:
    name = service.models.add(upload("mine.safetensors", tiny_model("denoise").read_bytes()), "me")
    assert name in service.models.of_task("denoise", "me")
    assert name not in service.models.of_task("denoise", "you")


def test_a_pickle_named_like_a_model_is_not_opened(
    service: Service, upload: Callable[..., Path], tmp_path: Path
) -> None:
    import pickle

    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "owned"),)

    path = upload("model.safetensors", pickle.dumps(Attack()))
    with pytest.raises(UserError, match="holds more than tensors"):
        service.models.add(path, "me")
    assert not (tmp_path / "owned").exists()


# --- previews


def test_extended_canvas_keeps_the_slider_aligned(
    service: Service, upload: Callable[..., Path]
) -> None:
    outcome = service.run([upload()], Request(("inpaint",), canvas=Canvas(extend=(16, 0, 8, 4))))
    for path in outcome.pair:
        with Image.open(path) as picture:
            assert picture.size == (96 + 24, 96 + 4)


def test_grain_goes_to_the_model_for_found_photos_on_every_tab(
    service: Service, upload: Callable[..., Path], found_zoo: Path
) -> None:
    """Asked for by name, as by the Denoise tab, and by Restore with a step unticked, or not."""
    clean = (
        cv2.resize(read_photo(samples_dir() / "cat.jpg").rgb, (400, 300)).astype(np.float32) / 255
    )
    grain = degrade.correlated_noise(np.zeros_like(clean), 10, np.random.default_rng(0), 0.8)[
        ..., :1
    ]
    path = upload(content=png(np.rint((clean + grain).clip(0, 1) * 255).astype(np.uint8)))
    assert found_zoo.joinpath("denoise_real.safetensors").is_file()
    assert service.inspect(path).proposed.models == "denoise_real,super_resolve_x2"
    assert any("grainy" in word for word in service.inspect(path).words)
    assert [result.model for result in service.run([path], Request(("denoise",))).results] == [
        "denoise_real"
    ]
    both = service.run([path], Request(("denoise", "colorize"))).results
    assert [result.model for result in both] == ["denoise_real,colorize"]
