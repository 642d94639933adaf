"""How long to wait before the next try."""

from __future__ import annotations

from random import Random

FIRST_CAP_S = 0.5
LAST_CAP_S = 30.0


class Backoff:
    """Full jitter: anything between nothing and a cap that doubles, so that a crowd spreads by itself."""

    def __init__(self, *, random: Random) -> None:
        self._random = random
        self._cap_s = FIRST_CAP_S

    def next_s(self) -> float:
        """The wait before this try; the next one may be twice as long."""
        delay_s = self._random.uniform(0.0, self._cap_s)
        self._cap_s = min(self._cap_s * 2, LAST_CAP_S)
        return delay_s

    def reset(self) -> None:
        """It worked."""
        self._cap_s = FIRST_CAP_S
