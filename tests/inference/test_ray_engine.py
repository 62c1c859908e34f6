"""Folder runs on the processes of Ray: the results of the plain engine, each photo once, whoever is
killed; and what the process that began the run answers its workers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from coroutines import completed
from PIL import Image

from img2img.cli import main
from img2img.errors import UserError
from img2img.inference import urls
from img2img.inference.batch import FileBatch
from img2img.inference.folder import FolderRun
from img2img.inference.inputs import Job
from img2img.inference.ledger import Desk, Ledger, Question, RemoteRecords
from img2img.inference.manifest import NAME, Manifest
from img2img.inference.outputs import Result
from img2img.inference.ray_engine import (
    RayEngine,
    _decoded,
    _encoded,
    _groups,
    gpus_of_worker,
    workers_of,
)
from img2img.inference.request import Request

PHOTOS = ("a.png", "a.jpg", "b.jpg", "sub/c.png", *(f"{n}.png" for n in range(12)))


def save(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    for seed, name in enumerate(PHOTOS):
        save(tmp_path / "scans" / name, seed)
    (tmp_path / "scans" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    return tmp_path / "scans"


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / NAME).read_text().splitlines()]


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != NAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


# --- without Ray


@pytest.fixture
def ledger(scans: Path, tmp_path: Path, tiny_model: Callable[[str], Path]) -> Iterator[Ledger]:
    request = Request(model=str(tiny_model("denoise")), device="cpu")
    batch = FileBatch([str(scans)], request, f"{tmp_path}/out/")
    (tmp_path / "out").mkdir()
    with Manifest(tmp_path / "out", {}) as manifest:
        manifest.begin(len(batch.jobs), go_on=False)
        batch.manifest = manifest
        yield Ledger(batch, batch.jobs)


def test_a_photo_whose_workers_end_twice_is_put_aside(ledger: Ledger) -> None:
    first, second = ledger.batch.jobs[:2]
    assert ledger.standings([first, second]) == [("open", None), ("open", None)]
    for _ in range(2):
        ledger.started(first)
        assert ledger.standings([second])[0][0] == "open"  # nothing has happened to it
        standing = ledger.standings([first])[0][0]  # another worker asks for what was in work
    assert standing == "aside"
    (result,) = ledger.results
    assert result.error is not None and "put aside: twice the process ended" in result.error
    assert ledger.standings([first])[0][0] == "done"  # with it, whoever asks again


def test_a_result_that_was_written_before_its_worker_ended_counts_once(ledger: Ledger) -> None:
    job = ledger.batch.jobs[0]
    output = ledger.manifest.folder / "a.denoise.png"
    ledger.started(job)
    assert ledger.writing(job, output, None)
    output.write_bytes(b"whole")
    assert ledger.standings([job]) == [("done", output)]
    ledger.ended(job, Result(job.input, output))  # an answer that comes late
    assert [result.output for result in ledger.results] == [output]
    assert [line["state"] for line in lines(output.parent)][1:] == ["started", "writing", "done"]


def test_no_two_photos_share_a_result(ledger: Ledger) -> None:
    first, second = ledger.batch.jobs[:2]
    output = ledger.manifest.folder / "x.png"
    records = RemoteRecords(lambda name, *words: ledger.answers([Question(0, name, words)])[0])
    records.started(first)
    records.writing(first, output, None)
    records.started(second)
    with pytest.raises(UserError, match="was just made from another photo"):
        records.writing(second, output, None)
    records.writing(first, output, None)  # which its next worker asks


def test_the_desk_passes_questions_and_answers_on_in_order() -> None:
    import asyncio

    async def talk() -> list[Any]:
        desk = Desk()
        asked = [asyncio.ensure_future(desk.ask("started", n)) for n in range(3)]
        await asyncio.sleep(0)
        questions = await desk.take({})
        assert [question.arguments for question in questions] == [(0,), (1,), (2,)]
        assert await desk.take({q.number: q.arguments[0] * 10 for q in questions}) == []
        return await asyncio.gather(*asked)

    assert completed(talk()) == [0, 10, 20]


def test_photos_that_could_share_a_name_go_to_one_worker() -> None:
    jobs = [Job(Path("in") / name, Path(name)) for name in ("a.png", "A.jpg", "b.png", "s/a.png")]
    groups = _groups(jobs, {jobs[1].input, jobs[2].input})
    assert groups == [[jobs[0], jobs[1]], [jobs[2]]]
    odd = Job(Path(os.fsdecode(b"in/\xff.png")), Path(os.fsdecode(b"\xff.png")), "left")
    assert _encoded([odd]).isascii() and _decoded(_encoded([odd])) == [odd]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--engine", "ray"], "--engine: the results and their manifest need a folder: give --out"),
        (
            ["--engine", "ray", "--watch", "--output", "out/"],
            "--engine ray: is for photos that are",
        ),
        (["--workers", "2"], "--workers: is for several: use --engine ray"),
    ],
)
def test_what_ray_is_not_for_is_refused(
    words: list[str], says: str, scans: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", "--input", str(scans), *words]) == 2
    assert says in capfd.readouterr().err


def test_without_ray_a_line_says_what_to_install(
    scans: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("ray", "ray.data"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["infer", "--input", str(scans), "--output", "out", "--engine", "ray"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: --engine ray: needs Ray") and "img2img[scale]" in line


@pytest.mark.parametrize(
    ("has", "asked", "threads", "gpus", "workers"),
    [
        ({"CPU": 8}, None, 1, 0, 8),
        ({"CPU": 8}, None, 3, 0, 2),
        ({"CPU": 64, "GPU": 2}, None, 4, 0.25, 8),  # four to a GPU
        ({"CPU": 8, "GPU": 2}, None, 4, 0.25, 2),  # the cores are fewer
        ({"CPU": 8, "GPU": 1}, 2, 1, 0.5, 2),
    ],
)
def test_how_many_workers_there_is_room_for(
    has: dict[str, float], asked: int | None, threads: int, gpus: float, workers: int
) -> None:
    assert workers_of(has, asked, threads, gpus) == workers


def test_more_than_there_is_room_for_is_refused() -> None:
    with pytest.raises(UserError, match=r"3 of 1 cores and .* are more than the cluster's 8"):
        workers_of({"CPU": 8, "GPU": 1}, 3, 1, 0.5)
    assert gpus_of_worker({"CPU": 8, "GPU": 1}, "auto", None) == 1
    assert gpus_of_worker({"CPU": 8, "GPU": 1}, "cpu", None) == 0
    assert gpus_of_worker({"CPU": 8, "GPU": 1}, "auto", 0.25) == 0.25


# --- with Ray


def ray_processes() -> list[psutil.Process]:
    """Of this process's cluster."""
    own = psutil.Process().children(recursive=True)
    return [one for one in own if "ray" in " ".join(one.cmdline())]


