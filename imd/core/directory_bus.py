"""The directory over the bus, and what this node remembers of it: who is in which conversation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from google.protobuf.message import DecodeError, Message
from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from imd.bus import subjects
from imd.bus.failures import error_of
from imd.bus.port import Bus, BusFailure, NoResponder
from imd.core.directory import Claims, ConversationEntry, Directory, Membership
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.pb.bus_pb2 import (
    ConversationsAnswer,
    ConversationsQuery,
    DirectAnswer,
    DirectQuery,
    Failure,
    Invalidation,
    MembersAnswer,
    MembersQuery,
    TokenCheck,
    TokenVerdict,
    VisibleAnswer,
    VisibleQuery,
)

#: Conversations, and members of them all (about 100 B each), that a node remembers.
MAX_CONVERSATIONS = 100_000
MAX_MEMBERS = 2_000_000
#: Spec 5.5; the bound on staleness when an invalidation is lost.
TTL_S = 300.0
#: Of the time to live, either way, so that what was loaded together does not expire together.
TTL_JITTER = 0.1
#: "There is no such conversation" is remembered so long, and so often: enough to blunt guessing.
ABSENT_TTL_S = 5.0
MAX_ABSENT = 10_000
#: Answers that are out of date when they come, before the question is given up. With a hundred changes of
#: one group a second, each makes every other answer useless.
_MAX_LOADS = 10
_RETRY_AFTER_MS = 1_000
#: Of conversations, a thousand each; one connection asks for all of them.
_MAX_PAGES = 50


class _Answer(Protocol):
    """What all answers on ``im.auth.*`` have in common."""

    @property
    def failure(self) -> Failure: ...

    def ParseFromString(self, serialized: bytes, /) -> int: ...


A = TypeVar("A", bound=_Answer)


class BusDirectory:
    """The business role behind ``im.auth.*``."""

    _log = Logger()

    def __init__(self, *, bus: Bus) -> None:
        self._bus = bus

    async def verify(self, token: str, device_id: str) -> Claims:
        query = TokenCheck(token=token, deviceId=device_id)
        verdict = await self._ask(subjects.AUTH_TOKEN, query, TokenVerdict())
        return Claims(
            user_id=verdict.userId,
            device_id=verdict.deviceId,
            expires_at_ms=verdict.expiresAt,
            scopes=frozenset(verdict.scopes),
            login_id=verdict.loginId,
        )

    async def membership(self, conversation_id: str) -> Membership | None:
        query = MembersQuery(conversationId=conversation_id)
        answer = await self._ask(
            subjects.AUTH_MEMBERS, query, MembersAnswer(), timeout_s=subjects.PERMISSION_TIMEOUT_S
        )
        if not answer.found:
            return None
        # Lists first: looking at a repeated field element by element costs three times as much.
        roles: dict[int, int] = dict(zip(list(answer.memberIds), list(answer.roles), strict=True))
        return Membership(conversation_id, int(answer.kind), answer.version, roles)

    async def open_direct(self, user_id: int, peer_user_id: int) -> str:
        query = DirectQuery(userId=user_id, peerUserId=peer_user_id)
        return (await self._ask(subjects.AUTH_DIRECT, query, DirectAnswer())).conversationId

    async def conversations_of(self, user_id: int) -> Sequence[ConversationEntry]:
        entries: list[ConversationEntry] = []
        query = ConversationsQuery(userId=user_id)
        for _ in range(_MAX_PAGES):
            answer = await self._ask(subjects.AUTH_CONVERSATIONS, query, ConversationsAnswer())
            entries += [
                ConversationEntry(
                    entry.conversationId, int(entry.kind), entry.peerUserId, entry.title, entry.memberCount
                )
                for entry in answer.conversations
            ]
            if not answer.next:
                return entries
            query.after = answer.next
        self._log.warn("user {user_id} has too many conversations; some are not shown", user_id=user_id)
        return entries

    async def visible(self, user_id: int, target_ids: Sequence[int]) -> frozenset[int]:
        query = VisibleQuery(userId=user_id, targetIds=target_ids)
        answer = await self._ask(subjects.AUTH_VISIBLE, query, VisibleAnswer())
        return frozenset(answer.visibleIds)

    async def _ask(
        self, subject: str, query: Message, answer: A, *, timeout_s: float = subjects.DEFAULT_TIMEOUT_S
    ) -> A:
        """The answer, filled in; or the error that it carries."""
        try:
            answer.ParseFromString(
                await self._bus.request(subject, query.SerializeToString(), timeout_s=timeout_s)
            )
        except (NoResponder, TimeoutError, BusFailure) as error:
            self._log.warn("{subject}: {error!r}", subject=subject, error=error)
            raise ServerBusy("the directory does not answer", retry_after_ms=_RETRY_AFTER_MS) from error
        except DecodeError as error:
            self._log.failure("{subject}: the answer cannot be read", subject=subject)
            raise ServerBusy("the directory does not answer", retry_after_ms=_RETRY_AFTER_MS) from error
        if answer.failure.code:
            raise error_of(answer.failure)
        return answer


class _Load:
    """One question under way, and who waits for its answer."""

    __slots__ = ("changed", "floor", "unversioned", "waiters")

    def __init__(self) -> None:
        self.waiters: list[Deferred[Membership | None]] = []
        #: The newest version heard of since the first try.
        self.floor = 0
        #: Since this try was sent: was there any invalidation, and one that names no version?
        self.changed = False
        self.unversioned = False

    def is_stale(self, membership: Membership | None) -> bool:
        if membership is None or self.unversioned:
            return self.changed
        return membership.version < self.floor


class MembershipCache:
    """The members of the conversations in use here, the least recently used forgotten first.

    ``peek`` is for the hot path; ``get`` asks, once for all who want the same. Both give the same
    object until the membership changes. ``invalidated`` is the consumer of ``im.auth.invalidate``;
    it wins over an answer that was under way when it came.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        directory: Directory,
        clock: Clock,
        random: Callable[[], float],
        ttl_s: float = TTL_S,
        max_conversations: int = MAX_CONVERSATIONS,
        max_members: int = MAX_MEMBERS,
    ) -> None:
        self._directory = directory
        self._seconds = clock.seconds
        self._random = random
        self._ttl_s = ttl_s
        self._max_conversations = max_conversations
        self._max_members = max_members
        self._members = 0
        #: (until when it may be used, what is known); what is too old stays, to be compared.
        self._known: OrderedDict[str, tuple[float, Membership]] = OrderedDict()
        #: Until when; in the order of asking, which is that of expiring.
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._loads: dict[str, _Load] = {}
        self._listeners: list[Callable[[str], None]] = []

    def __len__(self) -> int:
        return len(self._known)

    def on_changed(self, listener: Callable[[str], None]) -> None:
        """Have the listener told the id of each conversation whose members are not what they were, or forgotten."""
        self._listeners.append(listener)

    def peek(self, conversation_id: str) -> Membership | None:
        """What is known now, without asking; None if nothing, or nothing fresh."""
        known = self._known.get(conversation_id)
        if known is None or known[0] <= self._seconds():
            return None
        self._known.move_to_end(conversation_id)
        return known[1]

    async def get(self, conversation_id: str) -> Membership | None:
        """Who is in it; None if it does not exist.

        :raises ServerBusy: the authority does not answer, and what was known is too old.
        """
        membership = self.peek(conversation_id)
        if membership is not None or self._is_absent(conversation_id):
            return membership
        answer: Deferred[Membership | None] = Deferred()
        load = self._loads.get(conversation_id)
        if load is not None:
            load.waiters.append(answer)
        else:
            load = self._loads[conversation_id] = _Load()
            load.waiters.append(answer)
            # On its own, so that a caller who gives up does not take the others along.
            Deferred.fromCoroutine(self._answer(conversation_id, load))
        return await answer

    def forget(self, conversation_id: str) -> None:
        """Ask anew next time, also about one that did not exist."""
        self._absent.pop(conversation_id, None)
        self._drop(conversation_id)

    async def invalidated(self, _subject: str, payload: bytes) -> None:
        """Takes an ``Invalidation``; those about sessions are for others."""
        try:
            event = Invalidation.FromString(payload)
        except DecodeError:
            self._log.failure("an invalidation cannot be read; its conversation expires by age")
            return
        if event.conversationId:
            self.invalidate(event.conversationId, event.version)

    def invalidate(self, conversation_id: str, version: int) -> None:
        """The membership has reached this version; 0 if that is not known."""
        load = self._loads.get(conversation_id)
        if load is not None:
            load.changed = True
            load.unversioned |= not version
            load.floor = max(load.floor, version)
        known = self._known.get(conversation_id)
        if known is not None and version and known[1].version >= version:
            return
        self.forget(conversation_id)
        self._tell(conversation_id)

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
        for _ in range(_MAX_LOADS):
            load.changed = load.unversioned = False
            membership = await self._directory.membership(conversation_id)
            if not load.is_stale(membership):
                return self._remember(conversation_id, membership)
        raise ServerBusy("the members change too fast", retry_after_ms=_RETRY_AFTER_MS)

    def _remember(self, conversation_id: str, membership: Membership | None) -> Membership | None:
        known = self._known.get(conversation_id)
        if membership is None:
            self._absent[conversation_id] = self._seconds() + ABSENT_TTL_S
            self._absent.move_to_end(conversation_id)
            if len(self._absent) > MAX_ABSENT:
                self._absent.popitem(last=False)
        elif known is not None and known[1] == membership:
            membership = known[1]
        self._drop(conversation_id)
        if membership is not None:
            self._add(membership)
        if known is not None and known[1] is not membership:
            # Its invalidation was lost: what others derived is as wrong as what was known here.
            self._tell(conversation_id)
        return membership

    def _add(self, membership: Membership) -> None:
        lifetime_s = self._ttl_s * (1 + TTL_JITTER * (2 * self._random() - 1))
        self._known[membership.conversation_id] = (self._seconds() + lifetime_s, membership)
        self._members += len(membership.roles)
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
            self._members -= len(known[1].roles)

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
