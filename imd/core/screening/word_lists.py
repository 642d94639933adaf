"""Keeps the word filter at what its files and the settings say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.logger import Logger

from imd.core.screening.ports import Threads
from imd.core.screening.word_files import Fingerprint, WrongLists, fingerprint, load_words
from imd.core.screening.words import Words
from imd.kernel.clocks import Clock
from imd.kernel.errors import StartupError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep


class WordLists:
    """A stage. New lists are made in a thread and put in place at one stroke; wrong ones are told, and change nothing.

    :param take: gets all words, at the start and whenever there are others.
    :param extra: lines beside those of the files.
    :param poll_s: how often files are looked at.
    """

    _logger = Logger()

    def __init__(
        self,
        *,
        take: Callable[[Words], None],
        files: Sequence[str],
        extra: Sequence[str],
        threads: Threads,
        clock: Clock,
        tasks: Tasks,
        poll_s: float,
    ) -> None:
        self._take = take
        self._files = tuple(files)
        self._extra = tuple(extra)
        self._threads = threads
        self._clock = clock
        self._tasks = tasks
        self._poll_s = poll_s
        #: Of what was loaded last, or tried last: what is wrong is told once.
        self._seen: tuple[Sequence[Fingerprint], Sequence[str]] | None = None
        self._asked = self._looking = False

    async def start(self) -> None:
        """Nobody is served before the lists are there."""
        try:
            await self._load()
        except WrongLists as error:
            raise StartupError(str(error)) from None
        if self._files:
            self._tasks.spawn("watch word lists", self._watch())

    async def stop(self) -> None:
        """Ended with the background work."""

    def take_lines(self, extra: Sequence[str]) -> None:
        """Other lines beside those of the files, from now on."""
        self._extra = tuple(extra)
        self._tasks.spawn("load word lists", self.look())

    async def look(self) -> None:
        """Load what was changed, if anything was."""
        self._asked = True
        if self._looking:
            # Whoever looks now looks again.
            return
        self._looking = True
        try:
            while self._asked:
                self._asked = False
                if self._seen != await self._now():
                    await self._reload()
        finally:
            self._looking = False

    async def _reload(self) -> None:
        try:
            await self._load()
        except WrongLists as error:
            self._logger.error("{error}\n  the lists as they were stay in force", error=error)

    async def _now(self) -> tuple[Sequence[Fingerprint], Sequence[str]]:
        files = self._files
        prints = await self._threads(lambda: [fingerprint(file) for file in files])
        return prints, (*files, *self._extra)

    async def _load(self) -> None:
        # Before the files are read: what is changed meanwhile is read again.
        self._seen = await self._now()
        words = await self._threads(partial(load_words, self._files, self._extra))
        self._take(words)
        self._logger.info("{count} words are filtered", count=len(words))

    async def _watch(self) -> None:
        while True:
            await sleep(self._poll_s, clock=self._clock)
            await self.look()
