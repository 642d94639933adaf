"""What a role has of the process that it runs in: its log, and word of SIGHUP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.logger import Logger

from imd.admin.settings.model import Changeable
from imd.config.changes import changes
from imd.config.load import ConfigError, keys
from imd.config.section import Section
from imd.kernel.clocks import Clock
from imd.ops.logs.log import ProcessLog
from imd.roles.settings_seen import SettingsSeen

C = TypeVar("C", bound=Section)

#: Reading the file again holds everybody up for some 20 ms: it is done so often at most, however often it is asked for.
RELOAD_INTERVAL_S = 1.0

#: Of [log], what only SIGHUP changes.
_LOG_KEYS = ("log.format", "log.file")


class Process(Generic[C]):
    """One a process; ``hang_up`` is what SIGHUP does.

    :param config: with which the process was started.
    :param load: the configuration as its file and the environment are now; raises ``ConfigError``.
    :param reopen: opens the log anew, as this configuration says.
    """

    _log = Logger()

    def __init__(
        self,
        config: C,
        *,
        log: ProcessLog,
        load: Callable[[], C],
        reopen: Callable[[C], None],
        clock: Clock,
    ) -> None:
        self._config = config
        self.log = log
        self._load = load
        self._reopen = reopen
        self._clock = clock
        self._reloaded_s = -RELOAD_INTERVAL_S
        self._is_due = False
        self._settings: SettingsSeen[C] | None = None
        self._others: list[Callable[[], None]] = []

    def follow(self, settings: SettingsSeen[C]) -> None:
        """Have the log go by them, and lay them over the file again when it is read again."""
        self._settings = settings
        settings.on_changed(self._settings_changed)

    def on_hang_up(self, told: Callable[[], None]) -> None:
        """Tell somebody else, too."""
        self._others.append(told)

    def hang_up(self) -> None:
        """Reload: at once, or a second after the last time; who asks before that is served by the same."""
        if self._is_due:
            return
        self._is_due = True
        wait_s = self._reloaded_s + RELOAD_INTERVAL_S - self._clock.seconds()
        if wait_s <= 0:
            self._reload()
        else:
            self._clock.callLater(wait_s, self._reload)

    def _reload(self) -> None:
        """Read the configuration again, take what may change, and open the log file anew.

        With anything wrong in it nothing is changed, and all that is wrong is told: in the log file as it was named
        before, which is opened anew all the same, for somebody may have moved it.
        """
        # From here on, whoever asks may have changed the file after it was read.
        self._is_due = False
        self._reloaded_s = self._clock.seconds()
        for told in self._others:
            told()
        settings = self._settings
        try:
            merged, found = changes(self._file(), self._load(), changeable=_CHANGEABLE)
            if settings is not None:
                settings.take_file(merged)
        except ConfigError as error:
            self._reopen(self._in_force())
            self._log.error("SIGHUP: nothing is changed, {error}", error=error)
            return
        self._config = merged
        self._reopen(self._in_force())
        self._log.info("SIGHUP: the log is opened anew; in force now: {taken}", taken=_listed(found.taken))
        if found.left:
            self._log.warn("SIGHUP: only a restart brings into force: {left}", left=_listed(found.left))

    def _file(self) -> C:
        return self._config if self._settings is None else self._settings.file

    def _in_force(self) -> C:
        return self._config if self._settings is None else self._settings.config

    def _settings_changed(self, config: Any, version: int) -> None:
        self.log.change(config.log)


_CHANGEABLE = frozenset([*(path for path, _ in keys(Changeable)), *_LOG_KEYS])


def _listed(paths: list[str]) -> str:
    return ", ".join(paths) or "nothing else than before"
