"""Commands of a node that has connections and conversations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from imd.bus.subjects import shard_of
from imd.core.gateway.gateway import Gateway
from imd.core.gateway.registry import Registry
from imd.core.gateway.session import Session
from imd.core.message.append import Appender
from imd.core.message.live import LiveConversations
from imd.core.message.ports import MessageLog
from imd.core.permission.channel import Channel
from imd.kernel.clocks import Clock
from imd.kernel.ids import SHARD_COUNT
from imd.kernel.tasks import Tasks
from imd.ops.manhole.table import DEFAULT_ROWS, Page, Table, facts
from imd.roles.manhole.node import clock_time, span
from imd.roles.neighbourhood import Neighbourhood
from imd.roles.withdrawal import Withdrawal


class CoreInside(NamedTuple):
    """Of the role, what operators look at."""

    gateway: Gateway
    registry: Registry
    live: LiveConversations
    log: MessageLog
    appender: Appender
    channel: Channel
    #: None: this node is alone.
    neighbourhood: Neighbourhood | None
    tasks: Tasks


class CoreCommands:
    """See ``commands``.

    :param withdrawal: has the node leave.
    :param id_of: finds the user of a handle, where accounts are in the same process.
    """

    def __init__(
        self,
        inside: CoreInside,
        *,
        clock: Clock,
        withdrawal: Withdrawal,
        id_of: Callable[[str], Awaitable[int]] | None = None,
    ) -> None:
        self._inside = inside
        self._clock = clock
        self._withdrawal = withdrawal
        self._id_of = id_of

    def sessions(self, user: int = 0, limit: int = DEFAULT_ROWS) -> Table:
        """Connections of this node; those that do not read come first.

        Of one user: sessions(4711)."""
        registry, now_s = self._inside.registry, self._clock.seconds()
        found = list(registry.of_user(user) if user else registry)
        found.sort(key=lambda each: (-each.blocked_for_s(now_s), -each.queued_bytes, each.opened_at_s))
        return Table(
            (
                "user",
                "device",
                "platform",
                "from",
                "open for",
                "silent for",
                "queued",
                "blocked for",
                "in flight",
            ),
            (self._session(each, now_s) for each in found),
            title=f"{len(registry)} connections, {registry.stranger_count} of them not logged in yet",
            limit=limit,
            total=len(found),
        )

    async def who(self, user: int | str) -> Table:
        """Where a user is connected, here and at other nodes.

        By id, who(4711); where accounts are in this process also by handle, who("alice").
        """
        user_id = await self._user_id(user)
        now_s, inside = self._clock.seconds(), self._inside
        rows = [
            (
                "here",
                each.device_id,
                each.platform,
                each.link.address,
                span(now_s - each.opened_at_s),
                each.session_id,
            )
            for each in inside.registry.of_user(user_id)
        ]
        note = ""
        if inside.neighbourhood is not None:
            found = await inside.neighbourhood.lookup.find([user_id])
            here = inside.neighbourhood.nodes.me.node_id
            rows += [
                (
                    f"node {each.node_id}",
                    each.device_id,
                    each.platform,
                    "",
                    clock_time(each.since_ms),
                    each.session_id,
                )
                for each in found.routes.get(user_id, ())
                if each.node_id != here
            ]
            note = "" if found.complete else "the table of routes may have forgotten somebody"
        return Table(
            ("where", "device", "platform", "from", "since", "session"),
            rows,
            title=f"user {user_id}",
            note=note,
        )

    async def conversation(self, conversation_id: str, limit: int = DEFAULT_ROWS) -> Table:
        """What is known of a conversation here, and stored of it.

        Never what is said in it.
        """
        inside = self._inside
        known = inside.live.known(conversation_id)
        stored = (await inside.log.last_seqs([conversation_id])).get(conversation_id, 0)
        pairs: list[tuple[str, object]] = [
            ("last seq in the store", stored),
            ("shard", shard_of(conversation_id)),
            ("owner", self._owner(conversation_id)),
            ("in use here", "no" if known is None else "yes"),
        ]
        if known is not None:
            members = known.membership
            audience = known.audience
            pairs += [
                ("last seq known here", "unknown" if known.last_seq is None else known.last_seq),
                ("told here up to seq", known.fanned_seq),
                ("sends without an answer", known.in_use),
                ("members", "unknown" if members is None else len(members.roles)),
                ("version of members", "unknown" if members is None else members.version),
                ("connected here", "unknown" if audience is None else len(audience)),
                ("hints only for", span(max(0.0, known.hint_until_s - self._clock.seconds()))),
            ]
            here = Counter(each.user_id for each in audience or ())
            pairs += [(f"connections of user {user_id}", count) for user_id, count in here.most_common(limit)]
        return facts(conversation_id, pairs)

    def shards(self) -> Table:
        """Which node owns how many shards of the conversations."""
        neighbourhood = self._inside.neighbourhood
        if neighbourhood is None:
            return Table(("node", "shards"), [("this one, alone", SHARD_COUNT)])
        owners = Counter(neighbourhood.ownership.owners)
        me = neighbourhood.nodes.me.node_id
        alive = sorted({me, *neighbourhood.nodes.others, *owners})
        ready = set(neighbourhood.nodes.ready)
        return Table(
            ("node", "shards", "state"),
            (
                (
                    f"{node} (this one)" if node == me else node,
                    owners.get(node, 0),
                    "ready" if node in ready else "not ready",
                )
                for node in alive
            ),
            note=f"leased by this node: {len(neighbourhood.ownership.mine)}",
        )

    def queues(self) -> Table:
        """What waits in this node, and how business answers."""
        inside, now_s = self._inside, self._clock.seconds()
        blocked = [each for each in inside.registry if each.blocked_for_s(now_s) > 0]
        return facts(
            "queues",
            [
                ("sends without a final answer", inside.appender.unsettled),
                ("conversations in use", len(inside.live)),
                ("connections", len(inside.registry)),
                ("connections that do not read", len(blocked)),
                ("bytes queued for these", sum(each.queued_bytes for each in blocked)),
                ("permission channel", inside.channel.level(now_s).name),
                ("permission breaker", inside.channel.breaker.name),
                ("background tasks", len(inside.tasks)),
            ],
        )

    def drain(self, now: bool = False) -> Page:
        """Whether this node drains, or to have it begin.

        After drain(now=True) /readyz says 503, nobody is sent here or let in any more, the shards go to other nodes,
        and clients are told to go elsewhere. There is no way back but a restart. The process stays, for you to look.
        """
        gateway = self._inside.gateway
        if now:
            self._withdrawal.begin()
        draining = self._withdrawal.begun or gateway.draining
        state = "draining" if draining else "not draining; drain(now=True) begins"
        return Page(f"{state}, {gateway.connection_count} connections")

    def _session(self, each: Session, now_s: float) -> tuple[object, ...]:
        return (
            each.user_id or "(stranger)",
            each.device_id,
            each.platform,
            each.link.address,
            span(now_s - each.opened_at_s),
            span(now_s - each.heard_at_s),
            f"{each.queued_bytes:,} B",
            span(each.blocked_for_s(now_s)),
            each.in_flight,
        )

    async def _user_id(self, user: int | str) -> int:
        if isinstance(user, int):
            return user
        if self._id_of is None:
            raise ValueError(
                "accounts are in im-business; who() there tells the id of a handle, or use a number here"
            )
        return await self._id_of(user)

    def _owner(self, conversation_id: str) -> str:
        neighbourhood = self._inside.neighbourhood
        if neighbourhood is None:
            return "this node"
        owner = neighbourhood.ownership.owner_of(conversation_id)
        return "this node" if owner == neighbourhood.nodes.me.node_id else f"node {owner}"

    def commands(self) -> dict[str, Callable[..., object]]:
        """By the names that operators type."""
        return {
            "sessions": self.sessions,
            "who": self.who,
            "conversation": self.conversation,
            "shards": self.shards,
            "queues": self.queues,
            "drain": self.drain,
        }
