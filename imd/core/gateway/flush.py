"""One flush tick for all sessions that have something to say.

At low load a frame waits for the end of the reactor's turn only; when flushes follow one another
closely, they are at least the coalescing interval apart (spec 18.1: 2 to 5 ms).
"""

from __future__ import annotations

from imd.core.gateway.session import Session
from imd.kernel.clocks import Clock


class FlushTick:
    """Flushes sessions together."""

    def __init__(self, *, clock: Clock, interval_s: float) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._waiting: list[Session] = []
        self._last_s = float("-inf")

    def request(self, session: Session) -> None:
        """Flush this session with the next tick; the session sees to asking once."""
        waiting = self._waiting
        waiting.append(session)
        if len(waiting) == 1:
            due_s = self._last_s + self._interval_s - self._clock.seconds()
            self._clock.callLater(max(0, due_s), self._tick)

    def _tick(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._last_s = self._clock.seconds()
        for session in waiting:
            session.queued_to_flush = False
            session.flush()
