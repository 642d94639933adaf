"""Which lines are written: a floor for all, others for parts of the program; both can change at any time."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from twisted.logger import LogEvent, LogLevel, LogLevelFilterPredicate, PredicateResult

_STDLIB = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


#: What is louder than it has to say; whoever asks for more of it gets it. The legacy log of Twisted has ports that open
#: and close at info, which roles tell in their own words, and errors at critical.
QUIET = {"log_legacy": "warn", "twisted.conch": "warn", "twisted.web.client": "warn"}
#: Said at info by factories of whatever namespace; of interest to who looks at debug lines.
_DEBUG_FORMATS = frozenset(("Starting factory {factory!r}", "Stopping factory {factory!r}"))


class Levels:
    """Floors by namespace. The nearest one above a namespace counts, and the default where there is none."""

    def __init__(self, default: str = "info", by_namespace: Mapping[str, str] | None = None) -> None:
        self.default = default
        self.by_namespace: dict[str, str] = {}
        self._predicate = LogLevelFilterPredicate()
        #: What loggers of the standard library had before, by name.
        self._before: dict[str, int] = {}
        self.change(default, by_namespace or {})

    def change(self, default: str, by_namespace: Mapping[str, str]) -> None:
        """Have these hold from the next line on, for libraries, too.

        :param default: one of ``imd.config.log.LOG_LEVELS``, as are the values of ``by_namespace``.
        """
        predicate = LogLevelFilterPredicate(LogLevel.levelWithName(default))
        for namespace, level in {**QUIET, **by_namespace}.items():
            predicate.setLogLevelForNamespace(namespace, LogLevel.levelWithName(level))
        self.default, self.by_namespace, self._predicate = default, dict(by_namespace), predicate
        self._tell_stdlib()

    def allow(self, event: LogEvent) -> bool:
        """Whether it is to be written."""
        if event.get("log_format") in _DEBUG_FORMATS:
            event = {**event, "log_level": LogLevel.debug}
        return self._predicate(event) is not PredicateResult.no

    def _tell_stdlib(self) -> None:
        """Libraries make no lines of a level that is not asked for: debug lines of some of them cost much."""
        for name, number in self._before.items():
            logging.getLogger(name).setLevel(number)
        floors = {"": self.default, **self.by_namespace}
        self._before = {name: logging.getLogger(name).level for name in floors}
        for name, level in floors.items():
            logging.getLogger(name).setLevel(_STDLIB[level])
