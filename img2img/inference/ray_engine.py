"""Folder runs on the processes of a Ray cluster. Ray Data hands out names of photos, in blocks;
each worker holds the models, and opens and writes the photos itself, so that no pixels pass through
Ray. What becomes of each photo, `ledger` says.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import psutil

from img2img.cores import set_threads, usable_cores
from img2img.devices import pick_device
from img2img.errors import Advice, Option, UserError, one_line
from img2img.inference.batch import FileBatch, known_as
from img2img.inference.inputs import Job
from img2img.inference.ledger import Ask, Desk, Ledger, RemoteRecords
from img2img.inference.outputs import Result
from img2img.pixels.codecs import without_remarks

log = logging.getLogger("img2img")

MOST_IN_BLOCK = 64
"""Photos that a worker takes at once; of few photos fewer, so that all workers end together."""
BLOCKS_A_WORKER = 8
STORE_BYTES = 128 * 2**20  # of the object store, which holds names
END_S = 2.0  # that workers have to end in before they are killed


class RayEngine:
    """Works on the photos of a batch in processes of Ray: of the cluster that RAY_ADDRESS names,
    else of one that is started on this machine and ended with the run.

    Args:
        workers: how many processes; None: as many as the cluster has room for.
        threads: CPU threads, and so cores, of each; one by default.
        gpus: what each takes of a GPU, such as 0.25; None: a whole one where the cluster has any
            and the device allows it, else none.

    Raises:
        UserError: Ray is not installed.
    """

    def __init__(
        self, workers: int | None = None, threads: int | None = None, gpus: float | None = None
    ) -> None:
        _prepare_environment()
        try:
            import ray.data
        except ImportError as error:
            raise UserError(
                f"needs Ray ({one_line(error)})",
                field=Option("engine", "ray"),
                remedy="pip install 'img2img[scale]'",
            ) from None
        self.ray: Any = ray
        self.workers, self.threads, self.gpus = workers, threads or 1, gpus

    def run(self, batch: FileBatch, jobs: Sequence[Job]) -> Generator[Result, None, None]:
        """One result a photo, as they come. Where it is closed or anything is raised, the workers
        are ended first.
        """
        ledger = Ledger(batch, jobs)
        with self._cluster(batch.request.device), ExitStack() as stack:
            desk = self._desk()
            stack.callback(self.ray.kill, desk)
            work = _Consumed(self._dataset(batch, ledger, desk))
            work.start()
            answers: dict[int, Any] = {}
            while True:
                was_alive = work.is_alive()
                questions = self.ray.get(desk.take.remote(answers))
                answers = ledger.answers(questions)
                yield from ledger.results
                ledger.results.clear()
                if not was_alive and not questions:
                    break
        if work.error is not None or ledger.open:
            why = str(work.error or "").strip().splitlines()[-1:]  # the cause ends the trace
            left = f"a worker failed, and {len(ledger.open)} photos are left"
            raise UserError(": ".join([left, *why])[:300], field=_ENGINE, remedy=_AGAIN)

    def _desk(self) -> Any:
        """The actor that workers ask, next to this process."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        node = self.ray.get_runtime_context().get_node_id()
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        options = {"num_cpus": 0, "max_concurrency": 10_000, "scheduling_strategy": here}
        return self.ray.remote(**options)(Desk).remote()

    def _dataset(self, batch: FileBatch, ledger: Ledger, desk: Any) -> Any:
        """Blocks of photos mapped to nothing by workers that work on them."""
        data = self.ray.data
        with warnings.catch_warnings():  # Ray warns of a default of its own
            warnings.simplefilter("ignore", DeprecationWarning)
            context = data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False
        rows = [{"photos": _encoded(group)} for group in _groups(batch.jobs, ledger.open)]
        gpus = gpus_of_worker(self.ray.cluster_resources(), batch.request.device, self.gpus)
        workers = workers_of(self.ray.cluster_resources(), self.workers, self.threads, gpus)
        in_block = min(MOST_IN_BLOCK, max(1, len(rows) // (workers * BLOCKS_A_WORKER)))
        given = {
            one.name: getattr(batch, one.name) for one in dataclasses.fields(batch) if one.init
        }
        given["inputs"] = ()  # which the rows name
        shared = {name: number for name, number in batch.names.items() if number > 1}
        return data.from_items(rows, override_num_blocks=-(-len(rows) // in_block)).map_batches(
            _PhotoWorker,
            fn_constructor_args=(given, shared, desk, os.getcwd(), self.threads),
            batch_size=in_block,
            compute=data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
            num_cpus=self.threads,
            num_gpus=gpus,
        )

    @contextmanager
    def _cluster(self, device: str) -> Iterator[None]:
        """Connected to one; a process that is already stays so."""
        if self.ray.is_initialized():
            yield
            return
        address = os.environ.get("RAY_ADDRESS")
        joined = _joined(self.ray, address) if address else self._started(device)
        with joined:
            yield

    @contextmanager
    def _started(self, device: str) -> Iterator[None]:
        """One on this machine alone, reached from it alone, and by who knows its token."""
        cores = max(usable_cores(), (self.workers or 1) * self.threads)
        on_gpus = {} if self.gpus or pick_device(device).type == "cuda" else {"num_gpus": 0}
        short = "/tmp" if os.path.isdir("/tmp") else None  # names of sockets may not be long
        folder = tempfile.mkdtemp(prefix="img2img-ray-", dir=short)
        processes: list[psutil.Process] = []
        try:
            with _joined(
                self.ray,
                "local",
                num_cpus=cores,
                include_dashboard=False,
                object_store_memory=STORE_BYTES,
                _node_ip_address="127.0.0.1",
                _temp_dir=folder,
                **on_gpus,
            ):
                try:
                    yield
                finally:
                    processes = _processes_of(folder)
        finally:
            _end([*processes, *_processes_of(folder)])
            shutil.rmtree(folder, ignore_errors=True)


_ENGINE = Option("engine", "ray")
_AGAIN = Advice(Option("resume"), " goes on")


class _Consumed(threading.Thread):
    """A dataset worked through in the background; `error` is what ended it early."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(name="img2img-ray", daemon=True)
        self.dataset = dataset
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            for _ in self.dataset.iter_batches(batch_size=None):
                pass
        except Exception as error:
            self.error = error


class _PhotoWorker:
    """One process with its models; called with the blocks that it is to work on."""

    def __init__(
        self,
        given: Mapping[str, Any],
        shared_names: Mapping[Path, int],
        desk: Any,
        folder: str,
        threads: int,
    ) -> None:
        import ray

        with suppress(OSError):  # on another machine the names of photos may be whole
            os.chdir(folder)
        set_threads(threads)
        self.ask: Ask = lambda *question: ray.get(desk.ask.remote(*question))
        log.addHandler(_Forwarded(self.ask))
        self.batch = _WorkersBatch(**given)
        self.batch.names = Counter(shared_names)
        self.batch.manifest = RemoteRecords(self.ask)

    def __call__(self, rows: Mapping[str, Any]) -> dict[str, list[int]]:
        jobs = [job for text in rows["photos"] for job in _decoded(str(text))]
        standings = self.ask("standings", jobs)
        for how, output in standings:
            if output is not None and how == "done":
                self.batch.taken.add(known_as(output))
            elif output is not None:
                self.batch.taken.discard(known_as(output))
        known = ((how, job) for job, (how, _) in zip(jobs, standings, strict=True))
        for how, group in groupby(known, key=lambda one: one[0]):
            together = [job for _, job in group] if how in ("open", "alone") else []
            for part in [[job] for job in together] if how == "alone" else [together]:
                for _ in self.batch.run(jobs=part):  # the ledger has each
                    pass
        return {"photos": [len(jobs)]}


class _WorkersBatch(FileBatch):
    """The batch without its list of photos, for which the ledger is asked."""

    def is_input(self, path: Path) -> bool:
        assert isinstance(self.manifest, RemoteRecords)
        return bool(self.manifest.ask("is_input", path))


class _Forwarded(logging.Handler):
    """Messages of a worker, for the process that began the run to print."""

    def __init__(self, ask: Ask) -> None:
        super().__init__(logging.WARNING)
        self.ask = ask

    def emit(self, record: logging.LogRecord) -> None:
        self.ask("logged", record.levelno, record.msg if not record.args else record.getMessage())


def gpus_of_worker(has: Mapping[str, float], device: str, asked: float | None) -> float:
    """What each worker takes of a GPU, where a cluster has these resources."""
    if asked is not None:
        return asked
    return 1.0 if has.get("GPU", 0) >= 1 and device in ("auto", "cuda") else 0.0


def workers_of(has: Mapping[str, float], asked: int | None, threads: int, gpus: float) -> int:
    """How many workers of so many cores and GPUs there are. Raises UserError where there is no room
    for those that were asked for.
    """
    room = has.get("CPU", 0) // threads
    if gpus:
        room = min(room, has.get("GPU", 0) // gpus)
    if (asked or 1) > room:
        takes = f"{threads} cores" + f" and {gpus:g} GPUs" * bool(gpus)
        raise UserError(
            f"{asked or 1} of {takes} are more than the cluster's {has.get('CPU', 0):g} cores and "
            f"{has.get('GPU', 0):g} GPUs",
            field="workers",
            remedy="take fewer, or less for each",
        )
    return asked or int(room)


def _groups(jobs: Sequence[Job], wanted: Collection[Path]) -> list[list[Job]]:
    """Photos that one worker has to work on in order, for their results' names depend on each
    other: those whose names differ in the suffix alone. Groups without any that is wanted are left
    out.
    """
    groups: dict[tuple[Path, str], list[Job]] = {}
    for job in jobs:
        groups.setdefault((job.relative.parent, job.input.stem.casefold()), []).append(job)
    return [group for group in groups.values() if any(job.input in wanted for job in group)]


def _encoded(jobs: Sequence[Job]) -> str:
    """ASCII, also of names that are no text."""
    return json.dumps([[str(job.input), str(job.relative), job.half] for job in jobs])


def _decoded(text: str) -> list[Job]:
    return [Job(Path(path), Path(relative), half) for path, relative, half in json.loads(text)]


@contextmanager
def _joined(ray: Any, address: str, **options: Any) -> Iterator[None]:
    """Connected to a cluster, whose own messages are kept from our output."""
    from ray._private import worker

    # What Ray tells of workers that died goes to stdout; no option switches that off.
    worker.print_to_stdstream = lambda *_, **__: None
    ends = signal.getsignal(signal.SIGTERM)
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        for tries_left in (1, 0):  # on a busy machine Ray's processes are late for each other
            try:
                with without_remarks(rb".*RAY_BACKEND_LOG_LEVEL.*\n"):
                    ray.init(address, **quiet, **options)
                break
            except Exception as error:
                ray.shutdown()
                if not tries_left:
                    what = f"no cluster at '{address}' ({one_line(error)})"
                    raise UserError(what, field=_ENGINE) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ends)  # which Ray has taken
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        ray.shutdown()


def _prepare_environment() -> None:
    """What Ray reads when it is imported; variables that the user has set stay, and so do Ray's own
    ways with clusters that are there.
    """
    if "ray" in sys.modules:
        return
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else on stderr
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # nothing starts a cluster by the way
    if "RAY_ADDRESS" not in os.environ and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # everywhere: 127.0.0.1 alone
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _processes_of(folder: str) -> list[psutil.Process]:
    """Those that Ray has started with this folder, and theirs."""
    with suppress(psutil.Error):
        own = psutil.Process().children()
        started = [process for process in own if folder in " ".join(process.cmdline())]
        return [one for top in started for one in (top, *top.children(recursive=True))]
    return []


def _end(processes: Sequence[psutil.Process]) -> None:
    """Wait for processes, and kill those that stay."""
    for process in psutil.wait_procs(processes, timeout=END_S)[1]:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=END_S)
