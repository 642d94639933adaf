"""Archiving as a stage; what it moves is tested on real servers (tests/live/test_mongo_archive.py)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.message.mongo_archiving import FIRST_RUN_AFTER_S, Archiving


class SilentDatabase:
    """Takes questions and never answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def write(self, *_: object, **__: object) -> Any:
        self.asked += 1
        await Deferred[None]()


class StageTests(SynchronousTestCase):
    """Start and stop."""

    def test_stop_while_at_work(self) -> None:
        """The stop does not wait for a database that says nothing."""
        clock, database, log = Clock(), SilentDatabase(), object()
        shared: dict[str, Any] = {"log": log, "database": database}
        archiving = Archiving(clock=clock, wall_clock=lambda: 0, **shared)
        self.successResultOf(Deferred.fromCoroutine(archiving.start()))
        clock.advance(FIRST_RUN_AFTER_S)
        self.assertEqual(database.asked, 1)
        self.successResultOf(Deferred.fromCoroutine(archiving.stop()))
        self.assertEqual(clock.getDelayedCalls(), [])
