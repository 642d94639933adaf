"""What should not happen, logged in bounds: a peer that can make it happen must not fill the disk."""

from __future__ import annotations

from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.token_bucket import TokenBucket

#: Tracebacks of one kind; what comes above is counted.
MAX_PER_MINUTE = 10


class Faults:
    """The log for exceptions that no caller expects."""

    _logger = Logger()

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._buckets: dict[str, TokenBucket] = {}
        self._unlogged: dict[str, int] = {}

    def log(self, kind: str) -> None:
        """Log the exception that is being handled. ``kind`` is one of a few words, never a peer's."""
        now_s = self._clock.seconds()
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = TokenBucket(
                rate_per_s=MAX_PER_MINUTE / 60, burst=MAX_PER_MINUTE, now_s=now_s
            )
        if not bucket.take(now_s):
            self._unlogged[kind] = self._unlogged.get(kind, 0) + 1
            return
        self._logger.failure(
            "{kind} failed ({unlogged} more since the last line)",
            kind=kind,
            unlogged=self._unlogged.pop(kind, 0),
        )
