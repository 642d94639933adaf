"""How often something may be tried, for each key of many: bounded memory, injected clock."""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

from imd.kernel.clocks import Clock
from imd.kernel.errors import RateLimited
from imd.kernel.token_bucket import TokenBucket

#: A bucket costs about 250 bytes. Above, the longest untouched is forgotten; whoever wants to push
#: one out needs as many attempts of their own.
MAX_KEYS = 100_000


class Attempts:
    """``burst`` attempts a key at once, then ``rate_per_s``; a rate of 0 switches the limit off.

    Each node counts for itself: who goes to all of n nodes has n times as many, which is still far too few
    to guess, and costs no call to anybody.
    """

    def __init__(self, *, rate_per_s: float, burst: float, what: str, clock: Clock) -> None:
        self._rate_per_s = rate_per_s
        self._burst = max(1.0, burst)
        self._what = what
        self._clock = clock
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """Keys that are counted."""
        return len(self._buckets)

    def check(self, key: str, *, cost: int = 1) -> None:
        """Count one attempt, or so many at once; RateLimited, with the time to wait, if that is too many."""
        if self._rate_per_s <= 0:
            return
        now_s = self._clock.seconds()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = TokenBucket(rate_per_s=self._rate_per_s, burst=self._burst, now_s=now_s)
            self._buckets[key] = bucket
            if len(self._buckets) > MAX_KEYS:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        if not bucket.take(now_s, cost):
            raise RateLimited(f"too many {self._what}", retry_after_ms=bucket.retry_after_ms(cost))

    def change(self, *, rate_per_s: float, burst: float) -> None:
        """Another rate from now on, also for those who have tried before."""
        self._rate_per_s = rate_per_s
        self._burst = max(1.0, burst)
        now_s = self._clock.seconds()
        for bucket in self._buckets.values():
            bucket.change(now_s, rate_per_s=rate_per_s, burst=self._burst)

    def forget(self, key: str) -> None:
        """The attempt was a good one: begin anew."""
        self._buckets.pop(key, None)


def address_key(address: str) -> str:
    """One key a subscriber line: an IPv6 host owns a whole /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        mapped = parsed.ipv4_mapped
        return str(mapped) if mapped is not None else str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
