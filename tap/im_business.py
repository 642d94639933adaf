"""``twistd im-business``: options and service of a business node."""

from __future__ import annotations

from twisted.application.service import Service

from imd.config.sections import BusinessConfig
from tap.role import RoleOptions, require_asyncio, serve


class Options(RoleOptions[BusinessConfig]):
    """See ``RoleOptions``."""

    kind = BusinessConfig


def makeService(options: Options) -> Service:
    """The node; when it cannot start, the process ends with exit code 1."""
    require_asyncio()
    # After the reactor is in place, which some of what it imports would bring in another kind.
    from imd.roles.im_business import build

    return serve(build, options)
