"""The plot and the tables of cost: what `img2img bench --json` measured, and nothing else."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from img2img.benchmark import inference_speed
from img2img.cli import main
from img2img.maintenance import cost
from img2img.maintenance.cost_chart import Axis, CostCurve, CostPanel, drawn
from img2img.resources import cards_dir, recipes_dir

SVG = "{http://www.w3.org/2000/svg}"


def costs(seconds: float, over_idle_mb: float) -> dict[str, float]:
    return {"seconds": seconds, "peak_mb": 300 + over_idle_mb, "idle_mb": 300}


@pytest.fixture
def bench() -> dict[str, Any]:
    """As `img2img bench --json` prints it, shortened."""
    machine = {"cpu": "Some CPU", "threads": 2, "amx": True, "avx512_bf16": False, "torch": "2.9"}
    plain = {f"reference_{name}": value for name, value in costs(6.0, 900).items()}
    step = {**costs(2.0, 400), **plain, "ratio": 3.0}
    denoise: dict[str, Any] = {
        "0.0655": {**costs(0.1, 40), "reference": costs(0.3, 80)},
        "1": {**costs(1.25, 120), "reference": {"left_out": "killed by signal 9"}},
        "12": {"left_out": "some 15 s are expected", "reference": {"left_out": "more"}},
    }
    infer = {"denoise": denoise, "denoise@onnx": {"0.0655": costs(0.2, 50), "1": costs(2.5, 150)}}
    train = {"by_batch": {"1": step, "16": {**step, **costs(20.0, 4000)}}}
    return {"machine": machine, "train": train, "infer": infer}


def test_the_tables_hold_what_was_measured(bench: dict[str, Any]) -> None:
    text = cost.text_of(bench, [cost.PeerCost("denoise", "waifu2x, noise 3", 4.66, "541")])
    assert "Some CPU with 2 threads (bf16 in hardware: amx), PyTorch 2.9." in text
    assert "| 1 | 2 s | 6 s | ×3.00 | 400 | 900 |" in text
    assert "| denoise | 0.1 s, 40 MB | 1.25 s, 120 MB | – |" in text
    assert "| denoise, reference | 0.3 s, 80 MB | – | – |" in text
    assert "| denoise@onnx | 0.2 s, 50 MB | 2.5 s, 150 MB | – |" in text
    assert "| denoise | waifu2x, noise 3 | 4.66 | 541 |" in text


def test_the_picture_has_a_curve_for_each_and_a_line_for_others_networks(
    bench: dict[str, Any],
) -> None:
    peers = [
        cost.PeerCost("denoise", name, 4.66, "541") for name in ("waifu2x, noise 3", "bilateral")
    ]
    panels = cost.panels_of(bench, peers)
    assert [panel.title for panel in panels] == [
        *(f"training pix2pix, 256²: {what}" for what in ("seconds", "MB")),
        *(f"denoise: {what}" for what in ("seconds", "MB")),
    ]
    seconds, memory = panels[2].curves, panels[3].curves
    assert [curve.name for curve in seconds] == ["ours", "reference", "onnx", "waifu2x, noise 3"]
    assert seconds[0].points == [(0.0655, 0.1), (1.0, 1.25)] and not seconds[0].dashed
    assert seconds[-1].points == [(0.0655, 0.0655 * 4.66), (1.0, 4.66)] and seconds[-1].dashed
    assert memory[0].points == [(0.0655, 40), (1.0, 120)] and len(memory) == 3
    tree = ET.fromstring(drawn(panels))
    assert len(tree.findall(f"{SVG}g")) == 4
    assert len(tree.findall(f".//{SVG}polyline")) == 2 + 2 + 4 + 3


def test_later_files_take_the_place_of_earlier_ones_part_by_part(bench: dict[str, Any]) -> None:
    newer = {"train": {"by_batch": {}}, "infer": {"denoise": {"1": costs(1.0, 1)}, "inpaint": {}}}
    found = cost.joined([bench, newer])
    assert found["machine"] == bench["machine"] and found["train"] == {"by_batch": {}}
    assert list(found["infer"]) == ["denoise", "denoise@onnx", "inpaint"]
    assert list(found["infer"]["denoise"]) == ["1"]


def test_others_are_those_of_the_cards() -> None:
    peers = cost.peers_of(cards_dir())
    assert {"denoise", "super_resolve_x2", "super_resolve_x4", "inpaint"} <= {
        peer.model for peer in peers
    }
    (ours,) = [peer for peer in peers if peer.method == "**denoise**"]
    card = (cards_dir() / "denoise.md").read_text(encoding="utf-8")
    row = re.search(r"\| σ 25 \| \*\*denoise\*\* \|.*\| ([\d.]+) \| (\d+) \|", card)
    assert row is not None and (f"{ours.seconds_per_mp:.2f}", ours.peak_mb) == row.groups()
    assert not any("published" in peer.method for peer in peers)
    seconds, memory = cost.notes_of(cards_dir())
    assert seconds.startswith("Note: s/MP:") and memory.startswith("Note: peak MB:")


def test_an_axis_is_logarithmic_and_its_ticks_are_round() -> None:
    axis = Axis(0.1, 100, begin=0, end=300)
    assert [round(axis.at(x), 6) for x in (0.1, 1, 100)] == [0, 100, 300]
    assert axis.ticks() == pytest.approx([0.1, 1, 10, 100])
    assert Axis(3, 30, 0, 1).ticks() == pytest.approx([5, 10, 20])
    one = CostPanel("one", "x", [CostCurve("memory that could not be seen", [(1, 0.0)])])
    assert ET.fromstring(drawn([one])).find(f".//{SVG}circle") is not None


def test_a_small_run_is_drawn_into_the_page(
    tiny_model: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fields are those that the benchmark prints; no processes, whose memory is not asked for
    here, and no runtimes, which may be installed.
    """

    def here(function: Callable[..., Any], *, timeout_s: float, **arguments: Any) -> Any:
        return function(**arguments)

    monkeypatch.setattr(inference_speed, "in_fresh_process", here)
    monkeypatch.setattr(inference_speed, "installed_runtimes", list)
    words = ["--quick", "--json", "--what", "infer", "--model", str(tiny_model("denoise"))]
    assert main(["bench", *words]) == 0
    (tmp_path / "bench.json").write_text(capsys.readouterr().out, encoding="utf-8")
    page = tmp_path / cost.PAGE
    page.parent.mkdir(parents=True)
    page.write_bytes((recipes_dir().parent / cost.PAGE).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["cost", "bench.json"])
    cost.main()
    written = page.read_text(encoding="utf-8")
    found = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    seconds = found["infer"]["denoise"]["0.0655"]["reference"]["seconds"]
    assert f"| denoise, reference | {seconds:.3g} s, " in written
    assert written.partition("<!-- end of cost -->")[2], "what follows is kept"
    assert ET.parse(tmp_path / cost.PICTURE).getroot().tag == f"{SVG}svg"
