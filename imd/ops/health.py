"""Is it alive, does it take traffic: /healthz and /readyz."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Request

from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep, with_timeout

#: How often a store is asked whether it is there, and how long it may think about it.
ASK_INTERVAL_S = 2.0
ASK_TIMEOUT_S = 2.0
#: One bad answer is an accident; this many in a row are a state.
MISSES = 2


class Readiness:
    """Whether the node takes traffic, and if not, why: one word a part, and what is wrong with it.

    A stage, the last of its role: until it is started and from its stop on, the node is not ready; nor is it once it
    is withdrawn.

    :param checks: name of a part, and what says whether it is well; cheap, for it is asked at each request.
    """

    def __init__(self, checks: Mapping[str, Callable[[], bool]]) -> None:
        self._checks = checks
        self._state = "starting"

    async def start(self) -> None:
        self._state = "up"

    async def stop(self) -> None:
        self._state = "stopping"

    def is_up(self) -> bool:
        """Whether the node is between its start and its stop, whatever is wrong with its parts."""
        return self._state == "up"

    def withdraw(self) -> None:
        """The node drains while its process stays: not ready any more."""
        self._state = "draining"

    def missing(self) -> dict[str, str]:
        """What is not ready; empty: all is."""
        if self._state != "up":
            return {"node": self._state}
        return {name: "unavailable" for name, well in self._checks.items() if not well()}

    def parts(self) -> Iterator[tuple[str, bool]]:
        """Each part by itself, whatever the node does."""
        return ((name, well()) for name, well in self._checks.items())

    def is_ready(self) -> bool:
        return self._state == "up" and all(well() for well in self._checks.values())


class Watched:
    """A store that is asked now and then whether it is there. A stage.

    :param ask: raises if it is not.
    """

    _log = Logger()

    def __init__(self, name: str, *, ask: Callable[[], Awaitable[object]], clock: Clock) -> None:
        self._name = name
        self._ask = ask
        self._clock = clock
        self._tasks = Tasks()
        self._misses = 0

    def is_well(self) -> bool:
        return self._misses < MISSES

    async def start(self) -> None:
        self._tasks.spawn(f"watch {self._name}", self._watch())

    async def stop(self) -> None:
        await self._tasks.stop()

    async def _watch(self) -> None:
        while True:
            await sleep(ASK_INTERVAL_S, clock=self._clock)
            try:
                await with_timeout(self._asked(), timeout_s=ASK_TIMEOUT_S, clock=self._clock)
            except CancelledError:
                raise
            except Exception as error:
                self._misses += 1
                if self._misses == MISSES:
                    self._log.error(
                        "{name} does not answer, the node takes no new connections: {error!r}",
                        name=self._name,
                        error=error,
                    )
            else:
                if not self.is_well():
                    self._log.info("{name} answers again", name=self._name)
                self._misses = 0

    async def _asked(self) -> None:
        await self._ask()


class Alive(Resource):
    """200: the process is there, and its reactor turns, or nobody would answer."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def render_GET(self, request: Request) -> bytes:
        return _answer(request, 200, {"alive": True})


class Ready(Resource):
    """200 while the node takes traffic; else 503, with what is not ready."""

    isLeaf = True

    def __init__(self, readiness: Readiness) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._readiness = readiness

    def render_GET(self, request: Request) -> bytes:
        missing = self._readiness.missing()
        if missing:
            return _answer(request, 503, {"ready": False, "missing": missing})
        return _answer(request, 200, {"ready": True})


def _answer(request: Request, status: int, body: Mapping[str, object]) -> bytes:
    request.setResponseCode(status)
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    return json.dumps(body).encode() + b"\n"
