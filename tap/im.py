"""``twistd im``: options and service of the one-process server."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any, ClassVar

if "twisted.internet.reactor" not in sys.modules:
    # Here, because twistd imports this module before the reactor; ``--reactor`` has been obeyed by then.
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
from twisted.python.usage import Options as BaseOptions

from imd.config.load import ConfigError, load
from imd.config.sections import Config
from imd.roles.im import build

reactor: Any = _reactor


class Options(BaseOptions):
    """``--config FILE``; every key can also be set by the environment, as IM__SECTION__KEY."""

    optParameters: ClassVar = [
        ["config", "c", "", "TOML file; by default all defaults hold (see etc/im.toml)"]
    ]
    synopsis = "[--config FILE]"
    settings: Config

    def postOptions(self) -> None:
        try:
            self.settings = load(self["config"], os.environ)
        except ConfigError as error:
            # Not a UsageError: twistd would print the options instead, and to the standard output.
            raise SystemExit(f"imd: {error}") from None


def makeService(options: Options) -> Service:
    """The server; when it cannot start, the process ends with exit code 1."""
    # Twisted's own clock follows the wall clock, which may be set back (twisted#2424).
    reactor.seconds = time.monotonic
    # What was imported stays, and messages are freed by their counts: a full collection of all that
    # would only hold up everybody for 50 ms now and then.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    # Drain and end with 0; twistd's own handler would drain, too, and then die of the signal.
    reactor.callWhenRunning(signal.signal, signal.SIGTERM, lambda *_: reactor.callFromThread(_stop))
    return build(options.settings, reactor=reactor, on_failed=_give_up)


def _give_up(error: BaseException) -> None:
    # sys.stderr is the log by now.
    print(f"imd: {error}", file=sys.__stderr__, flush=True)
    # twistd has no way to return a code of ours; what had started is stopped already.
    atexit.register(os._exit, 1)
    # The first stages may fail before the reactor runs.
    reactor.callWhenRunning(_stop)


def _stop() -> None:
    with suppress(ReactorNotRunning):
        reactor.stop()
