"""The log of this process. twistd knows it by its name only, so it lives here: one a process, like the reactor."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace
from twisted.logger import ILogObserver

from imd.config.log import Log, log_levels_of
from imd.config.secrets import secrets_of
from imd.kernel.clocks import Clock, system_wall_clock
from imd.kernel.errors import StartupError
from imd.ops.logs.levels import Levels
from imd.ops.logs.log import ProcessLog
from imd.ops.logs.output import Output
from imd.ops.logs.redaction import Redaction
from imd.ops.logs.sampling import Sampling
from imd.ops.logs.stdlib import bridge_stdlib

#: As ``--logger`` of twistd takes it.
NAME = "tap.log.observer"
#: In the environment of a worker: which of the nodes that share an output it is.
NODE = "IM_LOG_NODE"

_logs: list[ProcessLog] = []


def observer() -> ILogObserver:
    """For twistd, once ``OwnLog.take_over`` has made it."""
    bridge_stdlib()
    return _logs[-1]


class OwnLog(NamedTuple):
    """The log, and where it goes if the configuration does not say."""

    log: ProcessLog
    #: As twistd's ``--logfile`` says; "" for the standard output.
    default: str
    #: twistd may change it later.
    folder: Path

    @classmethod
    def take_over(cls, twistd: MutableMapping[str, Any] | None, config: Any, *, clock: Clock) -> OwnLog:
        """Make the log, and have twistd use it, unless its own ``--logger`` or ``--syslog`` says otherwise.

        :param twistd: its options, not yet looked at.
        :raises StartupError: the file cannot be opened.
        """
        settings: Log = config.log
        folder, default = Path.cwd(), _default_of(twistd)
        path = _absolute(settings.file or default, folder)
        try:
            output = Output(path, complain=_complain, seconds=time.monotonic)
        except OSError as error:
            raise StartupError(f"log.file: cannot open {path}: {error.strerror}") from None
        log = ProcessLog(
            settings,
            output=output,
            redaction=Redaction(secrets_of(config)),
            levels=Levels(settings.level, log_levels_of(settings.levels)),
            sampling=Sampling(settings.lines_per_s, seconds=time.monotonic),
            clock=clock,
            wall_clock=system_wall_clock,
            node=os.environ.get(NODE, ""),
        )
        if twistd is not None and not twistd["logger"] and not twistd.get("syslog"):
            _logs[:] = [log]
            twistd["logger"] = NAME
        return cls(log, default, folder)

    def default_path(self) -> str:
        """``default``, absolute."""
        return _absolute(self.default, self.folder)

    def reopen(self, config: Any) -> None:
        """As this configuration says; see ``ProcessLog.reopen``."""
        settings: Log = config.log
        path = _absolute(settings.file or self.default, self.folder)
        self.log.reopen(replace(settings, file=path), secrets_of(config))


def _default_of(twistd: MutableMapping[str, Any] | None) -> str:
    if twistd is None:
        return ""
    given: str = twistd["logfile"] or ""
    if not given and not twistd["nodaemon"]:
        # Nobody looks at the terminal.
        return "twistd.log"
    return "" if given == "-" else given


def _absolute(path: str, folder: Path) -> str:
    return str(folder / path) if path else ""


def _complain(line: str) -> None:
    # sys.stderr is the log by now.
    print(line, end="", file=sys.__stderr__, flush=True)
