"""From a source to training samples: sample n is a pure function of (seed, n), so nothing has to be
saved to resume.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints
from torch.utils.data import Dataset

from img2img.config import OneOrMany
from img2img.conflicts import Conflict, RecipeContext
from img2img.data.cache import Cache
from img2img.data.folder import Unmatched, open_pairs, open_photos, pair_source, photo_source
from img2img.data.identity import files_of, identity_of
from img2img.data.labelled import (
    LabelledSource,
    array_source,
    open_class_folder,
    open_classes,
)
from img2img.data.sample import (
    Batch,
    EmptySample,
    PhotoSample,
    Sample,
    as_tensor,
    collate,
    sample_rng,
)
from img2img.data.shards import open_shards
from img2img.data.source import Opened, Reading, Source
from img2img.data.storage import checked_url
from img2img.data.taught import TaughtSource
from img2img.data.unpaired import UnpairedSource, two_halves, two_sides
from img2img.errors import StorageError, StructuredError, UserError
from img2img.files import at_home
from img2img.pixels.alpha import AUTO, checked_background
from img2img.pixels.augment import Augment
from img2img.pixels.images import to_float
from img2img.resources import samples_dir

log = logging.getLogger("img2img")

SAMPLES = "data/samples"
LOGGED = 5  # of a kind of file, by name; the rest are counted
LEAST_CROP_PX = 16
MOST_WORKERS = 256
TRAINING, VALIDATION = 0, 1  # streams of randomness that never meet


def _or_auto(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"const": "auto"})


class DataConfig(Augment):
    """Where photos lie and how crops are cut from them."""

    kind: Literal["folder", "shards"] = Field(
        "folder", description="folders of photos, or shards that img2img shard made of one"
    )
    path: Annotated[tuple[Annotated[str, StringConstraints(min_length=1)], ...], OneOrMany] = Field(
        (SAMPLES,),
        min_length=1,
        description="folder of photos, or several; mnist, fashion-mnist or cifar-10, also as "
        "NAME:FOLDER",
        json_schema_extra={"type": ["string", "array"]},
    )
    urls: Annotated[
        tuple[Annotated[str, AfterValidator(checked_url)], ...],
        OneOrMany,
    ] = Field(
        (),
        description="of kind shards: tar files, as PATH/{000000..000999}.tar, "
        "https://HOST/PATH/… or s3://BUCKET/PATH/…, with index.json next to them; or that index",
        json_schema_extra={"type": ["string", "array"]},
    )
    download_cache_mb: int = Field(
        10_000,
        ge=0,
        description="of kind shards: how much of what was downloaded may stay on this disk",
    )
    terms: str = Field(
        "unknown", description="the photos' terms of use; written into the model file"
    )
    validation_share: float = Field(
        0.05, ge=0, le=0.5, description="part held out by path hash; never trained on"
    )
    validation_max: int = Field(16, ge=1, description="photos of it that are looked at each time")
    repeat_large: int = Field(
        1, ge=1, le=64, description="a photo many crops large counts up to so many times an epoch"
    )
    unmatched: Unmatched = Field(
        "error",
        description="pairs in A/ and B/: files without partner are left out and logged, or refused",
    )
    background: Annotated[str, BeforeValidator(checked_background)] = Field(
        AUTO,
        description="what transparency is laid on: bleed (hidden colors continue the visible ones) "
        "or a color such as white or '#ffeecc'; auto: as the task reads photos, white for drawings",
    )
    cache_mb: int = Field(
        2048, ge=0, description="memory for decoded photos, of all loader processes together"
    )
    workers: Annotated[
        Annotated[int, Field(ge=0, le=MOST_WORKERS)] | None,
        BeforeValidator(lambda given: None if given == "auto" else given),
    ] = Field(
        None,
        description="loader processes; auto (or null): as many as have a core to themselves, on "
        "a GPU up to 8; samples are the same with any number",
        json_schema_extra=_or_auto,
    )

    def conflicts(self, context: RecipeContext) -> Iterator[Conflict]:
        """Photos come from one place. A teacher has seen each photo once, so that no crop may be
        of another input.
        """
        if self.kind == "shards" and not self.urls:
            yield Conflict(".urls", "is missing: name the shards, as PATH/{000000..000999}.tar")
        if self.kind == "shards" and self.path != (SAMPLES,):
            yield Conflict(".path", "names folders, and data.kind is shards: leave it out")
        if self.kind == "folder" and self.urls:
            yield Conflict(".urls", "names shards, and data.kind is folder", ("data.kind=shards",))
        if context.teacher is None:
            return
        if self.resize_px is not None and self.resize_px[0] != self.resize_px[1]:
            problem = "draws a size for each crop, and train.teacher sees each photo at one"
            one = f"data.resize_px=[{self.resize_px[1]}, {self.resize_px[1]}]"
            yield Conflict(".resize_px", problem, (one, "data.resize_px=null"))
        if self.color_jitter:
            problem = "changes the colors of each crop, and train.teacher has seen the photo's own"
            yield Conflict(".color_jitter", problem, ("data.color_jitter=0",))

    @property
    def places(self) -> tuple[str, ...]:
        """Where the photos lie, as the recipe names it."""
        return self.urls if self.kind == "shards" else self.path

    @property
    def folders(self) -> list[Path]:
        """The folders on this machine; none of shards."""
        return [] if self.kind == "shards" else [resolve_folder(p) for p in self.path]

    def open_shards(self) -> list[Path]:
        """The folders that the shards hold. Raises UserError."""
        return list[Path](open_shards(self.urls, self.download_cache_mb))

    def background_for(self, task: PairMaker) -> str:
        """What pictures' transparency is laid on while this task is trained."""
        return task.background if self.background == AUTO else self.background


