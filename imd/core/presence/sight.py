"""Who may not see somebody any more stops seeing them, soon after business says that it may have changed."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from imd.core.directory import Directory
from imd.core.presence.ports import Watcher
from imd.core.presence.presence import Presence
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Watchers asked about at a time: somebody whom thousands watch does not fill the bus.
_AT_ONCE = 16
#: Seconds between tries while business does not answer. After the last one nobody sees what may not be theirs to see;
#: whoever subscribes anew sees what is.
_RETRY_S = (0.5, 2.0, 5.0)


class Sight:
    """Asks anew about those who watch, and hides what may not be seen. Whoever may see more asks by themselves."""

    def __init__(self, *, presence: Presence, directory: Directory, clock: Clock, tasks: Tasks) -> None:
        self._presence = presence
        self._directory = directory
        self._clock = clock
        self._tasks = tasks
        self._doubtful: dict[Watcher, set[int]] = {}
        self._looking = False

    def changed(self, user_id: int, peer_ids: Sequence[int]) -> None:
        """It may be different between the user and these, or who sees the user if there are none."""
        self._presence.doubt()
        for watcher, target_id in self._presence.watchers_between(user_id, peer_ids):
            self._doubtful.setdefault(watcher, set()).add(target_id)
        if self._doubtful and not self._looking:
            self._looking = True
            self._tasks.spawn("look again who may see whom", self._look())

    async def _look(self) -> None:
        try:
            while self._doubtful:
                some = [self._doubtful.popitem() for _ in range(min(_AT_ONCE, len(self._doubtful)))]
                asking = [Deferred.fromCoroutine(self._look_at(*one)) for one in some]
                for each in asking:
                    await each
        finally:
            self._looking = False

    async def _look_at(self, watcher: Watcher, target_ids: set[int]) -> None:
        hidden = target_ids - await self._visible(watcher, target_ids)
        if hidden:
            self._presence.hide(watcher, hidden)

    async def _visible(self, watcher: Watcher, target_ids: set[int]) -> frozenset[int]:
        for delay_s in (*_RETRY_S, None):
            try:
                return await self._directory.visible(watcher.speaker, sorted(target_ids))
            except ImError as error:
                if delay_s is None or not error.retryable:
                    break
            await sleep(delay_s, clock=self._clock)
        return frozenset()
