"""Models that stay ready between photos, the least recently used going first."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from img2img.devices import Precision
from img2img.inference.pipeline import Model, load
from img2img.modelfile import Header
from img2img.runtimes.network import Backend
from img2img.zoo.catalogue import CATALOGUE, Entry

Key = tuple[object, ...]


class LoadedModels:
    """At most so many models on their devices. It may be used by several threads."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._models: OrderedDict[Key, tuple[Header, Model]] = OrderedDict()
        self._lock = Lock()

    def get(
        self,
        entry: Entry,
        device: str = "auto",
        precision: Precision = "auto",
        detail: float | None = None,
        backend: Backend | None = None,
    ) -> Model:
        """The model ready for use, loaded anew where its file has changed. Raises UserError as
        `load` does.
        """
        key = (entry.path, device, precision, detail, backend)
        header = CATALOGUE.header(entry.path)
        with self._lock:
            known = self._models.get(key)
            if known is not None and known[0] is header:
                self._models.move_to_end(key)
                return known[1]
        now = Entry(entry.name, entry.path, header)
        model = load(now, device=device, precision=precision, detail=detail, backend=backend)
        with self._lock:
            self._models[key] = header, model
            self._models.move_to_end(key)
            while len(self._models) > self.most:
                self._models.popitem(last=False)
        return model

    def measured_overlap_px(
        self,
        entry: Entry,
        device: str,
        precision: Precision,
        detail: float | None,
        backend: Backend | None = None,
    ) -> int | None:
        """The tile overlap of a model as its card says, or as it was measured on a photo since the
        model was loaded; None where it is not known yet.
        """
        if entry.card.tile_overlap_px is not None:
            return entry.card.tile_overlap_px
        with self._lock:
            known = self._models.get((entry.path, device, precision, detail, backend))
        return known[1].card.tile_overlap_px if known else None

    def clear(self) -> None:
        """Let all models go, and with them the memory of their devices."""
        with self._lock:
            self._models.clear()


MODELS = LoadedModels(most=4)
