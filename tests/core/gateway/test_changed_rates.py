"""Rates that operators change while people are connected."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.limits import Address, Rates, UserRates, changed
from imd.core.gateway.shared_rates import SharedBucket
from imd.kernel.token_bucket import TokenBucket

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
