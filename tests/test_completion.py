"""Completion in shells: what the scripts are answered, and that bash really completes by it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from img2img.cli import main
from img2img.completion import model_names, recipe_names

WORDS = {
    "bash": lambda line: {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)},
    "zsh": lambda line: {"_TYPER_COMPLETE_ARGS": line},
    "fish": lambda line: {
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


def offered(line: str, shell: str = "bash", *options: str) -> str:
    """What a shell is answered for a line on which Tab was pressed, by a process of its own."""
    code = "import sys; from img2img.cli import main\ntry: main()\nfinally: "
    code += "sys.exit('torch' in sys.modules and 'torch was imported')"
    asked = {**os.environ, **WORDS[shell](line), "_IMG2IMG_COMPLETE": f"complete_{shell}"}
    command = [sys.executable, *options, "-c", code]
    run = subprocess.run(command, env=asked, capture_output=True, text=True)
    assert run.returncode == 0 and not run.stderr, run.stderr
    return run.stdout


@pytest.fixture(autouse=True)
def _named_img2img(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "error")


@pytest.mark.parametrize(
    ("line", "wanted", "unwanted"),
    [
        ("img2img in", ["infer"], ["train"]),
        ("img2img infer --mask-", ["--mask-invert", "--mask-grow"], ["--model"]),
        ("img2img train deno", ["denoise", "denoise_real", "denoise_tiny"], ["ring"]),
        ("img2img infer --model super", ["super_resolve_x2", "super_resolve_x4"], ["denoise"]),
        ("img2img recipes cycle", ["cyclegan", "cyclegan_tiny"], []),
        ("img2img models inp", ["inpaint", "inpaint_glcic"], []),
        ("img2img completion ", ["bash", "zsh", "fish"], []),
    ],
)
def test_options_recipes_and_models_are_offered_without_torch(
    line: str, wanted: list[str], unwanted: list[str]
) -> None:
    found = offered(line).split()
    assert set(wanted) <= set(found) and not set(unwanted) & set(found)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_answered_in_their_words(shell: str) -> None:
    assert "denoise_tiny" in offered("img2img train denoise_t", shell)


def test_a_path_is_left_to_the_shell() -> None:
    assert offered("img2img train ./my/rec").split() == []
    assert recipe_names("./") == model_names("runs/") == []


@pytest.mark.parametrize("shell", WORDS)
def test_each_script_asks_this_command_line(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert f"_IMG2IMG_COMPLETE=complete_{shell}" in script and "img2img" in script


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "tcsh" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    program = tmp_path / "img2img"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom img2img.cli import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    script = 'eval "$(img2img completion bash)"; COMP_WORDS=(img2img train ring_or rin)'
    script += "; COMP_WORDS=(img2img train rin); COMP_CWORD=2; _img2img_completion img2img"
    script += '; echo "${COMPREPLY[@]}"; complete -p img2img'
    paths = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(["bash", "-c", script], env=paths, capture_output=True, text=True)
    assert run.stdout.splitlines()[0] == "ring" and "_img2img_completion" in run.stdout
