"""Several users and several processes: fair order, what is too much, and workers that end."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import psutil
import pytest
from coroutines import completed
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from PIL import Image

from img2img.cli import main
from img2img.cores import cpu_seconds
from img2img.errors import UserError
from img2img.maintenance.browser import RunningApp, running_app
from img2img.maintenance.client import User, called, uploaded
from img2img_apps.fair_queue import (
    MOST_WAITING,
    MOST_WAITING_OF_ONE,
    RETRY_AFTER_S,
    WORK_ID,
    FairOrder,
    FairQueue,
    user_of,
)
from img2img_apps.jobs import Stopped, StopSignal
from img2img_apps.progress_line import OnProgress, unheard
from img2img_apps.workers import Workers

USERS = 100

# --- whose turn it is


def request_of(user: str) -> Any:
    return SimpleNamespace(client=SimpleNamespace(host=user))


def waiting(*users: str) -> FairOrder:
    """Events `a1 a2 b1`, as they came."""
    order, count = FairOrder(), dict[str, int]()
    for user in users:
        count[user] = count.get(user, 0) + 1
        event: Any = SimpleNamespace(request=request_of(user), name=f"{user}{count[user]}")
        order.append(event)
    return order


def names(order: FairOrder) -> str:
    return " ".join(event.name for event in order)  # type: ignore[attr-defined]  # see `waiting`


@pytest.mark.parametrize(
    ("came", "turns"),
    [
        ("aaa", "a1 a2 a3"),
        ("aaab", "a1 b1 a2 a3"),
        ("aaabbc", "a1 b1 c1 a2 b2 a3"),
        ("abcabc", "a1 b1 c1 a2 b2 c2"),
    ],
)
def test_users_take_turns_and_ones_own_come_in_order(came: str, turns: str) -> None:
    assert names(waiting(*came)) == turns


def test_who_comes_waits_for_one_turn_of_each_other_at_most() -> None:
    order = waiting(*"aaaab")
    order.pop(0)
    order.append(SimpleNamespace(request=request_of("c"), name="c1"))  # type: ignore[arg-type]  # has what is asked of one
    assert names(order) == "b1 a2 c1 a3 a4"


def pushed(*users: str) -> tuple[list[tuple[bool, str, str]], FairOrder]:
    """What each of these clicks of a button is answered, and the order they wait in."""

    async def push() -> tuple[list[tuple[bool, str, str]], FairOrder]:
        with gr.Blocks() as demo:
            gr.Button().click(lambda: None, concurrency_id=WORK_ID, concurrency_limit=1)
        queue = FairQueue(demo, at_once=3)
        answers = [
            await queue.push(PredictBodyInternal(fn_index=0, data=[]), request_of(user), None)
            for user in users
        ]
        work = queue.event_queue_per_concurrency_id[WORK_ID]
        assert work.concurrency_limit == 3 and isinstance(work.queue, FairOrder)
        return answers, work.queue

    return completed(push())


def test_a_user_who_waits_too_often_is_told_when_to_come_back() -> None:
    answers, order = pushed(*["greedy"] * (MOST_WAITING_OF_ONE + 1), "modest")
    taken, words, kind = answers[MOST_WAITING_OF_ONE]
    assert not taken and kind == "queue_full"
    assert f"{MOST_WAITING_OF_ONE} calls of yours" in words and f"{RETRY_AFTER_S} s" in words
    assert sum(taken for taken, *_ in answers) == len(order) == MOST_WAITING_OF_ONE + 1
    assert [user_of(event) for event in order[:3]] == ["greedy", "modest", "greedy"]


def test_no_more_wait_than_there_is_room_for() -> None:
    answers, order = pushed(*(f"{number}" for number in range(MOST_WAITING + 1)))
    words = f"{MOST_WAITING} calls wait already: come back in {RETRY_AFTER_S} seconds"
    assert answers[-1] == (False, words, "queue_full") and len(order) == MOST_WAITING


def test_nothing_is_kept_of_a_call_but_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def process(queue: FairQueue, events: list[Any], *_: Any) -> None:
        assert all(queue.blocks.state_holder[event.session_hash] for event in events)

    monkeypatch.setattr(Queue, "process_events", process)

    async def kept() -> set[str]:
        with gr.Blocks() as demo:
            gr.Button().click(lambda: None)
        queue, fn = FairQueue(demo, at_once=1), demo.fns[0]
        for session in (None, "page"):
            event = Event(session, fn, request_of("me"), None)
            await queue.process_events([event], False, 0.0, fn)
        holder = demo.state_holder
        assert holder.session_data.keys() == holder.time_last_used.keys()
        return {*holder.session_data}

    assert completed(kept()) == {"page"}


# --- processes


@dataclass(frozen=True)
class Echo:
    """Work that says where it is done."""

    place: Path = Path("photo.jpg")

    def run(self, stop: StopSignal, report: OnProgress) -> int:
        report(1, 2, "echo")
        return os.getpid()


@dataclass(frozen=True)
class Kill(Echo):
    """Work that ends its process, as long as there is a file that says how often it still is to."""

    def run(self, stop: StopSignal, report: OnProgress) -> int:
        left = sorted(self.place.glob("kill*"))
        if left:
            left[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return os.getpid()


@dataclass(frozen=True)
class Fail(Echo):
    """Work that fails."""

    error: Exception | None = None

    def run(self, stop: StopSignal, report: OnProgress) -> int:
        raise self.error or UserError("is wrong", field="strength")


@dataclass(frozen=True)
class Wait(Echo):
    """Work that goes on until it is stopped."""

    def run(self, stop: StopSignal, report: OnProgress) -> int:
        while not stop.is_set():
            report(1, None, "wait")
            time.sleep(0.01)
        raise Stopped


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Two of them."""
    both = Workers(2, threads=1)
    yield both
    both.close()


