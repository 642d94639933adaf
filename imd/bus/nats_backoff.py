"""How long to wait before the next try to connect."""

from __future__ import annotations

from collections.abc import Callable

#: Spec 24.1: for ever.
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 30.0
DELAY_FACTOR = 1.5
DELAY_JITTER = 0.2
#: A link that was up for less does not count as success, or a server that takes us and drops us again
#: would be dialled ten times a second.
STEADY_S = 5.0


class Backoff:
    """Longer each time; short again after a connection that held."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._delay_s = FIRST_DELAY_S

    def next(self) -> float:
        """Seconds; nodes that lost the same server do not come back in the same moment."""
        delay_s = self._delay_s
        self._delay_s = min(delay_s * DELAY_FACTOR, MAX_DELAY_S)
        return delay_s * (1 + DELAY_JITTER * (2 * self._random() - 1))

    def was_up(self, seconds: float) -> None:
        """The last connection was there for so long."""
        if seconds >= STEADY_S:
            self._delay_s = FIRST_DELAY_S
