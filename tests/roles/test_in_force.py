"""What changes while the business role runs."""

from __future__ import annotations

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.config.sections import Accounts, BusinessConfig, BusinessLimits
from imd.kernel.errors import RateLimited
from imd.roles.business_in_force import BusinessInForce

CONFIG = BusinessConfig(limits=BusinessLimits(logins_per_min=2, user_requests_per_s=0))


class BusinessInForceTests(SynchronousTestCase):
    """``BusinessInForce``."""

    def setUp(self) -> None:
        self.in_force = BusinessInForce(CONFIG, clock=Clock())

    def test_at_first(self) -> None:
        """What the file says holds from the start."""
        self.in_force.logins.check("a")
        self.in_force.logins.check("a")
        self.assertRaises(RateLimited, self.in_force.logins.check, "a")
        for _ in range(100):
            self.in_force.requests.check("a")
        self.assertTrue(self.in_force.is_open_to_all())

    def test_changed(self) -> None:
        """Other rates hold for those who have tried before, too; a limit may come and go."""
        self.in_force.logins.check("a")
        self.in_force.change(
            replace(
                CONFIG,
                limits=BusinessLimits(logins_per_min=1, user_requests_per_s=0.1),
                accounts=Accounts(registration=False),
            ),
            1,
        )
        self.in_force.logins.check("a")
        self.assertRaises(RateLimited, self.in_force.logins.check, "a")
        self.in_force.requests.check("a")
        self.assertRaises(RateLimited, self.in_force.requests.check, "a")
        self.assertFalse(self.in_force.is_open_to_all())
        self.in_force.change(CONFIG, 2)
        self.in_force.requests.check("a")
        self.assertTrue(self.in_force.is_open_to_all())
