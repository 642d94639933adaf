"""Whose word counts for where a client is: that of one's own proxies, and nobody else's.

Limits by address, and the addresses in the audit log, are worth what they rest on. A proxy hides its clients behind its
own address and says in a header who they are; but anybody can write such a header. So it counts only on connections from
networks that the operator named, and of a list of addresses only what such proxies have put there: it is read from its
end, and the first one that is not a proxy of ours is the client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

#: The two that there are; a proxy sets one, and passes the other on as the client wrote it.
X_FORWARDED_FOR = "X-Forwarded-For"
FORWARDED = "Forwarded"
#: So many proxies on a way are looked through; what is left of them is the client's own invention.
MAX_HOPS = 16

_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*("?)([^";,]*)\1\s*(?:;|$)', re.IGNORECASE)
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.%]+)\](?::\w+)?|(\d+\.\d+\.\d+\.\d+)(?::\w+)?")


class TrustedProxies:
    """Networks of proxies, and the header in which those that speak HTTP name a client."""

    def __init__(self, networks: Sequence[Network] = (), *, header: str = X_FORWARDED_FOR) -> None:
        self._networks = tuple(networks)
        self._header = header

    @property
    def header(self) -> str:
        """Its name; values of several are joined by commas."""
        return self._header

    def __bool__(self) -> bool:
        return bool(self._networks)

    def trusts(self, host: str) -> bool:
        """Whether a proxy of ours is there."""
        address = normal_address(host)
        return address is not None and self._is_ours(address)

    def client_of(self, peer: str, header: str | None) -> str:
        """Where the client of an HTTP request is.

        :param peer: who opened the connection.
        :param header: what came as the header of that name; None: nothing.
        """
        if not self._networks or not header or not self.trusts(peer):
            return peer
        client = peer
        for entry in reversed(header.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            address = self._address_in(entry)
            if address is None:
                # Whoever wrote this does not say; it came over the one before.
                return client
            client = str(address)
            if not self._is_ours(address):
                return client
        return client

    def _address_in(self, entry: str) -> IPv4Address | IPv6Address | None:
        if self._header == FORWARDED:
            found = _FOR.search(entry)
            if found is None:
                return None
            entry = found[2]
        entry = entry.strip()
        with_port = _WITH_PORT.fullmatch(entry)
        return normal_address((with_port[1] or with_port[2]) if with_port else entry)

    def _is_ours(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._networks if network.version == address.version)


def normal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address in its own family, even where it came over a socket of both; None: it is none."""
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
