"""What `img2img app` was asked for, checked before anything starts."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from img2img.errors import UserError
from img2img_apps.origins import KnownOrigins, known_origins

MOST_PHOTOS = 50  # of one batch
MOST_WORKERS = 32  # each that works keeps a thread of the page's process, which has 40
MOST_UPLOAD_MB = 1000  # a file: other people's models have hundreds


@dataclass(frozen=True)
class Settings:
    """What `img2img app` is started with. Raises UserError on construction."""

    host: str = "127.0.0.1"
    port: int = 7860
    models: Path | None = None
    max_megapixels: float = 100.0  # of a photo, and of what is made of it
    auth: tuple[str, str] | None = None
    data_root: Path | None = None
    allow_hosts: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    root_path: str = ""
    quota_mb: float = 2000.0  # of all uploads and results together
    workers: int = 0  # processes that work on photos; 0: the page's own does
    threads: int | None = None  # of each worker; None: they share the cores

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError(f"{self.port} is not between 0 and 65535", field="port")
        if not 0 <= self.workers <= MOST_WORKERS:
            raise UserError(f"{self.workers} is not between 0 and {MOST_WORKERS}", field="workers")
        for name in ("max_megapixels", "quota_mb"):
            if not (number := getattr(self, name)) > 0:
                raise UserError(f"{number} is not more than 0", field=name)
        for name in ("models", "data_root"):
            folder = getattr(self, name)
            if folder is not None and not folder.is_dir():
                raise UserError(f"'{folder}' is no folder", field=name)
        if self.root_path and not re.fullmatch(r"(https?://[^/\s]+)?(/[^/\s]+)*", self.root_path):
            raise UserError(
                f"'{self.root_path}'",
                field="root_path",
                remedy="give a path such as /img2img, or https://photos.example/img2img",
            )
        assert self.known  # raises for what is no host or origin

    @cached_property
    def known(self) -> KnownOrigins:
        """The hosts and origins that are answered; the proxy's own where --root-path names it."""
        public = self.root_path if "://" in self.root_path else ""
        own = (re.sub(r"(?<=[^/:])/.*", "", public),) if public else ()
        return known_origins(self.host, self.allow_hosts, (*self.allow_origins, *own))

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
        raise UserError("give USER:PASSWORD, neither of them empty", field="auth")
    return user, password
