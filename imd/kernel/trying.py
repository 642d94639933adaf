"""Work that waits for what it needs to come back, as long as that takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred

from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, ServerBusy
from imd.kernel.timeouts import sleep

T = TypeVar("T")


class Trying:
    """Tries one piece of work after another, each again and again while its errors are ``retryable``.

    For consumers of durable subjects: the bus gives an event up after a few tries of its own, sooner than a
    database is back.

    :param delays_s: seconds between tries, the last for ever.
    """

    def __init__(self, *, clock: Clock, delays_s: Sequence[float]) -> None:
        self._clock = clock
        self._delays_s = delays_s
        self._pause: Deferred[None] | None = None
        self._stopped = False

    async def until_done(self, work: Callable[[], Awaitable[T]], *, waits: Callable[[ImError], None]) -> T:
        """The work's result.

        :param waits: hears of the first failure, for the log.
        :raises ImError: another try would end the same.
        :raises ServerBusy: the owner stopped meanwhile.
        """
        failures = 0
        while True:
            try:
                return await work()
            except ImError as error:
                if not error.retryable:
                    raise
                if not failures:
                    waits(error)
            await self._wait(self._delays_s[min(failures, len(self._delays_s) - 1)])
            failures += 1

    def stop(self) -> None:
        """Nothing is tried again; who waits hears of it now."""
        self._stopped = True
        if self._pause is not None:
            self._pause.cancel()

    async def _wait(self, delay_s: float) -> None:
        if self._stopped:
            raise ServerBusy("this node is going down")
        self._pause = sleep(delay_s, clock=self._clock)
        try:
            await self._pause
        except CancelledError:
            raise ServerBusy("this node is going down") from None
        finally:
            self._pause = None
