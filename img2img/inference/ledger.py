"""What becomes of each photo, where several processes work on a batch: workers ask, the process
that began the run answers, and it alone writes the manifest.

Questions go through an actor, `Desk`, in order. A photo is opened, and its result written, once the
answer has come, so that the manifest knows of workers that are killed what it knows of one process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from img2img.inference.batch import FileBatch, known_as, name_is_taken
from img2img.inference.inputs import Job
from img2img.inference.manifest import Manifest, Standing, stamp_of
from img2img.inference.outputs import Result
from img2img.inference.urls import Stamp

log = logging.getLogger("img2img")

MOMENT_S = 0.2
"""How long `Desk.take` waits for questions where there are none."""

Ask = Callable[..., Any]
"""Called in a worker with the name of a method of `Ledger` and its arguments; what it says."""


class Question(NamedTuple):
    """A method of `Ledger`, and what it is called with."""

    number: int
    name: str
    arguments: tuple[Any, ...]


class Desk:
    """An actor that takes the questions of all workers, and gives them out in order."""

    def __init__(self) -> None:
        self.numbers = count()
        self.asked: asyncio.Queue[Question] = asyncio.Queue()
        self.waiting: dict[int, asyncio.Future[Any]] = {}

    async def ask(self, name: str, *arguments: Any) -> Any:
        """The answer to a worker's question, once it is there."""
        question = Question(next(self.numbers), name, arguments)
        answer = self.waiting[question.number] = asyncio.get_running_loop().create_future()
        self.asked.put_nowait(question)
        return await answer

    async def take(self, answers: Mapping[int, Any]) -> list[Question]:
        """Pass on answers, by the numbers of their questions, and return the next questions."""
        for number, answer in answers.items():
            self.waiting.pop(number).set_result(answer)
        try:
            first = await asyncio.wait_for(self.asked.get(), MOMENT_S)
        except TimeoutError:
            return []
        return [first, *(self.asked.get_nowait() for _ in range(self.asked.qsize()))]


class Ledger:
    """Answers from the manifest of a batch; `results` are to be reported next.

    Of the photos that workers ask for only those of `wanted` are to be worked on.
    """

    def __init__(self, batch: FileBatch, wanted: Collection[Job]) -> None:
        assert isinstance(batch.manifest, Manifest)
        self.batch, self.manifest = batch, batch.manifest
        self.open = {job.input for job in wanted}
        self.results: list[Result] = []
        self._made_from: dict[Path, Path] = {}

    def answers(self, questions: Sequence[Question]) -> dict[int, Any]:
        """What the methods of these names say, by the questions' numbers; that results are about
        to be written is on the disk.
        """
        said = {one.number: getattr(self, one.name)(*one.arguments) for one in questions}
        if any(one.name == "writing" for one in questions):
            self.manifest.sync()
        return said

    def standings(self, jobs: Sequence[Job]) -> list[tuple[Standing, Path | None]]:
        """What is to be done with the photos of a block, and where results of earlier work lie."""
        return [(self._standing(job), self.manifest.output(job)) for job in jobs]

    def started(self, job: Job, stamp: Stamp | None = None) -> None:
        """A photo is about to be opened."""
        self.manifest.started(job, stamp)

    def writing(self, job: Job, output: Path, replaces: Stamp | None) -> bool:
        """Whether its result may have this name, which no other photo's result has."""
        known = known_as(output)
        if known in self.batch.taken or self._made_from.setdefault(known, job.input) != job.input:
            return False
        self.manifest.writing(job, output, replaces)
        return True

    def ended(self, job: Job, result: Result, stamp: Stamp | None = None) -> None:
        """A photo is done, or was refused."""
        if job.input in self.open:
            self.open.remove(job.input)
            self.manifest.ended(job, result, stamp)
            self.results.append(result)

    def owns(self, job: Job, output: Path, stamp: Stamp | None) -> bool:
        """Whether the file is the photo's former result, nothing having changed it since."""
        return self.manifest.owns(job, output, stamp)

    def is_input(self, path: Path) -> bool:
        """Whether the file is one of the photos."""
        return self.batch.is_input(path)

    def logged(self, level: int, message: str) -> None:
        """A worker has something to say."""
        log.log(level, message)

    def _standing(self, job: Job) -> Standing:
        if job.input not in self.open:
            return "done"
        if not self.manifest.is_in_work(job):
            goes_on = self.manifest.may_replace
            return "alone" if goes_on and self.manifest.standing(job) != "open" else "open"
        standing = self.manifest.left(job)  # by a process that has ended
        if standing in ("open", "alone"):
            return "alone"
        self.open.remove(job.input)
        done = Result(job.input, self.manifest.output(job), reason="done by a process that ended")
        self.results.append(done if standing == "done" else self.manifest.put_aside(job))
        return standing


class RemoteRecords:
    """The manifest of a batch, as a worker has it, who looks at the files itself."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask

    def started(self, job: Job) -> None:
        """See `Ledger`."""
        self.ask("started", job, stamp_of(job.input))

    def writing(self, job: Job, output: Path, replaces: Stamp | None) -> None:
        """Raises UserError where another photo's result has that name."""
        if not self.ask("writing", job, output, replaces):
            raise name_is_taken(job, output)

    def sync(self) -> None:
        """It was brought to the disk before the answer came."""

    def ended(self, job: Job, result: Result) -> None:
        """See `Ledger`."""
        stamp = None if result.output is None else stamp_of(result.output)
        self.ask("ended", job, replace(result, plan=None), stamp)

    def owns(self, job: Job, output: Path, stamp: Stamp | None) -> bool:
        """See `Ledger`."""
        return bool(self.ask("owns", job, output, stamp))
