"""The PROXY protocol, by the examples and limits of its specification."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.wire.proxy_header import MalformedProxyHeader, ProxyHeader, parse

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
TCP4 = bytes.fromhex("c0a80001 c0a8000b dc04 01bb")
TCP6 = bytes.fromhex("20010db8000000000000000000000001 20010db8000000000000000000000002 dc04 01bb")
MAPPED = bytes.fromhex("00000000000000000000ffffc0a80001 20010db8000000000000000000000002 dc04 01bb")


def version_2(kind: int, body: bytes, *, command: int = 0x21) -> bytes:
    """A header in the binary form."""
    return SIGNATURE + bytes([command, kind]) + len(body).to_bytes(2, "big") + body


GOOD = [
    (b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n", "2001:db8::1"),
    (b"PROXY TCP6 ::ffff:192.168.0.1 ::1 1 2\r\n", "192.168.0.1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", ""),
    (version_2(0x11, TCP4), "192.168.0.1"),
    (version_2(0x21, TCP6), "2001:db8::1"),
    (version_2(0x21, MAPPED), "192.168.0.1"),
    # With an extension behind the addresses: the name that the client asked for in TLS.
    (version_2(0x11, TCP4 + b"\x02\x00\x03abc"), "192.168.0.1"),
    (version_2(0x31, bytes(216)), ""),
    (version_2(0x00, b""), ""),
    # A health check: LOCAL, whatever the rest says.
    (version_2(0x11, TCP4, command=0x20), ""),
    (version_2(0x00, b"", command=0x20), ""),
]
BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x0a\x12hello frame",
    b"PROXY TCP5 192.168.0.1 192.168.0.11 56324 443\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443 1\r\n",
    b"PROXY TCP4 192.168.0.999 192.168.0.11 56324 443\r\n",
    b"PROXY TCP4 2001:db8::1 2001:db8::2 56324 443\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 -1 443\r\n",
    b"PROXY TCP4 192.168.0.1 192.168.0.11 65536 443\r\n",
    b"PROXY  TCP4 192.168.0.1 192.168.0.11 1 2\r\n",
    b"PROXY\r\n",
    b"PROXY TCP4 " + b"1" * 100,
    version_2(0x11, TCP4, command=0x11),
    version_2(0x11, TCP4, command=0x22),
    version_2(0x12, TCP4),
    version_2(0x11, TCP4[:-1]),
    version_2(0x21, TCP4),
    version_2(0x11, TCP4 + bytes(2100)),
]


class Parsing(SynchronousTestCase):
    """``parse``."""

    def test_good(self) -> None:
        """What the specification allows is read, with whatever follows it left alone."""
        for header, host in GOOD:
            for rest in (b"", b"PROXY TCP4 6.6.6.6 6.6.6.6 1 1\r\n", SIGNATURE):
                self.assertEqual(parse(header + rest), ProxyHeader(host, len(header)), header)

    def test_piecemeal(self) -> None:
        """Cut anywhere, more is asked for, and nothing is concluded."""
        for header, _ in GOOD:
            for size in range(len(header)):
                self.assertIsNone(parse(header[:size]), (header, size))

    def test_bad(self) -> None:
        """Anything else is refused, from its first bytes if they say so."""
        for header in BAD:
            with self.assertRaises(MalformedProxyHeader, msg=header):
                parse(header)

    @given(
        st.binary(max_size=300),
        st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"!\x11"]),
    )
    def test_anything(self, data: bytes, beginning: bytes) -> None:
        """Whatever comes, it is read, refused, or more is wanted; never an unbounded amount more."""
        with contextlib.suppress(MalformedProxyHeader):
            header = parse(beginning + data)
            if header is not None:
                self.assertLessEqual(header.size_bytes, len(beginning + data))
        with contextlib.suppress(MalformedProxyHeader):
            self.assertIsNotNone(parse(beginning + data + bytes(4096)))
