"""Token buckets: so many at once, refilled at so many a second."""

from __future__ import annotations


class TokenBucket:
    """``burst`` tokens, refilled at ``rate_per_s``; time comes from the caller and never goes back."""

    __slots__ = ("_burst", "_rate_per_s", "_tokens", "_updated_s")

    def __init__(self, *, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._updated_s = now_s

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Whether ``cost`` tokens were there; they are gone then. A refusal costs nothing."""
        tokens = self._tokens + (now_s - self._updated_s) * self._rate_per_s
        if tokens > self._burst:
            tokens = self._burst
        self._updated_s = now_s
        if tokens < cost:
            self._tokens = tokens
            return False
        self._tokens = tokens - cost
        return True

    def retry_after_ms(self, cost: float = 1.0) -> int:
        """How long until ``take`` with this cost can succeed, as of the last ``take``."""
        if self._rate_per_s <= 0:
            return 60_000
        return max(1, int((cost - self._tokens) / self._rate_per_s * 1000) + 1)

    def is_full(self, now_s: float) -> bool:
        """Whether forgetting this bucket would change nothing."""
        return self._tokens + (now_s - self._updated_s) * self._rate_per_s >= self._burst