class PairMaker(Protocol):
    """The part of a task that data needs; tasks know of data, not the reverse."""

    @property
    def reads(self) -> str: ...

    @property
    def background(self) -> str: ...

    @property
    def condition_is_noise(self) -> bool: ...

    @property
    def set_based(self) -> bool: ...

    @property
    def classes(self) -> int: ...

    @property
    def prediction_channels(self) -> int: ...

    def make_pair(self, sample: Any, rng: np.random.Generator) -> Batch: ...

    def draw(self, numbers: Sequence[int], rngs: Sequence[np.random.Generator]) -> Batch: ...


@dataclass
class Photos:
    """Both sides of the split."""

    train: TrainingSet
    validation: list[Batch]
    count: int
    """Photos, pairs or pictures of both sides of the split."""
    trained: list[Batch] = field(default_factory=list)
    """As many of the training photos, cut as those of `validation`."""
    class_names: tuple[str, ...] = ()
    summary: str = ""
    """How the folders were read: `60 pairs: A/ and B/; 12 for validation from val/`."""
    drawn: bool = False
    """From the random generator alone: no files are read."""
    demonstration: bool = False
    """The photos that ship are among them."""
    identity: dict[str, Any] = field(default_factory=dict)
    """Enough to know the data again when the run goes on."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Files that cannot be read, and why."""

    def leave_out(self, broken: Mapping[Path, str]) -> dict[str, str]:
        """Note files that turned out to be broken; those that are new are logged, and returned."""
        reasons = {str(path): reason for path, reason in broken.items()}
        new = {
            name: reason for name, reason in sorted(reasons.items()) if name not in self.left_out
        }
        for name, reason in list(new.items())[:LOGGED]:
            log.warning("left out: %s: %s", name, reason)
        if len(new) > LOGGED:
            log.warning("left out: %d more files that cannot be read", len(new) - LOGGED)
        self.left_out |= new
        return new


@dataclass
class Nothing(Source):
    """The source of tasks that draw their samples from the random generator alone: numbers, half of
    them to validate on.
    """

    validation_max: int

    def __len__(self) -> int:
        return 2 * self.validation_max

    def key(self, index: int) -> str:
        return str(index)

    def read(self, index: int, number: int) -> EmptySample:
        return EmptySample(number)


