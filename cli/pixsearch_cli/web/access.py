"""Access rules: host names, origins, the token and the root path."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
from collections.abc import Iterable
from dataclasses import dataclass

from pixsearch.errors import UsageError

_OWN_PATHS = ("api", "duplicates", "folders", "library", "manifest.webmanifest", "static")
"""Paths that a root path may not begin with, because it would be unclear whether a proxy has removed the root path."""


@dataclass(frozen=True, slots=True)
class Access:
    """The rules for the requests that a server accepts."""

    host_names: frozenset[str]
    """Accepted names in a Host header, without the port."""
    any_address: bool
    """True if any IP address is accepted too. This is safe against DNS rebinding, which needs a host name."""
    token: str | None
    """The token that clients must send."""
    proxied_names: frozenset[str] = frozenset()
    """Accepted host names of a proxy. Its Host and port may differ from the ones that browsers see."""
    root_path: str = ""
    """The prefix of all paths, e.g. /photos."""

    def is_our_name(self, host: str) -> bool:
        name = _without_port(host)
        if name in self.host_names or name in self.proxied_names:
            return True
        return self.any_address and _is_address(name)

    def is_our_page(self, origin: str, host: str) -> bool:
        """Return whether an Origin header names this server."""
        scheme, _, authority = origin.lower().partition("://")
        if scheme not in ("http", "https"):
            return False
        return authority == host.lower() or _without_port(authority) in self.proxied_names

    def is_our_token(self, given: str) -> bool:
        """Compare tokens in constant time."""
        return self.token is None or secrets.compare_digest(given.encode(errors="replace"), self.token.encode())


def access_at(
    host: str,
    token: str | None,
    *,
    root_path: str | None = None,
    allowed_hosts: Iterable[str] = (),
    asks_for_token: bool = True,
    may_index: bool = False,
) -> Access:
    """Return the access rules of a server that listens on an address.

    The server requires a token if other machines can reach it or if it may change the library. Raises UsageError for
    an invalid path or host name, and OSError for an unknown host.
    """
    proxied_names = frozenset(map(_host_name, allowed_hosts))
    root = "" if root_path is None else _root_path(root_path)
    addresses = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    names = {"localhost", host.lower()}
    if is_local := all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in addresses):
        names |= {"127.0.0.1", "::1"}
    else:
        own = socket.gethostname().lower()
        names |= {own, f"{own.partition('.')[0]}.local", socket.getfqdn().lower()}
    is_proxied = bool(proxied_names) or root_path is not None
    if not asks_for_token:
        if may_index:
            raise UsageError(
                "--allow-index requires a token: without one, every program on this machine could change the library",
                "Omit --no-token",
            )
        if not is_local and not is_proxied:
            raise UsageError(
                f"--no-token with --host {host} exposes the photos to the whole network",
                "Omit --no-token, or use --allow-host to name the proxy that controls access",
            )
        token = None
    elif not is_local or is_proxied or may_index:
        token = token or secrets.token_urlsafe(24)
    return Access(frozenset(names), not is_local, token, proxied_names, root)


def _root_path(text: str) -> str:
    """Return the path with a leading and without a trailing slash. Raises UsageError."""
    parts = text.strip("/").split("/")
    if parts == [""]:
        return ""
    if not all(re.fullmatch(r"[\w.~-]+", part, re.ASCII) and part.strip(".") for part in parts):
        raise UsageError(f"--root-path {text!r} is not a path", "Use letters, digits and slashes, e.g. /photos")
    if parts[0] in _OWN_PATHS:
        raise UsageError(
            f"--root-path cannot begin with /{parts[0]}, which the page itself uses", "Choose another path"
        )
    return "/" + "/".join(parts)


def _host_name(text: str) -> str:
    """Return the name in the form of a Host header. Raises UsageError."""
    name = text.removeprefix("[").removesuffix("]")
    try:
        name = name if _is_address(name) else name.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[\w.:-]+", name, re.ASCII) or (":" in name and not _is_address(name)):
        raise UsageError(f"--allow-host {text!r} is not a host name", "Use a bare host name, e.g. photos.example.org")
    return name.lower()


def _without_port(host: str) -> str:
    """Return the name in a Host header, or an empty string if the header is invalid."""
    parts = re.fullmatch(r"(?:\[(?P<address>[^\]]*)\]|(?P<name>[^:@]*))(?::\d*)?", host.lower())
    return "" if parts is None else parts["address"] or parts["name"] or ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
