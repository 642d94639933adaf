"""The bus between processes, as [nats] says."""

from __future__ import annotations

import ssl
from pathlib import Path
from random import Random
from typing import Any

from imd.bus.nats import NatsBus
from imd.bus.nats_link import client_tls
from imd.config.engines import Nats
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError
from imd.roles.secrets import password


def nats_bus(nats: Nats, *, name: str, reactor: Any) -> NatsBus:
    """Not connected before it is started.

    :param name: of this node, as the server shows it.
    :param reactor: on asyncio.
    :raises StartupError: a secret or certificate cannot be used.
    """
    return NatsBus(
        servers=nats.servers,
        user=nats.user,
        password=password("nats", nats.password_file),
        name=name,
        clock=reactor,
        wall_clock=system_wall_clock,
        random=Random().random,
        loop=reactor._asyncioEventloop,  # noqa: SLF001 - there is no public way to it
        tls=nats_tls(nats),
        replicas=nats.replicas,
    )


def nats_tls(nats: Nats) -> ssl.SSLContext | None:
    """Whom to trust, and who we are; None: no TLS is asked for.

    :raises StartupError: a file cannot be used.
    """
    try:
        if nats.ca_file:
            certificate = Path(nats.certificate_file) if nats.certificate_file else None
            key = Path(nats.private_key_file) if nats.private_key_file else None
            return client_tls(ca_file=Path(nats.ca_file), certificate_file=certificate, key_file=key)
        if any(server.startswith("tls://") for server in nats.servers):
            context = ssl.create_default_context()
            if nats.certificate_file:
                context.load_cert_chain(nats.certificate_file, nats.private_key_file)
            return context
    except (OSError, ssl.SSLError) as error:
        raise StartupError(
            f"the files of [nats] cannot be used: {error}; ca_file, certificate_file and private_key_file must be "
            "PEM, and the key the certificate's"
        ) from None
    return None


class Answering:
    """A stage after those that answer requests: it stops before them, so that none is taken that nobody ends."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus

    async def start(self) -> None:
        """Responders are heard as soon as they say so."""

    async def stop(self) -> None:
        """The other nodes of the role answer from here on."""
        await self._bus.withdraw()
