"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.token_bucket import TokenBucket

STEPS = st.lists(st.tuples(st.floats(0, 10), st.sampled_from([1.0, 2.0, 5.0])), max_size=60)


class Buckets(SynchronousTestCase):
    """``take``."""

    def bucket(self, rate_per_s: float = 2.0, burst: float = 3.0) -> TokenBucket:
        return TokenBucket(rate_per_s=rate_per_s, burst=burst, now_s=100.0)

    def test_burst_then_rate(self) -> None:
        """A new bucket is full; empty, it gives what the rate has filled in again."""
        bucket = self.bucket()
        self.assertEqual([bucket.take(100.0) for _ in range(4)], [True, True, True, False])
        self.assertFalse(bucket.take(100.4))
        self.assertTrue(bucket.take(100.5))
        self.assertFalse(bucket.take(100.5))

    def test_never_above_burst(self) -> None:
        """A long rest saves up the burst and no more."""
        bucket = self.bucket()
        self.assertEqual([bucket.take(10_000.0) for _ in range(4)], [True, True, True, False])

    def test_refusal_costs_nothing(self) -> None:
        """Asking for too much leaves what is there."""
        bucket = self.bucket()
        self.assertFalse(bucket.take(100.0, 3.5))
        self.assertTrue(bucket.take(100.0, 3.0))

    def test_retry_after(self) -> None:
        """After the time that is told, and not before, the same cost is granted."""
        bucket = self.bucket()
        bucket.take(100.0, 3.0)
        self.assertFalse(bucket.take(100.0, 2.0))
        wait_ms = bucket.retry_after_ms(2.0)
        self.assertFalse(bucket.take(100.0 + wait_ms / 1000 - 0.1, 2.0))
        self.assertTrue(bucket.take(100.0 + wait_ms / 1000, 2.0))
        self.assertLess(wait_ms, 1100)

    def test_no_rate(self) -> None:
        """A bucket that is never refilled tells a minute, not infinity."""
        bucket = self.bucket(rate_per_s=0.0, burst=1.0)
        self.assertTrue(bucket.take(100.0))
        self.assertFalse(bucket.take(1e9))
        self.assertEqual(bucket.retry_after_ms(), 60_000)

    def test_go_on(self) -> None:
        """A bucket that is told how much there is goes on from there, also from less than nothing."""
        bucket = self.bucket()
        bucket.go_on(100.0, left=-2.0, rate_per_s=1.0)
        self.assertFalse(bucket.take(102.5))
        self.assertEqual(bucket.retry_after_ms(), 501)
        self.assertTrue(bucket.take(103.1))
        self.assertAlmostEqual(bucket.left(104.0), 1.0)
        bucket.go_on(104.0, left=50.0, rate_per_s=1.0)
        self.assertEqual((bucket.left(104.0), bucket.left(200.0)), (3.0, 3.0))

    def test_full(self) -> None:
        """A bucket may be forgotten exactly when a new one would grant the same."""
        bucket = self.bucket()
        self.assertTrue(bucket.is_full(100.0))
        bucket.take(100.0)
        self.assertFalse(bucket.is_full(100.4))
        self.assertTrue(bucket.is_full(100.5))

    @given(STEPS)
    def test_bound(self, steps: list[tuple[float, float]]) -> None:
        """In any span, no more is granted than the burst and the rate allow."""
        bucket, now_s, granted = self.bucket(), 100.0, 0.0
        for pause_s, cost in steps:
            now_s += pause_s
            if bucket.take(now_s, cost):
                granted += cost
            self.assertLessEqual(granted, 3.0 + 2.0 * (now_s - 100.0) + 1e-6)
