"""Commands of every role: is it well, what holds, what was slow, what is said in the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from imd.admin.settings.model import Changeable
from imd.config.listeners import value_at
from imd.config.load import keys
from imd.config.log import Log, of_log
from imd.kernel.slowest import Slowest
from imd.ops.health import Readiness
from imd.ops.logs.log import ProcessLog
from imd.ops.manhole.table import MAX_ROWS, Table, facts
from imd.roles.settings_seen import SettingsSeen

#: What stands here has a table of its own, or is long.
_OWN_TABLES = ("permission.matrix", "content.words")


class NodeCommands:
    """What there is to ask of any node."""

    def __init__(
        self,
        *,
        readiness: Readiness,
        settings: SettingsSeen[Any],
        log: ProcessLog,
        slowest: Slowest | None,
    ) -> None:
        self._readiness = readiness
        self._settings = settings
        self._log = log
        self._slowest = slowest

    def health(self) -> Table:
        """Whether this node takes traffic, and if not, why."""
        missing = self._readiness.missing()
        counts = [(f"log lines: {level}", count) for level, count in self._log.lines.items() if count]
        return facts(
            "ready" if not missing else "NOT ready",
            [
                *missing.items(),
                *counts,
                ("log lines lost", self._log.lost),
                ("log lines held back", self._log.held_back),
            ],
        )

    def limits(self, text: str = "") -> Table:
        """What can be changed at run time, and the values in force.

        With that in their names only: limits("user"). To change one for all nodes: imctl settings.
        """
        return Table(
            ("key", "in force", "file"),
            self._rows(text),
            title=f"settings version {self._settings.version}",
            limit=200,
        )

    def slowest(self, limit: int = 5) -> Table:
        """What took longest in the last hour, in stores.

        So many calls of each kind.
        """
        found = [] if self._slowest is None else self._slowest.entries(limit)
        return Table(
            ("ms", "ended", "what", "about"),
            ((each.took_s * 1000, clock_time(each.ended_at_ms), each.what, each.about) for each in found),
            limit=MAX_ROWS,
        )

    def log_level(self, level: str = "", namespace: str = "") -> Table:
        """The levels of this node's log, or to set one.

        log_level("debug", "imd.core.gateway") is for a part, log_level("debug") for all; until settings or SIGHUP
        say otherwise.
        """
        levels = self._log.levels
        if level:
            by_namespace = dict(levels.by_namespace)
            if namespace:
                by_namespace[namespace] = level
            wanted = Log(
                level=levels.default if namespace else level,
                levels=[f"{name}={floor}" for name, floor in by_namespace.items()],
            )
            if problems := list(of_log(wanted)):
                raise ValueError("; ".join(f"{path}: {text}" for path, text, _ in problems))
            self._log.change(replace(wanted, lines_per_s=self._settings.config.log.lines_per_s))
        return facts("levels of the log", [("(all)", levels.default), *levels.by_namespace.items()])

    def _rows(self, text: str) -> Iterator[tuple[object, ...]]:
        for path, _ in keys(Changeable):
            value = value_at(self._settings.config, path)
            if value is None or path in _OWN_TABLES or text not in path:
                continue
            in_file = value_at(self._settings.file, path)
            yield path, value, "" if in_file == value else in_file

    def commands(self) -> dict[str, Callable[..., object]]:
        """By the names that operators type."""
        return {
            "health": self.health,
            "limits": self.limits,
            "slowest": self.slowest,
            "log_level": self.log_level,
        }


def clock_time(at_ms: int) -> str:
    """A moment, as the log writes it; "-" for none."""
    if not at_ms:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """How long, in two units."""
    whole = int(seconds)
    for unit_s, unit, smaller_s, smaller in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit_s:
            return f"{whole // unit_s} {unit} {whole % unit_s // smaller_s} {smaller}"
    return f"{seconds:.1f} s"
