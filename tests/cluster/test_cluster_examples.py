"""The examples for SLURM, Kubernetes and SkyPilot: what they say to the cluster, to torchrun and to
`img2img train`; in the slow tests two machines, with stand-ins for the cluster's own programs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import yaml
from torch.distributed.run import get_args_parser

import img2img
from img2img.cli import main
from img2img.diagnostics.runlog import read_rows
from img2img.recipe import Recipe

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")

EXAMPLES = Path(img2img.__file__).parent / "cluster"
SLURM, JOBSET, SKYPILOT = (
    EXAMPLES / name for name in ("slurm.sbatch", "jobset.yaml", "skypilot.yaml")
)
PHOTOS = Path(img2img.__file__).parents[1] / "data/samples"

# Of https://slurm.schedmd.com/sbatch.html: what each option takes.
SBATCH: dict[str, str] = {
    "job-name": r"\S+",
    "nodes": r"\d+(-\d+)?",
    "ntasks-per-node": r"\d+",
    "gpus-per-node": r"([a-z]\w*:)?\d+",
    "cpus-per-task": r"\d+",
    "mem": r"\d+[KMGT]?",
    "time": r"(\d+-)?\d{1,2}:\d\d:\d\d",
    "signal": r"(R|B|RB)?:?(\d+|[A-Z]+\d?)(@\d+)?",
    "requeue": r"",
    "open-mode": r"append|truncate",
    "output": r"[\w%./-]+",
}


def an_object(required: str = "", **properties: Any) -> dict[str, Any]:
    """A schema of an object with these fields and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def many(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": 1}


TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
DNS_LABEL = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
QUANTITY = {"type": ["string", "integer"], "pattern": r"^\d+(\.\d+)?(m|[kMGT]i?|Ki)?$"}
QUANTITIES = {"type": "object", "additionalProperties": QUANTITY}
STRINGS = {"type": "object", "additionalProperties": TEXT}
PATH = {"type": "string", "pattern": "^/"}

# Of Kubernetes' core/v1 and batch/v1, and of JobSet's v1alpha2.
CONTAINER = an_object(
    "name image",
    name=DNS_LABEL,
    image=TEXT,
    command=many(TEXT),
    args=many(TEXT),
    env=many(
        an_object(
            "name",
            name=TEXT,
            value=TEXT,
            valueFrom=an_object("fieldRef", fieldRef=an_object("fieldPath", fieldPath=TEXT)),
        )
    ),
    ports=many(an_object("containerPort", containerPort={**NUMBER, "maximum": 65535})),
    resources=an_object(requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=many(an_object("name mountPath", name=DNS_LABEL, mountPath=PATH, readOnly=FLAG)),
)
POD = an_object(
    "containers restartPolicy",
    restartPolicy={"enum": ["Never", "OnFailure"]},
    terminationGracePeriodSeconds=NUMBER,
    containers=many(CONTAINER),
    volumes=many(
        an_object(
            "name",
            name=DNS_LABEL,
            persistentVolumeClaim=an_object("claimName", claimName=DNS_LABEL, readOnly=FLAG),
            emptyDir=an_object(medium={"enum": ["", "Memory"]}, sizeLimit=QUANTITY),
        )
    ),
)
JOB = an_object(
    "template",
    parallelism=NUMBER,
    completions=NUMBER,
    backoffLimit=NUMBER,
    template=an_object("spec", spec=POD),
)
JOB_SET = an_object(
    "apiVersion kind metadata spec",
    apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
    kind={"const": "JobSet"},
    metadata=an_object("name", name=DNS_LABEL, namespace=DNS_LABEL),
    spec=an_object(
        "replicatedJobs",
        failurePolicy=an_object(maxRestarts=NUMBER),
        replicatedJobs=many(
            an_object(
                "name template", name=DNS_LABEL, replicas=NUMBER, template=an_object(spec=JOB)
            )
        ),
    ),
)

# Of https://docs.skypilot.co/en/latest/reference/yaml-spec.html.
BUCKET = an_object(
    "source",
    source={"type": "string", "pattern": "^(s3|gs|r2)://"},
    mode={"enum": ["MOUNT", "COPY", "MOUNT_CACHED"]},
)
TASK = an_object(
    "run",
    name=TEXT,
    num_nodes=NUMBER,
    workdir=TEXT,
    resources=an_object(
        accelerators={"type": "string", "pattern": r"^\w[\w-]*:\d+$"},
        use_spot=FLAG,
        disk_size=NUMBER,
        job_recovery=an_object(strategy=TEXT, max_restarts_on_errors=NUMBER),
    ),
    envs=STRINGS,
    file_mounts={"type": "object", "additionalProperties": BUCKET},
    setup=TEXT,
    run=TEXT,
)


class Machine(NamedTuple):
    """What a cluster runs on one of its machines: words of bash, or a command, with variables."""

    command: list[str]
    variables: dict[str, str]


def job_set() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(JOBSET.read_text())
    return found


def task() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(SKYPILOT.read_text())
    return found


def slurm_machine(_: int) -> Machine:
    """A job's script, which runs once: its srun starts both."""
    named = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "4321"}
    gpus = {"SLURM_GPUS_ON_NODE": "4"}
    return Machine(["bash", str(SLURM)], {**named, **gpus, "PHOTOS": "/photos", "RUN": "/run"})


def jobset_machine(number: int) -> Machine:
    """A pod: Kubernetes puts its variables in place."""
    (job,) = job_set()["spec"]["replicatedJobs"]
    (container,) = job["template"]["spec"]["template"]["spec"]["containers"]
    given = {each["name"]: str(number) for each in container["env"]}
    words = [*container["command"], *container["args"]]
    return Machine([re.sub(r"\$\((\w+)\)", lambda m: given[m[1]], word) for word in words], {})


def skypilot_machine(number: int) -> Machine:
    found = task()
    named = {"SKYPILOT_NUM_NODES": str(found["num_nodes"]), "SKYPILOT_NODE_RANK": str(number)}
    gpus = {"SKYPILOT_NUM_GPUS_PER_NODE": found["resources"]["accelerators"].split(":")[1]}
    addresses = {"SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.2"}
    return Machine(["bash", "-c", found["run"]], {**named, **gpus, **addresses, **found["envs"]})


MACHINES = {"slurm": slurm_machine, "jobset": jobset_machine, "skypilot": skypilot_machine}


def programs(folder: Path, **scripts: str) -> dict[str, str]:
    """Programs that a cluster has, in front of all others; what variables find them."""
    folder.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (folder / name).chmod(0o755)
    home = {"HOME": str(folder)}  # in which the setup of SkyPilot's example would install
    return {**os.environ, **home, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def test_scripts_are_bash() -> None:
    for script in (SLURM.read_text(), task()["setup"], task()["run"]):
        done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True)
        assert done.returncode == 0 and not done.stderr, done.stderr


def test_slurms_options_are_sbatchs() -> None:
    lines = SLURM.read_text().splitlines()
    found = [line for line in lines if line.startswith("#SBATCH")]
    options = dict(re.fullmatch(r"#SBATCH --([\w-]+)=?(.*)", line).groups() for line in found)  # type: ignore[union-attr]  # None fails the test
    assert len(options) == len(found) and options.keys() <= SBATCH.keys()
    for name, value in options.items():
        assert re.fullmatch(SBATCH[name], value), (name, value)
    commands = [n for n, line in enumerate(lines) if line and not line.startswith("#")]
    assert max(lines.index(line) for line in found) < commands[0]  # sbatch reads no further
    assert options["ntasks-per-node"] == "1" and options["signal"].startswith("TERM")


def test_the_job_set_is_one() -> None:
    found = job_set()
    jsonschema.validate(found, JOB_SET)
    (job,) = found["spec"]["replicatedJobs"]
    batch = job["template"]["spec"]
    pod = batch["template"]["spec"]
    (container,) = pod["containers"]
    assert batch["parallelism"] == batch["completions"]
    assert {each["name"] for each in container["volumeMounts"]} == {
        each["name"] for each in pod["volumes"]
    }
    options = get_args_parser().parse_args(jobset_machine(1).command[1:])
    # jobset-job-job's index-pod's index.subdomain, which is the jobset's name
    assert options.master_addr == f"{found['metadata']['name']}-{job['name']}-0-0.img2img"
    assert options.master_port == container["ports"][0]["containerPort"]
    assert options.nnodes == str(batch["completions"]) and options.node_rank == 1
    assert int(options.nproc_per_node) == container["resources"]["limits"]["nvidia.com/gpu"]
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    for path in re.findall(r"=(/\w+)", " ".join(container["args"])):
        assert path in mounts


def test_the_task_of_skypilot_is_one() -> None:
    found = task()
    jsonschema.validate(found, TASK)
    for folder in found["envs"].values():
        assert any(Path(folder).is_relative_to(mount) for mount in found["file_mounts"])


def test_a_field_that_there_is_not_is_found() -> None:
    for found, schema, place in (
        (job_set(), JOB_SET, ("spec", "replicatedJobs", 0, "template", "spec")),
        (task(), TASK, ("resources",)),
    ):
        part: Any = found
        for name in place:
            part = part[name]
        part["gpu"] = 4
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(found, schema)


@pytest.mark.parametrize("name", MACHINES)
def test_torchrun_and_train_take_the_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = programs(
        tmp_path / "bin",
        scontrol="printf 'node1\\nnode2\\n'",
        srun='[[ $1 == --* ]] && shift; exec "$@"',
        torchrun='printf "%s\\n" "$@"',
    )
    command, variables = MACHINES[name](1)
    done = subprocess.run(command, capture_output=True, text=True, env={**env, **variables})
    assert done.returncode == 0, done.stderr
    options = get_args_parser().parse_args(done.stdout.splitlines())
    assert (options.nnodes, options.nproc_per_node) == ("2", "4")
    assert options.module and options.training_script == "img2img"
    if name == "slurm":
        assert options.rdzv_endpoint == "node1:24321"

    runs = []

    def train(recipe: Recipe, out: str, **named: Any) -> dict[str, Any]:
        runs.append((recipe, out, named))
        return {"step": 0, "minutes": 0, "photos": 0, "model": ""}

    monkeypatch.setattr("img2img.training.train", train)
    monkeypatch.setattr("img2img.cli._summary", str)
    assert main(options.training_script_args) == 0
    ((recipe, out, named),) = runs
    assert recipe.name == "denoise" and recipe.data.path == ("/photos",)
    assert named["resume"] and Path(out).is_absolute()
    assert recipe.build_generator() is not None


SHORT = ("train.batch_size=1", "train.log_every=1", "data.crop_px=32", "data.validation_max=1")
SMALL = (
    "train.warmup_steps=0",
    "generator.widths=[8, 8]",
    "generator.blocks=[1, 1]",
    "train.precision=fp32",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["slurm", "skypilot"])
def test_two_machines_train_one_model_and_go_on(name: str, tmp_path: Path) -> None:
    """The scripts as they stand, both on this machine; only their cluster is a stand-in."""
    torchrun = f'exec {sys.executable} -m torch.distributed.run "$@"'
    both = 'shift; for n in 0 1; do "$@" & started+=($!); done'
    each = "for process in ${started[@]}; do wait $process; done"
    env = programs(
        tmp_path / "bin",
        scontrol="printf 'localhost\\nlocalhost\\n'",
        srun=f"set -e; {both}; {each}",
        torchrun=torchrun,
    )
    one = {"PROCESSES": "1", "SKYPILOT_NUM_GPUS_PER_NODE": "1", "OMP_NUM_THREADS": "1"}
    here = {"PHOTOS": str(PHOTOS), "RUN": str(tmp_path / "run"), **one}

    def run(steps: int) -> str:
        extra = [*SHORT, *SMALL, f"train.steps={steps}"]
        started = []
        for machine in range(1 if name == "slurm" else 2):
            command, variables = MACHINES[name](machine)
            if name == "slurm":
                command = [*command, *extra]
            else:
                words = " ".join(f"'{word}'" for word in extra)
                command = [*command[:-1], f"{command[-1].rstrip()} {words}"]
            started.append(
                subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env={**env, **variables, **here},
                )
            )
        said = [each.communicate(timeout=600)[0] for each in started]
        assert [each.returncode for each in started] == [0] * len(started), said
        return "".join(said)

    assert "no checkpoint" in run(2)
    assert "resumed from step 2" in run(3)
    rows = read_rows(tmp_path / "run/log.jsonl")
    assert rows[-1]["step"] == 3 and rows[-1]["images"] == 6  # of two processes
    facts = json.loads(next((tmp_path / "run/checkpoints").glob("*3.json")).read_text())
    assert facts["processes"] == 2
