"""Start in order, stop in reverse, and wait each time: what ``MultiService`` does not do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.timeouts import TimeoutError, with_timeout

#: A stage that is still starting when the server is told to stop is cancelled after so long.
START_GRACE_S = 10.0


class Stage(Protocol):
    """Something that has to be up before what depends on it starts.

    ``start`` raises ``StartupError`` with a message for the operator when it cannot; ``stop``
    is called only after a ``start`` that succeeded, and may wait up to the role's deadline.
    """

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Stages(Service):
    """A role as one ordered list of stages.

    A stage that fails to start stops those before it, in reverse, and then calls
    ``on_failed`` with what happened, so that the process ends with an exit code.
    """

    _log = Logger()

    def __init__(
        self,
        stages: Sequence[tuple[str, Stage]],
        *,
        clock: Clock,
        on_failed: Callable[[BaseException], None],
        stop_timeout_s: float = 150.0,
    ) -> None:
        self._stages = stages
        self._clock = clock
        self._on_failed = on_failed
        self._stop_timeout_s = stop_timeout_s
        self._up: list[tuple[str, Stage]] = []
        self._starting: Deferred[None] | None = None
        self._stopping = False

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._starting = Deferred.fromCoroutine(self._start_all())

    async def _start_all(self) -> None:
        for name, stage in self._stages:
            if self._stopping:
                return
            try:
                await stage.start()
            except BaseException as error:
                self._log.critical("{stage} did not start: {error}", stage=name, error=error)
                await self._stop_all()
                self._on_failed(error)
                return
            self._up.append((name, stage))

    def stopService(self) -> Deferred[None]:
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        return Deferred.fromCoroutine(self._stop_after_start())

    async def _stop_after_start(self) -> None:
        if self._starting is not None and not self._starting.called:
            try:
                await with_timeout(self._starting, timeout_s=START_GRACE_S, clock=self._clock)
            except TimeoutError:
                self._log.error("stopped while a stage was still starting")
        await self._stop_all()

    async def _stop_all(self) -> None:
        while self._up:
            name, stage = self._up.pop()
            try:
                await with_timeout(stage.stop(), timeout_s=self._stop_timeout_s, clock=self._clock)
            except Exception:
                self._log.failure("{stage} did not stop cleanly", stage=name)
