"""The Dockerfile, read: no daemon is asked to build it."""

from __future__ import annotations

import json
import re
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError

import pytest
import typer.main

from img2img import cli

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / ".github/docker/Dockerfile"
KNOWN = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


class Instruction(NamedTuple):
    name: str
    rest: str


def parsed(text: str) -> list[Instruction]:
    """Instructions in order, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [Instruction(*line.split(None, 1)) for line in joined if line.strip()]


@pytest.fixture
def instructions() -> list[Instruction]:
    return parsed(DOCKERFILE.read_text(encoding="utf-8"))


def only(instructions: list[Instruction], name: str) -> str:
    (rest,) = [i.rest for i in instructions if i.name == name]
    return rest


def test_every_instruction_is_one(instructions: list[Instruction]) -> None:
    assert {i.name for i in instructions} <= KNOWN and instructions[0].name == "FROM"


def test_it_begins_with_a_python_that_the_package_takes(instructions: list[Instruction]) -> None:
    version = re.fullmatch(r"python:3\.(\d+)-slim", only(instructions, "FROM"))
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert version and int(version[1]) >= int(needs.removeprefix(">=3."))


def test_torch_is_that_of_a_cpu_and_comes_first(instructions: list[Instruction]) -> None:
    torch, package = [i.rest for i in instructions if i.rest.startswith("pip install")]
    assert "--index-url https://download.pytorch.org/whl/cpu" in torch
    assert torch.split()[-2:] == ["torch", "torchvision"]
    assert package.split()[-1] == "." and "--no-cache-dir" in torch and "--no-cache-dir" in package
    assert "cuda" not in DOCKERFILE.read_text().lower()


def test_what_is_copied_exists_is_not_ignored_and_is_all_that_the_wheel_needs(
    instructions: list[Instruction],
) -> None:
    copied = {name for i in instructions if i.name == "COPY" for name in i.rest.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    lines = DOCKERFILE.with_suffix(".dockerignore").read_text().split()
    assert lines[0] == "*" and copied == {line[1:] for line in lines if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    licences = project["project"]["license-files"]
    needed = {"pyproject.toml", project["project"]["readme"], *wheel, *licences}
    assert {Path(name).parts[0] for name in needed} == copied


def test_it_runs_as_nobody_in_particular(instructions: list[Instruction]) -> None:
    user = only(instructions, "USER")
    assert user not in ("root", "0")
    made = next(i for i in instructions if i.rest.startswith("useradd"))
    assert made.rest.split()[-1] == user
    after = instructions[instructions.index(Instruction("USER", user)) :]
    assert not [i for i in after if i.name in ("RUN", "COPY")]


def test_it_opens_the_app_on_the_port_that_it_exposes(instructions: list[Instruction]) -> None:
    program = json.loads(only(instructions, "ENTRYPOINT"))
    verb, *words = json.loads(only(instructions, "CMD"))
    assert program == ["img2img"]
    command = typer.main.get_group(cli.app).commands[verb]
    chosen = command.make_context(verb, words).params
    assert chosen["host"] == "0.0.0.0" and chosen["port"] == int(only(instructions, "EXPOSE"))


class _Answer(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Answer) as listening:
        threading.Thread(target=listening.serve_forever).start()
        yield listening
        listening.shutdown()


def test_its_health_check_fails_where_the_app_does(
    instructions: list[Instruction], server: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, _, command = only(instructions, "HEALTHCHECK").partition(" CMD ")
    assert {word.split("=")[0] for word in options.split()} == {
        *("--interval", "--timeout", "--start-period", "--retries"),
    }
    program, flag, code = json.loads(command)
    port = only(instructions, "EXPOSE")
    assert (program, flag) == ("python", "-c") and f"127.0.0.1:{port}/" in code
    here = code.replace(port, str(server.server_port))
    exec(here, {})
    monkeypatch.setattr(_Answer, "status", 500)
    with pytest.raises(HTTPError) as caught:
        exec(here, {})
    caught.value.close()
