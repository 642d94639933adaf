"""The PROXY protocol, versions 1 and 2: what a proxy says of a TCP connection before its first byte.

https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt. Sans-I/O: feed the beginning of the stream, until there is
an answer. Whether a header is to be expected is never guessed from the bytes (section 2): a client could send one, too.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import NamedTuple

from imd.wire.trusted_proxies import normal_address

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_FIXED = Struct("!12sBBH")
_V1 = b"PROXY "
#: Section 2.1: "a 108-byte buffer is always enough", its CRLF included.
_V1_MAX_BYTES = 107
#: Addresses, and extensions such as the name of a certificate, which nobody here reads.
_V2_MAX_BODY_BYTES = 2048

_LOCAL, _PROXY = 0, 1
#: Family and transport -> bytes of one address; 0: there is none that would say something here.
_ADDRESS_BYTES = {0x11: 4, 0x21: 16, 0x31: 0, 0x00: 0}
_V1_KINDS: dict[bytes, type[IPv4Address | IPv6Address]] = {b"TCP4": IPv4Address, b"TCP6": IPv6Address}


class MalformedProxyHeader(ValueError):
    """The stream does not begin with a PROXY header; the message says how."""


class ProxyHeader(NamedTuple):
    """``host`` is where the client is; empty: the proxy speaks for itself, as health checks do."""

    host: str
    size_bytes: int


def parse(data: bytes) -> ProxyHeader | None:
    """The header at the beginning of ``data``; None: more is needed.

    :raises MalformedProxyHeader: it is none.
    """
    if data[:1] == _V1[:1]:
        return _version_1(data)
    if data[: len(_SIGNATURE)] != _SIGNATURE[: len(data)]:
        raise MalformedProxyHeader("it begins with something else")
    return _version_2(data)


def _version_1(data: bytes) -> ProxyHeader | None:
    line, end, _ = data[:_V1_MAX_BYTES].partition(b"\r\n")
    if not (line.startswith(_V1) or (not end and _V1.startswith(line))):
        raise MalformedProxyHeader("it begins with something else")
    if not end:
        if len(data) >= _V1_MAX_BYTES:
            raise MalformedProxyHeader("the line does not end")
        return None
    size_bytes = len(line) + 2
    words = line.split(b" ")
    if words[1] == b"UNKNOWN":
        return ProxyHeader("", size_bytes)
    kind = _V1_KINDS.get(words[1])
    if kind is None or len(words) != 6 or not all(_is_port(port) for port in words[4:]):
        raise MalformedProxyHeader("the line is not: PROXY TCP4|TCP6 source destination port port")
    try:
        source, _destination = (kind(word.decode("ascii")) for word in words[2:4])
    except ValueError:
        raise MalformedProxyHeader("its addresses cannot be read") from None
    return ProxyHeader(_normal(str(source)), size_bytes)


def _is_port(word: bytes) -> bool:
    return word.isdigit() and len(word) <= 5 and int(word) <= 65_535


def _version_2(data: bytes) -> ProxyHeader | None:
    if len(data) < _FIXED.size:
        return None
    _, version_and_command, kind, body_bytes = _FIXED.unpack_from(data)
    version, command = version_and_command >> 4, version_and_command & 0x0F
    address_bytes = _ADDRESS_BYTES.get(kind)
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise MalformedProxyHeader(f"version {version}, command {command} are unknown")
    if body_bytes > _V2_MAX_BODY_BYTES:
        raise MalformedProxyHeader(f"it has {body_bytes} bytes, more than {_V2_MAX_BODY_BYTES}")
    size_bytes = _FIXED.size + body_bytes
    if command == _PROXY and (
        address_bytes is None or body_bytes < 2 * address_bytes + 4 * bool(address_bytes)
    ):
        raise MalformedProxyHeader(
            f"family and transport {kind:#04x} with {body_bytes} bytes are no TCP addresses"
        )
    if len(data) < size_bytes:
        return None
    if command == _LOCAL or not address_bytes:
        return ProxyHeader("", size_bytes)
    source = data[_FIXED.size : _FIXED.size + address_bytes]
    return ProxyHeader(_normal(str(ip_address(source))), size_bytes)


def _normal(host: str) -> str:
    return str(normal_address(host))
