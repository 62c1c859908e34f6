"""Author and terms of a model file, from its JSON (OpenModelDB's form) or its package."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from img2img.community.packages import package_model_at

_LONGEST = 1 << 20  # bytes


@dataclass(frozen=True)
class Terms:
    """What a JSON or a package tells of a model."""

    title: str = ""
    author: str = ""
    terms: str = ""
    origin: str = ""
    notes: str = ""
    tile_overlap_px: int | None = None

    def card_fields(self) -> dict[str, str | int]:
        """Those that it tells, as fields of a card."""
        return {name: value for name, value in vars(self).items() if value}


def terms_of(path: Path) -> Terms | None:
    """Of a model in an installed package, or of a file's JSON; None where neither is."""
    packaged = package_model_at(path)
    if packaged is None:
        return terms_in_json(path)
    origin = f"{packaged.distribution} ({packaged.license_source})"
    return Terms(
        title=packaged.title,
        terms=packaged.license,
        origin=origin,
        tile_overlap_px=packaged.tile_overlap_px,
    )


def terms_in_json(path: Path) -> Terms | None:
    """Of `NAME.json`, in the folder of `NAME.pth`; None where there is none that can be read."""
    facts = path.with_suffix(".json")
    try:
        if not facts.is_file() or facts.stat().st_size > _LONGEST:
            return None
        fields = json.loads(facts.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return of_openmodeldb(fields) if isinstance(fields, dict) else None


def of_openmodeldb(fields: dict[str, Any]) -> Terms:
    """Of OpenModelDB's `data/models/ID.json`: name, author, license, description, resources."""
    resources = fields.get("resources")
    first = resources[0] if isinstance(resources, list) and resources else {}
    urls = first.get("urls") if isinstance(first, dict) else None
    licence = _text(fields.get("license"))
    return Terms(
        title=_text(fields.get("name")),
        author=_text(fields.get("author")),
        terms=licence or "unknown",
        origin=_text(urls[0]) if isinstance(urls, list) and urls else "",
        notes=_text(fields.get("description"))[:2000],
    )


def _text(value: Any) -> str:
    """A string, or strings, on one line; empty for anything else."""
    parts = value if isinstance(value, list) else [value]
    return ", ".join(" ".join(part.split()) for part in parts if isinstance(part, str))
