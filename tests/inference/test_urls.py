"""Photos and results by URL: the bytes of the same run on folders, and runs that go on."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from img2img.cli import main
from img2img.errors import UserError
from img2img.inference import urls
from img2img.inference.batch import FileBatch
from img2img.inference.folder import FolderRun
from img2img.inference.outputs import Result
from img2img.inference.request import Request

DENOISE = Request(("denoise",), device="cpu")
PHOTOS = ("a.png", "b.jpg", "sub/c.png")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in PHOTOS:
        path = tmp_path / "scans" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(path)
    (tmp_path / "scans" / "notes.csv").write_text("no photo")
    return tmp_path / "scans"


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


def work(source: str, target: str, resume: bool = False, **options: Any) -> list[Result]:
    return list(FolderRun(FileBatch([source], DENOISE, target, **options), resume).run())


def bytes_below(system: Any, place: str) -> dict[str, bytes]:
    return {
        name.removeprefix(f"/{place}/"): system.cat_file(name)
        for name in system.find(place)
        if urls.Path(name).suffix != ".jsonl"
    }


@pytest.mark.usefixtures("zoo")
def test_a_run_from_url_to_url_gives_the_bytes_of_one_on_folders_and_goes_on(
    scans: Path, tmp_path: Path, memory: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    work(str(scans), f"{tmp_path}/plain/")
    plain = {
        path.relative_to(tmp_path / "plain").as_posix(): path.read_bytes()
        for path in (tmp_path / "plain").rglob("*.*")
    }
    memory.put(str(scans), "/photos", recursive=True)
    memory.pipe_file("/photos/broken.png", b"\x89PNG\r\n\x1a\nbroken")
    assert main(["infer", "--input", "memory://photos", "--task", "denoise"]) == 2
    command = ["infer", "--input", "memory://photos", "--output", "memory://out", "--json"]
    capfd.readouterr()
    assert main([*command, "--task", "denoise", "--device", "cpu"]) == 1
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert said[0]["input"] == "memory://photos/a.png"
    assert said[0]["output"] == "memory://out/a.denoise.png"
    (error,) = [one["error"] for one in said if "error" in one]
    assert error.startswith("memory://photos/broken.png: damaged or cut short")
    assert bytes_below(memory, "out") == plain
    assert memory.exists("/out/img2img-manifest-000000.jsonl")  # for a photo has failed
    memory.pipe_file("/photos/broken.png", memory.cat_file("/photos/a.png"))
    results = work("memory://photos", "memory://out", resume=True)
    assert [urls.url_of(one.input) for one in results] == ["memory://photos/broken.png"]
    assert [one.error for one in results] == [None]
    assert work("memory://photos", "memory://out", resume=True) == []
    refused = work("memory://photos", "memory://out")
    assert {str(one.error).rpartition(" exists")[1] for one in refused} == {" exists"}


@pytest.mark.usefixtures("zoo")
def test_a_run_that_ended_between_a_result_and_its_line_counts_it_once(
    scans: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.put(str(scans), "/photos", recursive=True)
    real_send = type(memory).put_file

    def put_file(self: Any, local: str, place: str, **options: Any) -> None:
        real_send(self, local, place, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(memory), "put_file", put_file)
    with pytest.raises(KeyboardInterrupt):
        work("memory://photos", "memory://out", resume=True)
    monkeypatch.undo()
    before = {name: memory.modified(name) for name in memory.find("/out") if "denoise" in name}
    assert before
    work("memory://photos", "memory://out", resume=True)
    found = [name for name in memory.find("/out") if "denoise" in name]
    assert len(found) == len(PHOTOS)
    assert before.items() <= {name: memory.modified(name) for name in found}.items()


@pytest.mark.usefixtures("zoo")
def test_photos_of_a_web_server_by_a_list(scans: Path, tmp_path: Path) -> None:
    (scans / "list.txt").write_text("a.png\nsub/c.png\n../outside.png\nmissing.png\n")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(scans))
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]  # of the partial, unused
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        results = work(f"{url}/list.txt", f"{tmp_path}/out/")
        with pytest.raises(UserError, match="web servers do not list folders"):
            work(f"{url}/", f"{tmp_path}/out/")
        server.shutdown()
    done = {one.output.relative_to(tmp_path / "out").as_posix() for one in results if one.output}
    assert done == {"a.denoise.png", "sub/c.denoise.png"}
    assert ["no such file" in str(one.error) for one in results if one.error] == [True, True]


def test_no_name_in_a_store_leads_out_of_the_output(memory: Any) -> None:
    for name in (
        "/photos/a.png",
        "/photos/../../b.png",
        "/photos/sub/../../c.png",
        "/photos2/d.png",
    ):
        memory.store[name] = fsspec.implementations.memory.MemoryFile(memory, name, b"x")
    found = urls.files_of("memory://photos")
    assert [str(one.relative) for one in found] == ["a.png"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--input", "ftp://host/a.png", "--output", "out/"], "--input: 'ftp://' is none of s3, "),
        (
            ["--input", "a.png", "--mask", "s3://bucket/mask.png"],
            "--mask: takes no URL: name a fil",
        ),
        (["--input", "a.png", "--output", "https://host/out"], "--output: 'https://' is none of"),
        (["--input", "memory://nowhere", "--output", "out/"], "--input: no photo in 'memory://no"),
    ],
)
def test_urls_that_are_not_taken_are_refused_in_one_line(
    options: list[str], says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", *options]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"error: {says}")


def test_urls_and_paths_are_told_apart() -> None:
    assert urls.is_url("s3://bucket/a.png") and urls.is_url(Path("s3://bucket/a.png"))
    assert not any(map(urls.is_url, ("C:/a.png", "a.png", "/a/b:c.png", "file:///a.png")))
    assert urls.local_of("file:///a/b.png") == "/a/b.png"
    assert urls.url_of(Path("s3://bucket/a.png")) == "s3://bucket/a.png"


def test_a_journal_is_parts_in_order(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urls, "PART_BYTES", 8)
    path = Path("memory://out/log.jsonl")
    for text in (b"one\n", b"three\n", b"five\n"):
        journal = urls.Journal(path)
        journal.write(text)
        journal.write(text)
        journal.close()
    contents = [urls.content_of(part) for part in urls.parts_of(path)]
    assert contents == [b"one\none\n", b"three\nthree\n", b"five\nfive\n"]
    for part in urls.parts_of(path):
        urls.remove(part)
    assert urls.parts_of(path) == []
