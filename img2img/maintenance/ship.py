"""Ship a run: `python -m img2img.maintenance.ship RUN NAME [--notes TEXT]` writes its weights into
the zoo, in half precision.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from img2img.modelfile import load_generator, save_model
from img2img.resources import zoo_dir
from img2img.zoo import model_path, shipped_models
from img2img.zoo.catalogue import CATALOGUE
from img2img.zoo.verification import write_sums

MOST_BYTES = 12_500_000


def main() -> None:
    """Read a run's model file, complete its card, and store it in half precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--notes", default="", help="limits and findings, for the card")
    parser.add_argument("--data", default="", help="what it was trained on, in words")
    parser.add_argument(
        "--terms", default="", help="the photos' terms, where the run's data.terms did not say them"
    )
    parser.add_argument("--metrics", type=Path, help="JSON file written by img2img eval")
    options = parser.parse_args()
    header, generator = load_generator(model_path(options.run))
    terms = options.terms or header.card.data_terms
    more = {
        key: value for key, value in (("notes", options.notes), ("data", options.data)) if value
    }
    if options.metrics:
        more["metrics"] = {**header.card.metrics, "eval": json.loads(options.metrics.read_text())}
    target = zoo_dir() / f"{options.name}.safetensors"
    if not header.card.metrics:
        parser.error(
            f"{options.run} was never finished: its model has no metrics and no measured tile "
            "overlap"
        )
    # this machine's folders mean nothing elsewhere
    names = tuple(Path(path).name for path in header.recipe.data.places)
    train = header.recipe.train
    # An earlier block of this run is no start of its own; what the file that ships so far began
    # with still is.
    shipped = shipped_models()
    start = train.init if train.init in shipped else None
    if start == options.name:
        start = CATALOGUE.entry(options.name).recipe.train.init
    teacher = Path(train.teacher).stem if train.teacher else None
    recipe = header.recipe.model_copy(
        update={
            "data": header.recipe.data.model_copy(
                update={"kind": "folder", "urls": (), "path": names, "terms": terms}
            ),
            "train": train.model_copy(update={"init": start, "teacher": teacher}),
        }
    )
    more |= {"data": more.get("data", ", ".join(names)), "data_terms": terms}
    save_model(target, generator, recipe, header.card.model_copy(update=more), half=True)
    write_sums()
    size = target.stat().st_size
    print(
        f"{target.name}: {size / 1e6:.1f} MB" + ("  TOO LARGE to ship" if size > MOST_BYTES else "")
    )


if __name__ == "__main__":
    main()
