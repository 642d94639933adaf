"""What a line of the log looks like: for people, or as an object for a log store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from twisted.logger import LogEvent, formatEvent
from twisted.python.failure import Failure

from imd.kernel.trace_context import carried
from imd.ops.logs.redaction import without_bodies

#: A peer's text must not draw on the operator's terminal or forge a line.
_CONTROLS = {code: f"\\x{code:02x}" for code in [*range(32), *range(0x7F, 0xA0)]} | {
    ord("\n"): "\n    ",
    ord("\t"): "\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
#: Values of an event that JSON keeps beside the message, to search for.
FIELDS = ("stage", "task", "node", "peer", "user_id", "device_id", "conversation_id", "trace_id", "code")
#: A line says what happened; what is longer is somebody's data.
MAX_TEXT = 16 * 1024
#: Of a longer one, so much more is looked through for secrets, and then dropped: one that the cut went through would
#: not be known for one. None is longer.
_MARGIN = 4 * 1024

#: Of an event: the node that this process is, where several share an output.
WORKER = "imd_worker"

#: Takes secrets out of a text.
Redact = Callable[[str], str]


def text_line(event: LogEvent, redact: Redact) -> str:
    """Time, level, who, what; a traceback below."""
    level, namespace = _level(event), event.get("log_namespace", "-")
    where = f"[node {event[WORKER]}] " if WORKER in event else ""
    text = f"{_time(event)} {level:<8} {where}{namespace}: {_text(event, redact).translate(_CONTROLS)}\n"
    traceback = _traceback(event, redact).splitlines()
    return text + "".join(f"    {line.translate(_CONTROLS)}\n" for line in traceback)


def json_line(event: LogEvent, redact: Redact) -> str:
    """The same as an object, with the fields of ``FIELDS`` that the event has."""
    line: dict[str, object] = {
        "time": _time(event),
        "level": _level(event),
        "namespace": event.get("log_namespace", "-"),
        "message": _text(event, redact),
    }
    if WORKER in event:
        line["worker"] = event[WORKER]
    for name in FIELDS:
        value = event.get(name)
        if isinstance(value, int | float | str):
            line[name] = _bounded(value, redact) if isinstance(value, str) else value
    trace = carried()
    if trace is not None:
        # Said on behalf of a message that is traced, by whoever knows nothing of that.
        line.setdefault("trace_id", trace.trace_id_hex())
    if traceback := _traceback(event, redact):
        line["traceback"] = traceback
    return json.dumps(line, ensure_ascii=False) + "\n"


def _time(event: LogEvent) -> str:
    moment = datetime.fromtimestamp(event.get("log_time", 0.0), UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return level.name if level is not None else "info"


def _text(event: LogEvent, redact: Redact) -> str:
    return _bounded(formatEvent(without_bodies(event)), redact)


def _bounded(text: str, redact: Redact) -> str:
    """The beginning of it, without secrets."""
    seen = redact(text[: MAX_TEXT + _MARGIN])
    if len(text) > MAX_TEXT + _MARGIN:
        # Its end may be half a secret, wherever it has moved to.
        kept, more = seen[: min(MAX_TEXT, len(seen) - _MARGIN)], len(text) - MAX_TEXT
    else:
        kept, more = seen[:MAX_TEXT], len(seen) - MAX_TEXT
    return f"{kept}... {more} more characters" if more > 0 else kept


def _traceback(event: LogEvent, redact: Redact) -> str:
    failure = event.get("log_failure")
    return redact(failure.getTraceback()) if isinstance(failure, Failure) else ""
