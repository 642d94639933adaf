"""Conversations that this node is busy with: who is in, who is here, what came last.

A conversation is *hot* when its members, its last seq and its audience are known; then a send
costs no await. Everything here can be forgotten at any time and is read again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence

from imd.bus.subjects import shard_of
from imd.core.directory import Membership
from imd.core.message.listening import Listening
from imd.core.message.ports import MessageLog
from imd.core.message.recent import RecentMessages
from imd.core.message.recipients import LocalSessions, Recipient
from imd.core.permission.decide import not_member
from imd.core.permission.snapshots import MembershipCache
from imd.kernel.errors import ServerBusy
from imd.kernel.sharing import SharedQuestions
from imd.kernel.token_bucket import TokenBucket

#: As many as the membership cache holds; a conversation costs about 1 KiB and its audience.
MAX_LIVE = 100_000
#: Above so many members a conversation is large: it yields to smaller ones under load.
LARGE_GROUP_MEMBERS = 1000


class LiveConversation:
    """What is known of one conversation. ``None`` means: not known, ask.

    Its owner writes by ``last_seq``, which comes only from a durable insert or a durable read and
    may be behind if another node has written; ``tail`` runs ahead of it while a batch is being
    written. Every node with members has ``fanned_seq``: how far these have been told.
    """

    __slots__ = (
        "audience",
        "bucket",
        "conversation_id",
        "fanned_seq",
        "hint_until_s",
        "hinted_at_s",
        "hinted_seq",
        "in_use",
        "last_seq",
        "membership",
        "nodes",
        "nodes_version",
        "own_in_use",
        "recent",
        "record_key",
        "senders",
        "tail",
    )

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.membership: Membership | None = None
        self.audience: dict[Recipient, None] | None = None
        self.last_seq: int | None = None
        self.tail = 0
        self.fanned_seq = 0
        self.hint_until_s = 0.0
        self.hinted_at_s = float("-inf")
        self.hinted_seq = 0
        #: Only of conversations that are hinted.
        self.recent: RecentMessages | None = None
        #: Sends without a final answer: all, and those that came to this node first.
        self.in_use = 0
        self.own_in_use = 0
        self.bucket: TokenBucket | None = None
        #: Who wrote here lately, the latest last.
        self.senders: dict[int, None] | None = None
        #: The other nodes where members are connected, by the routes of this version.
        self.nodes: frozenset[int] | None = None
        self.nodes_version = 0
        #: Under which it is found in what this node remembers; 0: not made yet.
        self.record_key = 0

    @property
    def member_count(self) -> int:
        return len(self.membership.roles) if self.membership is not None else 0


class LiveConversations:
    """All conversations in use here, the least recently used forgotten first."""

    def __init__(
        self,
        *,
        members: MembershipCache,
        log: MessageLog,
        sessions: LocalSessions,
        listening: Listening | None = None,
        max_live: int = MAX_LIVE,
    ) -> None:
        self._members = members
        self._log = log
        self._sessions = sessions
        self._listening = listening
        self._max_live = max_live
        self._live: OrderedDict[str, LiveConversation] = OrderedDict()
        self._joined: dict[Recipient, set[LiveConversation]] = {}
        self._came_true: list[Callable[[LiveConversation], None]] = []
        self._loading: SharedQuestions[tuple[str, bool], LiveConversation | None] = SharedQuestions()
        members.on_changed(self.changed)

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[LiveConversation]:
        return iter(list(self._live.values()))

    def hot(self, conversation_id: str) -> LiveConversation | None:
        """The conversation, if a message can be admitted and fanned out without asking anybody."""
        live = self._live.get(conversation_id)
        if live is None or live.last_seq is None:
            return None
        membership = self._members.peek(conversation_id)
        if membership is None:
            return None
        if membership is not live.membership or live.audience is None:
            self._rebuild(live, membership)
        self._live.move_to_end(conversation_id)
        return live

    def last_known(self, conversation_id: str) -> Membership | None:
        """What was known last of its members, fresh or not."""
        return self._members.last_known(conversation_id)

    def known(self, conversation_id: str) -> LiveConversation | None:
        """The conversation as far as it is known, hot or not."""
        return self._live.get(conversation_id)

    async def load(self, conversation_id: str, *, sparing: bool = False) -> LiveConversation | None:
        """Make it hot; None if there is no such conversation.

        :param sparing: see ``Directory.membership``.
        :raises ServerBusy: members or last seq cannot be learned now.
        """
        live = self.hot(conversation_id)
        if live is not None:
            return live
        return await self._loading.ask(
            (conversation_id, sparing), lambda: self._load(conversation_id, sparing=sparing)
        )

    async def of_member(
        self, conversation_id: str, user_id: int, *, sparing: bool = False
    ) -> LiveConversation:
        """The conversation, hot, for somebody who is in it.

        :param sparing: see ``Directory.membership``.
        :raises Forbidden: this user is not, or there is no such conversation.
        """
        live = self.hot(conversation_id) or await self.load(conversation_id, sparing=sparing)
        if live is None or live.membership is None or user_id not in live.membership.roles:
            raise not_member()
        return live

    async def load_or_assume(self, conversation_id: str) -> LiveConversation | None:
        """As ``load``; where the authority does not answer, by what was known last: for what is stored already.

        :raises ServerBusy: nothing is known.
        """
        try:
            return await self.load(conversation_id, sparing=True)
        except ServerBusy:
            known = self._members.last_known(conversation_id)
            if known is None:
                raise
            return await self.assume(known)

    async def assume(self, membership: Membership) -> LiveConversation:
        """The conversation, ready by a membership that nobody confirms now; it does not become hot by that.

        :raises ServerBusy: its last seq cannot be learned now.
        """
        conversation_id = membership.conversation_id
        last_seq = await self._last_seq(conversation_id)
        # Who is out may have been heard of while the store was read.
        known = self._members.peek(conversation_id) or self._members.last_known(conversation_id)
        return self._ready(conversation_id, last_seq, known or membership)

    async def _load(self, conversation_id: str, *, sparing: bool) -> LiveConversation | None:
        if await self._members.get(conversation_id, sparing=sparing) is None:
            self._forget(conversation_id)
            return None
        last_seq = await self._last_seq(conversation_id)
        # Again, since it may have changed while the store was read; the rest happens at one stroke.
        membership = await self._members.get(conversation_id, sparing=sparing)
        if membership is None:
            self._forget(conversation_id)
            return None
        return self._ready(conversation_id, last_seq, membership)

    async def _last_seq(self, conversation_id: str) -> int:
        live = self._live.get(conversation_id)
        if live is not None and live.last_seq is not None:
            return live.last_seq
        return (await self._log.last_seqs([conversation_id])).get(conversation_id, 0)

    def _ready(self, conversation_id: str, last_seq: int, membership: Membership) -> LiveConversation:
        live = self._live.get(conversation_id)
        if live is None:
            live = self._add(conversation_id)
            # Other nodes may have told its members here of it, or failed to: the sweep makes sure.
            live.fanned_seq = last_seq if self._listening is None else 0
        if live.last_seq is None:
            # fanned_seq stays: what was stored and not told is the sweep's to find.
            live.last_seq = live.tail = last_seq
        self._live.move_to_end(conversation_id)
        if live.membership is not membership or live.audience is None:
            self._rebuild(live, membership)
        return live

    def _add(self, conversation_id: str) -> LiveConversation:
        if len(self._live) >= self._max_live:
            for old in self._live.values():
                if not old.in_use:
                    self._forget(old.conversation_id)
                    break
        live = self._live[conversation_id] = LiveConversation(conversation_id)
        return live

    def _rebuild(self, live: LiveConversation, membership: Membership) -> None:
        """Find out who of the members is here. Costs a look-up a member, once a change."""
        self._clear_audience(live)
        live.membership = membership
        live.nodes = None
        audience = live.audience = {}
        of_user = self._sessions.of_user
        for user_id in membership.roles:
            for recipient in of_user(user_id):
                audience[recipient] = None
                self._joined.setdefault(recipient, set()).add(live)

    def _clear_audience(self, live: LiveConversation) -> None:
        for recipient in live.audience or ():
            joined = self._joined.get(recipient)
            if joined is not None:
                joined.discard(live)
                if not joined:
                    del self._joined[recipient]
        live.audience = None

    def _forget(self, conversation_id: str) -> None:
        live = self._live.pop(conversation_id, None)
        if live is not None:
            self._clear_audience(live)

    def at_least(
        self,
        conversation_id: str,
        version: int,
        *,
        removed_ids: Sequence[int] = (),
        restricted_ids: Sequence[int] = (),
    ) -> None:
        """Its membership has reached this version: whoever is asked about it from now on must know that.

        Where nobody can be asked, these are out, and those may do less.
        """
        self._members.invalidate(
            conversation_id, version, removed_ids=removed_ids, restricted_ids=restricted_ids
        )

    def taken(self, shards: Collection[int]) -> None:
        """These are this node's from now on: what their former owner knew of a change, it may hear of only now."""
        self._members.doubt(lambda conversation_id: shard_of(conversation_id) in shards)

    def missed(self) -> None:
        """Changes of memberships may have been told that this node hears of only now."""
        self._members.missed()

    def expect(self, conversation_id: str) -> LiveConversation:
        """The conversation, known from now on, if only by name: somebody here is to be told of it."""
        live = self._live.get(conversation_id)
        if live is None:
            return self._add(conversation_id)
        self._live.move_to_end(conversation_id)
        return live

    def changed(self, conversation_id: str) -> None:
        """Its membership is not what it was; the audience is found anew when it is next needed."""
        live = self._live.get(conversation_id)
        if live is not None:
            # Made up here, not told by the authority: those have versions.
            was_assumed = live.membership is not None and not live.membership.version
            self._clear_audience(live)
            live.membership = None
            live.nodes = None
            for listener in self._came_true if was_assumed else ():
                listener(live)

    def on_came_true(self, listener: Callable[[LiveConversation], None]) -> None:
        """Have the listener told of conversations that were only taken for granted, when something is heard of them."""
        self._came_true.append(listener)

    def arrived(self, recipient: Recipient, conversation_ids: Sequence[str]) -> None:
        """A session has come: put it into the audiences of those of its conversations that are in use."""
        if self._listening is not None:
            self._listening.arrived(recipient, conversation_ids)
        for conversation_id in conversation_ids:
            live = self._live.get(conversation_id)
            if live is None or live.audience is None or live.membership is None:
                continue
            if recipient.user_id in live.membership.roles:
                live.audience[recipient] = None
                self._joined.setdefault(recipient, set()).add(live)

    def departed(self, recipient: Recipient) -> None:
        """A session has gone."""
        if self._listening is not None:
            self._listening.departed(recipient)
        for live in self._joined.pop(recipient, ()):
            if live.audience is not None:
                live.audience.pop(recipient, None)

    def left(self, recipient: Recipient, conversation_id: str) -> None:
        """Its user is not in the conversation any more; audiences follow from memberships by themselves."""
        if self._listening is not None:
            self._listening.left(recipient, conversation_id)

    def with_audience(self) -> list[LiveConversation]:
        """Conversations that somebody here is in, for the sweep."""
        return [live for live in self._live.values() if live.audience]

    def without_audience(self) -> list[LiveConversation]:
        """Conversations of which it is not known who is here, since their members changed."""
        return [live for live in self._live.values() if live.audience is None]

    def counts(self) -> dict[str, int]:
        """Sizes, for whoever watches memory."""
        return {"live": len(self._live), "joined": len(self._joined)}