@pytest.mark.slow
def test_a_worker_is_killed_and_every_photo_is_done_once(
    scans: Path,
    tmp_path: Path,
    tiny_model: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    request = Request(model=str(tiny_model("denoise")), device="cpu")
    plain = list(FileBatch([str(scans)], request, str(tmp_path / "plain")).run())
    engine, killed = RayEngine(workers=2), []
    real_writing = Ledger.writing

    def writing(ledger: Ledger, job: Job, *files: Any) -> bool:
        if job.input.name == "3.png" and not killed:
            time.sleep(1)  # both workers wait for answers meanwhile
            workers = [p for p in ray_processes() if p.cmdline()[0].startswith("ray::MapWorker")]
            killed.append(workers[0])
            assert len(workers) == 2
            workers[0].kill()
        return real_writing(ledger, job, *files)

    monkeypatch.setattr(Ledger, "writing", writing)
    batch = FileBatch([str(scans)], request, str(tmp_path / "out"))
    results = list(FolderRun(batch, resume=True, engine=engine).run())
    assert killed and ray_processes() == []
    assert files(tmp_path / "out") == files(tmp_path / "plain")
    assert Counter(str(one.error) for one in results) == Counter(str(one.error) for one in plain)
    assert Counter(one.input for one in results) == Counter(one.input for one in plain)
    ended = [line for line in lines(tmp_path / "out") if line["state"] in ("done", "failed")]
    assert len(ended) == len({line["input"] for line in ended}) == len(PHOTOS) + 1
    assert capfd.readouterr() == ("", "")  # Ray's own lines


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_ends_it_in_order_and_a_plain_run_goes_on(
    scans: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    for number in range(12, 400):
        save(scans / f"{number}.png", number)
    (scans / "broken.png").unlink()
    model = str(tiny_model("denoise"))
    words = ["infer", "--input", str(scans), "--output", str(tmp_path / "out"), "--model", model]
    heeds = (
        "import sys; from img2img.cli import main; from img2img.interrupts import heed_interrupts"
    )
    heeds += "; heed_interrupts(); sys.exit(main())"  # also where these tests run in the background
    command = [sys.executable, "-c", heeds, *words, "--engine", "ray", "--workers", "2"]
    run = subprocess.Popen(command, stdout=-1, stderr=-1, text=True)
    assert run.stdout is not None
    assert "→" in run.stdout.readline()
    others = psutil.Process(run.pid).children(recursive=True)
    run.send_signal(signal.SIGINT)
    _, printed = run.communicate()
    assert run.returncode == 130
    assert printed.splitlines()[-1] == "error: interrupted: --resume goes on"
    assert not [one for one in others if one.is_running() and one.status() != "zombie"]
    before = {line["input"] for line in lines(tmp_path / "out") if line["state"] == "done"}
    assert 0 < len(before) < 400
    assert main([*words, "--resume"]) == 0
    assert len(files(tmp_path / "out")) == len(files(scans))
    done = [line["input"] for line in lines(tmp_path / "out") if line["state"] == "done"]
    assert len(done) == len(set(done)) == len(files(scans))


@pytest.mark.slow
def test_photos_of_a_bucket_become_results_in_a_bucket(
    scans: Path,
    tmp_path: Path,
    tiny_model: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    urls._system.cache_clear()
    try:
        store = urls._system("s3")
        store.mkdir("bucket")
        for path in scans.rglob("*.*"):
            store.put_file(str(path), f"bucket/photos/{path.relative_to(scans).as_posix()}")
        model = str(tiny_model("denoise"))
        words = ["infer", "--model", model, "--device", "cpu", "--threads", "1"]
        assert main([*words, "--input", str(scans), "--output", f"{tmp_path}/plain/"]) == 1
        words += ["--input", "s3://bucket/photos", "--output", "s3://bucket/out", "--resume"]
        capfd.readouterr()
        assert main([*words, "--engine", "ray", "--workers", "1"]) == 1
        assert capfd.readouterr().out.count("→ s3://bucket/out/") == len(PHOTOS)
        found = {name.removeprefix("bucket/out/"): name for name in store.find("bucket/out")}
        manifest = found.pop(f"{Path(NAME).stem}-000000.jsonl")
        assert {name: store.cat_file(place) for name, place in found.items()} == files(
            tmp_path / "plain"
        )
        known = [json.loads(line) for line in store.cat_file(manifest).splitlines()]
        states = {line["input"]: line["state"] for line in known if "input" in line}
        assert Counter(states.values()) == {"done": len(PHOTOS), "failed": 1}
        assert states["s3://bucket/photos/broken.png"] == "failed"
        assert main(words) == 1  # the plain engine goes on: nothing but the one that failed
        printed = capfd.readouterr()
        assert printed.out == "" and "s3://bucket/photos/broken.png: damaged" in printed.err
    finally:
        server.stop()
        urls._system.cache_clear()


@pytest.mark.slow
def test_a_cluster_of_two_nodes_is_joined_and_left_as_it_was(
    scans: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    RayEngine()  # so that this process and its nodes agree
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):  # workers take half of the one GPU that each says it has
            cluster.add_node(num_cpus=1, num_gpus=1, include_dashboard=False)
        model = str(tiny_model("denoise"))
        words = ["infer", "--input", str(scans), "--model", model, "--device", "cpu"]
        assert main([*words, "--threads", "1", "--output", f"{tmp_path}/plain/"]) == 1
        spread = [*words, "--output", f"{tmp_path}/out/", "--engine", "ray"]
        ended = subprocess.run(
            [sys.executable, "-m", "img2img", *spread, "--worker-gpus", "0.5"],
            env={**os.environ, "RAY_ADDRESS": cluster.address},
            capture_output=True,
            text=True,
            check=False,
        )
        assert len(ended.stderr.splitlines()) == 1, ended.stderr[-3000:]
        error = ended.stderr
        assert ended.returncode == 1 and "broken.png: damaged" in error
        assert files(tmp_path / "out") == files(tmp_path / "plain")
        assert all(node.any_processes_alive() for node in cluster.list_all_nodes())
    finally:
        cluster.shutdown()
