"""`twistd im-core --workers N`: how the workers are started, and how one knows that it is a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from imd.config.sections import CoreConfig
from imd.kernel.lifecycle import Stages
from imd.roles.stages import STOP_MARGIN_S
from imd.roles.workers import LEASH_FD, READY_FD, Worker, Workers

#: In a worker's environment: that it is one.
MARK: Final = "IMD_WORKER"
#: Which node it is, for its log.
LOG_NODE: Final = "IM_LOG_NODE"

_TWISTD: Final = "from twisted.scripts.twistd import run; run()"
#: What workers write says which of them it is; Twisted's own text does not.
_LOGGER: Final = "imd.ops.logging.console"


class Start(NamedTuple):
    """What the supervisor was started with."""

    python: str
    #: Absolute, or empty.
    config: str
    #: Dotted name, or empty.
    logger: str
    #: Empty: the standard output.
    log_file: str
    environ: Mapping[str, str]

    def worker(self, node_id: int) -> Worker:
        """The command of one node."""
        command = [self.python, "-c", _TWISTD, "--nodaemon", "--pidfile="]
        if self.log_file and not self.logger:
            # Two processes cannot turn over one file.
            command.append(f"--logfile={self.log_file}.node-{node_id}")
        else:
            command.append(f"--logger={self.logger or _LOGGER}")
        command.append("im-core")
        if self.config:
            command.append(f"--config={self.config}")
        own = {MARK: "1", LOG_NODE: str(node_id), "IM__NODE_ID": str(node_id)}
        return Worker(node_id, command, {**self.environ, **own})


def log_file_of(given: str | None, *, nodaemon: bool) -> str:
    """Where twistd writes that was started with these options; "" for the standard output."""
    if given == "-" or (not given and nodaemon):
        return ""
    return str(Path(given or "twistd.log").absolute())


def supervise(
    config: CoreConfig, *, count: int, start: Start, reactor: Any, on_failed: Callable[[BaseException], None]
) -> Stages:
    """The supervisor of ``count`` nodes."""
    # Longer than a worker gives itself, so that it is not killed while it still drains.
    stop_timeout_s = config.gateway.drain_timeout_s + 2 * STOP_MARGIN_S
    workers = Workers(
        [start.worker(config.node_id + index) for index in range(count)],
        reactor=reactor,
        stop_timeout_s=stop_timeout_s,
    )
    return Stages(
        [("workers", workers)],
        clock=reactor,
        on_failed=on_failed,
        stop_timeout_s=stop_timeout_s + STOP_MARGIN_S,
    )


class Leash(Protocol):
    """A worker's end of the pipes, as its last stage: started, it says so; cut, the worker drains and ends.

    :param stop: ends the process in order.
    """

    def __init__(self, *, reactor: Any, stop: Callable[[], None]) -> None:
        self._reactor = reactor
        self._stop = stop

    async def start(self) -> None:
        # mypy reads the Windows half of Twisted here.
        make: Any = StandardIO
        make(self, stdin=LEASH_FD, stdout=READY_FD, reactor=self._reactor).write(b"ready\n")

    async def stop(self) -> None:
        """The supervisor sees the process end."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop()
