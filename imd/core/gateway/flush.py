"""One flush tick for all sessions that have something to say.

A frame waits for the end of the reactor's turn only, unless waiting pays: when the last tick found
several frames for each session, the next is the coalescing interval after it (spec 18.1: 2 to 5 ms).
"""

from __future__ import annotations

from twisted.logger import Logger

from imd.core.gateway.session import Session
from imd.kernel.clocks import Clock

#: Frames a session in the last tick, from which on it pays to wait for more.
WORTH_WAITING = 2


class FlushTick:
    """Flushes sessions together."""

    _logger = Logger()

    def __init__(self, *, clock: Clock, interval_s: float) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._waiting: list[Session] = []
        self._last_s = float("-inf")
        self._worth_waiting = False

    def request(self, session: Session) -> None:
        """Flush this session with the next tick; the session sees to asking once."""
        waiting = self._waiting
        waiting.append(session)
        if len(waiting) == 1:
            delay_s = 0.0
            if self._worth_waiting:
                delay_s = max(0.0, self._last_s + self._interval_s - self._clock.seconds())
            self._clock.callLater(delay_s, self._tick)

    def _tick(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._last_s = self._clock.seconds()
        frames = 0
        for session in waiting:
            session.queued_to_flush = False
            try:
                frames += session.flush()
            except Exception:
                # One session's fault must not silence those behind it.
                self._logger.failure("a flush failed; its connection is cut")
                session.link.abort()
        self._worth_waiting = frames >= WORTH_WAITING * len(waiting)
