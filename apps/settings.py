"""What `img2img app` was asked for, checked before anything starts."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from img2img.errors import UserError

MOST_PHOTOS = 50  # of one batch


@dataclass(frozen=True)
class Settings:
    """The flags of `img2img app`. Raises UserError on construction."""

    host: str = "127.0.0.1"
    port: int = 7860
    models: Path | None = None
    max_megapixels: float = 50.0
    auth: tuple[str, str] | None = None
    data_root: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"--port: {self.port} is not between 0 and 65535")
        if self.max_megapixels <= 0:
            raise UserError(f"--max-megapixels: {self.max_megapixels} is not more than 0")
        for flag, folder in (("--models", self.models), ("--data-root", self.data_root)):
            if folder is not None and not folder.is_dir():
                raise UserError(f"{flag}: '{folder}' is no folder")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the app."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_auth(text: str | None) -> tuple[str, str] | None:
    """`USER:PASSWORD`. Raises UserError."""
    if text is None:
        return None
    user, found, password = text.partition(":")
    if not (user and found and password):
        raise UserError("--auth: give USER:PASSWORD, neither of them empty")
    return user, password
