"""How a node goes on without the authority, by its own file and by settings."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.config.permission import Permission
from imd.kernel.tasks import Tasks
from imd.roles.standing import Standing


class StandingTests(SynchronousTestCase):
    """``Standing``."""

    def test_shadow_from_the_start(self) -> None:
        """In the shadow nothing is kept from being asked, whether the node's own file says so or settings do."""
        anything: Any = self
        for in_file in (True, False):
            standing = Standing(Permission(shadow=in_file), clock=Clock())
            standing.complete(
                members=anything,
                directory=anything,
                trail=anything,
                may_be_restricted=lambda _conversation_id, _user_id: True,
                wall_clock=lambda: 0,
                tasks=Tasks(),
            )
            self.assertEqual(standing.asking.heeds, not in_file)
            standing.change(Permission(shadow=not in_file), 1)
            self.assertEqual(standing.asking.heeds, in_file)
