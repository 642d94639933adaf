"""Token buckets: so many at once, refilled at so many a second."""

from __future__ import annotations


class TokenBucket:
    """``burst`` tokens, refilled at ``rate_per_s``; time comes from the caller and never goes back."""

    __slots__ = ("_tokens", "_updated_s", "burst", "rate_per_s")

    def __init__(self, *, rate_per_s: float, burst: float, now_s: float) -> None:
        self.rate_per_s = rate_per_s
        self.burst = burst
        self._tokens = burst
        self._updated_s = now_s

    def take(self, now_s: float, cost: float = 1.0) -> bool:
        """Whether ``cost`` tokens were there; they are gone then. A refusal costs nothing."""
        tokens = self._tokens + (now_s - self._updated_s) * self.rate_per_s
        if tokens > self.burst:
            tokens = self.burst
        self._updated_s = now_s
        if tokens < cost:
            self._tokens = tokens
            return False
        self._tokens = tokens - cost
        return True

    def retry_after_ms(self, cost: float = 1.0) -> int:
        """How long until ``take`` with this cost can succeed, as of the last ``take``."""
        if self.rate_per_s <= 0:
            return 60_000
        return max(1, int((cost - self._tokens) / self.rate_per_s * 1000) + 1)

    def is_full(self, now_s: float) -> bool:
        """Whether forgetting this bucket would change nothing."""
        return self._tokens + (now_s - self._updated_s) * self.rate_per_s >= self.burst

    def left(self, now_s: float) -> float:
        """How many tokens there are; below 0 are owed."""
        return min(self._tokens + (now_s - self._updated_s) * self.rate_per_s, self.burst)

    def go_on(self, now_s: float, *, left: float, rate_per_s: float) -> None:
        """From so many tokens, at this rate."""
        self._tokens = min(left, self.burst)
        self._updated_s = now_s
        self.rate_per_s = rate_per_s

    def change(self, now_s: float, *, rate_per_s: float, burst: float) -> None:
        """Another rate from now on; what is there stays, as far as there is room for it."""
        left = self.left(now_s)
        self.burst = burst
        self.go_on(now_s, left=left, rate_per_s=rate_per_s)
