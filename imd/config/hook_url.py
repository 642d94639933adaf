"""Where a hook may be sent: http or https, and never the addresses at which a cloud tells its secrets."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

#: Services of clouds that hand out credentials to whoever can be made to ask, beside 169.254.0.0/16 and fe80::/10.
_METADATA = frozenset(map(ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")))
#: What gateways of IPv6-only networks turn into IPv4 (RFC 6052).
_NAT64 = IPv6Network("64:ff9b::/96")


def wrong_hook_url(url: str, *, allow_link_local: bool) -> str:
    """Why nothing can be sent there, as far as the text tells; empty: it can."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"is no URL: {error}"
    if parts.scheme not in ("http", "https") or not host or port == 0:
        return "is no URL; expected such as https://hooks.example.com/imd"
    if "@" in parts.netloc:
        return "holds a user or password; those who listen know us by the signature"
    if parts.fragment or not url.isascii() or any(character <= " " for character in url):
        return "holds a fragment, a space, or what is not ASCII"
    return "" if allow_link_local else wrong_hook_address(host)


def wrong_hook_address(host: str) -> str:
    """Why nothing is sent to this address; empty: it may be, or it is a name and not an address."""
    try:
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        address = _inside(address) or address
    if address.is_link_local or address in _METADATA:
        return f"{address} is link-local or a cloud's metadata service; allow_link_local permits it"
    if address.is_unspecified or address.is_multicast:
        return f"{address} is no address of a server"
    return ""


def _inside(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that is reached by way of this one, if it is of that kind."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
