"""Listening ports, as stages: opened last, closed first."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort

from imd.kernel.errors import StartupError

#: Connections that the kernel keeps for us while we accept others.
BACKLOG = 1024
#: The kernel takes so much for a peer that does not read, instead of some 4 MiB; the rest stays in our own
#: queue, where priorities and water marks hold.
UNSENT_BYTES = 128 * 1024


class Listener:
    """One port. ``listen`` opens it and may raise ``CannotListenError``."""

    def __init__(self, what: str, address: str, listen: Callable[[], IListeningPort]) -> None:
        self._what = what
        self._address = address
        self._listen = listen
        self._port: IListeningPort | None = None

    async def start(self) -> None:
        try:
            self._port = self._listen()
        except CannotListenError as error:
            raise StartupError(
                f"cannot listen on {self._address} for {self._what}: {error.socketError}; "
                "is another process there? choose another address in [listen]"
            ) from error
        listening = getattr(self._port, "socket", None)
        if listening is not None and hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # Accepted sockets inherit it.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    async def stop(self) -> None:
        """No new connections; those that are open stay."""
        port: Any = self._port
        if port is not None:
            self._port = None
            await maybeDeferred(port.stopListening)
