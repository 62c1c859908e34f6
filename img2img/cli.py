"""The command line. Heavy imports are inside the verbs, so that `--help` stays instant."""

from __future__ import annotations

import codecs
import errno
import io
import json
import logging
import os
import shlex
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from img2img.completion import (
    VARIABLE,
    Shell,
    answer_shells,
    completion_script,
    model_names,
    recipe_names,
)
from img2img.errors import (
    Advice,
    Command,
    Interrupted,
    Named,
    Option,
    Phrase,
    RecipeField,
    StorageError,
    TaskKind,
    TrainingError,
    UserError,
    one_line,
    rendered,
)
from img2img.version import __version__

if TYPE_CHECKING:
    from img2img.inference.outputs import Result

WHAT = (
    "Denoise, colorize, enlarge, inpaint and translate photos, and train the networks that do it."
)
log = logging.getLogger("img2img")
app = typer.Typer(
    name="img2img",
    help=WHAT,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Engine(StrEnum):
    """Where photos are worked on."""

    plain = "plain"
    ray = "ray"


Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")]
Precision = Annotated[
    str, typer.Option(help="auto, fp32 or bf16; auto: bf16 where the hardware has it")
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="CPU threads; one for each core by default"),
]


RecipeName = Annotated[
    str,
    typer.Argument(help="a recipe file, or the name of a shipped one", autocompletion=recipe_names),
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="key.path=value", help="changes, such as data.path=MY_PHOTOS train.steps=500"
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace files that exist")]


def _model_option(what: str) -> Any:
    return typer.Option(metavar="NAME|FILE|RUN", autocompletion=model_names, help=what)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, 2 for what a user can mend, 1 for the rest. Errors
    are one line.
    """
    _print_anything()
    answer_shells()
    with _log_on_stderr():
        try:
            words = arguments or sys.argv[1:] or ["--help"]
            code = int(app(words, standalone_mode=False, complete_var=VARIABLE) or 0)
            return _failed("interrupted", 1) if code == _CTRL_C else code
        except SystemExit as stop:
            return int(stop.code or 0)
        except UserError as error:
            return _failed(error.phrase, 2)
        except StorageError as error:
            return _failed(error.phrase, 1)
        except KeyboardInterrupt:
            return _failed("interrupted", 1)
        except Exception as error:
            if isinstance(error, OSError) and _is_mendable(error):
                return _failed(f"{error.filename or 'a file'}: {error.strerror}", 2)
            if hasattr(error, "format_message"):  # click's, which typer may bring along
                return _failed(_usage(error), 2)
            if os.environ.get("IMG2IMG_DEBUG") == "1":
                traceback.print_exc()
            return _failed(f"{one_line(error)} (IMG2IMG_DEBUG=1 shows where)", 1)


_CTRL_C = 130  # by which newer versions of typer answer it; older ones let it through


def in_flags(part: Named) -> str:
    """What a message names as it is typed here: `--mask-grow`, `img2img generate --model NAME`;
    fields of a recipe and files as they are.
    """
    match part:
        case Option() if not isinstance(part, RecipeField | TaskKind):
            flag = "--" + _FLAG_OF.get(part.name, part.name).replace("_", "-")
            return flag if part.value is None else f"{flag} {part.value}"
        case Command(verb, arguments):
            words = (word if isinstance(word, str) else in_flags(word) for word in arguments)
            return " ".join(["img2img", verb, *words])
        case _:
            from img2img.inference.urls import url_of

            return url_of(str(part))


_FLAG_OF = {"count": "n", "inputs": "input"}  # where a flag is not the name in Python


# What a user can mend of what the system refuses: too long a name, a place that may not be
# written, a full disk.
_MENDABLE = frozenset(
    getattr(errno, name, None)
    for name in (
        "ENAMETOOLONG",
        "EACCES",
        "EPERM",
        "EROFS",
        "ENOSPC",
        "EDQUOT",
        "ENOTDIR",
        "EISDIR",
    )
)


_UNPRINTED = {
    code: ascii(chr(code))[1:-1]
    for code in (
        *(*range(32), *range(127, 160)),  # C0, DEL and C1: new lines, and what terminals obey
        *(*range(0x2028, 0x202F), *range(0x2066, 0x206A)),  # ends of lines, and turns of direction
    )
}


def on_one_line(text: str) -> str:
    """A text for a terminal: what the name of a file, or what lies in it, could break its line
    with or tell the terminal is spelt out.
    """
    return text.translate(_UNPRINTED)


def _is_mendable(error: OSError) -> bool:
    """Systems refuse a name that they do not take as an invalid argument."""
    is_name = error.errno == errno.EINVAL and error.filename is not None
    return is_name or error.errno in _MENDABLE


def _typed(words: Sequence[str]) -> str:
    """Words as they are typed in this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)


