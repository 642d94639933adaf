"""What every role's tap does: the reactor, the options, the way the process ends."""

from __future__ import annotations

import atexit
import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn, TypeVar

if "twisted.internet.reactor" not in sys.modules:
    # Here, because a tap imports this module before anything that brings the reactor; ``--reactor`` has been
    # obeyed by then.
    from twisted.internet import asyncioreactor

    try:
        import uvloop
    except ImportError:
        asyncioreactor.install()
    else:
        asyncioreactor.install(uvloop.new_event_loop())

from twisted.application.service import Service
from twisted.internet import reactor as _reactor
from twisted.internet.error import ReactorNotRunning
from twisted.python.usage import Options

from imd.config.load import load
from imd.config.section import Section
from imd.kernel.errors import StartupError
from tap.log import OwnLog

reactor: Any = _reactor

S = TypeVar("S", bound=Section)


class RoleOptions(Options, Generic[S]):
    """``--config FILE``; every key can also be set by the environment, as IM__SECTION__KEY."""

    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "c", "", "TOML file; by default all defaults hold (samples are in etc/)"]
    ]
    synopsis = "[--config FILE]"
    #: Whose file it is.
    kind: type[S]
    settings: S
    log: OwnLog

    def postOptions(self) -> None:
        if self["config"]:
            # twistd may change folders, and the file is read again on SIGHUP.
            self["config"] = str(Path(self["config"]).absolute())
        try:
            self.settings = self.read()
            self.log = OwnLog.take_over(self.parent, self.settings, clock=reactor)
        except StartupError as error:
            refuse(error)

    def read(self) -> S:
        """The configuration as it is now.

        :raises ConfigError: with all that is wrong.
        """
        return load(self["config"], self.environ(), self.kind)

    def environ(self) -> Mapping[str, str]:
        """What overrides the file."""
        return os.environ


def refuse(reason: object) -> NoReturn:
    """End the process before it has begun, with exit code 1."""
    # Not a UsageError: twistd would print the options instead, and to the standard output.
    raise SystemExit(f"imd: {reason}") from None


def require_asyncio() -> None:
    """The bus between processes stands on asyncio."""
    if not hasattr(reactor, "_asyncioEventloop"):
        refuse(
            f"this role needs the asyncio reactor, not {type(reactor).__name__}: start it without --reactor"
        )


def serve(build: Callable[..., Service], options: RoleOptions[Any]) -> Service:
    """The service of a role; ``build`` also takes the reactor, the process, and whom to tell that the start failed."""
    # After the reactor is in place, which some of what it imports would bring in another kind.
    from imd.roles.process import Process

    # Until somebody listens to it: it would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Twisted's own clock follows the wall clock, which may be set back (twisted#2424).
    reactor.seconds = time.monotonic
    process: Process[Any] = Process(
        options.settings,
        log=options.log.log,
        load=options.read,
        reopen=options.log.reopen,
        clock=reactor,
    )
    # What was imported stays, and messages are freed by their counts: a full collection of all that
    # would only hold up everybody for 50 ms now and then.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    raise_open_files()
    # Drain and end with 0; twistd's own handler would drain, too, and then die of the signal.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, lambda *_: reactor.callFromThread(stop))
    reactor.callWhenRunning(_on_hang_up, process.hang_up)
    try:
        return build(options.settings, reactor=reactor, on_failed=_give_up, process=process)
    except StartupError as error:
        refuse(error)


def _on_hang_up(reload: Callable[[], None]) -> None:
    """SIGHUP reloads, or, where somebody closed the terminal that the server was started in, ends it."""
    at_terminal = os.isatty(1)

    def hang_up() -> None:
        if at_terminal and not os.isatty(1):
            stop()
        else:
            reload()

    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(hang_up))


def raise_open_files() -> None:
    """Each connection is an open file; most systems permit 1,024 at first, and far more to who asks."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems call it unlimited, and refuse to set that.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _give_up(error: BaseException) -> None:
    # What had started is stopped already. sys.stderr is the log by now.
    print(f"imd: {error}", file=sys.__stderr__, flush=True)
    # twistd has no way to return a code of ours.
    atexit.register(os._exit, 1)
    # The first stages may fail before the reactor runs.
    reactor.callWhenRunning(stop)


def stop() -> None:
    """End in order; a second time is too late to matter."""
    with suppress(ReactorNotRunning):
        reactor.stop()