def done(workers: Workers, work: Echo, report: OnProgress = unheard) -> int:
    return workers.run(work, threading.Event(), report)


@pytest.mark.slow
def test_workers_take_turns_and_tell_how_far_they_are(workers: Workers) -> None:
    heard = list[Any]()
    places = {done(workers, Echo(), lambda *at: heard.append(at)) for _ in range(4)}
    assert len(places) == 2 and os.getpid() not in places
    assert heard == [(1, 2, "echo")] * 4


@pytest.mark.slow
def test_errors_of_a_worker_are_those_of_the_work(workers: Workers) -> None:
    with pytest.raises(UserError, match="strength: is wrong") as caught:
        done(workers, Fail())
    assert caught.value.field == "strength"
    with pytest.raises(RuntimeError, match="ZeroDivisionError: by zero"):
        done(workers, Fail(error=ZeroDivisionError("by zero")))


@pytest.mark.slow
def test_work_of_a_worker_that_is_killed_is_done_by_another(
    workers: Workers, tmp_path: Path
) -> None:
    (tmp_path / "kill").touch()
    assert psutil.pid_exists(done(workers, Kill(tmp_path)))
    assert len({done(workers, Echo()) for _ in range(4)}) == 2, "the one that ended is replaced"


@pytest.mark.slow
def test_work_that_ends_its_worker_twice_is_given_up_in_one_line(
    workers: Workers, tmp_path: Path
) -> None:
    for n in range(3):
        (tmp_path / f"kill{n}").touch()
    with pytest.raises(UserError, match="the process that worked on this ended, 2 times") as caught:
        done(workers, Kill(tmp_path))
    assert caught.value.place == tmp_path and len(list(tmp_path.glob("kill*"))) == 1
    assert len({done(workers, Echo()) for _ in range(4)}) == 2


@pytest.mark.slow
def test_one_killed_while_it_is_idle_is_not_missed(workers: Workers) -> None:
    for process in {done(workers, Echo()) for _ in range(2)}:
        os.kill(process, signal.SIGKILL)
        waited_for(lambda one=process: psutil.Process(one).status() == psutil.STATUS_ZOMBIE)
    assert len({done(workers, Echo()) for _ in range(4)}) == 2


@pytest.mark.slow
def test_work_in_a_worker_can_be_stopped(workers: Workers) -> None:
    stop = threading.Event()
    with pytest.raises(Stopped):
        workers.run(Wait(), stop, lambda *_: stop.set())
    assert done(workers, Echo())
    assert done(workers, Echo())


# --- an app of several


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    """An app with two workers and the shipped models."""
    log = tmp_path_factory.mktemp("several") / "app.log"
    with running_app(log, ["--workers", "2", "--threads", "1"]) as app:
        yield app


