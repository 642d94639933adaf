"""Tells operators, through business, what became of a message: what is stored of it, and what this node remembers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from imd.bus.answering import respond
from imd.bus.port import Bus
from imd.bus.subjects import EXPLAIN_STORED, explain_node
from imd.core.explain.model import Ended, Fanned, Happened, Mode, OfSend, OfSession
from imd.core.explain.ports import Places
from imd.core.explain.record import NodeRecord
from imd.core.message.model import CursorRow, Place
from imd.core.message.ports import Cursors, MessageLog
from imd.kernel.errors import PayloadInvalid, ServerBusy
from imd.kernel.ids import is_client_msg_id, is_id, snowflake_ms
from imd.pb.explain_pb2 import (
    ExplainEvent,
    ExplainFanout,
    ExplainNodeAnswer,
    ExplainNodeQuery,
    ExplainSession,
    ExplainStoredAnswer,
    ExplainStoredQuery,
)
from imd.pb.message_pb2 import REVOKED, Message

#: A recall is looked for among so many messages behind the one that is gone.
MAX_BEHIND = 500
MAX_BEHIND_BYTES = 2 * 1024 * 1024
_ENDED_UNKNOWN = "how it ended is not recorded"
_FORGOTTEN = "(forgotten)"


class Recipients(Protocol):
    """Sessions that are here now."""

    def of_user(self, user_id: int) -> Collection[_Live]: ...


class _Live(Protocol):
    @property
    def session_id(self) -> int: ...

    @property
    def device_id(self) -> str: ...


class SeenTimes(Protocol):
    """When users were seen. Raises ``ServerBusy``."""

    async def of_users(self, user_ids: Sequence[int]) -> Mapping[int, int]: ...


class ExplainAnswers:
    """A stage that answers."""

    def __init__(
        self,
        *,
        node_id: int,
        bus: Bus,
        log: MessageLog,
        places: Places,
        cursors: Cursors,
        seen: SeenTimes,
        record: NodeRecord,
        sessions: Recipients,
    ) -> None:
        self._node_id = node_id
        self._bus = bus
        self._log = log
        self._places = places
        self._cursors = cursors
        self._seen = seen
        self._record = record
        self._sessions = sessions

    async def start(self) -> None:
        respond(self._bus, EXPLAIN_STORED, ExplainStoredQuery, ExplainStoredAnswer, self.stored)
        respond(self._bus, explain_node(self._node_id), ExplainNodeQuery, ExplainNodeAnswer, self.remembered)

    async def stop(self) -> None:
        """The bus forgets its responders when it stops."""

    async def stored(self, query: ExplainStoredQuery) -> ExplainStoredAnswer:
        """What any node can tell, for the stores are shared."""
        place = await self._place(query)
        answer = ExplainStoredAnswer(lastSeen=await self._last_seen(query.userId))
        conversation_id = place.conversation_id if place is not None else query.conversationId
        if not conversation_id:
            return answer
        answer.lastSeq = (await self._log.last_seqs([conversation_id])).get(conversation_id, 0)
        cursor = (await self._cursors.of_user(query.userId, [conversation_id])).get(conversation_id)
        if cursor is not None:
            _tell_cursor(answer, cursor)
        body = await self._log.read_one(*place) if place is not None else None
        if place is None or body is None:
            return answer
        answer.message.CopyFrom(_without_content(Message.FromString(body)))
        if answer.message.status == REVOKED:
            recall = await self._recall_of(place)
            if recall is not None:
                answer.recall.CopyFrom(_without_content(recall))
        return answer

    async def _recall_of(self, place: Place) -> Message | None:
        """It stands behind what it takes back, mostly not far."""
        page = await self._log.page(
            place.conversation_id,
            from_seq=place.seq + 1,
            limit=MAX_BEHIND,
            max_bytes=MAX_BEHIND_BYTES,
            backward=False,
        )
        behind = (Message.FromString(stored.body) for stored in page.messages)
        return next((one for one in behind if one.recall.seq == place.seq), None)

    async def _last_seen(self, user_id: int) -> int:
        try:
            return (await self._seen.of_users([user_id])).get(user_id, 0)
        except ServerBusy:
            # It is kept elsewhere than messages, and the least of what is asked.
            return 0

    async def _place(self, query: ExplainStoredQuery) -> Place | None:
        if query.serverMsgId:
            return await self._places.locate(query.serverMsgId)
        if not is_id(query.conversationId):
            raise PayloadInvalid("conversationId is no id", field="conversationId")
        if query.seq:
            return Place(query.conversationId, query.seq)
        if not is_client_msg_id(query.clientMsgId):
            raise PayloadInvalid("clientMsgId is no id of a client's", field="clientMsgId")
        found = await self._log.find(query.conversationId, query.senderId, [query.clientMsgId])
        stored = found.get(query.clientMsgId)
        return None if stored is None else Place(query.conversationId, stored.seq)

    async def remembered(self, query: ExplainNodeQuery) -> ExplainNodeAnswer:
        """What this node alone can tell."""
        record = self._record
        answer = ExplainNodeAnswer(
            nodeId=self._node_id,
            fanoutsSince=record.fanouts.since_ms,
            eventsSince=record.sessions.since_ms,
            lost=record.lost,
        )
        try:
            if query.seq:
                for fanned in await record.fanouts_of(query.conversationId, query.seq):
                    answer.fanouts.append(_fanout(fanned))
            happened = await record.sessions_of(query.userId)
            self._tell_sessions(answer, query, happened)
            answer.events.extend(_sessions_summed(happened, query.fromTime))
            if query.clientMsgId:
                ends = await record.ends_of(query.conversationId, query.senderId, query.clientMsgId)
                answer.events.extend(_end(each) for each in ends)
                if not query.seq:
                    answer.events.extend(_summed(await record.sums_of_sender(query.senderId)))
        except OSError as error:
            raise ServerBusy(f"cannot read what it remembers: {error.strerror}") from None
        return answer

    def _tell_sessions(
        self, answer: ExplainNodeAnswer, query: ExplainNodeQuery, happened: Sequence[OfSession]
    ) -> None:
        found: dict[int, ExplainSession] = {}
        for one in happened:
            if one.what == Happened.STARTED:
                for session in found.values():
                    _end_session(session, one.at_ms, "its node died some time before, and was started anew")
                continue
            known = found.setdefault(one.session_id, _begun(one.session_id))
            if one.what == Happened.CAME:
                known.since, known.deviceId = one.at_ms, one.text
            elif one.what == Happened.GONE:
                _end_session(known, one.at_ms, one.text)
            elif one.at_ms >= query.fromTime:
                answer.events.add(
                    at=one.at_ms, what="shed", sessionId=one.session_id, deviceId=known.deviceId
                )
        here = {session.session_id: session for session in self._sessions.of_user(query.userId)}
        for session_id, live in here.items():
            found.setdefault(session_id, _begun(session_id)).deviceId = live.device_id
        for session in found.values():
            if not session.until and session.sessionId not in here:
                _end_session(session, session.since, _ENDED_UNKNOWN)
            if not session.until or session.until >= query.fromTime:
                answer.sessions.append(session)


def _begun(session_id: int) -> ExplainSession:
    """A session that came before anything is remembered: its id tells when."""
    return ExplainSession(sessionId=session_id, since=snowflake_ms(session_id), deviceId=_FORGOTTEN)


def _end_session(session: ExplainSession, at_ms: int, why: str) -> None:
    if not session.until:
        session.until, session.ended = at_ms, why


def _tell_cursor(answer: ExplainStoredAnswer, cursor: CursorRow) -> None:
    answer.deliveredSeq, answer.readSeq = cursor.delivered_seq, cursor.read_seq


def _without_content(message: Message) -> Message:
    """An operator need not read what people write to each other to find out where it went."""
    if message.WhichOneof("content") != "recall":
        message.ClearField("content")
    message.ClearField("meta")
    return message


def _fanout(fanned: Fanned) -> ExplainFanout:
    told = ExplainFanout(
        at=fanned.at_ms,
        firstSeq=fanned.last_seq - fanned.messages + 1,
        lastSeq=fanned.last_seq,
        mode=fanned.mode,  # type: ignore[arg-type]
    )
    if fanned.mode == Mode.HANDED_ON:
        told.nodeIds.extend(fanned.node_ids)
        told.nodeCount = fanned.sessions
    else:
        told.sessions = fanned.sessions
    return told


def _end(end: OfSend) -> ExplainEvent:
    what = "refused" if end.how == Ended.REFUSED else "repeated"
    return ExplainEvent(at=end.at_ms, what=what, code=end.code, reason=end.reason)


def _sessions_summed(happened: Sequence[OfSession], from_ms: int) -> Iterable[ExplainEvent]:
    sums = [one for one in happened if one.what == Happened.SUMMED and one.at_ms >= from_ms]
    if sums:
        counts = [one.count_and_since_ms for one in sums]
        event = ExplainEvent(what="sessions_summed", at=sums[-1].at_ms, since=counts[0][1])
        event.count = sum(count for count, _ in counts)
        yield event


def _summed(sums: Sequence[OfSend]) -> Iterable[ExplainEvent]:
    """One for each way in which they ended."""
    told: dict[int, ExplainEvent] = {}
    for one in sums:
        count, since_ms = one.count_and_since_ms
        event = told.setdefault(one.code, ExplainEvent(what="summed", code=one.code, since=since_ms))
        event.at, event.reason = one.at_ms, one.reason
        event.count += count
    return told.values()