def _print_anything() -> None:
    """No character of ours or of a file name ends a job where the terminal's encoding lacks it: →
    is printed as ->.
    """
    plain = {"→": "->", "×": "x", "…": "...", "–": "-", "“": '"', "”": '"', "’": "'"}

    def spelt_out(error: UnicodeError) -> tuple[str | bytes, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        character, end = error.object[error.start], error.start + 1
        return plain.get(character, ascii(character)[1:-1]), end

    codecs.register_error("spelt_out", spelt_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="spelt_out")


def _usage(error: Any) -> str:
    """A usage error of click on one line, with what to write where that is one thing."""
    line = " ".join(error.format_message().split()).rstrip(".")
    if (param := getattr(error, "param", None)) is None:
        return f"{line}; see --help"
    if param.name == "inputs" and type(error).__name__ == "MissingParameter":
        return f"{line}: write img2img infer --input PHOTO"
    if hasattr(error.__cause__, "errors"):  # pydantic's, which reads the values
        wanted, _, _ = error.__cause__.errors()[0]["type"].partition("_")
        if wanted in _NUMBERS:
            line = f"Invalid value for '{param.opts[0]}': give {_NUMBERS[wanted]}"
    return f"{line}; see --help"


_NUMBERS = {"int": "a whole number", "float": "a number"}


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback(help=WHAT)
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """What stands before the verb; `--version` ends the command."""


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: Annotated[
        str | None, typer.Option(help="the run's folder; runs/<name> by default")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on from the last checkpoint in the run's folder")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Train a recipe."""
    from img2img.cores import set_threads

    set_threads(threads)  # first: what is imported below counts its threads
    from img2img.devices import pick_device
    from img2img.files import at_home
    from img2img.recipe import Recipe
    from img2img.training import train as run

    known = Recipe.load(recipe, overrides or ())
    pick_device(device)
    folder = str(at_home(out) if out else Path("runs") / known.name)
    say = print if _is_first() else lambda _: None
    say(f"run folder: {folder}")
    try:
        summary = run(known, folder, resume=resume, device=device)
    except Interrupted as stop:
        again = ["img2img", "train", recipe, *(overrides or ()), "--out", folder, "--resume"]
        again += ["--device", device] if device != "auto" else []
        again += ["--threads", str(threads)] if threads is not None else []
        raise typer.Exit(_failed(f"{stop}. Go on with: {_typed(again)}", 1)) from None
    except TrainingError as error:
        raise typer.Exit(_failed(error.phrase, 1)) from None
    say(_summary(summary))
    use = "generate" if known.can_generate else "infer --input PHOTO"
    if summary.get("best"):
        say(f"best at step {summary['best']['step']}: {summary['best']['model']}")
    say(f"use it: img2img {use} --model {_typed([folder])}")


@app.command("check-data")
def check_data(
    recipe: RecipeName,
    overrides: Overrides = None,
    fix_list: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the files to mend or take out, one path a line"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jpg|png", help="write what was found as one picture"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Check a recipe's photos before training: pairs, broken files, copies, grey ones, … Nothing is
    changed. Exit code 2 where training would refuse them.
    """
    from img2img.data.checks import run as checks
    from img2img.recipe import Recipe

    known = Recipe.load(recipe, overrides or ())
    if sheet is not None:
        checks.check_sheet_place(sheet, known.data)
    report = checks.check_data(
        known.task,
        known.data,
        known.seed,
        fits=lambda px: known.changed([f"data.crop_px={px}"]) is not None,
        progress=_bar("looking at photos"),
    )
    _print_json(report.fields()) if as_json else print(report.text)
    if fix_list is not None:
        checks.write_fix_list(fix_list, report)
    if sheet is not None:
        checks.write_contact_sheet(sheet, report, known.data.background_for(known.task))
    if not report.can_train:
        raise typer.Exit(2)


@app.command()
def shard(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="photos, pairs, classes; train/, val/, test/")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="a new folder for shards and index")],
    shard_mb: Annotated[
        int, typer.Option(metavar="N", min=1, help="size of a shard, in 10⁶ bytes")
    ] = 256,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="leave out photos that cannot be read")
    ] = False,
) -> None:
    """Write a folder as shards (tar files, as WebDataset reads them) with an index, for data.kind
    shards. Each photo is decoded first; stopped, the same command goes on where it was.
    """
    from img2img.data.sharding import write_shards

    written = write_shards(
        folder,
        out,
        shard_bytes=shard_mb * 10**6,
        skip_broken=skip_broken,
        progress=_bar("writing shards"),
    )
    print(on_one_line(f"{folder} → {out}: {written.line}"))


@app.command()
def infer(
    inputs: Annotated[
        list[str],
        typer.Option("--input", metavar="FILE|DIR|GLOB|URL", help="photos; more may follow"),
    ],
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="further photos, as a shell expands *.jpg"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR|URL", help="photo.<task>.<ext> next to each photo by default"
        ),
    ] = None,
    task: Annotated[
        str,
        typer.Option(
            metavar="auto|none|NAME[,NAME…]",
            help="repair denoise colorize super-resolve inpaint translate; none: only saved anew, "
            "in the size and format that are asked for",
        ),
    ] = "auto",
    model: Annotated[
        str | None, _model_option("a shipped model, a model file or a run's folder")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="fill what is white, a stroke on transparent, or a class color; "
            "in a folder, matched by name",
        ),
    ] = None,
    hints: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="colors painted on the photo, for models that take them; matched by name",
        ),
    ] = None,
    mask_invert: Annotated[
        bool, typer.Option("--mask-invert", help="fill what the mask leaves out")
    ] = False,
    save_mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="also write the mask that is filled, such as the damage that repair finds; "
            "give it back with --mask once edited",
        ),
    ] = None,
    mask_grow: Annotated[int, typer.Option(metavar="PX", help="widen the mask")] = 0,
    feather: Annotated[
        int, typer.Option(metavar="PX", help="blend the fill into the photo around the mask")
    ] = 0,
    extend: Annotated[
        str, typer.Option(metavar="L,T,R,B", help="grow the canvas by these pixels and fill them")
    ] = "0,0,0,0",
    scale: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="any size out: 2, 3.5, 0.5 … times the photo's; the next larger model, then an "
            "antialiased reduction; up to 1 no model enlarges; up to 16, in two steps above 4",
        ),
    ] = None,
    longer_side: Annotated[
        int | None, typer.Option(metavar="PX", help="the same, by the longer side of the result")
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="PX", help="the same, by its width; the aspect is kept")
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            help="the same, by its height; with --width exactly that size, refused where it would "
            "distort the photo by more than 1 %",
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(metavar="0..1", help="how much of the network's change is applied")
    ] = 1.0,
    strength_mask: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR",
            help="strength by region: a grey picture of the photo's aspect, white = full, black = "
            "the photo itself; matched by name",
        ),
    ] = None,
    detail: Annotated[
        float | None,
        typer.Option(
            metavar="0..1", help="enlarging ×4: 0 is faithful, 1 crisp; faithful by default"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="for networks that draw")] = 0,
    from_photo: Annotated[
        bool, typer.Option("--from-photo", help="make the sketch from the photo first (translate)")
    ] = False,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="AtoB|BtoA", help="for models that go both ways (CycleGAN); AtoB by default"
        ),
    ] = None,
    pairs: Annotated[
        bool | None,
        typer.Option(
            "--pairs/--no-pairs",
            help="files are pairs side by side, as the model was trained on: take the half that it "
            "sees; by default where a folder's files are such pairs",
        ),
    ] = None,
    self_ensemble: Annotated[
        bool,
        typer.Option(
            "--self-ensemble", help="a little better, eight times as long (denoise, super-resolve)"
        ),
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    backend: Annotated[
        str | None,
        typer.Option(
            metavar="torch|onnx|openvino|auto",
            help="what runs the network; torch by default, and an exported file's own runtime; "
            "auto: the fastest on one tile",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="EXT",
            help="write jpg, png, tif, webp, avif …; the photo's own by default",
        ),
    ] = None,
    quality: Annotated[
        int | None, typer.Option(metavar="1..100", help="of JPEG, WebP and AVIF; 95 by default")
    ] = None,
    metadata: Annotated[
        bool,
        typer.Option(
            "--metadata/--no-metadata",
            help="keep EXIF, XMP and resolution; colors are always said",
        ),
    ] = True,
    overwrite: Overwrite = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="go on where a run that wrote into the folder of --output was ended"
        ),
    ] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="wait for more photos in the folders of --input, until Ctrl-C"
        ),
    ] = False,
    plan: Annotated[
        bool,
        typer.Option("--plan", help="say what would be done to each photo and why; do nothing"),
    ] = False,
    engine: Annotated[
        Engine,
        typer.Option(help="ray: in several processes, of one machine or of many (RAY_ADDRESS)"),
    ] = Engine.plain,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="with ray: processes; by default, all there is room"),
    ] = None,
    worker_gpus: Annotated[
        float | None,
        typer.Option(metavar="X", min=0, help="with ray: what each takes of a GPU, such as 0.25"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="JSON Lines on stdout, one object a photo")
    ] = False,
    threads: Threads = None,
) -> None:
    """Restore, enlarge, fill or translate photos."""
    _use_cores(threads, device)
    from img2img.inference.batch import FileBatch
    from img2img.inference.canvas import Canvas, parse_extend
    from img2img.inference.folder import FolderRun
    from img2img.inference.options import Options
    from img2img.inference.output_size import OutputSize
    from img2img.inference.outputs import Saving
    from img2img.inference.progress import TileLine
    from img2img.inference.request import Request, parse_tasks
    from img2img.interrupts import ended_as_by_ctrl_c

    named = [*inputs, *(more or ())]
    spread = None
    if engine is Engine.ray:
        from img2img.inference.ray_engine import RayEngine

        spread = RayEngine(workers, threads, worker_gpus)
    elif (workers, worker_gpus) != (None, None):
        several = "workers" if workers is not None else "worker_gpus"
        raise UserError("is for several", field=several, remedy=Advice.set("engine", "ray"))
    done = 0
    failed: list[Result] = []
    with _refusal_in_json(named, as_json), TileLine(wanted=not as_json) as line:
        request = Request(
            tasks=parse_tasks(task),
            model=model,
            size=OutputSize(scale, longer_side, width, height),
            detail=detail,
            options=Options(
                strength=strength,
                seed=seed,
                from_photo=from_photo,
                direction=direction,  # type: ignore[arg-type]  # any other is refused
                self_ensemble=self_ensemble,
            ),
            canvas=Canvas(mask_grow, feather, parse_extend(extend), mask_invert),
            device=device,
            precision=precision,  # type: ignore[arg-type]  # checked by Request.check
            backend=backend,  # type: ignore[arg-type]  # the same
        )
        saving = Saving(format, quality, metadata)
        photos = [] if watch else named
        batch = FileBatch(
            *(photos, request, output, mask, overwrite, hints, saving, pairs, save_mask),
            strength_mask=strength_mask,
        )
        run = FolderRun(batch, resume, named if watch else (), spread)
        results = run.plans() if plan else run.run(line.tile, line.begin)
        try:
            with ended_as_by_ctrl_c() if run.is_recorded else nullcontext(), closing(results):
                for result in results:
                    line.end()
                    _report(result, as_json, planned=plan)
                    done += not result.error
                    failed += [result] if result.error else []
        except KeyboardInterrupt:
            if not run.is_recorded:
                raise
            line.end()
            if spread is not None:  # who schedules machines goes by the code that shells have
                raise SystemExit(_failed("interrupted: --resume goes on", _CTRL_C)) from None
            if not watch:
                raise typer.Exit(_failed("interrupted: --resume goes on", 1)) from None
            bad = f" ({', '.join(one.input.name for one in failed)})" if failed else ""
            summary = f"ended: {done} photos done, {len(failed)} failed{bad}"
            print(summary, file=sys.stderr if as_json else sys.stdout, flush=True)
            return
    if failed:
        raise typer.Exit(1 if batch.several or not failed[0].mendable else 2)


@app.command()
def generate(
    model: Annotated[str, _model_option("a model that makes pictures from noise")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="- B + C", help="the rest of --arithmetic")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="K", help="a class by number or name; all in turn")
    ] = None,
    n: Annotated[int, typer.Option("--n", metavar="N", help="how many")] = 64,
    seed: Annotated[int, typer.Option(help="number i is drawn from this seed + i")] = 0,
    interpolate: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="A B", help="from one sample's seed to another's in N steps"),
    ] = None,
    arithmetic: Annotated[
        str | None,
        typer.Option(
            metavar="A - B + C", help="sums of samples' noise; 1,2,3 is the mean of three"
        ),
    ] = None,
    code: Annotated[
        int | None,
        typer.Option(
            metavar="K", help="InfoGAN: walk along this continuous code, a row a category"
        ),
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="all as one picture; <model>.generate.png by default"),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(metavar="DIR|FILE.npy", help="one PNG each, or all as one array of numbers"),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Make pictures, or points, from noise and labels."""
    _use_cores(threads, device)
    from img2img.inference import sampling
    from img2img.inference.pipeline import load

    if more and arithmetic is None:
        raise UserError(f"'{more[0]}' belongs to no option; see --help")
    sum_of_seeds = None if arithmetic is None else " ".join([arithmetic, *(more or ())])
    request = sampling.GenerateRequest(n, seed, label, interpolate, sum_of_seeds, code)
    sampling.check_places(output, grid)
    loaded = load(model, device=device, precision="fp32")
    pictures, columns = sampling.generate(loaded, request)
    task = sampling.noise_task(loaded)
    written = [name for name in (output, grid) if name is not None] or [
        str(sampling.default_grid(model))
    ]
    if output is not None:
        sampling.write_samples(task, pictures, Path(output))
    if written[-1] != output:
        sampling.write_grid(task, pictures, columns, Path(written[-1]))
    print(f"{loaded.name} → {' and '.join(written)}: {len(pictures)} made from noise")


@app.command("eval")
def evaluate(
    task: Annotated[str, typer.Option(help="whose protocol")],
    data: Annotated[str, typer.Option(metavar="DIR", help="photos to measure on")],
    model: Annotated[str | None, _model_option("the shipped ones by default")] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="table, per-photo CSV and worst cases")
    ] = None,
    baseline: Annotated[str | None, _model_option("another model to compare with")] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", help="only the first N photos")] = None,
    self_ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="a row more: the mean over flips and turns")
    ] = False,
    peers: Annotated[
        bool,
        typer.Option("--peers", help="rivals too, each in a process: their numbers, time, memory"),
    ] = False,
    device: Device = "auto",
    precision: Precision = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="the report as JSON on stdout")] = False,
    threads: Threads = None,
) -> None:
    """Measure a model against its baselines by the published protocol."""
    _use_cores(threads, device)
    from img2img.evaluation import evaluate as measure

    report = measure(
        task,
        data,
        model=model,
        out=out,
        baseline=baseline,
        device=device,
        precision=precision,  # type: ignore[arg-type]  # any other is refused
        limit=limit,
        self_ensemble=self_ensemble,
        peers=peers,
    )
    print(report.to_json()) if as_json else report.print()


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN", help="a run's folder; several are compared")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="RUN/report.html by default; for several, comparison.html"
        ),
    ] = None,
) -> None:
    """Show how a training went, or compare several: curves, samples and the doctor's verdict on one
    page.
    """
    from img2img.about import aligned
    from img2img.diagnostics.html_report import table, write_comparison
    from img2img.diagnostics.recorded_run import Run

    place = output or (runs[0] / "report.html" if len(runs) == 1 else Path("comparison.html"))
    rows = table([Run(run) for run in runs])
    write_comparison(runs, place)
    print(aligned(rows))
    print(f"report: {place}")


