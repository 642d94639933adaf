"""[log]: what the process says of itself, and where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from msgspec import field

from imd.config.conflict import Conflict
from imd.config.section import Section

#: From everything to almost nothing.
LOG_LEVELS = ("debug", "info", "warn", "error", "critical")
LOG_FORMATS = ("text", "json")


class Log(Section, frozen=True):
    """What the process says of itself, and where (docs/logs.rst). level, levels and lines_per_s can be changed
    while nodes run (/api/v1/settings); all of it by SIGHUP, after a change here."""

    level: str = "info"
    """What is written: debug, info, warn, error or critical, and all that is worse."""
    levels: list[str] = field(default_factory=list)
    """Other levels for parts of the program and all that is below them, such as "imd.core.gateway=debug"."""
    lines_per_s: float = 10.0
    """Of lines of one kind, which stand in one place of the program, so many a second are written, and the others
    counted and told once a minute. 0: all are written. Neither debug nor critical lines are held back."""
    format: str = "text"
    """"text" for people, "json" for a log store."""
    file: str = ""
    """Lines are appended to it; SIGHUP opens it anew, after logrotate has moved it. Empty: the standard output, or
    what --logfile of twistd names."""


def log_level_of(text: str) -> str:
    """:raises ValueError: it is none."""
    if text not in LOG_LEVELS:
        near = get_close_matches(text, LOG_LEVELS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"{text!r} is none of {', '.join(LOG_LEVELS)}{hint}")
    return text


def log_levels_of(texts: Iterable[str]) -> dict[str, str]:
    """Namespace to level, of ``Log.levels``.

    :raises ValueError: one of them is none.
    """
    return dict(_namespace_and_level(text) for text in texts)


def of_log(log: Log) -> Iterator[Conflict]:
    """What types and bounds cannot say."""
    try:
        log_level_of(log.level)
    except ValueError as error:
        yield Conflict("log.level", str(error))
    seen: set[str] = set()
    for index, text in enumerate(log.levels):
        try:
            namespace, _ = _namespace_and_level(text)
        except ValueError as error:
            yield Conflict(f"log.levels[{index}]", str(error), ("log.levels",))
            continue
        if namespace in seen:
            yield Conflict(f"log.levels[{index}]", f"names {namespace} again", ("log.levels",))
        seen.add(namespace)
    if log.format not in LOG_FORMATS:
        yield Conflict("log.format", f"{log.format!r} is none of {', '.join(LOG_FORMATS)}")


def _namespace_and_level(text: str) -> tuple[str, str]:
    namespace, equals, level = text.partition("=")
    if not equals or not namespace.strip():
        raise ValueError(f"{text!r} is none; expected NAMESPACE=LEVEL, such as imd.core.gateway=debug")
    return namespace.strip(), log_level_of(level.strip())
