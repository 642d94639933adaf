"""`twistd im-core --workers N`: how the workers are started, and how one knows that it is a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from imd.config.address import parse_address
from imd.config.sections import CoreConfig
from imd.kernel.lifecycle import Stages
from imd.roles.process import Process
from imd.roles.stages import STOP_MARGIN_S
from imd.roles.workers import LEASH_FD, READY_FD, Worker, Workers

#: In a worker's environment: that it is one.
MARK: Final = "IMD_WORKER"
#: Which node it is, for its log.
LOG_NODE: Final = "IM_LOG_NODE"

_TWISTD: Final = "from twisted.scripts.twistd import run; run()"


class Start(NamedTuple):
    """What the supervisor was started with."""

    python: str
    #: Absolute, or empty.
    config: str
    #: Dotted name of one that is not ours, or empty.
    logger: str
    #: As twistd was told; empty: the standard output.
    log_file: str
    environ: Mapping[str, str]

    def worker(self, node_id: int, *, metrics: str) -> Worker:
        """The command of one node.

        :param metrics: where it tells them.
        """
        command = [self.python, "-c", _TWISTD, "--nodaemon", "--pidfile="]
        # The file as well, if need be: all append to it, and each line says which node it is of.
        command.append(f"--logger={self.logger}" if self.logger else f"--logfile={self.log_file or '-'}")
        command.append("im-core")
        if self.config:
            command.append(f"--config={self.config}")
        own = {MARK: "1", LOG_NODE: str(node_id), "IM__NODE_ID": str(node_id), "IM__METRICS__LISTEN": metrics}
        return Worker(node_id, command, {**self.environ, **own})


def metrics_of(listen: str, index: int) -> str:
    """Where a worker tells its metrics: each at a port of its own, since one scrape must be of one process."""
    if not listen:
        return ""
    address = parse_address(listen)
    return str(address if not address.port else address._replace(port=address.port + index))


def supervise(
    config: CoreConfig,
    *,
    count: int,
    start: Start,
    reactor: Any,
    on_failed: Callable[[BaseException], None],
    process: Process[CoreConfig],
) -> Stages:
    """The supervisor of ``count`` nodes."""
    # Longer than a worker gives itself, so that it is not killed while it still drains.
    stop_timeout_s = config.gateway.drain_timeout_s + 2 * STOP_MARGIN_S
    workers = Workers(
        [
            start.worker(config.node_id + index, metrics=metrics_of(config.metrics.listen, index))
            for index in range(count)
        ],
        reactor=reactor,
        stop_timeout_s=stop_timeout_s,
    )
    process.on_hang_up(workers.hang_up)
    return Stages(
        [("log", process.log), ("workers", workers)],
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
