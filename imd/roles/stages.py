"""What more than one role starts and stops besides its own parts."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from imd.kernel.tasks import Tasks
from imd.wire.codec import require_fast_protobuf

#: Draining takes as long as it is allowed to; no other stage takes longer than this, or than draining may.
STOP_MARGIN_S = 30.0


class Pool:
    """A thread pool as a stage."""

    def __init__(self, pool: ThreadPool) -> None:
        self._pool = pool

    async def start(self) -> None:
        self._pool.start()

    async def stop(self) -> None:
        self._pool.stop()


class Background:
    """Background work as a stage: cancelled and awaited at stop."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    async def start(self) -> None:
        """Whatever wants to be done later begins by itself."""

    async def stop(self) -> None:
        await self._tasks.stop()


class FastProtobuf:
    """Only looks whether protobuf is the fast one."""

    async def start(self) -> None:
        require_fast_protobuf()

    async def stop(self) -> None:
        """Nothing is held."""


class Announcement:
    """The last stage of a role: says where it is, and what to do next."""

    _log = Logger()

    def __init__(self, ready: str, addresses: Iterable[tuple[str, str]], *, next_step: str = "") -> None:
        self._ready = ready
        self._addresses = list(addresses)
        self._next_step = next_step

    async def start(self) -> None:
        self._log.info("{ready}", ready=self._ready)
        for what, address in self._addresses:
            self._log.info("  {what}: {address}", what=what, address=address)
        if self._next_step:
            self._log.info("next: {next_step}", next_step=self._next_step)

    async def stop(self) -> None:
        """Nothing is said."""
