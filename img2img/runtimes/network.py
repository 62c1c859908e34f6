"""A graph behind the Pipeline: a module that calls a runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal, cast, get_args

import numpy as np
import torch
from torch import Tensor, nn

from img2img.errors import Advice, UserError, did_you_mean, one_line
from img2img.runtimes.graph import GraphSource, as_arrays
from img2img.runtimes.onnx_file import onnx_bytes, without_defaults
from img2img.runtimes.packages import installed, package
from img2img.tasks.photo import PhotoTask

Runtime = Literal["onnx", "openvino"]
Backend = Literal["torch", "onnx", "openvino", "auto"]
PACKAGES: Mapping[str, str] = {"onnx": "onnxruntime", "openvino": "openvino"}
Session = Callable[[Mapping[str, np.ndarray]], np.ndarray]


class ExportedNetwork(nn.Module):
    """A graph of ours run by a runtime in float32 on the CPU, with as many threads as torch has.

    It is a `GraphNetwork`: the graph prepares and decodes by itself.
    """

    def __init__(self, content: bytes, runtime: Runtime) -> None:
        super().__init__()
        self.content, self.runtime = content, runtime
        self._session = session_of(content, runtime)

    def picture(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """RGB (B,3,H·scale,W·scale) of the graph's inputs."""
        return self(*inputs.values(), names=tuple(inputs))

    def forward(self, *inputs: Tensor, names: tuple[str, ...] = ("input",)) -> Tensor:
        given = as_arrays(dict(zip(names, inputs, strict=True)))
        try:
            out = self._session(given)
        except Exception as error:  # a runtime's own, of any kind
            raise UserError(f"{self.runtime} cannot run this graph: {one_line(error)}") from error
        return torch.from_numpy(np.array(out, dtype=np.float32))  # the runtime's own memory

    def check(self, task: PhotoTask, seed: int, direction: str | None) -> None:
        """Raise UserError for what a graph cannot be asked for: another version of a picture, or
        the way back of a model that goes both ways.
        """
        if seed and type(task).vary is not PhotoTask.vary:
            raise UserError(
                "an exported graph knows the likeliest version alone",
                field="seed",
                remedy=Advice.leave_out("seed"),
            )
        if direction == "BtoA":
            raise UserError("an exported graph goes from A to B", field="direction")

    def on(self, runtime: Runtime) -> ExportedNetwork:
        """The same graph in a runtime."""
        return self if runtime == self.runtime else ExportedNetwork(self.content, runtime)


def compiled(source: GraphSource, runtime: Runtime) -> ExportedNetwork:
    """A model of ours in a runtime. Raises UserError for one that cannot be a graph, and where the
    runtime's package is missing.
    """
    if isinstance(source.generator, ExportedNetwork):
        return source.generator.on(runtime)
    package(PACKAGES[runtime])
    return ExportedNetwork(onnx_bytes(source), runtime)


def session_of(content: bytes, runtime: Runtime) -> Session:
    """A graph ready to run. Raises UserError where the package is missing or refuses the graph."""
    library = package(PACKAGES[runtime])
    try:
        return _onnx_session(library, content) if runtime == "onnx" else _openvino(library, content)
    except Exception as error:
        raise UserError(f"{runtime} does not take this graph: {one_line(error)}") from error


def _onnx_session(library: Any, content: bytes) -> Session:
    options = library.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what is wrong is raised
    session = library.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, dict(inputs))[0]


def _openvino(library: Any, content: bytes) -> Session:
    model = library.Core().read_model(without_defaults(content))
    return compiled_openvino(library, model)


def compiled_openvino(library: Any, model: Any) -> Session:
    """An OpenVINO model ready to run, in fp32 where the processor has less as well."""
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    ready = library.Core().compile_model(model, "CPU", config)
    return partial(_first_output, ready)


def _first_output(ready: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    return ready(dict(inputs))[0]


def check_backend(backend: str | None, is_graph: bool = False) -> None:
    """Raise UserError for an unknown backend, one whose package is missing, and torch for a graph
    that was exported.
    """
    if backend is None:
        return
    if backend not in get_args(Backend):
        raise UserError(
            f"unknown '{backend}'{did_you_mean(backend, get_args(Backend))}", field="backend"
        )
    if backend == "torch" and is_graph:
        raise UserError(
            "does not run an exported graph", field=("backend",), remedy="use onnx or openvino"
        )
    if backend in PACKAGES:
        package("onnx")
        package(PACKAGES[backend])


def check_on_cpu(device: str, precision: str) -> None:
    """Raise UserError for a device or a precision that these runtimes are not given here."""
    if device not in ("auto", "cpu"):
        raise UserError(
            f"is {device}, and graphs run on the CPU",
            field=("device",),
            remedy=Advice.leave_out("device"),
        )
    if precision == "bf16":
        raise UserError(
            "is bf16, and graphs run in fp32",
            field=("precision",),
            remedy=Advice.leave_out("precision"),
        )


def installed_runtimes() -> list[Runtime]:
    """Those whose packages are here."""
    names: tuple[Runtime, ...] = get_args(Runtime)
    return [name for name in names if installed("onnx") and installed(PACKAGES[name])]


def first_runtime(backend: str | None) -> Runtime:
    """The runtime that a file of ours begins with: the one asked for, else the first installed."""
    if backend in PACKAGES:
        return cast(Runtime, backend)
    return next(iter(installed_runtimes()), "onnx")


def graphs_of(source: GraphSource, backend: str | None) -> list[ExportedNetwork]:
    """The model in the runtime asked for, or for `auto` in each that is installed and takes it;
    none for torch. A graph of ours stays in the runtime it is in where none is asked for.
    """
    if backend in PACKAGES:
        return [compiled(source, cast(Runtime, backend))]
    if backend != "auto":
        return [source.generator] if isinstance(source.generator, ExportedNetwork) else []
    graphs = []
    for runtime in installed_runtimes():
        with suppress(UserError):
            graphs.append(compiled(source, runtime))
    return graphs
