"""Last seen as this process knows it: the recent ones at hand, written down a few seconds later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from imd.core.presence.ports import LastSeen
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError

#: Writes are gathered so long; a crash loses no more than that.
WRITE_INTERVAL_S = 5.0
#: Users at hand, about 150 B each; the store knows the others.
MAX_RECENT = 100_000


class SeenTimes:
    """Remembers when users were seen. ``store`` None: for as long as the process lives.

    :param shared: other nodes write to the store too, so what is at hand may be older than what is there.
    """

    _log = Logger()

    def __init__(self, *, store: LastSeen | None, clock: Clock, shared: bool = False) -> None:
        self._store = store
        self._shared = shared
        self._clock = clock
        self._recent: OrderedDict[int, int] = OrderedDict()
        self._unwritten: dict[int, int] = {}
        self._timer: IDelayedCall | None = None
        self._writing: Deferred[None] | None = None
        self._stopped = False

    def note(self, user_id: int, seen_ms: int, *, write: bool = True) -> None:
        """The user was here at this time, or, not to be written, at a node that writes it down itself.

        A wall clock that went back changes nothing.
        """
        seen_ms = max(seen_ms, self._recent.get(user_id, 0))
        self._recent[user_id] = seen_ms
        self._recent.move_to_end(user_id)
        if len(self._recent) > MAX_RECENT:
            forgotten, _ = self._recent.popitem(last=False)
            # Written long ago, unless the disk has failed for that many users.
            self._unwritten.pop(forgotten, None)
        if write and self._store is not None:
            self._unwritten[user_id] = seen_ms
            self._write_later()

    def recent(self, user_id: int) -> int:
        """What is known without asking the store; 0 if nothing is."""
        return self._recent.get(user_id, 0)

    async def load(self, user_ids: Sequence[int]) -> Mapping[int, int]:
        """What the store knows of those who are not at hand, or, of a shared one, of all.

        :raises ServerBusy: the store does not answer; a shared one is then as if it knew nothing.
        """
        absent = [user_id for user_id in user_ids if self._shared or user_id not in self._recent]
        if self._store is None or not absent:
            return {}
        try:
            return await self._store.of_users(absent)
        except ImError as error:
            if not self._shared:
                raise
            self._log.debug(
                "when {count} users were seen is not known: {error}", count=len(absent), error=error
            )
            return {}

    async def stop(self) -> None:
        """Write what is not written yet; the store must still be there."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is not None:
            await self._writing
        await self._write()

    def _write_later(self) -> None:
        if self._timer is None and self._writing is None and self._unwritten and not self._stopped:
            self._timer = self._clock.callLater(WRITE_INTERVAL_S, self._begin_write)

    def _begin_write(self) -> None:
        self._timer = None
        self._writing = Deferred()
        Deferred.fromCoroutine(self._write_now(self._writing))

    async def _write_now(self, ended: Deferred[None]) -> None:
        await self._write()
        self._writing = None
        self._write_later()
        ended.callback(None)

    async def _write(self) -> None:
        if self._store is None or not self._unwritten:
            return
        batch, self._unwritten = self._unwritten, {}
        try:
            await self._store.record(batch)
        except ImError as error:
            self._log.warn(
                "last seen of {count} users is not written yet: {error}", count=len(batch), error=error
            )
            # What came meanwhile is newer.
            self._unwritten = batch | self._unwritten
