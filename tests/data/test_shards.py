"""Training from shards is training from the folder they were made from, wherever they lie."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import s3fs
import torch
from PIL import Image
from safetensors.torch import load_file
from webdataset.tariterators import group_by_keys, tar_file_expander

from img2img.cli import main
from img2img.data import shards, storage
from img2img.data.checks.run import check_data
from img2img.data.dataset import DataConfig, Photos, load_photos
from img2img.data.identity import data_change
from img2img.data.sample import Batch, collate
from img2img.data.sharding import JOURNAL, write_shards
from img2img.data.shards import INDEX, local_file, open_shards
from img2img.errors import StorageError, UserError
from img2img.recipe import Recipe
from img2img.tasks import build_task
from img2img.testing.file_servers import WebServer, s3_server, web_server
from img2img.training.batches import _sample_numbers as sample_numbers
from img2img.training.batches import load_batches

PAIRS = {"kind": "translate", "source": "pairs"}
PARTS = ("train", "val")
CLASSES = {"kind": "generate", "labels": 2}


@pytest.fixture(autouse=True)
def _quick_and_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Downloads are kept in the test's folder, and tries follow at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "FIRST_PAUSE_S", 0.0)


def save(folder: Path, name: str, photo: np.ndarray) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(photo).save(path)


def lay_out(folder: Path, photos: list[np.ndarray], names: list[str]) -> Path:
    """Photos under names."""
    for place, name in enumerate(names):
        save(folder, name, photos[place % len(photos)])
    return folder


LAYOUTS: dict[str, tuple[Any, list[str]]] = {
    "photos": ("inpaint", ["a.png", "b.b.png", "deep/c.png", "deep/d.png", "ü.png", "f.JPG"]),
    "parts": ("denoise", [f"{p}/{n}.png" for p in ("train", "val", "test") for n in "abc"]),
    "pairs": (PAIRS, [f"{p}/{s}/{n}.png" for s in "AB" for p in ("train", "val") for n in "abc"]),
    "classes": (
        CLASSES,
        [f"{p}/{c}/{n}.png" for p in ("train", "val") for c in "xy" for n in "ab"],
    ),
    "sides": (
        {"kind": "translate", "source": "unpaired", "side_a": "files"},
        [f"{p}{s}/{n}{s}.png" for p in ("train", "test") for s in "AB" for n in "abc"],
    ),
}


def opened(task: Any, **fields: Any) -> Photos:
    config = DataConfig(crop_px=32, resize_px=(40, 60), workers=0, **fields)
    return load_photos(build_task(task), config, 7)


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [value for value in vars(batch).values() if value is not None]


LARGE = 10**9  # bytes of a shard that holds all


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def shards_of(folder: Path, out: Path, **options: Any) -> str:
    return write_shards(folder, out, **{"shard_bytes": LARGE, **options}).urls


@pytest.mark.parametrize("layout", LAYOUTS)
def test_samples_of_shards_are_those_of_the_folder(
    layout: str, tmp_path: Path, photos: list[np.ndarray]
) -> None:
    task, names = LAYOUTS[layout]
    folder = lay_out(tmp_path / "photos", photos, names)
    urls = shards_of(folder, tmp_path / "out")
    plain, packed = opened(task, path=str(folder)), opened(task, kind="shards", urls=urls)
    assert packed.summary == plain.summary and packed.count == plain.count
    assert packed.class_names == plain.class_names
    assert data_change(plain.identity, packed.identity) is None, "a run goes on from either"
    assert len(packed.validation) == len(plain.validation) > 0
    assert all(map(same, packed.validation, plain.validation))
    assert all(same(packed.train[number], plain.train[number]) for number in (0, 1, 2, 5, 11))


@pytest.fixture
def folder(tmp_path: Path, photos: list[np.ndarray]) -> Path:
    """Twelve photos."""
    return lay_out(tmp_path / "photos", photos, [f"{n}.png" for n in "abcdefghijkl"])


@pytest.fixture
def out(folder: Path, tmp_path: Path) -> Path:
    """Their shards, four or so."""
    size = max(path.stat().st_size for path in folder.iterdir())
    write_shards(folder, tmp_path / "out", shard_bytes=4 * size)
    return tmp_path / "out"


@pytest.fixture
def web(out: Path) -> Iterator[WebServer]:
    with web_server(out) as server:
        yield server


def remote(web: WebServer, **fields: Any) -> Photos:
    return opened("inpaint", kind="shards", urls=f"{web.url}/{INDEX}", **fields)


def test_photos_behind_http_are_ranges_of_bytes_asked_for_once(
    web: WebServer, folder: Path
) -> None:
    """By two loader processes, which are forked while connections are open; each sample goes to
    one of two trainings, and kept files that were damaged are fetched anew.
    """
    plain, packed = opened("inpaint", path=str(folder)), remote(web)
    recipe = Recipe.load("denoise_tiny", ["data.workers=2", "train.batch_size=2", "train.steps=3"])

    numbers = []
    for rank in (0, 1):
        process: Any = SimpleNamespace(num_processes=2, process_index=rank)
        process.device = torch.device("cpu")
        coming = load_batches(recipe, packed.train, process, 0)
        for mine, (batch, _) in zip(sample_numbers(recipe, process, 0), coming, strict=True):
            assert isinstance(batch, Batch)
            assert same(batch, collate([plain.train[number] for number in mine]))
            numbers += mine
    assert sorted(numbers) == list(range(12)), "all samples, none twice"
    ranges = [asked for path, asked in web.requests if path.endswith(".tar")]
    assert len(ranges) == len(set(web.requests)) - 1 and all(ranges)
    assert not leftovers_of_local_files()

    kept = [path for path in storage.default_folder().rglob("*") if path.is_file()]
    assert len(kept) == 12
    kept[0].write_bytes(b"damaged")
    before = len(web.requests)
    packed = remote(web)
    assert all(same(packed.train[n], plain.train[n]) for n in range(12))
    assert len(web.requests) - before == 2, "the index, and what was damaged"


def leftovers_of_local_files() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("img2img-shard-*"))


def test_the_kept_files_stay_within_their_budget(tmp_path: Path) -> None:
    kept = storage.KeptRanges(tmp_path / "kept", 64_000)
    for number in range(200):
        kept.keep(f"{number:040x}", bytes(1000))
        os.utime(kept._path(f"{number:040x}"), ns=(number, number))
    sizes = [path.stat().st_size for path in (tmp_path / "kept").rglob("*") if path.is_file()]
    assert 55_000 <= sum(sizes) <= 66_000
    assert kept.get(f"{199:040x}") == bytes(1000) and kept.get(f"{0:040x}") is None


def _missing_index(web: WebServer) -> None:
    (web.folder / INDEX).unlink()


def _damaged_index(web: WebServer) -> None:
    (web.folder / INDEX).write_text("{}")


def _index_that_leads_away(web: WebServer) -> None:
    path = web.folder / INDEX
    path.write_text(path.read_text().replace("000000.tar", "../000000.tar"))


def _missing_shard(web: WebServer) -> None:
    for path in web.folder.glob("*.tar"):
        path.unlink()


def _truncated(web: WebServer) -> None:
    for path in web.folder.glob("*.tar"):
        path.write_bytes(path.read_bytes()[:600])


def _another_byte(web: WebServer) -> None:
    for path in web.folder.glob("*.tar"):
        path.write_bytes(path.read_bytes().replace(b"IDAT", b"IDAX"))


def _always_500(web: WebServer) -> None:
    web.statuses = [500] * 100


def _no_ranges(web: WebServer) -> None:
    web.knows_ranges = False


def _slow(web: WebServer) -> None:
    web.hangs = threading.Event()


@pytest.mark.parametrize(
    ("fault", "error", "told"),
    [
        (_missing_index, UserError, r"index\.json: data\.urls: there is no index"),
        (_damaged_index, UserError, "is no whole index of shards"),
        (_index_that_leads_away, UserError, "'../000000.tar' is no name of a file"),
        (_always_500, UserError, r"the server answers 500 \(4 tries\)"),
        (_slow, UserError, r"no whole answer within 0\.2 s \(4 tries\)"),
        (_missing_shard, StorageError, r"\.tar: no such file \(404\)"),
        (_truncated, StorageError, "is cut short"),
        (_another_byte, StorageError, r"'.\.png' in it is not what was written"),
        (_no_ranges, StorageError, "sends whole files"),
    ],
)
def test_what_a_server_does_not_give_is_one_line(
    fault: Callable[[WebServer], None],
    error: type[Exception],
    told: str,
    web: WebServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(storage, "TIMEOUT_S", 0.2 if fault is _slow else 60.0)
    fault(web)
    with pytest.raises(error, match=told) as raised:
        remote(web)
    assert "\n" not in str(raised.value) and web.url in str(raised.value)


def test_a_server_that_fails_for_a_moment_is_asked_again(web: WebServer, folder: Path) -> None:
    web.statuses = [503, 500, 429]
    assert same(remote(web).train[3], opened("inpaint", path=str(folder)).train[3])
    assert not web.statuses


def test_a_photo_that_cannot_be_had_is_never_another_one(web: WebServer) -> None:
    packed = remote(web, download_cache_mb=0)
    web.statuses = [404] * 1000
    found, _ = packed.train.collate(packed.train.__getitems__([0, 1]))
    assert isinstance(found, StorageError), "through a loader, and not passed over as broken"
    assert not packed.train.cache.broken


def test_local_shards_are_compared_with_their_index(out: Path, folder: Path) -> None:
    path = out / "000001.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(UserError, match=r"000001\.tar: data\.urls: has [\d,]+ bytes, and"):
        open_shards([f"{out}/{{000000..000003}}.tar"], 0)
    first, *_ = open_shards([f"{out}/000000.tar"], 0)
    assert [path.name for path in first.files()] == ["a.png", "b.png", "c.png"][
        : len(first.files())
    ]


def test_a_path_in_shards_opens_nothing_and_survives_pickling(out: Path, folder: Path) -> None:
    (root,) = open_shards([f"{out}/{INDEX}"], 0)
    path = root / "c.png"
    assert (str(path), path.parent.name) == (f"{out}#c.png", "photos")
    assert not (root / "../c.png").exists() and not (root / "/etc/passwd").exists()
    with pytest.raises(TypeError):
        os.fspath(path)
    shards._OPEN.clear()
    again = pickle.loads(pickle.dumps(path))
    assert again == path and again.read_bytes() == (folder / "c.png").read_bytes()
    with local_file(again) as file:
        assert file.parent == Path(tempfile.gettempdir())
        assert file.name.startswith("img2img-shard-") and file.stem != "c"
    assert not file.exists()


# --- writing


def test_webdataset_reads_what_was_written_with_partners_in_one_sample(
    tmp_path: Path, photos: list[np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = lay_out(tmp_path / "pairs", photos, [f"{s}/{n}.png" for s in "AB" for n in "xyz"])
    save(folder, "A/lonely.jpg", photos[0])
    assert main(["shard", str(folder), str(tmp_path / "out")]) == 0
    told = capsys.readouterr()
    assert told.err == "" and told.out.count("\n") == 1
    assert "7 photos in 4 samples, 1 shards" in told.out and "1 without partner" in told.out
    with (tmp_path / "out" / "000000.tar").open("rb") as stream:
        read = list(group_by_keys(tar_file_expander([{"url": "", "stream": stream}])))
    assert [sample["__key__"] for sample in read] == [f"{n:09d}" for n in range(4)]
    assert {"a.png", "b.png"} <= read[1].keys() and "a.jpg" in read[0]
    assert read[3]["b.png"] == (folder / "B" / "z.png").read_bytes()
    index = json.loads((tmp_path / "out" / INDEX).read_text())
    (shard,) = index["shardlist"]
    content = (tmp_path / "out" / shard["url"]).read_bytes()
    assert (shard["nsamples"], shard["filesize"]) == (4, len(content))
    assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000000.tar", INDEX]
    assert main(["shard", str(folder), str(tmp_path / "out")]) == 2
    assert "holds shards already" in capsys.readouterr().err


@pytest.mark.parametrize("torn", [False, True])
def test_a_stopped_writing_goes_on_and_ends_with_the_same_bytes(
    folder: Path, out: Path, tmp_path: Path, torn: bool
) -> None:
    size = max(path.stat().st_size for path in folder.iterdir())
    where, done = tmp_path / "again", 0

    def stop(files: Iterator[None], count: int) -> Iterator[None]:
        nonlocal done
        for done, _ in enumerate(files):
            if done == 7:
                raise KeyboardInterrupt
            yield

    with pytest.raises(KeyboardInterrupt):
        write_shards(folder, where, shard_bytes=4 * size, progress=stop)
    names = sorted(path.name for path in where.iterdir())
    assert JOURNAL in names and INDEX not in names and "000000.tar" in names
    if torn:
        (where / ".000001.abcdefgh.tar").write_bytes(b"of a killed process")
        with (where / JOURNAL).open("ab") as journal:
            journal.write(b'{"plan": "')
    before = (where / "000000.tar").stat().st_mtime_ns
    write_shards(folder, where, shard_bytes=4 * size)
    assert (where / "000000.tar").stat().st_mtime_ns == before
    content = [{path.name: path.read_bytes() for path in at.iterdir()} for at in (out, where)]
    assert content[0] == content[1]


def test_what_cannot_be_written_is_told_in_one_line(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    def refusal(*arguments: Any, **options: Any) -> str:
        with pytest.raises(UserError) as raised:
            write_shards(*arguments, shard_bytes=LARGE, **options)
        return str(raised.value)

    assert "is in the photos' folder" in refusal(folder, folder / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.txt").write_text("kept")
    assert "holds other files ('a.txt')" in refusal(folder, tmp_path / "mine")
    assert "no photo in" in refusal(out, tmp_path / "new") and not (tmp_path / "new").exists()
    whole = (folder / "d.png").read_bytes()
    (folder / "d.png").write_bytes(whole[:-200])
    told = refusal(folder, tmp_path / "new")
    assert "d.png: damaged or cut short" in told and told.endswith("or use skip_broken")
    written = write_shards(folder, tmp_path / "other", shard_bytes=LARGE, skip_broken=True)
    assert len(written.left_out) == 1 and "11 photos in 11 samples" in written.line
    (folder / "d.png").write_bytes(whole)


# --- recipes, and what else reads data


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("{kind: shards}", "data.urls is missing"),
        ("{kind: shards, urls: a.tar, path: photos}", "data.path names folders"),
        ("{urls: a.tar}", "data.urls names shards, and data.kind is folder: set data.kind=shards"),
        ("{kind: shards, urls: 'pipe:rm -r x'}", ""),
        ("{kind: shards, urls: 'ftp://host/a.tar'}", "'ftp://' is not read"),
        ("{kind: shards, urls: 'zip://a.tar::http://host/x'}", "is not read"),
        ("{kind: shards, urls: 'https://me:secret@host/a.tar'}", "copied into every model file"),
        ("{kind: shards, urls: 'https://host/a.tar?X-Amz-Signature=1'}", "copied into every"),
    ],
)
def test_a_recipe_with_shards_is_refused_in_one_line(data: str, told: str) -> None:
    if not told:  # a name of a file like any other: nothing is run
        with pytest.raises(UserError, match="no index of these shards"):
            opened("denoise", kind="shards", urls="pipe:rm -r x")
        return
    with pytest.raises(UserError) as raised:
        Recipe.load("denoise_tiny", ["data.path=data/samples", f"data={data}"])
    assert told in str(raised.value) and "secret" not in str(raised.value)


@pytest.mark.parametrize("urls", ["{0..999999999999}.tar", "{0..99999}{0..99999}.tar", "{a.tar"])
def test_braces_are_bounded(urls: str) -> None:
    with pytest.raises(UserError, match=r"100,000 shards|braces do not match|no index"):
        open_shards([urls], 0)


def test_check_data_looks_at_shards_as_at_the_folder(folder: Path, out: Path) -> None:
    (folder / "copy.png").write_bytes((folder / "a.png").read_bytes())
    write_shards(folder, out.parent / "checked", shard_bytes=LARGE)
    urls = f"{out.parent}/checked/{INDEX}"
    plain, packed = (
        check_data(build_task("denoise"), DataConfig(crop_px=32, **fields), 0)
        for fields in ({"path": str(folder)}, {"kind": "shards", "urls": urls})
    )
    assert packed.count == plain.count and packed.summary == plain.summary
    assert [one.line for one in packed.findings] == [one.line for one in plain.findings]
    assert any("a.png" in one.line for one in packed.findings)


# --- whole trainings


TINY = (
    *("generator.widths=[4,6]", "train.steps=6", "train.batch_size=2", "data.crop_px=32"),
    *("train.checkpoint_every=2", "train.validate_every=3", "data.workers=0"),
)


def trained(run: Path, *changes: str, code: int = 0) -> dict[str, torch.Tensor]:
    """The weights that a training in this process ends with."""
    assert main(["train", "denoise_tiny", *TINY, *changes, "--out", str(run)]) == code
    return load_file(run / "model.safetensors") if code == 0 else {}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


NOTHING_KEPT = ("data.download_cache_mb=0", "data.cache_mb=0")


@pytest.mark.slow
def test_a_training_from_http_that_goes_on_ends_with_the_bits_of_one_from_the_folder(
    folder: Path, web: WebServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server fails in the middle of a run, which keeps what it learned."""
    packed = ["data.kind=shards", f"data.urls={web.url}/{{000000..000003}}.tar"]
    plain = trained(tmp_path / "plain", f"data.path={folder}")
    before = len(web.requests)
    assert equal(plain, trained(tmp_path / "unbroken", *packed, *NOTHING_KEPT))
    asked = len(web.requests) - before
    web.failing_from = len(web.requests) + asked * 3 // 4
    capsys.readouterr()
    trained(tmp_path / "broken", *packed, *NOTHING_KEPT, code=1)
    told = capsys.readouterr().err.splitlines()[-1]
    assert "no such file (404)" in told and "is kept" in told and "--resume" in told
    web.failing_from = None
    assert equal(plain, trained(tmp_path / "broken", *packed, *NOTHING_KEPT, "--resume"))


