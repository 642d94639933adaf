"""Spec 24.1: 100 ms to 30 s, by 1.5, with a jitter of 0.2, for ever."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.nats_backoff import Backoff


class BackoffTests(SynchronousTestCase):
    """The pauses between tries."""

    def test_grows(self) -> None:
        """100, 150, 225 ms, and so on up to 30 s, where it stays."""
        backoff = Backoff(lambda: 0.5)
        delays = [backoff.next() for _ in range(40)]
        for delay, expected in zip(delays, (0.1, 0.15, 0.225, 0.3375), strict=False):
            self.assertAlmostEqual(delay, expected)
        self.assertEqual(delays[-20:], [30.0] * 20)

    def test_jitter(self) -> None:
        """A fifth more or less."""
        self.assertAlmostEqual(Backoff(lambda: 0.0).next(), 0.08)
        self.assertAlmostEqual(Backoff(lambda: 1.0).next(), 0.12)

    def test_only_what_held_counts(self) -> None:
        """A server that takes us and drops us is left alone longer and longer."""
        backoff = Backoff(lambda: 0.5)
        backoff.next()
        backoff.was_up(1)
        self.assertAlmostEqual(backoff.next(), 0.15)
        backoff.was_up(5)
        self.assertAlmostEqual(backoff.next(), 0.1)