def workers_of(app: RunningApp) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(app.process.pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that is done in a moment."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.png"
    Image.effect_noise((24, 16), 60).convert("RGB").save(path)
    return path


@pytest.mark.slow
def test_a_worker_makes_the_bytes_the_command_line_makes(
    several: RunningApp, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    assert main(["infer", "--input", str(tiny), "--output", str(out), "--task", "denoise"]) == 0
    for _ in range(2):
        assert called(several.url, "denoise", tiny, 1.0, "")[1] == out.read_bytes()


@pytest.mark.slow
def test_a_hundred_users_are_all_served_in_fair_order(several: RunningApp, tiny: Path) -> None:
    """One has asked twenty times before all others, one is refused for asking too often."""
    greedy = User(several.url, "10.0.0.1")
    photo = uploaded(several.url, tiny)
    events = [greedy.asks("denoise", [photo, 1.0, ""]) for _ in range(20)]
    ended = list[str]()

    def served(user: User, event: str) -> None:
        stream = user.answer("denoise", event)
        assert "event: complete" in stream, stream
        ended.append(user.address)

    def asking(number: int) -> None:
        user = User(several.url, f"10.0.1.{number}")
        served(user, user.asks("denoise", [user.uploads(tiny), 1.0, ""]))

    with ThreadPoolExecutor(USERS + 20) as pool:
        later = [pool.submit(asking, number) for number in range(USERS)]
        first = [pool.submit(served, greedy, event) for event in events]
        for future in [*later, *first]:
            future.result()
    assert len(ended) == USERS + 20
    behind = [place for place, address in enumerate(ended) if address == greedy.address]
    others = [place for place, address in enumerate(ended) if address != greedy.address]
    assert sorted(others)[USERS // 2] < behind[10], "half of the others before half of the greedy's"


@pytest.mark.slow
def test_a_killed_workers_photo_is_done_by_another(several: RunningApp, large: Path) -> None:
    user = User(several.url, "10.0.2.1")
    event = user.asks("denoise", [uploaded(several.url, large), 1.0, ""])
    before_s = {worker.pid: cpu_seconds(worker.pid) for worker in workers_of(several)}
    waited_for(lambda: sum(map(cpu_seconds, before_s)) > sum(before_s.values()) + 1)
    for worker in before_s:  # one of which has been at work
        os.kill(worker, signal.SIGKILL)
    assert "event: complete" in user.answer("denoise", event)
    assert len(waited_for(lambda: len(ws := workers_of(several)) == 2 and ws)) == 2


@pytest.mark.slow
def test_who_asks_too_often_gets_503_and_when_to_come_back(
    several: RunningApp, large: Path, tiny: Path
) -> None:
    user, photo = User(several.url, "10.0.3.1"), uploaded(several.url, tiny)
    slow = [User(several.url, f"10.0.4.{n}") for n in range(2)]
    holding = [one.asks("denoise", [uploaded(several.url, large), 1.0, ""]) for one in slow]
    for _ in range(MOST_WAITING_OF_ONE):
        user.asks("denoise", [photo, 1.0, ""])
    with pytest.raises(urllib.error.HTTPError) as caught:
        user.asks("denoise", [photo, 1.0, ""])
    with caught.value as answer:
        assert answer.code == 503 and answer.headers["Retry-After"] == f"{RETRY_AFTER_S}"
        assert f"come back in {RETRY_AFTER_S}" in json.load(answer)["detail"]
    for one, event in zip(slow, holding, strict=True):
        one.stream("denoise", event).close()  # who leaves ends the work
    assert called(several.url, "denoise", tiny, 1.0, "")[2]["task"] == "denoise"


@pytest.mark.slow
def test_workers_end_with_their_app(tmp_path: Path) -> None:
    with running_app(tmp_path / "app.log", ["--workers", "2"]) as app:
        workers = waited_for(lambda: len(ws := workers_of(app)) == 2 and ws)
        app.process.kill()
        psutil.wait_procs(workers, timeout=300)
        assert not any(worker.is_running() for worker in workers)
    with running_app(tmp_path / "app.log", ["--workers", "2"]) as app:
        workers = waited_for(lambda: len(ws := workers_of(app)) == 2 and ws)
    psutil.wait_procs(workers, timeout=300)
    assert not any(worker.is_running() for worker in workers)
    assert not re.search("Traceback|Error", app.log.read_text())


def waited_for(found: Callable[[], Any]) -> Any:
    """What there is, as soon as there is something."""
    while not (there := found()):
        time.sleep(0.05)
    return there
