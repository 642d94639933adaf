"""``twistd im-core``: options and service of a core node, or of the supervisor of several."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from twisted.application.service import Service

from imd.config.address import parse_address
from imd.config.sections import CoreConfig
from tap.log import NAME
from tap.role import RoleOptions, reactor, refuse, require_asyncio, serve, stop

#: As many as the largest machine has cores.
MAX_WORKERS = 256
MAX_NODE_ID = 1023
MAX_PORT = 65_535

_WORKERS = (
    "nodes on this machine, one a core: they share its ports, and have the ids node_id, node_id + 1, ..."
)


class Options(RoleOptions[CoreConfig]):
    """See ``RoleOptions``."""

    kind = CoreConfig
    optParameters: ClassVar[list[list[Any]]] = [["workers", "w", 1, _WORKERS, int]]
    synopsis = "[--config FILE] [--workers N]"

    def postOptions(self) -> None:
        super().postOptions()
        last = self.settings.node_id + self["workers"] - 1
        if not 1 <= self["workers"] <= MAX_WORKERS:
            refuse(f"--workers {self['workers']}: expected 1 to {MAX_WORKERS}")
        if last > MAX_NODE_ID:
            refuse(
                f"--workers {self['workers']}: the last would be node {last}; expected at most {MAX_NODE_ID}"
            )

        listen = self.settings.metrics.listen
        if listen and parse_address(listen).port + self["workers"] - 1 > MAX_PORT:
            refuse(f"--workers {self['workers']}: metrics.listen {listen} leaves no port for each of them")

    def environ(self) -> Mapping[str, str]:
        # Whoever shares ports must be able to, and that is judged now.
        return os.environ | ({"IM__LISTEN__REUSE_PORT": "true"} if self["workers"] > 1 else {})


def makeService(options: Options) -> Service:
    """The node; when it cannot start, the process ends with exit code 1."""
    require_asyncio()
    # After the reactor is in place, which some of what they import would bring in another kind.
    from imd.roles.supervise import MARK, Leash, supervise

    if options["workers"] > 1:
        start = _start(options)
        return serve(partial(supervise, count=options["workers"], start=start), options)
    from imd.roles.im_core import build

    leash = Leash(reactor=reactor, stop=stop) if MARK in os.environ else None
    return serve(partial(build, last=leash), options)


def _start(options: Options) -> Any:
    from imd.roles.supervise import Start

    twistd: Any = options.parent
    logger = twistd["logger"]
    name = f"{logger.__module__}.{logger.__qualname__}" if logger else ""
    return Start(
        python=sys.executable,
        config=options["config"],
        logger="" if name == NAME else name,
        log_file=options.log.default_path(),
        environ=options.environ(),
    )
