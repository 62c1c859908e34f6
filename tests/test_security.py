"""What ships is what was shipped; nothing reaches out, starts programs or runs what files hold."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest
import yaml

from img2img import security
from img2img.bill_of_materials import installed_requirements
from img2img.cli import main
from img2img.files import sha256_of
from img2img.resources import inputs_dir, samples_dir
from img2img.zoo import shipped_models, verification

FORBIDDEN = """
import sys

FORBIDDEN = {
    "socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system",
    "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pickle.find_class",
    "urllib.Request", "http.client.connect", "ftplib.connect", "smtplib.connect",
}
started = []
sys.addaudithook(lambda event, arguments: event in FORBIDDEN and started.append((event, arguments)))
"""


def test_what_people_do_opens_no_connection_starts_nothing_and_unpickles_nothing(
    tmp_path: Path,
) -> None:
    photo, run = samples_dir() / "macaw.jpg", tmp_path / "run"
    # Without loader processes, which are forked and pass batches on by pickle, all their own.
    commands = [
        [
            "train",
            "denoise_tiny",
            "train.steps=2",
            "data.workers=0",
            f"data.path={samples_dir()}",
            "--out",
            str(run),
        ],
        ["infer", "--input", str(photo), "--model", str(run), "--output", f"{tmp_path}/a.png"],
        ["infer", "--input", str(inputs_dir() / "small.jpg"), "--output", f"{tmp_path}/b.png"],
        ["models", "denoise"],
        ["doctor", str(run)],
        ["report", str(run)],
    ]
    script = f"""{FORBIDDEN}
from img2img.cli import main

for command in {commands!r}:
    code = main([*command, *(["--device", "cpu"] if command[0] in ("train", "infer") else [])])
    assert code == 0, command
assert not started, started
# the hook did listen:
try:
    import socket
    socket.create_connection(("127.0.0.1", 9), 0.1)
except OSError:
    pass
assert started, "the hook hears nothing"
"""
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert child.returncode == 0, child.stderr


def test_every_model_that_ships_is_as_shipped() -> None:
    by_name = {one.name: one for one in verification.verified_models()}
    assert by_name.keys() >= shipped_models().keys()
    for name, path in shipped_models().items():
        assert by_name[name].is_good and by_name[name].sha256 == sha256_of(path)
    assert main(["models", "--verify"]) == 0


def test_a_changed_a_missing_and_an_added_model_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["denoise", "fashion_mnist", "super_resolve_x4"]
    for name in names:
        shutil.copy(shipped_models()[name], tmp_path)
    monkeypatch.setattr("img2img.zoo.zoo_dir", lambda: tmp_path)
    monkeypatch.setattr("img2img.zoo.verification.package_models", dict)
    verification.write_sums()
    assert [one.state for one in verification.verified_models()] == ["as shipped"] * 3
    changed = tmp_path / "denoise.safetensors"
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    (tmp_path / "fashion_mnist.safetensors").rename(tmp_path / "mine.safetensors")
    states = {one.name: one.state for one in verification.verified_models()}
    assert states == {
        "denoise": "changed",
        "fashion_mnist": "missing",
        "mine": "not in SHA256SUMS",
        "super_resolve_x4": "as shipped",
    }
    assert main(["models", "--verify"]) == 2
    told = capsys.readouterr()
    assert "changed" in told.out and told.err.count("\n") == 1
    assert main(["models", "super_resolve_x4", "--verify"]) == 0
    (tmp_path / "SHA256SUMS").unlink()
    assert main(["models", "--verify"]) == 2
    assert "SHA256SUMS" in capsys.readouterr().err


def test_a_file_of_a_package_is_held_against_what_the_installer_recorded() -> None:
    path = Path(yaml.__file__)
    recorded = verification._recorded_sha256("PyYAML", path)
    assert recorded == sha256_of(path)
    assert verification._recorded_sha256("PyYAML", path.with_name("no_such.py")) is None
    assert verification._recorded_sha256("no-such-package", path) is None


def test_the_bill_of_materials_is_valid_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert main(["env", "--sbom"]) == 0
    text = capsys.readouterr().out
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    components = {one["name"].lower(): one for one in bill["components"]}
    assert components["torch"]["version"] == version("torch")
    assert components["denoise"]["hashes"][0]["content"] == sha256_of(shipped_models()["denoise"])
    known = {one.get("bom-ref") for one in bill["components"]} | {
        bill["metadata"]["component"]["bom-ref"]
    }
    assert {ref for one in bill["dependencies"] for ref in one.get("dependsOn", [])} <= known


def test_requirements_are_those_of_this_machine_with_their_extras() -> None:
    found = installed_requirements()
    assert {"torch", "kornia", "spandrel", "pytest"} <= found.keys()
    assert "numpy" in found["opencv-python-headless"].requires
    assert "colorama" not in found["pytest"].requires  # Windows alone


def test_security_tells_what_is_installed_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = EntryPoint("sharpen", "other_package:Sharpen", "img2img.tasks")
    monkeypatch.setattr(
        security, "entry_points", lambda group: [plugin] if group == "img2img.tasks" else []
    )
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example")
    assert main(["env", "--security", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (
        "other_package:Sharpen"
        in facts["could run code that is not ours"]["img2img.tasks: sharpen"]
    )
    doors = facts["could reach out, and only when asked"]
    assert "allowed" in doors["push_to_hub(…)"]
    assert "S3 at https://s3.example with the credentials" in doors["data.urls (shards)"]
    assert main(["env", "--security"]) == 0
    assert "HF_HUB_OFFLINE            0 (yours; ours is 1)" in capsys.readouterr().out
