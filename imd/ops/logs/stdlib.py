"""What libraries write with the standard ``logging`` goes the way of all lines."""

from __future__ import annotations

import logging

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from imd.ops.logs.sampling import KIND

_FROM_STDLIB = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
)


class StdlibBridge(logging.Handler):
    """Hands what libraries log with the standard ``logging`` to twisted.logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``; never raises."""
        try:
            level = next((ours for floor, ours in _FROM_STDLIB if record.levelno >= floor), LogLevel.debug)
            extra: dict[str, object] = {KIND: f"{record.pathname}:{record.lineno}"}
            if record.exc_info and record.exc_info[1] is not None:
                _, error, traceback = record.exc_info
                extra["log_failure"] = Failure(error, type(error), traceback)
            Logger(namespace=record.name).emit(level, "{text}", text=record.getMessage(), **extra)
        except Exception:
            self.handleError(record)


def bridge_stdlib() -> None:
    """Make ``StdlibBridge`` the root handler, once."""
    root = logging.getLogger()
    if not any(isinstance(handler, StdlibBridge) for handler in root.handlers):
        root.addHandler(StdlibBridge())