class TrainingSet(Dataset[Batch]):
    """Map-style and endless: any number is a sample. Each epoch is a seeded permutation of the
    training items.

    The sample of a number is its photo, or the next that can be read: no memory of what was broken
    before has a part in it, so it is the same in every process, and before and after a resume.
    """

    def __init__(
        self,
        source: Source,
        items: list[int],
        task: PairMaker,
        config: DataConfig,
        seed: int,
        cache: Cache,
    ) -> None:
        self.source, self.task, self.config, self.seed, self.cache = (
            source,
            task,
            config,
            seed,
            cache,
        )
        self.align_px = 1
        self.items = np.repeat(items, [self._repeats(i) for i in items])
        self.cut_from = source  # crops are cut from its photos
        if config.resize_px is not None:
            self.cut_from = source.for_crops(max(config.resize_px[1], config.crop_px))
        self.orders: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return 2**62  # a Dataset must have a length; the trainer decides how far to go

    def __getitem__(self, number: int) -> Batch:
        rng = sample_rng(self.seed, TRAINING, number)
        sample = self._read(number)
        cut = sample.augmented(lambda pictures: self.config(pictures, rng, self.align_px))
        pair = self.task.make_pair(cut, rng)
        if isinstance(cut, PhotoSample) and cut.teacher is not None:
            return replace(pair, teacher=as_tensor(to_float(cut.teacher)))
        return pair

    def __getitems__(self, numbers: Sequence[int]) -> list[Batch] | StructuredError:
        """A loader's batch, in one part or several. An error is returned: raised in a loader's
        process, nothing but the text of its traceback would arrive.
        """
        if isinstance(self.source, Nothing):
            return [_drawn(self.task, self.seed, TRAINING, numbers)]
        try:
            return [self[number] for number in numbers]
        except (UserError, StorageError) as error:
            return error

    def batch(self, first: int, count: int) -> Batch:
        """Samples `first` to `first + count - 1`. Raises UserError where none can be read, and
        StorageError where a shard cannot.
        """
        found = self.__getitems__(range(first, first + count))
        if isinstance(found, StructuredError):
            raise found
        return collate(found)

    def collate(
        self, items: Sequence[Batch] | StructuredError
    ) -> tuple[Batch | StructuredError, dict[Path, str]]:
        """One batch of many, and the files that this process has found broken so far: loaders live
        in their own.
        """
        batch = items if isinstance(items, StructuredError) else collate(items)
        return batch, dict(self.cache.broken)

    def order(self, epoch: int) -> np.ndarray:
        """The items in the order in which this epoch goes through them."""
        if epoch not in self.orders:
            latest = list(self.orders.items())[-3:]
            self.orders = {
                **dict(latest),
                epoch: np.random.default_rng((self.seed, 2, epoch)).permutation(self.items),
            }
        return self.orders[epoch]

    def learn_from(self, pictures: Mapping[int, Path], align_px: int) -> None:
        """From here on samples hold a teacher's pictures too, of the same crops: `pictures` are
        their files by item, and crops begin at multiples of `align_px`.
        """
        self.source = self.cut_from = TaughtSource(self.source, self.config, pictures)
        self.align_px = align_px

    def check(self) -> None:
        """Raise UserError when none of the photos can be read: before anything is written."""
        if next(readable(self.source, self.items), None) is None:
            raise _unreadable(self.cache)

    def readable(self, most: int) -> list[PhotoSample]:
        """The first photos as they are, at most so many; fewer where others cannot be read."""
        samples = (sample for _, sample in readable(self.source, self.items))
        return list(islice((s for s in samples if isinstance(s, PhotoSample)), most))

    def _read(self, number: int) -> Sample:
        """The photo of this number, or the next that can be read: one broken file must not end a
        night's run.
        """
        for attempt in range(len(self.items)):
            epoch, place = divmod(number + attempt, len(self.items))
            with suppress(UserError):
                return self.cut_from.read(int(self.order(epoch)[place]), number)
        raise _unreadable(self.cache)

    def _repeats(self, index: int) -> int:
        if self.config.repeat_large == 1:
            return 1
        for _, sample in readable(self.source, [index]):
            if isinstance(sample, PhotoSample):
                crops = sample.photo.shape[0] * sample.photo.shape[1] / self.config.crop_px**2
                return int(np.clip(crops / 8, 1, self.config.repeat_large))
        return 1


