"""The log of a process, as twistd is given it: every line on its way from whoever says it to where it is written."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface import implementer

from imd.config.log import Log, log_levels_of
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.ops.logs.levels import Levels
from imd.ops.logs.lines import WORKER, json_line, text_line
from imd.ops.logs.output import Output
from imd.ops.logs.redaction import Redaction
from imd.ops.logs.sampling import Sampling

_FORMS = {"text": text_line, "json": json_line}
#: How often it is looked whether something was held back for long enough, while nobody says anything.
_LOOK_S = 5.0


@implementer(ILogObserver)
class ProcessLog:
    """An observer, and a stage of the role: its ``start`` has summaries written in time.

    Is called in every thread. Two that write at once may cost a count, never a line.

    :param node: stands in each line, if several nodes share an output.
    """

    _log = Logger(namespace="imd.ops.logs")

    def __init__(
        self,
        settings: Log,
        *,
        output: Output,
        redaction: Redaction,
        levels: Levels,
        sampling: Sampling,
        clock: Clock,
        wall_clock: WallClock,
        node: str = "",
    ) -> None:
        self._output = output
        self._redaction = redaction
        self.levels = levels
        self._sampling = sampling
        self._clock = clock
        self._wall_clock = wall_clock
        self._node = node
        self._tasks = Tasks()
        self._line = _FORMS[settings.format]
        #: Lines that were to be written, by level.
        self.lines = {level.name: 0 for level in LogLevel.iterconstants()}
        self.change(settings)

    @property
    def lost(self) -> int:
        """Lines that could not be written."""
        return self._output.lost

    @property
    def held_back(self) -> int:
        """Lines that others stand for."""
        return self._sampling.held_back

    def __call__(self, event: LogEvent) -> None:
        """See ``ILogObserver``; never raises for a disk or a reader."""
        if not self.levels.allow(event):
            return
        self._summarise()
        if self._sampling.admit(event):
            self._write(event)

    def redact(self, text: str) -> str:
        """Of a text, what may be written somewhere else, too."""
        return self._redaction.text(text)

    def change(self, settings: Log) -> None:
        """Have the values hold that may change at any time: levels, and how many lines of a kind are written."""
        self.levels.change(settings.level, log_levels_of(settings.levels))
        self._sampling.change(settings.lines_per_s)

    def reopen(self, settings: Log, secrets: Iterable[str]) -> None:
        """The same with those that change on SIGHUP: the format, and the file, which is opened anew in any case.

        :param settings: with the file as an absolute path.
        :param secrets: see ``Redaction.know``.
        """
        self._redaction.know(secrets)
        self._line = _FORMS[settings.format]
        self.change(settings)
        try:
            self._output.reopen(settings.file)
        except OSError as error:
            self._log.error(
                "log.file: {path} cannot be opened, lines go where they went before: {reason}",
                path=settings.file,
                reason=error.strerror,
            )

    async def start(self) -> None:
        self._log.debug(
            "the log is at {default}, with exceptions {others}",
            default=self.levels.default,
            others=self.levels.by_namespace,
        )
        self._tasks.spawn("tell what was held back", self._tell())

    async def stop(self) -> None:
        await self._tasks.stop()
        self._summarise(all_of_them=True)

    async def _tell(self) -> None:
        while True:
            await sleep(_LOOK_S, clock=self._clock)
            self._summarise()

    def _summarise(self, *, all_of_them: bool = False) -> None:
        for summary in self._sampling.summaries(all_of_them=all_of_them):
            self._write(self._now(summary))

    def _now(self, event: LogEvent) -> LogEvent:
        return {**event, "log_time": self._wall_clock() / 1000}

    def _write(self, event: LogEvent) -> None:
        if self._node:
            event = {**event, WORKER: self._node}
        level = event.get("log_level")
        self.lines[level.name if level is not None else "info"] += 1
        missing, problem = self._output.lost_in_a_row, self._output.problem
        if self._output.write(self._line(event, self._redaction.text)) and missing:
            lost: LogEvent = {
                "log_namespace": "imd.ops.logs",
                "log_level": LogLevel.error,
                "log_format": "{count} lines before this one were lost: {problem}",
                "count": missing,
                "problem": problem,
            }
            self._output.write(self._line(self._now(lost), self._redaction.text))
