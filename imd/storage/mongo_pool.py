"""Connections to the primary: as many as are needed, never a dead one, and a new primary when there is one."""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import TimeoutError, sleep, with_timeout
from imd.storage.mongo_link import Host, Login, MongoLink
from imd.storage.mongo_primary import Members, MongoTrouble

#: Calls of a node that run or wait; more would only wait longer for a store that is slow already.
MAX_IN_FLIGHT = 256
#: A primary that hangs or has been replaced is noticed so soon, even if nobody asks it anything.
WATCH_EVERY_S = 5.0
#: Firewalls forget connections that say nothing, and tell nobody.
CLOSE_IDLE_AFTER_S = 60.0
_RETRY_FIRST_S = 0.1
_RETRY_LONGEST_S = 1.0


class LinkPool:
    """Links that are logged in at the primary.

    :param patience_s: how long a call may wait for a link.
    """

    _logger = Logger()

    def __init__(
        self, *, members: Members, login: Login | None, clock: Clock, size: int, patience_s: float
    ) -> None:
        self._members = members
        self._login = login
        self._clock = clock
        self._size = size
        self._patience_s = patience_s
        self._tasks = Tasks()
        self._open = False
        self._primary: Host | None = None
        self._idle: list[MongoLink] = []
        self._taken: set[MongoLink] = set()
        #: Taken before the primary was forgotten: closed when they come back.
        self._outdated: set[MongoLink] = set()
        self._waiting: deque[Deferred[MongoLink]] = deque()
        self._connecting = 0
        self._checking = False
        self._trouble = ""

    def open(self) -> None:
        """From now on links may be taken."""
        self._open = True
        self._tasks.spawn("watch the MongoDB primary", self._watch())

    async def close(self) -> None:
        """Close all links; whoever still waits for an answer hears that there is none."""
        self._open = False
        await self._tasks.stop()
        for link in [*self._idle, *self._taken]:
            link.on_lost = None
            link.abort()
        self._idle.clear()
        for waiter in list(self._waiting):
            waiter.errback(ServerBusy("the message store is closed"))

    @property
    def ready(self) -> bool:
        """Whether there is a primary that answers."""
        return self._open and not self._trouble

    @property
    def connections(self) -> dict[str, int]:
        """Idle, taken and connecting."""
        return {"idle": len(self._idle), "taken": len(self._taken), "connecting": self._connecting}

    @property
    def waiting(self) -> int:
        """Calls that wait for a link."""
        return len(self._waiting)

    async def take(self) -> MongoLink:
        """A live link, for one call; it must be given back.

        :raises ServerBusy: there is none in time, or too many wait for one.
        """
        if not self._open:
            raise ServerBusy("the message store is closed")
        if self._idle:
            link = self._idle.pop()
            self._taken.add(link)
            return link
        if len(self._taken) + len(self._waiting) >= MAX_IN_FLIGHT:
            raise ServerBusy("the message store is slow", retry_after_ms=1000)
        waiter: Deferred[MongoLink] = Deferred()
        self._waiting.append(waiter)
        self._grow()
        try:
            return await with_timeout(waiter, timeout_s=self._patience_s, clock=self._clock)
        except TimeoutError:
            raise ServerBusy("the message store cannot be reached", retry_after_ms=1000) from None
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def give_back(self, link: MongoLink) -> None:
        """The call has ended, one way or the other."""
        self._taken.discard(link)
        if link in self._outdated:
            self._outdated.discard(link)
            link.abort()
        if link.alive and self._open:
            self._hand_out(link)
        elif self._waiting:
            self._grow()

    def _hand_out(self, link: MongoLink) -> None:
        if self._waiting:
            self._taken.add(link)
            self._waiting.popleft().callback(link)
        else:
            link.idle_since_s = self._clock.seconds()
            self._idle.append(link)

    def _grow(self) -> None:
        """As many connections under way as calls wait for one, within the size."""
        room = self._size - len(self._idle) - len(self._taken)
        while self._open and self._connecting < min(len(self._waiting), room):
            self._connecting += 1
            self._tasks.spawn("connect to MongoDB", self._connect())

    async def _connect(self) -> None:
        """One more link, tried until nobody waits for one."""
        delay_s = _RETRY_FIRST_S
        try:
            while self._waiting:
                try:
                    link = await self._dial()
                    break
                except MongoTrouble as trouble:
                    self._note(str(trouble))
                await sleep(delay_s, clock=self._clock)
                delay_s = min(_RETRY_LONGEST_S, delay_s * 2)
            else:
                return
        finally:
            self._connecting -= 1
        self._note("")
        link.on_lost = lambda: self._lost(link)
        self._hand_out(link)

    async def _dial(self) -> MongoLink:
        if self._primary is None:
            self._primary = await self._members.find_primary()
        try:
            link, _ = await self._members.greet(self._primary, login=self._login)
        except MongoTrouble:
            self._primary = None
            raise
        return link

    def _lost(self, link: MongoLink) -> None:
        if link in self._idle:
            self._idle.remove(link)

    def _note(self, trouble: str) -> None:
        """Say what is wrong, or that it is over, once each."""
        if trouble and not self._trouble:
            self._logger.error("MongoDB: {trouble}", trouble=trouble)
        elif self._trouble and not trouble:
            self._logger.info("MongoDB answers again")
        self._trouble = trouble

    def forget_primary(self) -> None:
        """It is another member now: no call begins any more on the links that there are."""
        self._primary = None
        idle, self._idle = self._idle, []
        for link in idle:
            link.abort()
        self._outdated |= self._taken

    def suspect(self) -> None:
        """A call has failed: see now whether the primary is still there."""
        if self._open and not self._checking:
            self._tasks.spawn("look after the MongoDB primary", self._check())

    async def _check(self) -> None:
        if self._checking:
            return
        self._checking = True
        try:
            primary = self._primary
            if primary is not None and not await self._is_primary(primary) and primary is self._primary:
                self.forget_primary()
            if self._primary is None:
                self._primary = await self._members.find_primary()
            self._note("")
        except MongoTrouble as trouble:
            self._note(str(trouble))
        finally:
            self._checking = False

    async def _is_primary(self, host: Host) -> bool:
        try:
            link, _ = await self._members.greet(host, login=None)
        except MongoTrouble as trouble:
            self._note(str(trouble))
            return False
        link.abort()
        return True

    async def _watch(self) -> None:
        while True:
            await sleep(WATCH_EVERY_S, clock=self._clock)
            self._close_unused()
            await self._check()

    def _close_unused(self) -> None:
        limit_s = self._clock.seconds() - CLOSE_IDLE_AFTER_S
        # The one that was used last is taken first, so the oldest stand at the front.
        while self._idle and self._idle[0].idle_since_s < limit_s:
            self._idle.pop(0).abort()
