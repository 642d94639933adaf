"""Redis: for whatever makes things fast and may be lost. Nobody waits for one that is not well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha1
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy, StartupError
from imd.kernel.histogram import Histogram
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.ops.metrics.buckets import CACHE
from imd.storage.redis_line import Line, LineLost, Login, ResponseError, Unusable, open_line

T = TypeVar("T")
Argument = str | bytes | int

#: Spec 24.1 and the failure matrix: a question that takes longer is answered better without Redis.
CALL_TIMEOUT_S = 0.05
#: Between two tries to reach a Redis that does not answer; doubled each time up to the last, which
#: bounds how long a Redis that is well again goes unused. Nobody waits meanwhile.
FIRST_PROBE_S = 0.1
LAST_PROBE_S = 2.0
#: Calls under way, each about 2 KB; at 20 us a call Redis needs 40 ms for them.
MAX_CALLS = 2_000
#: What Redis says when it cannot do now what it otherwise would; anything else is our mistake.
_PASSING = (
    "BUSY",
    "LOADING",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "OOM",
    "READONLY",
    "TRYAGAIN",
    "UNKILLABLE",
)


def spread(number: int, slots: int) -> int:
    """A slot for an id, by multiplication: ids are made from the time, and have many zeros at their end."""
    return (number * 0x9E3779B97F4A7C15 & 0xFFFF_FFFF_FFFF_FFFF) * slots >> 64


class Script:
    """A Lua script; runs as one step, by its hash once the server knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisStore:
    """One Redis, as a stage that is up even while Redis is not.

    Every call ends within ``timeout_s``: with a reply, or with ``ServerBusy``; what was asked may then
    have been done or not. After a call that ended so, and while no connection can be made, calls are
    refused at once, and Redis is probed beside them.

    All calls share one connection, which keeps them in order; Redis itself does one thing at a time. A
    connection with a call that ran out of time is dropped. One with a call that was cancelled takes no
    more calls, answers those under way and is closed: no reply can reach anybody but who asked.

    :param name: for logs, ``host:port``.
    :param jitter: random numbers from 0 to 1, so that nodes do not probe all at once.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        endpoint: IStreamClientEndpoint,
        name: str,
        login: Login,
        clock: Clock,
        jitter: Callable[[], float],
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._endpoint = endpoint
        self._name = name
        self._login = login
        self._clock = clock
        self._jitter = jitter
        self._timeout_s = timeout_s
        self._tasks = Tasks()
        self._stopped = False
        self._line: Line | None = None
        #: Those whose last calls are still being answered, and what ends them if they are not.
        self._retired: dict[Line, IDelayedCall] = {}
        #: A connection is on its way, and likely to come: calls wait for it.
        self._promising = False
        self._waiting: list[Deferred[Line]] = []
        #: Since the last reply.
        self._failures = 0
        self._calls = 0
        self._down = ""
        self._warned = ""
        self._counts = dict.fromkeys(("calls", "timeouts", "refused", "errors", "connects"), 0)
        #: Of calls that were sent.
        self.seconds = Histogram(CACHE.bounds)

    async def start(self) -> None:
        """Connect; a Redis that does not answer is warned of and looked for from then on.

        :raises StartupError: it answers, and will never do as it is configured.
        """
        line = None
        try:
            line = await self._open()
        except StartupError as error:
            raise StartupError(f"Redis at {self._name}: {error}") from error
        except Unusable as error:
            self._say_down(error)
        self._tasks.spawn("redis", self._keep_line(line))

    async def stop(self) -> None:
        """Hang up; whoever still waits gets ``ServerBusy``."""
        self._stopped = True
        await self._tasks.stop()
        self._promising = False
        self._refuse_waiting()
        line, self._line = self._line, None
        if line is not None:
            line.abort()
        for each in list(self._retired):
            self._bury(each)

    @property
    def in_flight(self) -> int:
        """Calls without a reply."""
        return self._calls

    def is_up(self) -> bool:
        """Whether Redis answered last."""
        return self._line is not None

    def counts(self) -> Mapping[str, int]:
        """Since the start: calls, and of them timeouts, refused (not even asked) and errors; connects."""
        return self._counts

    async def call(self, *command: Argument) -> Any:
        """One command's reply: bytes, int, None or a list of such."""
        return await self._within(lambda line: line.ask(*command))

    async def run(self, script: Script, keys: Sequence[Argument], arguments: Sequence[Argument]) -> Any:
        """A script's reply."""
        rest = (len(keys), *keys, *arguments)

        def ask_whole(failure: Failure, line: Line) -> Deferred[Any]:
            if not str(failure.value).startswith("NOSCRIPT"):
                failure.raiseException()
            # A Redis that was started anew, or whose scripts were flushed; from now on it remembers this one.
            return line.ask("EVAL", script.text, *rest)

        return await self._within(
            lambda line: line.ask("EVALSHA", script.sha, *rest).addErrback(ask_whole, line)
        )

    async def _within(self, ask: Callable[[Line], Deferred[T]]) -> T:
        self._counts["calls"] += 1
        if self._calls >= MAX_CALLS or (self._line is None and not self._promising):
            self._counts["refused"] += 1
            raise ServerBusy("Redis cannot be asked now")
        used: list[Line] = []
        began_s = self._clock.seconds()
        self._calls += 1
        try:
            if self._line is None:
                asked = Deferred.fromCoroutine(self._ask_later(ask, used))
            else:
                used.append(self._line)
                asked = ask(self._line)
            reply = await with_timeout(asked, timeout_s=self._timeout_s, clock=self._clock)
        except TimeoutError:
            self._counts["timeouts"] += 1
            self._gave_up(used)
            raise ServerBusy("Redis does not answer in time") from None
        except CancelledError:
            for line in used:
                self._retire(line)
            raise
        except LineLost:
            self._counts["errors"] += 1
            raise ServerBusy("the connection to Redis was lost") from None
        except ResponseError as error:
            raise self._refusal(error, used) from None
        finally:
            self._calls -= 1
            self.seconds.observe(self._clock.seconds() - began_s)
        self._failures = 0
        return reply

    async def _ask_later(self, ask: Callable[[Line], Deferred[T]], used: list[Line]) -> T:
        waiting: Deferred[Line] = Deferred()
        self._waiting.append(waiting)
        try:
            line = await waiting
        except CancelledError:
            self._waiting.remove(waiting)
            raise
        used.append(line)
        return await ask(line)

    def _gave_up(self, used: Sequence[Line]) -> None:
        if not used:
            # Whoever comes next need not wait for a connection, too.
            self._promising = False
        for line in used:
            if line is self._line:
                self._failures += 1
            line.abort()

    def _retire(self, line: Line) -> None:
        """It may have others to answer, and has as long for it as they wait."""
        if line not in self._retired:
            self._retired[line] = self._clock.callLater(self._timeout_s, self._bury, line)
            line.retire()

    def _bury(self, line: Line) -> None:
        last = self._retired.pop(line)
        if last.active():
            last.cancel()
        line.abort()

    def _refusal(self, error: ResponseError, used: Sequence[Line]) -> ServerBusy:
        self._counts["errors"] += 1
        text = str(error)
        kind = text.split(" ", 1)[0]
        if kind == "READONLY":
            # It is a replica by now; the name may lead to the new primary.
            for line in used:
                line.abort()
        if kind in _PASSING or kind.startswith("NO"):
            self._warn(kind, f"refuses what it is asked: {text}")
        else:
            self._log.error("Redis does not understand us: {text}", text=text)
        return ServerBusy("Redis refuses this now")

    async def _keep_line(self, line: Line | None) -> None:
        """Until the stop: use a connection as long as it lasts, then make another."""
        if line is None:
            self._failures = 2
        while not self._stopped:
            if line is not None:
                self._use(line)
                await line.lost
                self._line = line = None
            # A loss alone, or one call out of time, is worth waiting for: the next connection comes at once.
            self._promising = self._failures < 2
            if not self._promising:
                self._refuse_waiting()
                delay_s = min(FIRST_PROBE_S * 2 ** min(self._failures - 2, 10), LAST_PROBE_S)
                await sleep(delay_s * (0.5 + self._jitter() / 2), clock=self._clock)
            try:
                line = await self._open()
            except CancelledError:
                raise
            except Exception as error:
                if not isinstance(error, Unusable | StartupError):
                    # Whatever it is, nothing else would make another connection, ever.
                    self._log.failure("a mistake of this node while it connects to Redis")
                self._failures = max(2, self._failures + 1)
                self._say_down(error)

    async def _open(self) -> Line:
        line, warning = await open_line(Line(), endpoint=self._endpoint, login=self._login, clock=self._clock)
        if warning:
            self._warn(warning, warning)
        return line

    def _use(self, line: Line) -> None:
        self._counts["connects"] += 1
        self._line = line
        if self._down:
            self._down = ""
            self._log.info("Redis at {name} is used again", name=self._name)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(line)

    def _refuse_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(ServerBusy("Redis cannot be asked now"))

    def _say_down(self, error: Exception) -> None:
        """Once, and again for another reason: probes go on for as long as it lasts."""
        if str(error) != self._down:
            self._down = str(error)
            self._log.warn(
                "Redis at {name} cannot be used: {error}; the server goes on without it, slower",
                name=self._name,
                error=error,
            )

    def _warn(self, what: str, text: str) -> None:
        """Once for the same thing."""
        if what != self._warned:
            self._warned = what
            self._log.warn("Redis at {name} {text}", name=self._name, text=text)