def _drawn(task: PairMaker, seed: int, stream: int, numbers: Sequence[int]) -> Batch:
    """Samples of a task that reads nothing, in one call: a batch of one, 256 times, costs more than
    a step on points does.
    """
    return task.draw(numbers, [sample_rng(seed, stream, number) for number in numbers])


def readable(source: Source, items: Iterable[int]) -> Iterator[tuple[int, Sample]]:
    """Those of the items that can be read, each with its place among them, which is also the
    sample's number.
    """
    for place, index in enumerate(items):
        with suppress(UserError):
            yield place, source.read(int(index), place)


def _unreadable(cache: Cache) -> UserError:
    first = "".join(f"; first: {path}: {why}" for path, why in list(cache.broken.items())[:1])
    return UserError(f"none of the photos can be read{first}", field="data.path")


def load_photos(
    task: PairMaker,
    config: DataConfig,
    seed: int,
    fits: Callable[[int], bool] = lambda crop_px: True,
) -> Photos:
    """Open a recipe's data; `fits` says whether the recipe takes crops of a side, so that none is
    advised in vain.

    Raises UserError for what a user can mend: no folder or photo, pairs without partner.
    """
    cache = Cache(config.cache_mb, config.background_for(task))
    opened = open_source(task, config, seed, cache)
    source, train, held_out = opened.source, opened.train, opened.first(config.validation_max)
    cache.check(files_of(source))
    seen: list[int] = []
    validation = list(
        islice(_validation(source, held_out, task, config, seed, seen), config.validation_max)
    )
    names = (
        source.class_names if isinstance(source, LabelledSource) and task.reads == "label" else ()
    )
    as_many = islice(_validation(source, train, task, config, seed, seen), len(validation))
    trained = [] if task.condition_is_noise else list(as_many)
    _advise(task, config, held_out, validation, seen, fits)
    if task.set_based:
        validation, trained = ([collate(found)] if found else [] for found in (validation, trained))
    drawn = isinstance(source, Nothing)
    training_set = TrainingSet(source, train, task, config, seed, cache)
    photos = Photos(
        training_set,
        validation,
        count_of(source),
        trained,
        names,
        opened.summary,
        drawn,
        not drawn and samples_dir() in config.folders,
        identity_of(source),
    )
    photos.leave_out(cache.broken)
    return photos


def _advise(
    task: PairMaker,
    config: DataConfig,
    held_out: Sequence[int],
    validation: Sequence[Batch],
    seen: Sequence[int],
    fits: Callable[[int], bool],
) -> None:
    """Say what a user may want to mend, though training can begin."""
    if not held_out and config.validation_share:
        log.warning("1 %s: nothing is held out to validate on", task.reads)
    if held_out and not validation:
        log.warning(
            "left out of validation: none of the %d photos held out can be read", len(held_out)
        )
    if small := sum(side < config.crop_px for side in seen):
        side = next((px for px in range(min(seen), LEAST_CROP_PX - 1, -1) if fits(px)), None)
        remedy = f"set data.crop_px={side}" if side else "use larger photos"
        log.warning(
            "%d of %d photos looked at are smaller than data.crop_px (%d px) and are enlarged: %s",
            *(small, len(seen), config.crop_px, remedy),
        )


def reads_nothing(task: PairMaker) -> bool:
    """Whether its samples come from the random generator alone."""
    return task.reads == "none"


