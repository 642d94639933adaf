"""What holds of accounts, groups and permission in memory holds on MariaDB."""

from __future__ import annotations

from imd.config.sections import Config
from tests.business.accounts import test_enter, test_leave
from tests.business.groups import test_groups
from tests.business.permission import test_authority
from tests.business.world import World, WorldCase
from tests.live.mariadb import empty_business


class OnMariaDb(WorldCase):
    """The same world, its business data elsewhere."""

    def make_world(self, *, config: Config | None = None, core: bool = True) -> World:
        business = empty_business()
        return World(config=config, core=core, connect=lambda: business)


class Registering(OnMariaDb, test_enter.Registering):
    """See there."""


class LoggingIn(OnMariaDb, test_enter.LoggingIn):
    """See there."""


class Refreshing(OnMariaDb, test_enter.Refreshing):
    """See there."""


class Leaving(OnMariaDb, test_leave.Leaving):
    """See there."""


class Permission(OnMariaDb, test_groups.Permission):
    """See there."""


class Changes(OnMariaDb, test_groups.Changes):
    """See there."""


class Answers(OnMariaDb, test_authority.Answers):
    """See there."""
