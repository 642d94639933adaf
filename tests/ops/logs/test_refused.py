"""The line about a refusal."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imd.kernel.errors import AuthFailed, PayloadInvalid, RateLimited
from imd.ops.logs.refused import log_refused
from imd.ops.logs.sampling import Sampling


class Refusals(SynchronousTestCase):
    """``log_refused``."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            self.events.append(event)

        self.log = Logger(namespace="imd.x", observer=observe)

    def test_line(self) -> None:
        """It says what, why, who and from where; what is only a client's mistake is for who debugs."""
        log_refused(self.log, "login", AuthFailed("wrong"), peer="192.0.2.1", user_id=7)
        log_refused(self.log, "login", PayloadInvalid("not JSON"), peer="192.0.2.1")
        self.assertEqual(
            [(event["log_level"], formatEvent(event)) for event in self.events],
            [
                (LogLevel.info, "login is refused: 1001 wrong, user 7, from 192.0.2.1"),
                (LogLevel.debug, "login is refused: 1007 not JSON, user unknown, from 192.0.2.1"),
            ],
        )

    def test_flood(self) -> None:
        """A flood of refused logins hides neither refusals of another kind nor those of another operation."""
        for _ in range(100):
            log_refused(self.log, "login", AuthFailed("wrong"), peer="192.0.2.1")
        log_refused(self.log, "login", RateLimited("too many"), peer="192.0.2.1")
        log_refused(self.log, "send", AuthFailed("wrong"), peer="192.0.2.1")
        sampling = Sampling(5, seconds=lambda: 0)
        self.assertEqual([sampling.admit(event) for event in self.events].count(True), 5 + 1 + 1)
