"""The network addresses of this machine, and QR codes for them."""

from __future__ import annotations

import fcntl
import io
import ipaddress
import socket
import struct
import sys
from typing import TextIO

import segno

_GET_ADDRESS = 0xC0206921 if sys.platform == "darwin" else 0x8915
"""SIOCGIFADDR. The result has the address at the same offset on Linux and macOS."""
_TOWARDS_THE_INTERNET = ("192.0.2.1", 9)
"""An address reserved for documentation (RFC 5737). Nothing is sent: a UDP socket only looks up the route."""
_DARK_ON_LIGHT = "\x1b[97;40m{}\x1b[0m"
"""Colours with a light background, which cameras need to read a QR code, whatever the terminal's colours are."""


def names_of(host: str) -> list[str]:
    """Return the host names and addresses at which a server that listens on `host` can be reached; at least one."""
    try:
        is_everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_everywhere = False
    if is_everywhere:
        return own_addresses() or [socket.gethostname()]
    return [f"[{host}]" if ":" in host else host]


def own_addresses() -> list[str]:
    """Return the IPv4 addresses at which other machines can reach this one, the address facing the internet first."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, interface in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(asking, _GET_ADDRESS, struct.pack("256s", interface.encode()))
            except OSError:  # the interface has no address
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
        try:
            asking.connect(_TOWARDS_THE_INTERNET)
            found.insert(0, asking.getsockname()[0])
        except OSError:  # there is no route
            pass
    return [address for address in dict.fromkeys(found) if not address.startswith("127.")]


def qr_code(text: str) -> str:
    """Return a QR code as lines of block characters."""
    drawn = io.StringIO()
    segno.make_qr(text, error="l").terminal(drawn, border=2, compact=True)
    return "\n".join(_DARK_ON_LIGHT.format(line) for line in drawn.getvalue().splitlines())


def shows_blocks(stream: TextIO) -> bool:
    """Return whether the stream's encoding has the block characters of `qr_code`."""
    try:
        "█▀▄".encode(stream.encoding)
    except UnicodeEncodeError:
        return False
    return True
