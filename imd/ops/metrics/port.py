"""The metrics' own port. Nobody's chat depends on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: The process before this one may still be draining.
RETRY_S = 5.0


class MetricsPort:
    """A stage. A port that is taken keeps nobody from chatting: it is told, and tried again for ever.

    :param listen: opens it and may raise ``CannotListenError``.
    """

    _log = Logger()

    def __init__(self, address: str, *, listen: Callable[[], IListeningPort], clock: Clock) -> None:
        self._address = address
        self._listen = listen
        self._clock = clock
        self._tasks = Tasks()
        self._port: IListeningPort | None = None

    async def start(self) -> None:
        error = self._try()
        if error is not None:
            self._log.warn(
                "metrics cannot be read: {address} is not free ({error}); everything else goes on, and it is tried again. "
                "Is another process there? Choose another address in [metrics]",
                address=self._address,
                error=error.socketError,
            )
            self._tasks.spawn("open the metrics port", self._try_again())

    async def stop(self) -> None:
        await self._tasks.stop()
        port: Any = self._port
        if port is not None:
            self._port = None
            await maybeDeferred(port.stopListening)

    def _try(self) -> CannotListenError | None:
        try:
            self._port = self._listen()
        except CannotListenError as error:
            return error
        host: Any = self._port.getHost()
        self._log.info("metrics: http://{host}:{port}/metrics", host=_bracketed(host.host), port=host.port)
        return None

    async def _try_again(self) -> None:
        while self._port is None:
            await sleep(RETRY_S, clock=self._clock)
            self._try()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
