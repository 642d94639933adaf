"""Who is muted, refused or kept out anywhere, in a filter: for when nothing better is at hand.

A Bloom filter of all of them costs 1.2 MB a million. It never misses one; about two in a hundred others are
taken for one. On the way of a message with a fresh snapshot it has no part: to ask it takes 0.8 us, the
snapshot's own dict 0.05.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple, Protocol

from rbloom import Bloom
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep

#: Spec 5.3; what is heard in between is in it at once.
REBUILD_S = 60.0
#: After a try that failed, as the first one where business starts last: until then everybody may be restricted.
RETRY_S = 5.0
#: Of those who are not restricted, how many are taken for it, in one look; two are needed.
FALSE_POSITIVES = 0.01
#: A filter that turns out too small gets another one beside it.
MIN_CAPACITY = 10_000
#: A page has thousands; more than this is a source that never ends.
_MAX_PAGES = 10_000


class RestrictedPage(NamedTuple):
    """Some of those who are restricted; an empty conversation id stands for all conversations of the user."""

    pairs: Iterable[tuple[str, int]]
    #: Where the next page begins; empty: that was all.
    next: str


class RestrictedSource(Protocol):
    """Business, as far as the filter asks it."""

    async def restricted(self, after: str) -> RestrictedPage:
        """A page of all who are restricted somewhere.

        :raises ServerBusy: the authority does not answer.
        """
        ...


class RestrictedFilter:
    """A set of (conversation, user) that may contain more than was added, and never less."""

    def __init__(self, capacity: int = 0) -> None:
        self._capacity = max(MIN_CAPACITY, capacity)
        self._layers = [Bloom(self._capacity, FALSE_POSITIVES, _hash)]
        self._room = self._capacity
        self.count = 0

    def add(self, conversation_id: str, user_id: int) -> None:
        if not self._room:
            self._capacity *= 2
            self._room = self._capacity
            self._layers.append(Bloom(self._capacity, FALSE_POSITIVES, _hash))
        self._layers[-1].add(_key(conversation_id, user_id))
        self._room -= 1
        self.count += 1

    def may_contain(self, conversation_id: str, user_id: int) -> bool:
        """False: this user is surely not restricted there."""
        here, anywhere = _key(conversation_id, user_id), _key("", user_id)
        return any(here in layer or anywhere in layer for layer in self._layers)

    @property
    def size_bytes(self) -> int:
        return sum(layer.size_in_bits for layer in self._layers) // 8


class RestrictedUsers:
    """A stage that keeps the filter: built anew each minute, and told at once of whoever is restricted meanwhile."""

    _logger = Logger()

    def __init__(self, *, source: RestrictedSource, clock: Clock, tasks: Tasks) -> None:
        self._source = source
        self._clock = clock
        self._tasks = tasks
        self._filter: RestrictedFilter | None = None
        #: While one is being built: what is heard goes into both.
        self._next: RestrictedFilter | None = None
        self._warned = False

    async def start(self) -> None:
        self._tasks.spawn("filter of the restricted", self._run())

    async def stop(self) -> None:
        """Ended with its tasks."""

    def may_be_restricted(self, conversation_id: str, user_id: int) -> bool:
        """Whether the user may be muted, refused or kept out there; also if nothing is known of anybody yet."""
        return self._filter is None or self._filter.may_contain(conversation_id, user_id)

    def learn(self, conversation_id: str, user_ids: Iterable[int]) -> None:
        """These have just been restricted."""
        for user_id in user_ids:
            for each in (self._filter, self._next):
                if each is not None:
                    each.add(conversation_id, user_id)

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        known = self._filter
        return {"count": known.count, "bytes": known.size_bytes} if known is not None else {}

    async def _run(self) -> None:
        while True:
            delay_s = RETRY_S
            try:
                await self.rebuild()
                delay_s = REBUILD_S
            except CancelledError:
                raise
            except ImError as error:
                if not self._warned:
                    self._warned = True
                    self._logger.warn("who is restricted cannot be learned now: {error}", error=error)
            except Exception:
                self._logger.failure("building the filter of the restricted failed; the old one stays")
            await sleep(delay_s, clock=self._clock)

    async def rebuild(self) -> None:
        """Read all of them anew; until that is done, and if it fails, the filter of before stays.

        :raises ServerBusy: the authority does not answer.
        """
        known = self._filter
        built = self._next = RestrictedFilter(2 * known.count if known is not None else 0)
        try:
            after = ""
            for _ in range(_MAX_PAGES):
                page = await self._source.restricted(after)
                for conversation_id, user_id in page.pairs:
                    built.add(conversation_id, user_id)
                if not page.next:
                    break
                after = page.next
            else:
                raise RuntimeError("the pages of the restricted do not end")
        finally:
            self._next = None
        self._filter = built
        self._warned = False


def _key(conversation_id: str, user_id: int) -> bytes:
    return b"%d:%s" % (user_id, conversation_id.encode())


def _hash(key: bytes) -> int:
    """The same in every process, as Python's own is not."""
    return int.from_bytes(blake2b(key, digest_size=16).digest(), "little", signed=True)
