"""Addresses as one text: ``127.0.0.1:7700``, ``[::1]:7700``, and for what we connect to ``db.example.com:3306``."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

EXPECTED = "IP:PORT, such as 127.0.0.1:7700, 0.0.0.0:7700 or [::]:7700"
EXPECTED_NETWORK = (
    "an address or a network without bits behind its mask, such as 127.0.0.1, 10.1.2.0/24 or fd00::/8"
)
EXPECTED_HOST = "HOST:PORT, such as 127.0.0.1:4222 or db.example.com:3306"

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?\Z")


class Address(NamedTuple):
    """An IP address of this machine and a port; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_public(self) -> bool:
        """Whether others than this machine may reach it."""
        return not ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address in ``text``; ``localhost`` is 127.0.0.1, so that nothing has to be resolved.

    :raises ValueError: says what is wrong with it.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("has no address before the port" if colon else "has no port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("needs its IPv6 address in brackets")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        host = str(ip_address(host))
    except ValueError:
        raise ValueError(f"{host!r} is not an IP address") from None
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError(f"port {port!r} is not a number from 0 to 65535")
    return Address(host, int(port))


def parse_host(text: str) -> tuple[str, int]:
    """Host (a name or an IP address) and port of a server.

    :raises ValueError: says what is wrong with it.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError("has no host before the port" if colon else "has no port")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        try:
            ip_address(host)
        except ValueError:
            raise ValueError("is not an IPv6 address in brackets") from None
    elif not _HOST_NAME.match(host):
        raise ValueError("has no host that could be one")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise ValueError("has no port from 1 to 65535")
    return host, int(port)


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """A network, or one address.

    :raises ValueError: says what is wrong with it.
    """
    try:
        network = ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no network") from None
    if not network.prefixlen:
        raise ValueError(f"{text} is everybody")
    return network


def is_this_machine(host: str) -> bool:
    """Whether nobody else is on the way to a host: a name other than localhost may be anywhere."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
