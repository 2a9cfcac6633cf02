"""The proxies whose X-Forwarded-For and X-Forwarded-Proto headers are trusted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from pixsearch.errors import UsageError

_THIS_MACHINE = ("127.0.0.0/8", "::1")
_IPV4_IN_IPV6 = "::ffff:0.0.0.0"
"""The 96-bit prefix of the address of an IPv4 peer on an IPv6 socket."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """The networks of the trusted proxies."""

    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]

    def __contains__(self, address: str) -> bool:
        try:
            peer = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(peer in network for network in self.networks)


def proxies_at(addresses: Iterable[str] = ()) -> Proxies:
    """Return the trusted proxies: this machine, and the given addresses and networks. Raises UsageError."""
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for address in (*_THIS_MACHINE, *addresses):
        try:
            network = ipaddress.ip_network(address)
        except ValueError as error:
            raise UsageError(
                f"--trust-proxy {address!r} is not an address or a network",
                "Use e.g. 10.0.0.5 or 10.0.0.0/24",
            ) from error
        networks.append(network)
        if isinstance(network, ipaddress.IPv4Network):
            in_ipv6 = int(ipaddress.IPv6Address(_IPV4_IN_IPV6)) + int(network.network_address)
            networks.append(ipaddress.IPv6Network((in_ipv6, 96 + network.prefixlen)))
    return Proxies(tuple(networks))