@app.command("app")
def serve(
    host: Annotated[
        str, typer.Option(help="address to listen on; other machines reach any but 127.0.0.1")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 7860,
    models: Annotated[
        Path | None, typer.Option(metavar="DIR", help="a folder of further model files")
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(metavar="N", help="the largest photo that is taken, and that is made")
    ] = 100.0,
    auth: Annotated[
        str | None, typer.Option(metavar="USER:PASSWORD", help="ask for these first")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="folders of photos in here may be trained on")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="another name this app is reached by; may be repeated"),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="https://NAME", help="other pages that may call it; may be repeated"),
    ] = None,
    root_path: Annotated[
        str,
        typer.Option(
            metavar="/PATH|https://NAME/PATH", help="where a proxy in front of it serves it"
        ),
    ] = "",
    quota_mb: Annotated[
        float, typer.Option(metavar="N", help="disk space for all uploads and results")
    ] = 2000.0,
    workers: Annotated[
        int,
        typer.Option(
            metavar="N", help="processes that work on photos; 0: the page's own, one at a time"
        ),
    ] = 0,
    threads: Threads = None,
) -> None:
    """Open the app in the browser: upload a photo, see the difference, keep the file."""
    from img2img.cores import set_threads

    set_threads(threads)
    from img2img_apps import Settings, launch, parse_auth

    hosts, origins = tuple(allow_host or ()), tuple(allow_origin or ())
    login = parse_auth(auth)
    launch(
        Settings(
            host,
            port,
            models,
            max_megapixels,
            login,
            data_root,
            hosts,
            origins,
            root_path,
            quota_mb,
            workers,
            threads,
        )
    )


