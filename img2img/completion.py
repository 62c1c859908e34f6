"""What a shell is offered when Tab is pressed: recipes and models by name. No torch: it is asked
at every press.
"""

from __future__ import annotations

from enum import StrEnum

from typer.completion import completion_init, get_completion_script

from img2img.resources import recipes_dir

PROGRAM = "img2img"
VARIABLE = "_IMG2IMG_COMPLETE"  # by which the script of a shell asks


class Shell(StrEnum):
    """A shell that completion can be set up for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion_script(shell: Shell) -> str:
    """What the shell evaluates to have options and names of this command line completed."""
    return get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=shell.value)


def answer_shells() -> None:
    """Have the command line answer the scripts, each in the words of its shell."""
    completion_init()


def recipe_names(incomplete: str) -> list[str]:
    """Shipped recipes; where nothing fits, shells go on to files."""
    names = sorted(path.stem for path in recipes_dir().glob("*.yaml"))
    return [name for name in names if name.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """Shipped models and those of installed packages; where nothing fits, shells go on to files."""
    from img2img.community.packages import package_models
    from img2img.zoo import shipped_models

    names = [*shipped_models(), *sorted(package_models())]
    return [name for name in names if name.startswith(incomplete)]
