"""What holds of people in memory, their accounts and relations, holds on MariaDB."""

from __future__ import annotations

from tests.business.accounts import test_close, test_device_bans, test_devices, test_profile
from tests.business.relations import test_befriend, test_block, test_lists
from tests.live.test_mariadb_business import OnMariaDb


class Deleting(OnMariaDb, test_close.Deleting):
    """See there."""


class Freezing(OnMariaDb, test_close.Freezing):
    """See there."""


class Barring(OnMariaDb, test_device_bans.Barring):
    """See there."""


class SigningOut(OnMariaDb, test_devices.SigningOut):
    """See there."""


class Kicking(OnMariaDb, test_devices.Kicking):
    """See there."""


class Editing(OnMariaDb, test_profile.Editing):
    """See there."""


class Finding(OnMariaDb, test_profile.Finding):
    """See there."""


class Asking(OnMariaDb, test_befriend.Asking):
    """See there."""


class Lists(OnMariaDb, test_lists.Lists):
    """See there."""


class FriendGroups(OnMariaDb, test_lists.Groups):
    """See there."""


class Blocking(OnMariaDb, test_block.Blocking):
    """See there."""


class Privacy(OnMariaDb, test_block.Privacy):
    """See there."""