@app.command()
def models(
    name: Annotated[
        str | None, typer.Argument(help="show this model's card", autocompletion=model_names)
    ] = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="hold all files against the SHA-256 that ships with them"),
    ] = False,
) -> None:
    """List the models, shipped and in installed packages, or show the card of one."""
    from img2img.about import model_card, models_table, verification_table

    if not verify:
        return print(model_card(name) if name else models_table())
    table, all_are_good = verification_table(name)
    print(table)
    if not all_are_good:
        raise UserError("not every model file is what was shipped", remedy="install it again")


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE", autocompletion=model_names, help="a model of other people"
        ),
    ],
    output: Annotated[str, typer.Option(metavar="F.safetensors", help="the file to write")],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="unet_256|resnet_9|…", help="pix2pix and CycleGAN: read off the file by default"
        ),
    ] = None,
    norm: Annotated[
        str | None,
        typer.Option(metavar="batch|instance|none", help="the same; instance where biases show it"),
    ] = None,
    dropout: Annotated[
        bool | None,
        typer.Option(help="the same; does not show in a U-Net, and matters in training alone"),
    ] = None,
    at_test: Annotated[
        str | None,
        typer.Option(
            metavar="running|picture",
            help="batch norm's statistics: of training (default), or of each picture, as their "
            "test without --eval",
        ),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(
            metavar="AtoB|BtoA",
            help="which half of a pair side by side it takes; AtoB (left) by default",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Keep a model of other people as a self-describing file; nothing in it is run."""
    from img2img.inference.importing import import_model
    from img2img.tasks.photo import title

    entry = import_model(
        source,
        output,
        overwrite=overwrite,
        kind=kind,
        norm=norm,  # type: ignore[arg-type]  # any other is refused
        dropout=dropout,
        at_test=at_test,  # type: ignore[arg-type]  # the same
        direction=direction,  # type: ignore[arg-type]  # the same
    )
    network = f" ({entry.card.network})" if entry.card.network else ""
    print(f"{source} → {output}: {title(entry.task)}{network}, terms: {entry.card.terms}")


@app.command()
def export(
    model: Annotated[str, _model_option("what is written")],
    format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="onnx, openvino or torchscript; safetensors (ours); esrgan, compact, span or "
            "community: as chaiNNer opens",
        ),
    ],
    output: Annotated[str, typer.Option(metavar="F", help="the file to write")],
    model_card: Annotated[
        str | None,
        typer.Option(metavar="openmodeldb|hub", help="what such a place is told of it, next to it"),
    ] = None,
    int8: Annotated[
        bool,
        typer.Option("--int8", help="8-bit convolutions (onnx, openvino); says what they cost"),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write a model for other programs; graphs are held against PyTorch first."""
    from img2img.export.exporting import export_model

    entry, note = export_model(model, format, output, model_card, int8=int8, overwrite=overwrite)
    terms = entry.card.terms or entry.card.data_terms
    print("; ".join(filter(None, (f"{entry.title} → {output}", note, f"terms: {terms}"))))


@app.command()
def recipes(
    name: Annotated[
        str | None, typer.Argument(help="print this recipe", autocompletion=recipe_names)
    ] = None,
) -> None:
    """List the shipped recipes, or print one."""
    from img2img.about import recipe_text, recipes_table

    print(recipe_text(name) if name else recipes_table())


@app.command()
def schema() -> None:
    """Print the JSON Schema of a recipe, for editors."""
    from img2img.recipe import schema_json

    print(schema_json())


@app.command()
def doctor(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="a run's folder; without: as img2img env")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Say how a run's training goes: the doctor's verdict on its log, and what helps."""
    if run is None:
        return env(as_json)
    from img2img.diagnostics.recorded_run import Run

    read = Run(run)
    if as_json:
        return _print_json(read.verdict_fields())
    print("\n".join([read.verdict, *(found.line for found in read.diagnoses)]))


@app.command()
def completion(
    shell: Annotated[Shell, typer.Argument(help="whose script is printed")],
) -> None:
    """Print the script by which a shell completes options, recipes and models, to be evaluated:
    eval "$(img2img completion bash)", or img2img completion fish | source.
    """
    print(completion_script(shell))


@app.command()
def env(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
    security: Annotated[
        bool,
        typer.Option("--security", help="instead: what could reach out, and what loads what"),
    ] = False,
    sbom: Annotated[
        bool,
        typer.Option(
            "--sbom",
            help="instead: packages and models with versions, licences and hashes, as CycloneDX",
        ),
    ] = False,
) -> None:
    """Say what this machine and installation can do."""
    from img2img.about import machine_facts, machine_report, security_report

    if sbom:
        from img2img.bill_of_materials import bill_of_materials

        return print(bill_of_materials())
    if security:
        from img2img.security import security_facts

        if not as_json:
            return print(security_report())
        return _print_json({heading: dict(lines) for heading, lines in security_facts().items()})
    _print_json(dict(machine_facts())) if as_json else print(machine_report())


@app.command()
def bench(
    what: Annotated[
        str | None,
        typer.Option(metavar="train|infer|data|io|look|folder", help="one part; all by default"),
    ] = None,
    model: Annotated[
        list[str] | None,
        _model_option("inference of this one; may be repeated; the shipped by default"),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            metavar="S", help="seconds for each measurement; larger photos are left out and named"
        ),
    ] = 60.0,
    quick: Annotated[
        bool, typer.Option("--quick", help="small sizes, once: to see that all runs")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
    threads: Threads = None,
) -> None:
    """Measure this machine: training against a plain reference, inference, data, photo files."""
    from img2img.cores import set_threads

    set_threads(threads)
    from img2img.benchmark.report import Section, as_fields, as_text
    from img2img.benchmark.run import BenchmarkRequest, measure

    request = BenchmarkRequest(what, model or (), budget, quick)  # type: ignore[arg-type]  # checked
    sections: list[Section] = []
    for section in measure(request):
        sections.append(section)
        print(end="" if as_json else f"{as_text(section)}\n", flush=True)
    if as_json:
        _print_json(as_fields(sections))


def _bar(what: str) -> Callable[[Iterator[Any], int], Iterable[Any]]:
    """Progress on a terminal's stderr, as the library takes it: given items and their number, it
    passes them on.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return lambda items, count: track(
        items, what, count, console=console, transient=True, disable=not console.is_terminal
    )


def _use_cores(threads: int | None, device: str) -> None:
    """Compute on so many threads, with a warning where a processor computes and others keep its
    cores busy meanwhile: while torch is imported, which takes a second or two.
    """
    from img2img.cores import CrowdWatch, set_threads

    watch = CrowdWatch()
    set_threads(threads)
    from img2img.devices import pick_device

    with suppress(UserError):  # the command itself refuses a device that is not here
        if pick_device(device).type == "cpu":
            watch.look()


@contextmanager
def _refusal_in_json(named: Sequence[str], as_json: bool) -> Iterator[None]:
    """With --json, an error that ends the command is an object for each input too; it is raised all
    the same.
    """
    from img2img.inference.outputs import refused_fields

    try:
        yield
    except Exception as error:
        message = error.phrase if isinstance(error, UserError) else one_line(error)
        for name in named if as_json else ():
            _print_json(refused_fields(name, message))
        raise


def _report(result: Result, as_json: bool, planned: bool = False) -> None:
    """One line for one photo: on stdout, but for errors, which are for stderr unless JSON is
    wanted.
    """
    from img2img.inference.urls import url_of

    if as_json:
        _print_json(result.fields())
    if result.error:
        _failed(result.error, 1)
    elif not as_json:
        before, after = (
            f"{size[0]}×{size[1]}" if size else "?" for size in (result.size_in, result.size_out)
        )
        sizes = "" if result.size_in == result.size_out else f"{before} → {after}, "
        took = "planned" if planned else f"{result.seconds:.1f} s"
        reason = rendered(result.reason or "", in_flags)
        files = f"{url_of(result.input)} → {url_of(result.output or '')}"
        line = f"{files}: {reason} ({sizes}{took})"
        print(on_one_line(line), flush=True)


def _print_json(fields: dict[str, object]) -> None:
    fields = {k: rendered(v, in_flags) if isinstance(v, str) else v for k, v in fields.items()}
    text = json.dumps(fields, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # also file names that are no text at all
        text = json.dumps(fields)
    print(text, flush=True)


def _summary(summary: dict[str, Any]) -> str:
    """A finished training: `200 steps in 0.8 min on 24 photos; psnr_db 27.1 (baseline 20.2)`."""
    from img2img.about import main_metric

    done = f"{summary['step']} steps in {summary['minutes']} min on {summary['photos']} photos"
    if broken := summary["left_out"]:
        named = [Path(name).name for name in list(broken)[:5]] + ["…"] * (len(broken) > 5)
        done += f", {len(broken)} of which cannot be read ({', '.join(named)})"
    return on_one_line(f"{done}; {main_metric(summary)}; model: {summary['model']}")


def _failed(message: str, code: int) -> int:
    print(f"error: {on_one_line(rendered(message, in_flags))}", file=sys.stderr, flush=True)
    return code


class _Lines(logging.Formatter):
    """Log messages as plain lines, options in them as flags."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = record.msg if isinstance(record.msg, Phrase) else record.message
        return on_one_line(rendered(text, in_flags))


@contextmanager
def _log_on_stderr() -> Iterator[None]:
    """While a command runs: the toolkit's warnings on stderr, once however many processes train.
    Other handlers of the log stay, and its level is what it was afterwards.
    """
    handler, level = logging.StreamHandler(sys.stderr), log.level
    handler.setFormatter(_Lines())
    log.addHandler(handler)
    wanted = logging.WARNING if _is_first() else logging.ERROR
    log.setLevel(logging.DEBUG if os.environ.get("IMG2IMG_DEBUG") == "1" else wanted)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)


def _is_first() -> bool:
    """Whether this is the process that prints: a launcher such as torchrun starts several."""
    return os.environ.get("RANK", "0") == "0"
