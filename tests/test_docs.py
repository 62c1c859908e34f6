"""What a visitor meets first: READMEs whose links lead somewhere, forms, hooks, the workflow, types
that ship.
"""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer.main
import yaml
from PIL import Image

import img2img
from img2img import cli
from img2img.recipe import Recipe

ROOT = Path(__file__).parents[1]
FOLDERS = (".github", "apps", "data", "img2img", "recipes", "tests")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))]
)
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """The names by which GitHub's headings can be linked to."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(page: Path) -> list[list[str]]:
    """The words of every `img2img …` in a page, in blocks and within lines; not where something is
    left open (…, $).
    """
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```(?:bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(
        r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    )
    lines = [*"\n".join(blocks).splitlines(), *(" ".join(code.split()) for code in inline)]
    asked = [
        line for line in lines if line.startswith("img2img ") and not re.search(r"[…$;]", line)
    ]
    return [shlex.split(line, comments=True)[1:] for line in asked]


def yaml_of(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_relative_link_and_picture_exists(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page_id(page)} links to {target}"
        if anchor:
            assert anchor in anchors(found), f"{page_id(page)} links to {target}#{anchor}"


def test_the_pages_are_found() -> None:
    """What the test above looks at: a page that is not listed could link anywhere."""
    found = {page_id(page) for page in PAGES}
    assert {"README.md", "recipes/README.md", "tests/README.md", ".github/CONTRIBUTING.md"} <= found


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=page_id)
def test_every_command_of_a_page_is_one(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its verb and options exist; what it trains is a recipe, with these changes."""
    monkeypatch.chdir(ROOT)
    verbs = typer.main.get_command(cli.app).commands
    for verb, *words in commands(page):
        if verb.startswith("-"):
            continue
        assert verb in verbs, f"{page_id(page)}: img2img {verb}"
        if not words:  # only named
            continue
        context = verbs[verb].make_context(verb, list(words))
        recipe = context.params.get("recipe", "")
        if verb == "train" and recipe != recipe.upper() and not recipe.startswith("runs/"):
            Recipe.load(recipe, context.params["overrides"] or [])


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`([\w./-]+\.(?:py|md|sh))`", text):
        if "/" not in name and page.parent in (ROOT, ROOT / ".github"):
            continue
        places = (page.parent, ROOT, ROOT / "img2img")
        assert any((place / name).is_file() for place in places), f"{page_id(page)}: {name}"


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def test_the_first_page_is_short_and_begins_with_the_two_commands() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text(encoding="utf-8").splitlines()) <= 150
    install, test = blocks(readme, "bash")
    assert "pip install" in install and "img2img infer" in install and "pytest" in test
    ci = (ROOT / ".ci/run").read_text()
    assert "run_readme_command 1" in ci and "run_readme_command 2" in ci


def test_the_python_of_the_first_page_runs() -> None:
    (code,) = blocks(ROOT / "README.md", "python")
    image = Image.fromarray(np.full((32, 40, 3), 128, np.uint8))
    mask, painted = np.zeros((32, 40), bool), np.full((32, 40, 3), 128, np.uint8)
    mask[8:16, 8:16], painted[4:9, 4:9] = True, (200, 30, 30)
    names: dict[str, Any] = {"image": image, "mask": mask, "painted": painted}
    names["x"] = torch.rand(1, 3, 32, 40)
    exec(compile(code, "README.md", "exec"), names)
    assert all(names[name].size == image.size for name in ("clean", "filled", "colored"))
    assert names["tensor"].shape == names["x"].shape


def test_the_map_shows_every_room() -> None:
    """What lies in the package has its place in img2img/README.md, and what that names exists."""
    package = ROOT / "img2img"
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    rooms |= {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    text = (package / "README.md").read_text(encoding="utf-8").partition("## Glossary")[0]
    assert sorted(room for room in rooms if f"`{room}`" not in text) == []
    named = {
        word for word in re.findall(r"`([\w./]+?)`", text) if re.search(r"^[\w.]+(/|\.py)$", word)
    }
    assert sorted(word for word in named if not (package / word).exists()) == []


def test_the_python_of_restoring_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((32, 40, 3), 128, np.uint8)).save("photo.jpg")
    (code,) = blocks(ROOT / "img2img/inference/README.md", "python")
    exec(compile(code, "img2img/inference/README.md", "exec"), {})
    with Image.open("clean.png") as clean:
        assert clean.size == (40, 32)


@pytest.mark.parametrize("folder", ["training", "diagnostics"])
def test_the_page_of_a_folder_names_its_files(folder: str) -> None:
    here = ROOT / "img2img" / folder
    text = (here / "README.md").read_text(encoding="utf-8")
    files = [path.name for path in here.glob("*.py") if path.name != "__init__.py"]
    assert sorted(name for name in files if f"`{name}`" not in text) == []


def test_the_glossary_speaks_of_classes_that_exist() -> None:
    """Of those that it names with their fields, it names all of them."""
    trees = [
        ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "img2img").rglob("*.py")
    ]
    classes = {n.name: n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}
    text = (ROOT / "img2img/README.md").read_text(encoding="utf-8").partition("## Glossary")[2]
    named = re.findall(r"`([A-Z][a-z]\w+)(?:\(([\w, ]+)\)|\.(\w+))?`", text)
    assert len(named) > 4
    for name, fields, method in named:
        body = classes[name].body
        if fields:
            own = [n.target.id for n in body if isinstance(n, ast.AnnAssign)]
            assert own == fields.split(", ")
        if method:
            assert method in [n.name for n in body if isinstance(n, ast.FunctionDef)]


def test_types_ship() -> None:
    assert (Path(img2img.__file__).parent / "py.typed").is_file()
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert "img2img" in build["targets"]["wheel"]["only-include"]
    assert not [pattern for pattern in build["exclude"] if "typed" in pattern]


def test_the_workflow_does_what_ci_does_at_home() -> None:
    (job,) = yaml_of(".github/workflows/ci.yml")["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_hooks_run_commands_that_ci_runs_too() -> None:
    (repo,) = yaml_of(".pre-commit-config.yaml")["repos"]
    assert [hook["id"] for hook in repo["hooks"]] == ["ruff", "ruff-format", "mypy"]
    ci = (ROOT / ".ci/run").read_text()
    for hook in repo["hooks"]:
        command = hook["entry"].removesuffix(" --force-exclude")
        assert f".venv/bin/{command}" in ci, f"{command} is asked of a commit, not of the whole"


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=page_id
)
def test_forms_are_of_github_s_schema(form: Path) -> None:
    fields = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert set(fields) == {"name", "description", "labels", "body"}
    for entry in fields["body"]:
        assert entry["type"] in {"textarea", "input", "dropdown", "checkboxes", "markdown"}
        assert re.fullmatch(r"[\w-]+", entry["id"]) and entry["attributes"]["label"]
    assert any(entry.get("validations", {}).get("required") for entry in fields["body"])


def test_the_citation_is_of_this_version() -> None:
    citation = yaml_of(".github/CITATION.cff")
    assert citation["cff-version"] == "1.2.0" and citation["title"] == "img2img"
    assert citation["version"] == img2img.__version__
    assert (
        tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        == img2img.__version__
    )
