"""A node that operators have leave its cluster while its process stays, for them to look at."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.kernel.lifecycle import Stage
from imd.kernel.tasks import Tasks
from imd.ops.health import Readiness


class Withdrawal:
    """Once begun, the node goes as it would at its stop, as far as others see it: probes are told that it is not
    ready, nobody is sent to it, its shards go to other nodes, its ports for clients close, and clients are told to
    go elsewhere. What it is made of stays up. There is no way back.

    :param leaving: the stages that are stopped for that, in this order; each is stopped again when the process
        ends, and must not mind.
    """

    _log = Logger()

    def __init__(self, *, readiness: Readiness, leaving: Sequence[tuple[str, Stage]], tasks: Tasks) -> None:
        self._readiness = readiness
        self._leaving = leaving
        self._tasks = tasks
        self.begun = False

    def begin(self) -> None:
        """Not ready from here on; the rest follows.

        :raises ValueError: the node is not up yet, or stops.
        """
        if self.begun:
            return
        if not self._readiness.is_up():
            raise ValueError("the node starts or stops; health() tells")
        self.begun = True
        self._readiness.withdraw()
        self._tasks.spawn("withdrawal", self._leave())

    async def _leave(self) -> None:
        self._log.warn("an operator has this node drain; it takes nobody in until it is started again")
        for name, stage in self._leaving:
            try:
                await stage.stop()
            except CancelledError:
                raise
            except Exception:
                # As at the stop of the process: the others do not wait for it for ever.
                self._log.failure("{stage} did not stop; the drain goes on", stage=name)
        self._log.info("this node is drained; its process stays")
