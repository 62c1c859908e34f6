"""A recipe's data checked: read as training reads it, every check asked, and what they found
written down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from img2img.data.cache import Cache
from img2img.data.checks.finding import DataFinding, Found, Inspected
from img2img.data.checks.kinds import all_findings
from img2img.data.checks.looks import Looked, looks, places_of
from img2img.data.dataset import DataConfig, PairMaker, count_of, open_source
from img2img.data.shards import local_file
from img2img.data.source import Opened, name_of
from img2img.errors import UserError
from img2img.files import write_bytes
from img2img.pixels.images import decode_rgb8, output_format
from img2img.pixels.sheets import CONTACT_PX, SheetGroup, contact_sheet, write_sheet

log = logging.getLogger("img2img")
SHOWN = 6  # of a kind, on the contact sheet


@dataclass(frozen=True)
class DataReport:
    """What is known of a recipe's data."""

    summary: str
    """How the folders were read, as training says it."""
    count: int
    findings: tuple[DataFinding, ...]
    files: frozenset[Path] = frozenset()
    """All that were looked at."""

    @property
    def can_train(self) -> bool:
        """Nothing was found that a training would refuse."""
        return not any(finding.severity == "refused" for finding in self.findings)

    @property
    def text(self) -> str:
        """A line for what was read, one for each finding, and the result."""
        lines = [f"data: {self.summary}"] * bool(self.summary)
        lines += [finding.line for finding in self.findings]
        mend = [finding for finding in self.findings if finding.severity != "note"]
        if not self.can_train:
            return "\n".join([*lines, "training would refuse this data"])
        return "\n".join([*lines, "training can begin" if mend else "nothing to mend was found"])

    def fields(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "can_train": self.can_train,
            "data": self.summary,
            "count": self.count,
            "findings": [finding.fields() for finding in self.findings],
        }

    @property
    def fix_list(self) -> list[Path]:
        """Every file that a finding would have mended or taken out, once, in order of names."""
        return sorted({path for finding in self.findings for path in finding.to_mend})


def check_data(
    task: PairMaker,
    config: DataConfig,
    seed: int,
    fits: Callable[[int], bool] = lambda crop_px: True,
    progress: Callable[[Iterator[Looked], int], Iterable[Looked]] = lambda items, count: items,
) -> DataReport:
    """Look at every file of a recipe's data once, as training reads it; nothing is changed.

    Args:
        task, config, seed, fits: as for `load_photos`.
        progress: is given the looks and their number, and passes them on.

    Returns:
        The findings. What a training would refuse is one of them, never an error.
    """
    cache = Cache(0, config.background_for(task))  # nothing is read twice, so nothing is kept
    opened, findings = _opened(task, config, seed, cache)
    if opened is None:
        return DataReport("", 0, tuple(findings))
    needs_partners = bool(opened.lonely) and config.unmatched == "error"
    places = places_of(opened, config, cache)
    looked = list(progress(looks(places), len(places)))
    findings += all_findings(Inspected(task, config, opened, looked, needs_partners, fits))
    files = frozenset(path for one in looked for path in one.files)
    return DataReport(opened.summary, count_of(opened.source), tuple(findings), files)


def _opened(
    task: PairMaker, config: DataConfig, seed: int, cache: Cache
) -> tuple[Opened | None, list[DataFinding]]:
    """The listing, and what it passes over; None, and the reason, where training would refuse it
    for more than files without partner.
    """
    with _heard() as said:
        try:
            skipping = config.model_copy(update={"unmatched": "skip"})
            opened = open_source(task, skipping, seed, cache)
        except UserError as error:
            return None, [DataFinding("refused", "refused", str(error), "")]
    passed = [DataFinding("passed over", "note", line, "") for line in dict.fromkeys(said)]
    return opened, passed


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What listing folders warns of, which is a finding here: kept off the log."""
    said: list[str] = []

    def hear(record: logging.LogRecord) -> bool:
        if record.module == "listing":
            said.append(record.getMessage())
        return False

    log.addFilter(hear)
    try:
        yield said
    finally:
        log.removeFilter(hear)


def write_fix_list(path: Path, report: DataReport) -> None:
    """One path a line; those with a line break in their names are left out, with a warning.

    Raises UserError for a place that is one of the photos.
    """
    _refuse_data(path, report)
    lines = [str(file) for file in report.fix_list]
    whole = [line for line in lines if "\n" not in line and "\r" not in line]
    if len(whole) < len(lines):
        log.warning("%d names with a line break are not in '%s'", len(lines) - len(whole), path)
    write_bytes(path, "".join(f"{line}\n" for line in whole).encode(errors="surrogateescape"))


def check_sheet_place(path: Path, config: DataConfig) -> None:
    """Raise UserError for a contact sheet that would be no picture, or one of the data's."""
    output_format(path)
    for folder in config.folders:
        if path.resolve().is_relative_to(folder):
            raise UserError(
                f"a sheet in '{folder}' would be one of its photos",
                place=path,
                remedy="write it elsewhere",
            )


def write_contact_sheet(path: Path, report: DataReport, background: str) -> bool:
    """What was found as pictures: pairs and copies next to each other, each kind under its caption.
    False where there is nothing to show, and no file.
    """
    groups = [
        SheetGroup(
            f"{finding.severity}: {finding.kind}: {finding.problem}",
            [_row(one, background) for one in finding.found[:SHOWN]],
        )
        for finding in report.findings
        if finding.found
    ]
    if groups:
        _refuse_data(path, report)
        write_sheet(path, contact_sheet(groups))
    return bool(groups)


def _row(one: Found, background: str) -> tuple[str, list[np.ndarray | None]]:
    caption = " | ".join(map(name_of, one.files[:2])) + f" ({one.note})" * bool(one.note)
    return caption, [_small(path, background) for path in one.files[:2]]


def _small(path: Path, background: str) -> np.ndarray | None:
    try:
        with local_file(path) as file:
            return decode_rgb8(file, background, shorter_px=CONTACT_PX)
    except (UserError, OSError):
        return None


def _refuse_data(path: Path, report: DataReport) -> None:
    if path.resolve() in {file.resolve() for file in report.files}:
        raise UserError("is one of the data's files", place=path, remedy="write elsewhere")
