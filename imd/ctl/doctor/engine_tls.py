"""The certificate that an engine shows: for how long nodes will still get through to it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from imd.ctl.doctor.finding import Check, Finding
from imd.ctl.doctor.world import World

EXPIRY = Check("tls.engine", "from that day on no node gets through to it")

_DAY_S = 24 * 3600
#: As for certificates of imd itself.
SOON_DAYS = 30


def ends_of(sock: socket.socket) -> str:
    """Until when the peer's certificate is valid, as OpenSSL writes it; empty without TLS."""
    shown = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
    return str((shown or {}).get("notAfter", ""))


def ends_at(host: str, port: int, ca_file: str, *, timeout_s: float) -> str:
    """The same of a server that speaks TLS from its first byte on.

    :raises OSError: it cannot be reached, or is not trusted.
    """
    context = ssl.create_default_context(cafile=ca_file)
    with (
        socket.create_connection((host, port), timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        return ends_of(secure)


def engine_expiry(about: str, ends: str, world: World) -> Iterator[Finding]:
    """:param ends: as ``ends_of`` has it. What has ended already lets nobody in, and is told there."""
    if not ends:
        return
    days = (ssl.cert_time_to_seconds(ends) - world.wall_clock() / 1000) / _DAY_S
    found = f"shows a certificate that is valid until {ends}"
    if days < SOON_DAYS:
        yield EXPIRY.warn(about, f"{found}: {days:.0f} days", "renew it there, and have the engine read it")
    else:
        yield EXPIRY.ok(about, found)
