"""Imports go downwards only, nothing unpickles code, and nobody but tasks branches on a task's
name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import img2img
import img2img_apps
from img2img.tasks import task_kinds

PACKAGE = Path(img2img.__file__).parent
APPS = Path(img2img_apps.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
FILES |= {f"apps/{path.relative_to(APPS).as_posix()}": path for path in sorted(APPS.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}

# Lowest first; members of a row may use each other and every row below. A new module must be given
# its place here.
LAYERS = [
    {
        "errors",
        "environment",
        "resources",
        "files",
        "explain",
        "version",
        "config",
        "conflicts",
        "optimizer",
        "arguments",
        "memory",
        "cores",
        "interrupts",
        "lock",
    },
    {"pixels"},
    {"models", "losses"},
    {"tasks", "data"},
    {"recipe"},
    {"modelfile", "modelcards", "devices"},
    {"community", "runtimes"},
    {"zoo"},
    {"diagnostics"},
    {"training", "inference"},
    {"evaluation", "export"},
    {
        "about",
        "security",
        "bill_of_materials",
        "benchmark",
        "cli",
        "completion",
        "integrations",
        "apps",
        "testing",
        "__main__",
    },
    {"maintenance"},  # left out of the wheel: nobody may need it
]
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}


def part_of(file: str) -> str:
    """`pixels/masks.py` -> `pixels`, `recipe.py` -> `recipe`."""
    return file.removesuffix(".py").split("/")[0]


def imported(tree: ast.AST) -> Iterator[str]:
    """Parts of img2img that a file imports, at its head or inside a function; `apps` is the app."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            deep = node.module == "img2img"
            modules = (
                [f"img2img.{alias.name}" for alias in node.names] if deep else [node.module or ""]
            )
        else:
            continue
        yield from (m.split(".")[1] for m in modules if m.startswith("img2img."))
        yield from ("apps" for m in modules if m.split(".")[0] == "img2img_apps")


def test_no_file_imports_the_package_as_a_whole() -> None:
    """Its public functions lie in every layer: what is used of it is named."""
    found = [
        f
        for f, tree in TREES.items()
        for n in ast.walk(tree)
        if isinstance(n, ast.Import) and any(alias.name == "img2img" for alias in n.names)
    ]
    assert [f for f in found if not f.startswith(("apps/", "maintenance/"))] == []


def test_no_file_imports_relatively() -> None:
    found = [
        f
        for f, tree in TREES.items()
        for n in ast.walk(tree)
        if isinstance(n, ast.ImportFrom) and n.level
    ]
    assert found == []


@pytest.mark.parametrize("file", [f for f in TREES if f != "__init__.py"])
def test_imports_go_downwards(file: str) -> None:
    own = part_of(file)
    assert own in HEIGHT, f"give {own} its place in LAYERS"
    assert [name for name in imported(TREES[file]) if HEIGHT[name] > HEIGHT[own]] == []


@pytest.mark.parametrize(
    ("part", "never"),
    [
        ("inference", "training"),
        ("training", "inference"),
        ("evaluation", "training"),
        ("data", "tasks"),
        ("tasks", "models"),
        ("tasks", "losses"),
        ("apps", "pixels"),
        ("apps", "models"),
        ("apps", "losses"),
    ],
)
def test_some_parts_know_nothing_of_some_others(part: str, never: str) -> None:
    users = [
        file for file, tree in TREES.items() if part_of(file) == part and never in imported(tree)
    ]
    assert users == []


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("file", TREES)
def test_nothing_unpickles_code(file: str) -> None:
    forbidden = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for node in ast.walk(TREES[file]):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {name.split(".")[0] for name in names} & forbidden
    for name, call in calls(TREES[file]):
        if name.endswith("torch.load") or name in {"np.load", "numpy.load"}:
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert given.get("weights_only") == "True" or (
                name.startswith("n") and "allow_pickle" not in given
            ), ast.unparse(call)
        assert name not in {
            "yaml.load",
            "yaml.unsafe_load",
            "eval",
            "exec",
            "accelerator.load_state",
        }, ast.unparse(call)
        assert not name.endswith(("torch.hub.load", "load_state_dict_from_url")), ast.unparse(call)


