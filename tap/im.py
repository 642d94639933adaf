"""``twistd im``: options and service of the one-process server."""

from __future__ import annotations

from twisted.application.service import Service

from imd.config.sections import Config
from tap.role import RoleOptions, serve


class Options(RoleOptions[Config]):
    """See ``RoleOptions``."""

    kind = Config


def makeService(options: Options) -> Service:
    """The server; when it cannot start, the process ends with exit code 1."""
    # After the reactor is in place, which some of what it imports would bring in another kind.
    from imd.roles.im import build

    return serve(build, options)
