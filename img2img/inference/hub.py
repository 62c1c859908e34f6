"""A model as a folder of the Hugging Face Hub's form, and its upload."""

from __future__ import annotations

import importlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from img2img.errors import Phrase, UserError, one_line
from img2img.files import write_text
from img2img.modelcards import hub_card, hub_config
from img2img.modelfile import Header, save_model

if TYPE_CHECKING:
    from img2img.inference.pipeline import Model

MODEL = "model.safetensors"


def save_folder(model: Model, folder: Path) -> Path:
    """Write model file, `config.json` and, where there is none yet, the card."""
    header = Header(recipe=model.recipe, card=model.card)
    save_model(folder / MODEL, model.generator, model.recipe, model.card)
    config = json.dumps(hub_config(header), indent=2, ensure_ascii=False)
    write_text(folder / "config.json", f"{config}\n")
    if not (folder / "README.md").exists():  # somebody may have written more
        write_text(folder / "README.md", hub_card(header, model.name))
    return folder


def model_folder(name: str | Path) -> Path:
    """A folder with a model in it. Raises UserError for anything else: nothing is fetched."""
    folder = Path(name)
    if not (folder / MODEL).is_file():
        raise UserError(
            Phrase("'", folder, f"' is no folder with a {MODEL}, and nothing is fetched"),
            remedy="download it first, for instance with `hf download`",
        )
    return folder


def push(model: Model, repo_id: str, *, private: bool, token: str | None) -> str:
    """Upload a model as such a folder; returns the address of the commit.

    Raises UserError where huggingface_hub is not installed, is offline (the default), or refuses.
    """
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise UserError(
            "the Hub needs huggingface_hub", remedy="pip install 'img2img[hub]'"
        ) from error
    api = hub.HfApi(token=token)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = save_folder(model, Path(temporary))
            api.create_repo(repo_id, private=private, exist_ok=True)
            message = f"{model.name}, a model of img2img"
            done = api.upload_folder(
                repo_id=repo_id, folder_path=str(folder), commit_message=message
            )
    except hub.errors.OfflineModeIsEnabled as error:
        raise UserError(
            f"'{repo_id}' is not pushed: img2img works offline",
            remedy="start with HF_HUB_OFFLINE=0 in the environment",
        ) from error
    except (OSError, ValueError) as error:  # its own errors are these
        raise UserError(f"'{repo_id}' is not pushed: {one_line(error)}") from error
    return str(getattr(done, "commit_url", done))
