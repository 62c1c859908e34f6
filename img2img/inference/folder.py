"""A whole folder through one request, so that nothing is done twice or lost: a run that was ended
goes on where it was, and new photos are waited for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from img2img.errors import Advice, Option, Phrase, UserError
from img2img.files import sha256_of
from img2img.inference.batch import FileBatch, OnPlan, known_as
from img2img.inference.inputs import Job, Siblings, is_plain_file
from img2img.inference.manifest import MODEL_SHA256, Manifest, Standing, seen_from
from img2img.inference.outputs import Result, Saving
from img2img.inference.plan import OnStepTile
from img2img.inference.ray_engine import RayEngine
from img2img.inference.request import AUTO, Request
from img2img.inference.urls import is_url
from img2img.inference.watch import Arrivals
from img2img.lock import FolderLock
from img2img.version import __version__

log = logging.getLogger("img2img")

POLL_S = 1.0
"""Between two looks at a watched folder; more where a look takes more than a fifth of the time."""


class FolderRun:
    """A batch of which a manifest is kept in its output folder, where it has one and is of folders
    or patterns.

    With `resume` it goes on where an earlier run of the same request was ended. `watched` are
    folders or patterns in the place of the batch's own inputs; that always goes on. An `engine`
    works on the photos in other processes than this, always with a manifest. Raises UserError where
    there is no folder for the results, or nothing to watch.
    """

    def __init__(
        self,
        batch: FileBatch,
        resume: bool = False,
        watched: Sequence[str] = (),
        engine: RayEngine | None = None,
    ) -> None:
        self.batch, self.engine = batch, engine
        self.arrivals = Arrivals(watched, batch.is_result) if watched else None
        self.goes_on = resume or bool(watched)
        self.option = "watch" if watched else "resume" if resume else "engine"
        into_folder = batch.output is not None and batch.into_folder()
        self.must_record = self.goes_on or engine is not None
        if self.must_record and not into_folder:
            raise UserError(
                "the results and their manifest need a folder",
                field=self.option,
                remedy=Advice.give("output"),
            )
        if engine is not None and watched:
            raise UserError(
                "is for photos that are there",
                field=Option("engine", "ray"),
                remedy=Advice.leave_out("watch"),
            )
        self.is_recorded = into_folder and (
            self.must_record or not all(map(is_plain_file, batch.inputs))
        )

    def plans(self) -> Generator[Result, None, None]:
        """What is still to be done to each photo, and why; nothing is done and nothing written."""
        if self.arrivals is not None:
            raise UserError("nothing is done", field="plan", remedy=Advice.leave_out("watch"))
        jobs = self.batch.jobs
        if self.goes_on:
            manifest = self._manifest()
            jobs = [job for job in jobs if self._standing(manifest, job) in ("open", "alone")]
        yield from self.batch.plans(jobs)

    def run(
        self, on_tile: OnStepTile | None = None, on_plan: OnPlan | None = None
    ) -> Generator[Result, None, None]:
        """One result a photo that is worked on, as of `FileBatch.run`; those put aside come last,
        as errors. A watched folder never ends it. Where the iterator is closed, or anything is
        raised, the manifest says that the run was stopped.
        """
        work: Callable[[Sequence[Job]], Iterator[Result]]
        if self.engine is None:
            work = partial(self.batch.run, on_tile, on_plan)
        else:
            work = partial(self.engine.run, self.batch)
        with self._recorded() as manifest:
            if manifest is None:
                yield from work(self.batch.jobs)
            elif self.arrivals is not None:
                yield from self._watched(manifest, self.arrivals, work)
            else:
                failed = False
                for result in self._worked(manifest, self.batch.jobs, work):
                    failed |= result.error is not None
                    yield result
                if self.batch.several or not manifest.is_unfinished:  # by a photo that was left
                    manifest.finish()
                    manifest.is_needed = self.goes_on or failed or not manifest.is_new

    # --- the photos

    def _worked(
        self,
        manifest: Manifest,
        jobs: Sequence[Job],
        work: Callable[[Sequence[Job]], Iterator[Result]],
    ) -> Iterator[Result]:
        """The results of what is still to be done; a photo that may have ended the process is
        worked on while no other is, so that none is suspected because of its neighbor.
        """
        standing = [(job, self._standing(manifest, job)) for job in jobs]
        for job, how in standing if self.goes_on else ():
            if (output := manifest.output(job)) is None:
                continue
            if how == "done":
                self.batch.taken.add(known_as(output))
            else:
                self.batch.taken.discard(known_as(output))
        if self.arrivals is None and (done := sum(how == "done" for _, how in standing)):
            log.warning("%s: %d of %d are done already", manifest.folder, done, len(jobs))
        for how, group in groupby(
            (one for one in standing if one[1] in ("open", "alone")), key=lambda one: one[1]
        ):
            together = [job for job, _ in group]
            apart = how == "alone" and self.engine is None
            for part in [[job] for job in together] if apart else [together]:
                yield from work(part)
        for job in [job for job, how in standing if how == "aside"]:
            yield manifest.put_aside(job)

    def _watched(
        self,
        manifest: Manifest,
        arrivals: Arrivals,
        work: Callable[[Sequence[Job]], Iterator[Result]],
    ) -> Iterator[Result]:
        while True:
            begun_s = time.monotonic()
            self.batch.siblings = Siblings()
            ready = arrivals.poll()
            looked_s = time.monotonic() - begun_s
            if ready:
                self.batch.take(arrivals.jobs)
            if self.batch.pairs:
                ready = [replace(job, half=self.batch.half) for job in ready]
            for result in self._worked(manifest, ready, work):
                if arrivals.is_final(result):
                    yield result
            try:
                time.sleep(max(POLL_S, 4 * looked_s))
            except KeyboardInterrupt:  # nothing is in work
                manifest.finish()
                raise

    def _standing(self, manifest: Manifest, job: Job) -> Standing:
        """Of a photo in a run that goes on; one that is given alone is tried in any case."""
        if not self.goes_on:
            return "open"
        standing = manifest.standing(job)
        return "alone" if standing == "aside" and not self.batch.several else standing

    # --- the manifest

    @contextmanager
    def _recorded(self) -> Iterator[Manifest | None]:
        """The manifest, for the one process that writes in the folder; None where there is none."""
        if not self.is_recorded:
            yield None
            return
        assert self.batch.output is not None
        try:
            lock = self._lock(Path(self.batch.output))
        except UserError as error:
            if self.must_record:
                raise
            log.warning(Phrase(error.phrase, ": ", Option("resume"), " will not know of this run"))
            yield None
            return
        try:
            with self._manifest() as manifest:
                self._tell(manifest)
                manifest.begin(len(self.batch.jobs), self.goes_on)
                self.batch.manifest = manifest
                yield manifest
            if not manifest.is_needed:
                manifest.remove()
        finally:
            if lock is not None:
                lock.release()

    def _lock(self, folder: Path) -> FolderLock | None:
        """The folder's one writer; an object store knows no locks."""
        return None if is_url(folder) else FolderLock(folder, "output")

    def _manifest(self) -> Manifest:
        assert self.batch.output is not None
        manifest = Manifest(Path(self.batch.output), request_fields(self.batch))
        if self.goes_on:
            manifest.check_request(self.option)
        return manifest

    def _tell(self, manifest: Manifest) -> None:
        """What a user should know of earlier runs in the folder."""
        if not self.goes_on and (notice := manifest.notice()):
            log.warning(notice)
        if self.goes_on and manifest.version not in (None, __version__):
            begun = f"was begun with img2img {manifest.version}, and goes on with {__version__}"
            log.warning("'%s' %s", manifest.folder, begun)


