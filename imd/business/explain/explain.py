"""Use case: what became of this message for this user?"""

from __future__ import annotations

import json
from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults

from imd.bus.audit import DONE, LOW, AuditEntry
from imd.business.accounts.profile import NoSuchUser
from imd.business.audit.model import Kept, Wanted
from imd.business.audit.ports import Audit, AuditEvents
from imd.business.explain.model import Facts, MessageName, Person, Standing, Story
from imd.business.explain.ports import Backgrounds, Core, KnownNodes, Send
from imd.business.explain.steps import steps_of
from imd.business.explain.verdict import judge
from imd.kernel.clocks import WallClock
from imd.kernel.errors import ImError
from imd.ops.operators import Operator
from imd.pb.explain_pb2 import ExplainNodeAnswer, ExplainNodeQuery, ExplainStoredAnswer

#: Sessions are asked for from so long before the message on.
_BEFORE_MS = 60_000
#: Decisions on a message are looked for from so long before it was stored, or before now, on.
_LOOK_BACK_MS = 25 * 3600 * 1000
#: Decisions on one send, and acts on one person in one conversation, newest first.
_MOST_EVENTS = 50


class ExplainMessage:
    """Asks everybody who may know something, and tells what they said; each question is itself written down."""

    def __init__(
        self,
        *,
        core: Core,
        nodes: KnownNodes,
        backgrounds: Backgrounds,
        events: AuditEvents,
        audit: Audit,
        wall_clock: WallClock,
    ) -> None:
        self._core = core
        self._nodes = nodes
        self._backgrounds = backgrounds
        self._events = events
        self._audit = audit
        self._wall_clock = wall_clock

    async def __call__(self, message: str, user: str, *, asking: Operator | None) -> Story:
        """:raises PayloadInvalid: it is no name of a message. ``NoSuchUser``, ``ServerBusy`` (the database)."""
        asked = MessageName.parse(message)
        receiver = await self._backgrounds.person(user)
        self._audit.record(
            AuditEntry(
                "operator.explainMessage",
                DONE,
                actor_id=asking.id if asking is not None else 0,
                subject_id=receiver.account.user_id if receiver is not None else 0,
                conversation_id=asked.conversation_id,
                level=LOW,
                detail=json.dumps(
                    {"message": message, "operator": asking.name if asking is not None else ""}
                ),
            )
        )
        if receiver is None:
            raise NoSuchUser("nobody has this id or handle", field="user")
        facts = await self._gather(asked, receiver)
        return Story(facts, judge(facts), steps_of(facts))

    async def _gather(self, asked: MessageName, receiver: Person) -> Facts:
        receiver_id = receiver.account.user_id
        gaps: list[str] = []
        stored: ExplainStoredAnswer | None = None
        try:
            stored = await self._core.stored(asked, receiver_id)
        except ImError as error:
            gaps.append(f"core, asked for the stored message, {error.message}")
        send, seq, since_ms = _named(asked, stored, now_ms=self._wall_clock())
        nodes = await self._ask_nodes(send, seq, receiver_id, since_ms, gaps)
        sender, review, standing = None, None, Standing()
        if send.sender_id:
            sender = await self._backgrounds.person(str(send.sender_id))
        if send.conversation_id:
            standing = await self._backgrounds.standing(send.conversation_id, receiver_id, send.sender_id)
        if send.client_msg_id:
            review = await self._backgrounds.review(*send)
        return Facts(
            now_ms=self._wall_clock(),
            asked=asked,
            receiver=receiver,
            sender=sender,
            stored=stored,
            standing=standing,
            review=review,
            decisions=await self._decisions(send, since_ms),
            acts=await self._acts(send.conversation_id, receiver_id),
            nodes=nodes,
            gaps=gaps,
        )

    async def _ask_nodes(
        self, send: Send, seq: int, receiver_id: int, since_ms: int, gaps: list[str]
    ) -> Sequence[ExplainNodeAnswer]:
        query = ExplainNodeQuery(
            conversationId=send.conversation_id,
            seq=seq,
            senderId=send.sender_id,
            clientMsgId=send.client_msg_id,
            userId=receiver_id,
            fromTime=since_ms - _BEFORE_MS,
        )

        async def ask(node_id: int) -> ExplainNodeAnswer | None:
            try:
                return await self._core.remembered(node_id, query)
            except ImError as error:
                gaps.append(f"core-{node_id} {error.message}")
                return None

        asking = [Deferred.fromCoroutine(ask(node_id)) for node_id in self._nodes.node_ids()]
        return [answer for answer in await gatherResults(asking) if answer is not None]

    async def _decisions(self, send: Send, since_ms: int) -> Sequence[Kept]:
        if not send.client_msg_id:
            return ()
        # Bounded, for it is looked through by conversation and time.
        from_ms = since_ms - _LOOK_BACK_MS
        wanted = Wanted(conversation_id=send.conversation_id, request_id=send.client_msg_id, from_ms=from_ms)
        found = await self._events.find(wanted, after=None, limit=_MOST_EVENTS)
        # Of two people who used the same clientMsgId, what was decided about this one's.
        return [event for event in reversed(found) if send.sender_id in (event.actor_id, event.subject_id)]

    async def _acts(self, conversation_id: str, receiver_id: int) -> Sequence[Kept]:
        if not conversation_id:
            return ()
        wanted = Wanted(conversation_id=conversation_id, subject_id=receiver_id, decision=DONE)
        found = await self._events.find(wanted, after=None, limit=_MOST_EVENTS)
        return [event for event in reversed(found) if event.action.startswith("group.")]


def _named(asked: MessageName, stored: ExplainStoredAnswer | None, *, now_ms: int) -> tuple[Send, int, int]:
    """The send, its seq if it is stored, and when it was."""
    if stored is not None and stored.HasField("message"):
        message = stored.message
        send = Send(message.conversationId, message.senderId, message.clientMsgId)
        return send, message.seq, message.serverTime
    return Send(asked.conversation_id, asked.sender_id, asked.client_msg_id), asked.seq, now_ms
