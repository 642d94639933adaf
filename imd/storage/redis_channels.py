"""Redis publish/subscribe: at most once, and whoever listens is told when something may have been missed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.errors import StartupError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.storage.redis_line import LineLost, Login, ResponseError, SubscribedLine, Unusable, open_line

#: A connection that went silently is noticed after both of these.
PING_INTERVAL_S = 10.0
PING_TIMEOUT_S = 5.0
FIRST_PROBE_S = 0.1
LAST_PROBE_S = 2.0


class _Listener(NamedTuple):
    heard: Callable[[bytes], None]
    missed: Callable[[], None]


class RedisChannels:
    """Subscriptions on a connection of their own, as a stage that is up even while Redis is not.

    Publishing is an ordinary call (PUBLISH) of ``RedisStore``, which also tells the log what is wrong
    with this Redis.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        endpoint: IStreamClientEndpoint,
        login: Login,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        self._login = login
        self._clock = clock
        self._jitter = jitter
        self._listeners: dict[str, list[_Listener]] = {}
        self._tasks = Tasks()
        self._stopped = False
        self._line: SubscribedLine | None = None

    def subscribe(self, channel: str, heard: Callable[[bytes], None], *, missed: Callable[[], None]) -> None:
        """Before ``start``. ``heard`` gets what is published; ``missed`` is called each time that listening
        begins, for nobody knows what was said before. Neither may wait."""
        self._listeners.setdefault(channel, []).append(_Listener(heard, missed))

    async def start(self) -> None:
        """Begin to listen, as soon as Redis is there."""
        self._tasks.spawn("redis channels", self._keep_listening())

    async def stop(self) -> None:
        self._stopped = True
        await self._tasks.stop()

    def is_up(self) -> bool:
        """Whether what is published now is heard."""
        return self._line is not None

    async def _keep_listening(self) -> None:
        failures = 0
        while not self._stopped:
            if failures:
                delay_s = min(FIRST_PROBE_S * 2 ** min(failures - 1, 10), LAST_PROBE_S)
                await sleep(delay_s * (0.5 + self._jitter() / 2), clock=self._clock)
            try:
                line, _ = await open_line(
                    SubscribedLine(self._hear), endpoint=self._endpoint, login=self._login, clock=self._clock
                )
            except (Unusable, StartupError):
                failures += 1
            else:
                failures = 0 if await self._listen(line) else failures + 1

    async def _listen(self, line: SubscribedLine) -> bool:
        """Until the connection is lost; whether it worked for a while."""
        try:
            for channel in self._listeners:
                await self._answered(line.ask("SUBSCRIBE", channel))
        except (LineLost, TimeoutError):
            line.abort()
            return False
        except ResponseError as error:
            self._log.error("Redis does not let us listen: {error}", error=error)
            line.abort()
            return False
        self._line = line
        for listeners in self._listeners.values():
            for listener in listeners:
                self._tell(listener.missed)
        pinging = Deferred.fromCoroutine(self._ping(line))
        # It ends by a failure only, our own cancelling included.
        pinging.addErrback(lambda _: line.abort())
        try:
            await line.lost
        finally:
            self._line = None
            pinging.cancel()
        return True

    async def _ping(self, line: SubscribedLine) -> None:
        while True:
            await sleep(PING_INTERVAL_S, clock=self._clock)
            await self._answered(line.ask("PING"))

    async def _answered(self, reply: Any) -> None:
        await with_timeout(reply, timeout_s=PING_TIMEOUT_S, clock=self._clock)

    def _hear(self, channel: str, message: bytes) -> None:
        for listener in self._listeners.get(channel, ()):
            self._tell(listener.heard, message)

    def _tell(self, listener: Callable[..., None], *arguments: bytes) -> None:
        try:
            listener(*arguments)
        except Exception:
            self._log.failure("whoever listens to Redis failed")
