"""How often something may be tried."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel import attempts
from imd.kernel.attempts import Attempts, address_key
from imd.kernel.errors import RateLimited


class Limits(SynchronousTestCase):
    """A budget a key."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.attempts = Attempts(rate_per_s=1 / 6, burst=3, what="login attempts", clock=self.clock)

    def test_wait(self) -> None:
        """After the burst the error names the time to wait, and after that time it works."""
        for _ in range(3):
            self.attempts.check("a")
        with self.assertRaises(RateLimited) as caught:
            self.attempts.check("a")
        self.attempts.check("b")
        self.assertEqual(caught.exception.retry_after_ms, 6001)
        self.clock.advance(6.001)
        self.attempts.check("a")
        self.assertRaises(RateLimited, self.attempts.check, "a")

    def test_off(self) -> None:
        """A rate of 0 is no limit."""
        free = Attempts(rate_per_s=0, burst=0, what="x", clock=self.clock)
        for _ in range(100):
            free.check("a")

    def test_forget(self) -> None:
        """A good attempt clears the account."""
        for _ in range(3):
            self.attempts.check("a")
        self.attempts.forget("a")
        self.attempts.check("a")

    def test_bounded(self) -> None:
        """Keys that anybody can invent take a bounded amount of memory."""
        self.patch(attempts, "MAX_KEYS", 10)
        for number in range(100):
            self.attempts.check(str(number))
        self.assertEqual(len(self.attempts._buckets), 10)


class Addresses(SynchronousTestCase):
    """What counts as one address."""

    def test_keys(self) -> None:
        """IPv4 by host, IPv6 by the /64 that one subscriber owns, mapped IPv4 as IPv4."""
        self.assertEqual(address_key("192.0.2.7"), "192.0.2.7")
        self.assertEqual(address_key("::ffff:192.0.2.7"), "192.0.2.7")
        self.assertEqual(address_key("2001:db8:1:2::1"), address_key("2001:db8:1:2:ffff::9"))
        self.assertNotEqual(address_key("2001:db8:1:2::1"), address_key("2001:db8:1:3::1"))
        self.assertEqual(address_key(""), "")