def strings(node: ast.AST) -> set[str]:
    return {
        n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }


@pytest.mark.parametrize(
    "file", [f for f in TREES if part_of(f) != "tasks" and not f.startswith("evaluation/protocol")]
)
def test_only_tasks_know_their_names(file: str) -> None:
    """Comparing, or matching, with the name of a task is a task's business that has leaked."""
    kinds = set(task_kinds())
    for node in ast.walk(TREES[file]):
        if isinstance(node, ast.Compare | ast.MatchValue):
            assert not strings(node) & kinds, f"{file}:{node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize(
    "file", [f for f in TREES if part_of(f) in ("recipe", "training", "losses", "models", "rules")]
)
def test_no_text_of_a_recipes_parts_names_a_task(file: str) -> None:
    """Which tasks suit a method or a network is asked of the tasks; examples in docstrings may."""
    documentation = {id(node.value) for node in ast.walk(TREES[file]) if isinstance(node, ast.Expr)}
    kinds = "|".join(kind for kind in task_kinds() if kind not in ("points", "generate"))  # words
    found = [
        f"{file}:{node.lineno}: {node.value}"
        for node in ast.walk(TREES[file])
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if id(node) not in documentation and re.search(rf"\b({kinds})\b", node.value)
    ]
    assert found == []


def test_pixels_alone_know_photo_codecs() -> None:
    """One door for pixels: nobody else opens or writes picture files; apps open previews that they
    made themselves.
    """
    doors = {
        "Image.open",
        "cv2.imread",
        "cv2.imwrite",
        "cv2.imdecode",
        "tifffile.imread",
        "tifffile.imwrite",
    }
    users = {
        f
        for f, tree in TREES.items()
        for name, _ in calls(tree)
        if name in doors and part_of(f) not in ("pixels", "apps")
    }
    assert users == set()


def test_pixels_alone_know_how_many_levels_a_number_has() -> None:
    """Nobody else turns whole numbers into [0,1] by 255 or 65535, and back."""
    found = [
        f"{file}:{node.lineno}: {ast.unparse(node)}"
        for file, tree in TREES.items()
        if part_of(file) != "pixels"
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        if isinstance(node.right, ast.Constant) and node.right.value in (255, 65535)
        if not isinstance(node.left, ast.Constant)
    ]
    scaled = [
        f"{file}:{call.lineno}: {ast.unparse(call)}"
        for file, tree in TREES.items()
        if part_of(file) != "pixels"
        for name, call in calls(tree)
        if name.endswith((".byte", ".astype")) and "255" in ast.unparse(call.func)
    ]
    assert found + scaled == []


def test_only_tasks_and_data_branch_on_what_a_task_is() -> None:
    """Elsewhere a task's family is asked for by its class, and the rest are its methods."""
    flags = {"from_noise", "needs_mask", "unpaired", "reads", "from_prior", "family"}
    own = ("tasks", "data")  # what a sample must hold is a question of data
    found = [
        f"{file}:{node.lineno}: {ast.unparse(node)}"
        for file, tree in TREES.items()
        if not file.startswith(own)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in flags
        if file != "testing/contract.py"
    ]
    assert found == []


def test_no_two_classes_share_a_name() -> None:
    """Searching for one, or reading a stack trace, finds one."""
    where: dict[str, list[str]] = {}
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                where.setdefault(node.name, []).append(f"{file}:{node.lineno}")
    assert {name: places for name, places in where.items() if len(places) > 1} == {}


def test_the_recipe_and_its_help_need_no_training() -> None:
    """What `--help` and reading a recipe import at their heads stays light."""
    heads = {node.names[0].name for node in TREES["cli.py"].body if isinstance(node, ast.Import)}
    heads |= {
        node.module or "" for node in TREES["cli.py"].body if isinstance(node, ast.ImportFrom)
    }
    assert not {
        h
        for h in heads
        if h.split(".")[0] in {"torch", "timm", "kornia", "accelerate", "albumentations", "gradio"}
    }
    assert {h for h in heads if h.startswith("img2img")} <= {
        *("img2img.version", "img2img.errors", "img2img.completion"),
    }