def request_fields(batch: FileBatch) -> dict[str, object]:
    """What decides how results look, by the names of the options, as far as it is not the default.
    A model is known by its content, masks and hints by their place seen from the output folder.
    """
    usual = _described(Request(), Saving())
    asked = _described(batch.request, batch.saving)
    known = {name: value for name, value in asked.items() if value != usual[name]}
    if batch.request.model is not None and batch.resolved.steps:
        entry = batch.resolved.steps[0].model
        known |= {"model": entry.title, MODEL_SHA256: sha256_of(entry.path)[:16]}
    for name, drawn in batch.drawn.items():
        if drawn:
            known[name] = seen_from(Path(batch.output or "."), Path(drawn))
    return known if batch.pairs is None else known | {"pairs": batch.pairs}


def _described(request: Request, saving: Saving) -> dict[str, object]:
    canvas, options = request.canvas, request.options
    return {
        "task": ",".join(request.tasks) or AUTO,
        **vars(request.output_size),
        "detail": request.detail,
        "strength": options.strength,
        "seed": options.seed,
        "from_photo": options.from_photo,
        "direction": options.direction,
        "self_ensemble": options.self_ensemble,
        "mask_invert": canvas.mask_invert,
        "mask_grow": canvas.grow_px,
        "feather": canvas.feather_px,
        "extend": ",".join(map(str, canvas.extend)),
        "precision": request.precision,
        "backend": request.backend,
        "format": saving.suffix,
        "quality": saving.quality,
        "metadata": saving.metadata,
    }
