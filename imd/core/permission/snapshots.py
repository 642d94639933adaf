"""What this node remembers of conversations: who is in, and what holds there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred

from imd.core.directory import Directory, Membership
from imd.core.permission.known import Known, Lifetimes
from imd.core.permission.second_level import SecondLevel
from imd.core.permission.versions import KEEP_S, HeardVersions
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy

#: Conversations (spec 5.3), and members of them all (about 100 B each), that a node remembers.
MAX_CONVERSATIONS = 100_000
MAX_MEMBERS = 2_000_000
#: Of the time to live, either way, so that what was loaded together does not expire together.
TTL_JITTER = 0.1
#: "There is no such conversation" is remembered so long, and so often: enough to blunt guessing.
ABSENT_TTL_S = 5.0
MAX_ABSENT = 10_000
#: Answers that are out of date when they come, before the question is given up. With a hundred changes of
#: one group a second, each makes every other answer useless.
_MAX_LOADS = 10
_RETRY_AFTER_MS = 1_000


class _Load:
    """One question under way, and who waits for its answer."""

    __slots__ = ("changed", "floor", "sparing", "unversioned", "waiters")

    def __init__(self, floor: int) -> None:
        self.waiters: list[Deferred[Membership | None]] = []
        #: Whether all of them would rather not wait for an authority that is left alone.
        self.sparing = True
        #: The newest version heard of.
        self.floor = floor
        #: Since this try was sent: was there any invalidation, and one that names no version?
        self.changed = False
        self.unversioned = False

    def is_stale(self, membership: Membership | None) -> bool:
        if membership is None or self.unversioned:
            return self.changed
        return membership.version < self.floor


class MembershipCache:
    """The conversations in use here, the least recently used forgotten first.

    ``peek`` is for the hot path; ``get`` asks, once for all who want the same. Both give the same
    object until the conversation changes. An invalidation wins over an answer that was under way when
    it came; an older answer never takes the place of a newer one. What is out of date stays, for
    ``last_known`` and to be compared.

    :ivar lifetimes: may be replaced at any time; what is known already keeps its own.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        clock: Clock,
        random: Callable[[], float],
        second: SecondLevel | None = None,
        lifetimes: Lifetimes | None = None,
        max_conversations: int = MAX_CONVERSATIONS,
        max_members: int = MAX_MEMBERS,
    ) -> None:
        self._directory = directory
        self._seconds = clock.seconds
        self._random = random
        self._second = second
        self.lifetimes = Lifetimes() if lifetimes is None else lifetimes
        self._max_conversations = max_conversations
        self._max_members = max_members
        self._members = 0
        self._known: OrderedDict[str, Known] = OrderedDict()
        #: Until when; in the order of asking, which is that of expiring.
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._loads: dict[str, _Load] = {}
        self._heard = HeardVersions(now_s=clock.seconds())
        self._listeners: list[Callable[[str], None]] = []
        #: Times that something remembered was not true any more.
        self.invalidations = 0

    def __len__(self) -> int:
        return len(self._known)

    def on_changed(self, listener: Callable[[str], None]) -> None:
        """Have the listener told the id of each conversation that is not what it was, or forgotten."""
        self._listeners.append(listener)

    def peek(self, conversation_id: str) -> Membership | None:
        """What is known now, without asking; None if nothing, or nothing fresh."""
        known = self._known.get(conversation_id)
        if known is None:
            return None
        if known.until_s <= self._seconds() and not known.lives_on(self._seconds()):
            return None
        known.uses += 1
        self._known.move_to_end(conversation_id)
        return known.membership

    def last_known(self, conversation_id: str) -> Membership | None:
        """What was known last, fresh or not, less those of whom it was heard that they are out or restricted since."""
        known = self._known.get(conversation_id)
        return None if known is None else known.at_worst()

    async def get(self, conversation_id: str, *, sparing: bool = False) -> Membership | None:
        """What is true of it; None if it does not exist.

        :param sparing: see ``Directory.membership``; one who is not makes those ask, too, who share the question.
        :raises ServerBusy: the authority does not answer, and what was known is too old.
        """
        membership = self.peek(conversation_id)
        if membership is not None or self._is_absent(conversation_id):
            return membership
        answer: Deferred[Membership | None] = Deferred()
        load = self._loads.get(conversation_id)
        is_new = load is None
        if load is None:
            load = self._loads[conversation_id] = _Load(self._floor(conversation_id))
        load.waiters.append(answer)
        load.sparing &= sparing
        if is_new:
            # On its own, so that a caller who gives up does not take the others along.
            Deferred.fromCoroutine(self._answer(conversation_id, load))
        return await answer

    def forget(self, conversation_id: str) -> None:
        """Ask anew next time, also about one that did not exist."""
        self._absent.pop(conversation_id, None)
        self._drop(conversation_id)

    def invalidate(
        self,
        conversation_id: str,
        version: int,
        *,
        removed_ids: Iterable[int] = (),
        restricted_ids: Iterable[int] = (),
    ) -> None:
        """The conversation has reached this version, 0 if that is not known.

        :param removed_ids: who is not in it any more.
        :param restricted_ids: who may do less than before.
        """
        load = self._loads.get(conversation_id)
        if load is not None:
            load.changed = True
            load.unversioned |= not version
            load.floor = max(load.floor, version)
        known = self._known.get(conversation_id)
        if known is not None and version and known.membership.version >= version:
            return
        self._heard.note(conversation_id, version, self._seconds())
        if self._second is not None:
            self._second.outdate(conversation_id, version)
        self._absent.pop(conversation_id, None)
        if known is not None:
            self.invalidations += 1
            known.outdate(removed_ids, restricted_ids)
        self._tell(conversation_id)

    def doubt(self, concerns: Callable[[str], bool]) -> None:
        """Ask anew, before they are next used, about conversations of which others know more than this node may."""
        now_s = self._seconds()
        for conversation_id, known in self._known.items():
            if concerns(conversation_id):
                known.expire(now_s)
        for conversation_id, load in self._loads.items():
            if concerns(conversation_id):
                load.changed = load.unversioned = True
        # What the second level has may be as old.
        self._heard.missed(now_s)

    def missed(self) -> None:
        """Invalidations are on their way here that others have had for a while."""
        self._heard.missed(self._seconds())

    async def _answer(self, conversation_id: str, load: _Load) -> None:
        try:
            outcome: Any = await self._load(conversation_id, load)
        except Exception as error:
            outcome = error
        del self._loads[conversation_id]
        for waiter in load.waiters:
            if isinstance(outcome, Exception):
                waiter.errback(outcome)
            else:
                waiter.callback(outcome)

    async def _load(self, conversation_id: str, load: _Load) -> Membership | None:
        if self._second is not None and self._heard.is_whole(self._seconds()):
            kept = await self._second.get(conversation_id)
            if kept is not None and not load.is_stale(kept.membership):
                return self._remember(kept.membership, kept.left_s)
        for _ in range(_MAX_LOADS):
            load.changed = load.unversioned = False
            membership = await self._directory.membership(conversation_id, sparing=load.sparing)
            if load.is_stale(membership):
                continue
            if membership is None:
                self._remember_absence(conversation_id)
                return None
            life_s = self.lifetimes.of(membership) * (1 + TTL_JITTER * (2 * self._random() - 1))
            if self._second is not None:
                self._second.put(membership, life_s)
            return self._remember(membership, life_s)
        raise ServerBusy("the members change too fast", retry_after_ms=_RETRY_AFTER_MS)

    def _floor(self, conversation_id: str) -> int:
        """Older answers are not believed; after ``KEEP_S`` they are again, for business may have gone back."""
        now_s = self._seconds()
        heard = self._heard.version_of(conversation_id, now_s)
        known = self._known.get(conversation_id)
        if known is None or known.loaded_s + KEEP_S <= now_s:
            return heard
        return max(heard, known.membership.version)

    def _remember(self, membership: Membership, life_s: float) -> Membership:
        conversation_id = membership.conversation_id
        before = self._known.get(conversation_id)
        if before is not None and before.membership == membership:
            membership = before.membership
        self._drop(conversation_id)
        lifetimes = self.lifetimes
        hot_life_s = life_s if membership.sensitive else life_s * lifetimes.hot_s / lifetimes.normal_s
        self._known[conversation_id] = Known(
            membership,
            now_s=self._seconds(),
            life_s=life_s,
            hot_life_s=hot_life_s,
            hot_uses=lifetimes.hot_per_min * life_s / 60,
        )
        self._members += len(membership.roles)
        self._make_room()
        if before is not None and before.membership is not membership and not before.is_outdated:
            # Its invalidation was lost: what others derived is as wrong as what was known here.
            self._tell(conversation_id)
        return membership

    def _remember_absence(self, conversation_id: str) -> None:
        self._absent[conversation_id] = self._seconds() + ABSENT_TTL_S
        self._absent.move_to_end(conversation_id)
        if len(self._absent) > MAX_ABSENT:
            self._absent.popitem(last=False)
        known = self._known.get(conversation_id)
        self._drop(conversation_id)
        if known is not None and not known.is_outdated:
            self._tell(conversation_id)

    def _make_room(self) -> None:
        while self._known and (
            len(self._known) > self._max_conversations or self._members > self._max_members
        ):
            oldest = next(iter(self._known))
            self._drop(oldest)
            # Or those who derived something from it would keep what there is no room for.
            self._tell(oldest)

    def _drop(self, conversation_id: str) -> None:
        known = self._known.pop(conversation_id, None)
        if known is not None:
            self._members -= len(known.membership.roles)

    def _is_absent(self, conversation_id: str) -> bool:
        until_s = self._absent.get(conversation_id)
        if until_s is None:
            return False
        if until_s > self._seconds():
            return True
        del self._absent[conversation_id]
        return False

    def _tell(self, conversation_id: str) -> None:
        for listener in self._listeners:
            listener(conversation_id)
