"""Which logins still count, in memory: thousands that connect at once cost a few queries."""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.defer import Deferred

from imd.business.accounts.model import Sessions
from imd.business.accounts.ports import Accounts
from imd.kernel.clocks import Clock
from imd.kernel.tasks import Tasks

#: About 500 bytes each.
MAX_USERS = 50_000
#: How long another node's revocation may go unnoticed here if its announcement is lost.
TTL_S = 60.0
#: The clocks of two nodes, at most.
_CLOCKS_APART_S = 30.0
#: Users asked for in one query.
BATCH = 500


class SessionCache:
    """Read-through: one query is in flight at a time, and carries all that was asked meanwhile."""

    def __init__(self, *, accounts: Accounts, clock: Clock, tasks: Tasks) -> None:
        self._accounts = accounts
        self._clock = clock
        self._tasks = tasks
        self._known: OrderedDict[int, tuple[float, Sessions | None]] = OrderedDict()
        self._waiting: dict[int, list[Deferred[Sessions | None]]] = {}
        self._asking: set[int] = set()
        self._loading = False

    def __len__(self) -> int:
        """Users that are known."""
        return len(self._known)

    async def of(self, user_id: int) -> Sessions | None:
        """What counts now; None if there is no such user."""
        known = self._known.get(user_id)
        if known is not None and self._clock.seconds() < known[0]:
            self._known.move_to_end(user_id)
            return known[1]
        answer: Deferred[Sessions | None] = Deferred()
        self._waiting.setdefault(user_id, []).append(answer)
        if not self._loading:
            self._loading = True
            self._tasks.spawn("load sessions", self._load())
        return await answer

    async def newer_than(self, user_id: int, age_s: float) -> Sessions | None:
        """The same for somebody who shows what was made so long ago, and is not in what is known here.

        What was looked up after that is believed: whoever shows a token that has ended costs no query for it, but
        in its first seconds.
        """
        known = self._known.get(user_id)
        if known is not None:
            known_for_s = TTL_S - (known[0] - self._clock.seconds())
            if known_for_s + _CLOCKS_APART_S >= age_s:
                self.forget(user_id)
        return await self.of(user_id)

    def forget(self, user_id: int) -> None:
        """Something of this user has changed and is committed.

        A query that is in flight may have read the old state: its answer is not used, it asks again.
        """
        self._known.pop(user_id, None)
        self._asking.discard(user_id)

    async def _load(self) -> None:
        try:
            while self._waiting:
                await self._load_batch(list(self._waiting)[:BATCH])
        finally:
            self._loading = False

    async def _load_batch(self, user_ids: list[int]) -> None:
        self._asking = set(user_ids)
        try:
            found = await self._accounts.sessions(user_ids)
        except Exception as error:
            for user_id in user_ids:
                for answer in self._waiting.pop(user_id, ()):
                    answer.errback(error)
            return
        expires_s = self._clock.seconds() + TTL_S
        for user_id in user_ids:
            if user_id not in self._asking:
                continue
            sessions = found.get(user_id)
            self._known[user_id] = (expires_s, sessions)
            for answer in self._waiting.pop(user_id, ()):
                answer.callback(sessions)
        while len(self._known) > MAX_USERS:
            self._known.popitem(last=False)
