"""Rates that operators change while people are connected."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.config.gray import Target
from imd.core.gateway.limits import Address, GrayRates, Rates, UserRates, changed
from imd.core.gateway.shared_rates import SharedBucket
from imd.kernel.token_bucket import TokenBucket
from tests.core.gateway.world import FakeLink, World, connect

RATES = Rates(
    user_text_per_min=60,
    user_media_per_min=0,
    user_burst=10,
    device_frames_per_s=100,
    ip_frames_per_s=5,
    ip_connects_per_s=5,
)


class ChangedRatesTests(SynchronousTestCase):
    """``UserRates.change``, ``Address.change``."""

    def test_user(self) -> None:
        """What was spent stays spent; a limit may come and go."""
        rates = UserRates(RATES, 0.0)
        assert rates.text is not None
        for _ in range(8):
            self.assertTrue(rates.text.take(0.0))
        rates.change(RATES._replace(user_burst=5, user_media_per_min=3), 0.0)
        self.assertEqual([rates.text.take(0.0) for _ in range(3)], [True, True, False])
        self.assertIsNotNone(rates.media)
        rates.change(RATES._replace(user_text_per_min=0), 0.0)
        self.assertEqual((rates.text, rates.media), (None, None))

    def test_address(self) -> None:
        """Of an address, too."""
        address = Address(RATES, 0.0)
        address.change(RATES._replace(ip_frames_per_s=0, ip_connects_per_s=1), 0.0)
        self.assertIsNone(address.frames)
        assert address.connects is not None
        self.assertEqual([address.connects.take(0.0) for _ in range(3)], [True, True, False])

    def test_shared(self) -> None:
        """Of somebody who is also elsewhere: the new rate is what is said to the others."""
        noted: list[SharedBucket] = []
        bucket = SharedBucket(TokenBucket(rate_per_s=1, burst=10, now_s=0.0), "1:text", noted.append)
        self.assertIs(changed(bucket, 2.0, 0.0, burst=20), bucket)
        bucket.take(0.0)
        said = bucket.report(0.0)
        self.assertEqual((said.rate_per_s, said.burst), (2.0, 20))


class GrayRatesTests(SynchronousTestCase):
    """Some users of a node have other rates than the rest."""

    def setUp(self) -> None:
        self.world = World(rates=RATES)

    def person(self, user_id: int, device: str = "phone", version: str = "") -> FakeLink:
        link, first = self.world.link(), connect(user_id, device)
        first.connect.clientVersion = version
        link.says(first)
        return link

    def burst(self, user_id: int) -> int:
        """How many messages the user may send at once, counted by sending them."""
        rates = self.world.registry.rates_of(user_id)
        assert rates is not None and rates.text is not None
        return sum(rates.text.take(self.world.clock.seconds()) for _ in range(100))

    def release(self, **target: Any) -> None:
        gray = GrayRates(RATES._replace(user_burst=3, device_frames_per_s=1), Target(1, **target))
        self.world.gateway.change_rates(RATES, gray)

    def test_whoever_is_here(self) -> None:
        """From the next message on, for those who are meant, and back when it ends."""
        self.person(1)
        self.person(2)
        self.release(user_ids=frozenset({2}))
        self.assertEqual((self.burst(1), self.burst(2)), (10, 3))
        self.assertEqual(self.world.gateway.gray_user_count(), 1)
        self.world.gateway.change_rates(RATES)
        self.world.clock.advance(100)
        self.assertEqual((self.burst(1), self.burst(2)), (10, 10))

    def test_whoever_comes(self) -> None:
        """Also who comes later, who has been here, and who comes back with another client."""
        self.release(client_versions=("2.*",))
        old = self.person(1, version="1.9")
        self.assertEqual(self.burst(1), 10)
        new = self.person(1, "laptop", version="2.0")
        self.world.clock.advance(100)
        self.assertEqual(self.burst(1), 3)
        new.leaves()
        self.world.clock.advance(100)
        self.assertEqual(self.burst(1), 10)
        old.leaves()
        self.person(1, version="2.1")
        self.world.clock.advance(100)
        self.assertEqual(self.burst(1), 3)

    def test_frames(self) -> None:
        """A device's frames, too."""
        peer = self.person(2)
        self.release(user_ids=frozenset({2}))
        self.assertEqual(sum(self.world.gateway.charge(peer.live) for _ in range(5)), 2)
