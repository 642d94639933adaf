"""What the log looks like: lines for people, or lines of JSON for a log store.

``twistd -n --pidfile= --logger imd.ops.logging.console im`` or ``... imd.ops.logging.json_lines im``;
``IM_LOG_LEVEL=debug`` shows more, ``IM_LOG_NODE=3`` marks every line with the node. Both also carry what libraries write with the standard ``logging``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.python.failure import Failure

#: Tokens, hashes and whatever is called a password never reach a log, wherever they stand.
_SECRETS = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]+\.?[\w-]*"  # a JWT
    r"|\$argon2[\w$=,+/]+"
    r"|(?<=[Bb]earer )\S+"
    r"|(?i:(?<=password=)|(?<=password: )|(?<=\"password\": \")|(?<=token=)|(?<=secret=))[^\s&\"']+"
)
#: A peer's text must not draw on the operator's terminal or forge a line.
_CONTROLS = {code: f"\\x{code:02x}" for code in [*range(32), *range(0x7F, 0xA0)]} | {
    ord("\n"): "\n    ",
    ord("\t"): "\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
#: Values of an event that JSON keeps beside the message, to search for.
FIELDS = ("stage", "task", "node", "peer", "user_id", "device_id", "conversation_id", "trace_id", "code")

#: Of an event: the node that this process is, where several share an output.
_WORKER = "imd_worker"

_FROM_STDLIB = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
)


def console() -> ILogObserver:
    """For ``twistd --logger``: readable lines on the standard output."""
    return _observer(sys.stdout, _of_node(console_line), os.environ.get("IM_LOG_LEVEL"))


def json_lines() -> ILogObserver:
    """For ``twistd --logger``: one JSON object a line on the standard output."""
    return _observer(sys.stdout, _of_node(json_line), os.environ.get("IM_LOG_LEVEL"))


def console_line(event: LogEvent) -> str:
    """Time, level, who, what; a traceback below."""
    level, namespace = _level(event), event.get("log_namespace", "-")
    where = f"[node {event[_WORKER]}] " if _WORKER in event else ""
    text = f"{_time(event)} {level:<8} {where}{namespace}: {_text(event).translate(_CONTROLS)}\n"
    return text + "".join(f"    {line}\n" for line in _traceback(event).splitlines())


def json_line(event: LogEvent) -> str:
    """The same as an object, with the fields of ``FIELDS`` that the event has."""
    line: dict[str, object] = {
        "time": _time(event),
        "level": _level(event),
        "namespace": event.get("log_namespace", "-"),
        "message": _text(event),
    }
    if _WORKER in event:
        line["worker"] = event[_WORKER]
    for name in FIELDS:
        value = event.get(name)
        if isinstance(value, int | float | str):
            line[name] = _redacted(value) if isinstance(value, str) else value
    if traceback := _traceback(event):
        line["traceback"] = traceback
    return json.dumps(line, ensure_ascii=False) + "\n"


class StdlibBridge(logging.Handler):
    """Hands what libraries log with the standard ``logging`` to twisted.logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Called by ``logging``; never raises."""
        try:
            level = next((ours for floor, ours in _FROM_STDLIB if record.levelno >= floor), LogLevel.debug)
            extra: dict[str, object] = {}
            if record.exc_info and record.exc_info[1] is not None:
                _, error, traceback = record.exc_info
                extra["log_failure"] = Failure(error, type(error), traceback)
            Logger(namespace=record.name).emit(level, "{text}", text=record.getMessage(), **extra)
        except Exception:
            self.handleError(record)


def bridge_stdlib(level: int = logging.INFO) -> None:
    """Make ``StdlibBridge`` the root handler, once."""
    root = logging.getLogger()
    if not any(isinstance(handler, StdlibBridge) for handler in root.handlers):
        root.addHandler(StdlibBridge())
        root.setLevel(level)


def _observer(out: TextIO, line: Callable[[LogEvent], str | None], level: str | None) -> ILogObserver:
    bridge_stdlib()
    levels = {constant.name: constant for constant in LogLevel.iterconstants()}
    floor = levels.get((level or "info").lower(), LogLevel.info)
    return FilteringLogObserver(FileLogObserver(out, line), [LogLevelFilterPredicate(floor)])


def _of_node(line: Callable[[LogEvent], str]) -> Callable[[LogEvent], str]:
    """Says in each line which node it is of, if the environment says so: workers share an output."""
    node = os.environ.get("IM_LOG_NODE", "")
    if not node:
        return line
    return lambda event: line({**event, _WORKER: node})


def _time(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return level.name if level is not None else "info"


def _text(event: LogEvent) -> str:
    return _redacted(formatEvent(event))


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return _redacted(failure.getTraceback()) if isinstance(failure, Failure) else ""


def _redacted(text: str) -> str:
    return _SECRETS.sub("[hidden]", text)
