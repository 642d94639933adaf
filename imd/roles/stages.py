"""What more than one role starts and stops besides its own parts."""

from __future__ import annotations

from twisted.python.threadpool import ThreadPool

from imd.kernel.tasks import Tasks


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
