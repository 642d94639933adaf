"""``twistd im-admin``: options and service of an admin node."""

from __future__ import annotations

from twisted.application.service import Service

from imd.config.sections import AdminConfig
from tap.role import RoleOptions, require_asyncio, serve


class Options(RoleOptions[AdminConfig]):
    """See ``RoleOptions``."""

    kind = AdminConfig


def makeService(options: Options) -> Service:
    """The node; when it cannot start, the process ends with exit code 1."""
    require_asyncio()
    # After the reactor is in place, which some of what it imports would bring in another kind.
    from imd.roles.im_admin import build

    return serve(build, options)