def open_source(task: PairMaker, config: DataConfig, seed: int, cache: Cache) -> Opened:
    """The files of a recipe as they are listed and parted; none is read, but where it takes that to
    know whether they are pairs. Raises UserError for what `load_photos` refuses of it.
    """
    try:
        opened = _listed(task, config, seed, cache)
        if not opened.train:
            raise UserError(
                f"{count_of(opened.source)} photos leave none to train on",
                field="data.path",
                remedy="add photos",
            )
    except UserError as error:
        if config.kind == "shards" and error.field == "data.path":
            raise error.about("data.urls") from error
        raise
    return opened


def count_of(source: Source) -> int:
    """Photos, pairs or pictures of both sides."""
    return source.count if isinstance(source, UnpairedSource) else len(source)


def _listed(task: PairMaker, config: DataConfig, seed: int, cache: Cache) -> Opened:
    share = config.validation_share
    if reads_nothing(task):
        return _shared(Nothing(config.validation_max), share, "")
    if task.reads == "label":
        return _with_classes(task.classes, config, cache)
    if task.reads == "photo" and config.kind == "folder" and len(config.path) == 1:
        known = array_source(config.path[0])
        if known is not None:
            return _shared(known, share, f"the training part of {config.path[0]}")
    folders = config.folders if config.kind == "folder" else config.open_shards()
    if task.reads in ("two sides", "two halves"):
        parted = (two_sides if task.reads == "two sides" else two_halves)(
            folders, cache, share, seed
        )
        return Opened(parted, *parted.split(), parted.summary)
    if task.reads == "pair":
        return open_pairs(folders, cache, share, config.unmatched)
    return open_photos(folders, cache, share)


def measured_source(task: PairMaker, folders: Sequence[Path], cache: Cache) -> Source:
    """The photos or pairs of folders to measure a task's models on."""
    return (pair_source if task.reads == "pair" else photo_source)(folders, cache)


def _with_classes(wanted: int, config: DataConfig, cache: Cache) -> Opened:
    opened = _classes(config, cache)
    names = opened.source.class_names if isinstance(opened.source, LabelledSource) else ()
    if len(names) != wanted:
        listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
        raise UserError(
            f"task.labels is {wanted}, and '{config.places[0]}' has {len(names)} classes ({listed})"
        )
    return opened


def _classes(config: DataConfig, cache: Cache) -> Opened:
    if config.kind == "folder":
        return open_classes(config.path, cache, config.validation_share)
    folders = config.open_shards()
    if len(folders) != 1:
        raise UserError(
            f"{len(folders)} indexes, and pictures with classes come from one",
            remedy="make shards of one folder with all of them",
        )
    return open_class_folder(folders[0], cache, config.validation_share)


def _shared(source: Source, share: float, called: str) -> Opened:
    """A source that lies in no folders, a share of it held out."""
    reading: Reading[int] = Reading("pictures")
    reading.add({"train": range(len(source))}, called)
    return reading.opened(lambda _: source, share)


def resolve_folder(path: str) -> Path:
    """The folder a recipe names; `data/samples` means the shipped photos wherever the package is
    installed.
    """
    if path == SAMPLES and not Path(path).is_dir():
        return samples_dir()
    return at_home(path).resolve()


def _validation(
    source: Source,
    items: list[int],
    task: PairMaker,
    config: DataConfig,
    seed: int,
    seen: list[int],
) -> Iterator[Batch]:
    """Middle crops of held-out photos with frozen damage and masks, the same at every validation
    and every run.

    The shorter side of each photo, px, is added to `seen`.
    """
    if isinstance(source, Nothing) and task.set_based and items:
        yield _drawn(task, seed, VALIDATION, range(len(items)))
        return
    for place, sample in readable(source, items):
        if isinstance(sample, PhotoSample):
            seen.append(min(sample.photo.shape[:2]))
        yield task.make_pair(sample.augmented(config.center), sample_rng(seed, VALIDATION, place))
