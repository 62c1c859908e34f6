"""A running app and a headless Chromium, for screenshots and tests."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2img.interrupts import interrupt, interruptible

_CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class RunningApp:
    """An app in a process of its own."""

    url: str
    process: subprocess.Popen[str]
    seconds: float  # from start until the page was there
    log: Path


@contextmanager
def running_app(
    log: Path,
    flags: Sequence[str] = (),
    launcher: Sequence[str] = ("-m", "img2img"),
    seconds: float = 300,
) -> Iterator[RunningApp]:
    """`img2img app` on a free port; ended politely at the end."""
    url = f"http://127.0.0.1:{(port := free_port())}/"
    started = time.monotonic()
    with log.open("w", encoding="utf-8") as file:
        command = [sys.executable, *launcher, "app", "--port", str(port), *flags]
        process = interruptible(command, stderr=file, stdout=file, text=True)
    try:
        while not _answers(url):
            if process.poll() is not None or time.monotonic() - started > seconds:
                raise RuntimeError(
                    f"the app did not start: {log.read_text(encoding='utf-8')[-2000:]}"
                )
            time.sleep(0.1)
        yield RunningApp(url, process, time.monotonic() - started, log)
    finally:
        interrupt(process)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser of Playwright's, the system's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium_path(), args=_CHROMIUM_FLAGS)
        yield browser
        browser.close()


def chromium_path() -> str | None:
    """Where the system's Chromium is, if it has one."""
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status == 200
    except OSError:
        return False
