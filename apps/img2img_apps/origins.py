"""Known hosts and origins: the names this app answers to, and the pages that may call it."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from img2img.errors import UserError

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:\d{1,5})?", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[^/?#@\s]+", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class KnownOrigins:
    """Names and origins that are answered, lower-case; `origins` are other pages that may call the
    app.
    """

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()

    def host(self, header: str | None) -> bool:
        """Whether a Host header names this machine: loopback, an IP address (no name can be rebound
        to it), or known.

        A client that names no host, HTTP/1.0 without a browser, is let in.
        """
        if header is None:
            return True
        name = host_name(header)
        return name is not None and (is_local(name) or name in self.hosts)

    def origin(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of this origin may call: none (no page at all), the app's own, or one that
        is allowed.
        """
        if origin is None:
            return True
        known = normal_origin(origin)
        if known is None:
            return False
        return known in self.origins or (
            host is not None and known == normal_origin(f"{known.split(':')[0]}://{host}")
        )


def known_origins(
    host: str, allow_hosts: tuple[str, ...], allow_origins: tuple[str, ...]
) -> KnownOrigins:
    """What an app that listens on `host` answers to. Raises UserError for names and origins that
    are none.
    """
    origins = frozenset(map(_checked_origin, allow_origins))
    machine = {socket.gethostname(), socket.getfqdn(), host}
    theirs = {name for origin in origins if (name := urlsplit(origin).hostname)}
    names = {
        name.lower().rstrip(".")
        for name in machine | theirs | {_checked_host(name) for name in allow_hosts}
    }
    return KnownOrigins(frozenset(names - {""}), origins)


def host_name(header: str) -> str | None:
    """The name in a Host header, lower-case, without port; None for what is no host."""
    found = _HOST.fullmatch(header.strip())
    return found[1].strip("[]").lower().rstrip(".") if found else None


def normal_origin(text: str) -> str | None:
    """`scheme://host[:port]` in lower case, without the scheme's own port; None for `null` and what
    is no origin.
    """
    if not _ORIGIN.fullmatch(text):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or host_name(parts.netloc) is None:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname.rstrip(".")
    return f"{parts.scheme}://{host}" + (
        f":{port}" if port not in (None, _PORTS[parts.scheme]) else ""
    )


def is_local(name: str) -> bool:
    """Whether a host's name cannot be rebound: an IP address, or a name of the loopback."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True


def _checked_origin(text: str) -> str:
    origin = normal_origin(text.rstrip("/"))
    if origin is None:
        raise UserError(
            f"'{text}' is no origin",
            field="allow_origin",
            remedy="give one such as https://photos.example",
        )
    return origin


def _checked_host(text: str) -> str:
    name = host_name(text)
    if name is None:
        raise UserError(
            f"'{text}' is no host name",
            field="allow_host",
            remedy="give one such as photos.example",
        )
    return name