@pytest.mark.slow
def test_two_processes_train_from_shards_as_from_the_folder(
    folder: Path, out: Path, tmp_path: Path
) -> None:
    def weights(name: str, *changes: str) -> dict[str, torch.Tensor]:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
        command = [sys.executable, *launcher, "-m", "img2img", "train", "denoise_tiny", *TINY]
        command += [*changes, "--out", str(tmp_path / name), "--device", "cpu"]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert child.returncode == 0, child.stderr
        return load_file(tmp_path / name / "model.safetensors")

    packed = weights("packed", "data.kind=shards", f"data.urls={out}/{INDEX}", "data.workers=2")
    assert equal(weights("plain", f"data.path={folder}"), packed)


@pytest.mark.slow
def test_s3_gives_the_same_samples_and_says_what_it_asks_for(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with s3_server(out, "photos") as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
        urls = "s3://photos/{000000..000003}.tar"
        with pytest.raises(UserError, match="S3 asks for credentials, and none were found"):
            opened("inpaint", kind="shards", urls=urls)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anyone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        s3fs.S3FileSystem.clear_instance_cache()
        storage._SYSTEMS.clear()
        plain, packed = (
            opened("inpaint", path=str(folder)),
            opened("inpaint", kind="shards", urls=urls),
        )
        assert all(same(packed.train[n], plain.train[n]) for n in range(12))
        with pytest.raises(UserError, match=r"index\.json: data\.urls: there is no index"):
            opened("inpaint", kind="shards", urls="s3://nobody/a.tar")
