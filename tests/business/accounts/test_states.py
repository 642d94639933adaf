"""What an account may be, over every act."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.model import ACTIVE, DELETED, FROZEN
from imd.business.accounts.states import NAMES, Act, after
from imd.kernel.errors import Forbidden

EXPECTED = {
    (ACTIVE, Act.FREEZE): FROZEN,
    (ACTIVE, Act.THAW): ACTIVE,
    (ACTIVE, Act.DELETE): DELETED,
    (FROZEN, Act.FREEZE): FROZEN,
    (FROZEN, Act.THAW): ACTIVE,
}


class States(SynchronousTestCase):
    """Acts on accounts."""

    def test_every_step(self) -> None:
        """Every act on every state leads where it should, or is refused with the state as the reason."""
        for status, act in product(NAMES, Act):
            with self.subTest(status=NAMES[status], act=act.name):
                if (status, act) in EXPECTED:
                    self.assertEqual(after(status, act), EXPECTED[status, act])
                else:
                    self.assertEqual(self.assertRaises(Forbidden, after, status, act).reason, NAMES[status])
