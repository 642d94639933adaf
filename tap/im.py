"""``twistd im``: options and service of the one-process server."""

from __future__ import annotations

from twisted.application.service import Service

from imd.config.sections import Config
from tap.role import RoleOptions, give_up, prepare, reactor


class Options(RoleOptions[Config]):
    """See ``RoleOptions``."""

    kind = Config


def makeService(options: Options) -> Service:
    """The server; when it cannot start, the process ends with exit code 1."""
    # After the reactor is in place, which some of what it imports would bring in another kind.
    from imd.roles.im import build

    prepare()
    return build(options.settings, reactor=reactor, on_failed=give_up)
