"""The bridge from the standard library's logging."""

from __future__ import annotations

import logging
from typing import Any

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.logs.sampling import KIND
from imd.ops.logs.stdlib import StdlibBridge, bridge_stdlib


class Bridge(SynchronousTestCase):
    """From ``logging`` to twisted.logger."""

    def handle(self, level: int, text: str, *args: object, exc_info: Any = None, line: int = 1) -> LogEvent:
        events: list[LogEvent] = []
        observe: Any = events.append
        globalLogPublisher.addObserver(observe)
        try:
            StdlibBridge().handle(
                logging.LogRecord("pymongo.pool", level, __file__, line, text, args, exc_info)
            )
        finally:
            globalLogPublisher.removeObserver(observe)
        (only,) = events
        return only

    def test_levels(self) -> None:
        """Level, name and text survive."""
        for theirs, mapped in (
            (logging.DEBUG, LogLevel.debug),
            (logging.INFO, LogLevel.info),
            (logging.WARNING, LogLevel.warn),
            (logging.ERROR, LogLevel.error),
            (logging.CRITICAL, LogLevel.critical),
        ):
            said = self.handle(theirs, "pool of %s {braces}", "one")
            self.assertEqual((said["log_level"], said["log_namespace"]), (mapped, "pymongo.pool"))
            self.assertEqual(formatEvent(said), "pool of one {braces}")

    def test_kind(self) -> None:
        """Lines of one place are of one kind, whatever they say."""
        one, two, other = self.handle(20, "a"), self.handle(20, "b"), self.handle(20, "a", line=2)
        self.assertEqual(one[KIND], two[KIND])
        self.assertNotEqual(one[KIND], other[KIND])

    def test_exception(self) -> None:
        """An exception comes with its traceback."""
        try:
            raise KeyError("k")
        except KeyError as error:
            said = self.handle(logging.ERROR, "no", exc_info=(KeyError, error, error.__traceback__))
        self.assertIn("KeyError: 'k'", said["log_failure"].getTraceback())
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_once(self) -> None:
        """However often it is asked for, a record is written once."""
        root = logging.getLogger()
        self.addCleanup(setattr, root, "handlers", list(root.handlers))
        bridge_stdlib()
        bridge_stdlib()
        self.assertEqual(sum(isinstance(handler, StdlibBridge) for handler in root.handlers), 1)
