"""A training of the page, in a process of its own: what `img2img train` does, and errors in the
words of the page.

    python -m img2img_apps.train_process RECIPE FOLDER start|resume [key.path=value …]
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from img2img.errors import Interrupted, TrainingError, UserError, rendered
from img2img.interrupts import heed_interrupts
from img2img.recipe import Recipe
from img2img.training import train
from img2img_apps.wording import on_page

ERROR = "error: "
"""Before the line that says why a training ended."""


def main(arguments: Sequence[str]) -> int:
    """Train, and return the exit code that the command line gives: 2 for what a user can mend."""
    recipe, folder, begin, *overrides = arguments
    try:
        train(Recipe.load(recipe, overrides), folder, resume=begin == "resume")
    except UserError as error:
        return _failed(error.phrase, 2)
    except TrainingError as error:
        return _failed(error.phrase, 1)
    except Interrupted as stop:
        return _failed(str(stop), 1)
    except KeyboardInterrupt:
        return _failed("stopped before the first step", 1)
    except OSError as error:
        named = f"{Path(error.filename).name}: " if error.filename else ""
        return _failed(f"{named}{error.strerror}", 1)
    except Exception as error:
        traceback.print_exc()  # for whoever reads app.log
        return _failed(" ".join(f"{type(error).__name__}: {error}".split()), 1)
    return 0


def _failed(message: str, code: int) -> int:
    print(f"{ERROR}{rendered(message, on_page)}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    heed_interrupts()
    raise SystemExit(main(sys.argv[1:]))
