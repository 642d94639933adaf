"""What a known client asks for: each payload and the feature that serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from twisted.internet.defer import CancelledError

from imd.core.directory import CONTROL, MESSAGE
from imd.core.gateway.acks import MAX_IN_FLIGHT, Acks
from imd.core.gateway.faults import Faults
from imd.core.gateway.quick import QuickRefusal
from imd.core.gateway.replies import Replies, same_request
from imd.core.gateway.session import BUSY, Session
from imd.core.gateway.traces import Traces
from imd.core.gateway.trail import RefusalTrail
from imd.core.message.catch_up import CatchUp
from imd.core.message.content import (
    MEDIA_TYPES,
    ContentLimits,
    Origin,
    check_send,
    content_hash,
    sent_body,
)
from imd.core.message.fanout import Fanout
from imd.core.message.live import LiveConversations
from imd.core.message.neighbours import Neighbours
from imd.core.message.recall import Recaller
from imd.core.message.receipts import Receipts
from imd.core.message.sends import PendingSend, SendKey, Submit
from imd.core.permission.decide import refusal
from imd.core.screening.draft import draft_of
from imd.core.screening.gate import Gate
from imd.kernel.clocks import Clock, WallClock
from imd.kernel.errors import Forbidden, ImError, InternalError, PayloadInvalid, RateLimited, ServerBusy
from imd.kernel.histogram import Histogram
from imd.kernel.ids import Snowflake, check_id, direct_conversation_id
from imd.kernel.tasks import Tasks
from imd.ops.metrics.buckets import HISTORY
from imd.pb.delivery_pb2 import Typing
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import CUSTOM, SendMessageReq
from imd.wire.codec import encode
from imd.wire.outbound import Outbound, Priority, control, with_raw_payload

#: Reads of one connection at a time; a client that wants more at once waits its turn.
MAX_REQUESTS = 16
#: In larger groups nobody is told who types: one small frame would become thousands.
TYPING_MAX_MEMBERS = 500
#: Below that it is charged as one frame for so many members: 100 a second would be 50,000 for others.
TYPING_MEMBERS_PER_FRAME = 50
#: To time each send would cost a hundredth of what it takes to deliver it, and say nothing more.
TIMED_ONE_IN = 8

Serve = Callable[[Session, Envelope], Awaitable[None]]


class Requests:
    """Serves the requests of live sessions."""

    def __init__(
        self,
        *,
        submit: Submit,
        gate: Gate,
        acks: Acks,
        live: LiveConversations,
        fanout: Fanout,
        neighbours: Neighbours,
        receipts: Receipts,
        catch_up: CatchUp,
        recaller: Recaller,
        others: dict[str, Serve],
        replies: Replies,
        ids: Snowflake,
        clock: Clock,
        wall_clock: WallClock,
        tasks: Tasks,
        content_limits: ContentLimits,
        quick: QuickRefusal,
        trail: RefusalTrail,
        traces: Traces | None = None,
    ) -> None:
        self._submit = submit
        self._gate = gate
        self._acks = acks
        self._live = live
        self._fanout = fanout
        self._neighbours = neighbours
        self._receipts = receipts
        self._catch_up = catch_up
        self._recaller = recaller
        self._replies = replies
        self._trail = trail
        self._ids = ids
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = tasks
        self._content_limits = content_limits
        self._quick = quick
        self._traces = traces
        self._faults = Faults(clock=clock)
        self._sends = 0
        self.history_seconds = Histogram(HISTORY.bounds)
        self.sync_seconds = Histogram(HISTORY.bounds)
        self._serve: dict[str, Serve] = {
            "read": self._read,
            "deliverAck": self._deliver_ack,
            "typing": self._typing,
            "historyReq": self._history,
            "syncReq": self._sync,
            "queryMessageStatusReq": self._status,
            "receiptsReq": self._receipts_of,
            "conversationListReq": self._conversations,
            "recall": self._recall,
            **others,
        }

    def serve(self, session: Session, payload: str, envelope: Envelope, size_bytes: int) -> None:
        """Answer one request, now or later; never raises."""
        if payload == "send":
            try:
                self._send(session, envelope, size_bytes)
            except ImError as error:
                self._refuse(session, envelope, error)
            except Exception:
                self._fail(session, payload, envelope)
            return
        if session.requests >= MAX_REQUESTS:
            self._refuse(session, envelope, ServerBusy("too many requests at once", retry_after_ms=200))
            return
        session.requests += 1
        self._tasks.spawn(payload, self._run(payload, session, envelope))

    async def _run(self, payload: str, session: Session, envelope: Envelope) -> None:
        try:
            await self._serve[payload](session, envelope)
        except ImError as error:
            self._refuse(session, envelope, error)
        except CancelledError:
            # The server goes down.
            raise
        except Exception:
            self._fail(session, payload, envelope)
        finally:
            session.requests -= 1

    def _refuse(self, session: Session, envelope: Envelope, error: ImError) -> None:
        self._trail.request(session.user_id, envelope, error)
        self._replies.refuse(session, envelope, error)

    def _fail(self, session: Session, payload: str, envelope: Envelope) -> None:
        """A fault of ours: the client learns that it is, the log (within bounds) what it is."""
        self._faults.log(payload)
        self._refuse(session, envelope, InternalError("the server failed to answer this"))

    def _send(self, session: Session, envelope: Envelope, size_bytes: int) -> None:
        _check_scope(session)
        request = envelope.send
        if request.peerUserId:
            _fill_conversation(session.user_id, envelope)
        check_send(request, size_bytes=size_bytes, limits=self._content_limits)
        is_media = request.type in MEDIA_TYPES
        self._check_rate(session, is_media)
        key = SendKey(request.conversationId, session.user_id, request.clientMsgId)
        server_msg_id = self._ids.next()
        now_ms = self._wall_clock()
        origin = Origin(key[0], key[1], session.device_id, key[2], server_msg_id, now_ms)
        session.in_flight += 1
        send = PendingSend(
            key=key,
            body=sent_body(request, origin),
            content_hash=content_hash(request),
            server_msg_id=server_msg_id,
            server_time_ms=now_ms,
            submitter=self._acks,
            recipient=session,
            is_media=is_media,
            peer_user_id=request.peerUserId,
            ticket=session.ticket,
            level=session.level,
        )
        if not self._sends % TIMED_ONE_IN:
            send.came_at_s = self._clock.seconds()
        self._sends += 1
        if self._traces is not None:
            self._traces.look(send, session, envelope)
        if not self._quick.refused(send, request.type):
            if self._gate.is_open:
                self._submit.submit(send)
            else:
                self._screen(send, request, origin)
        if session.in_flight >= MAX_IN_FLIGHT:
            session.hold(BUSY)

    def _screen(self, send: PendingSend, request: SendMessageReq, origin: Origin) -> None:
        if request.type == CUSTOM:
            # Nobody but the application knows what it says.
            self._gate.follow(send)
            return
        if send.traced is not None:
            send.traced.checking_content()
        self._gate.take(send, draft_of(request, origin))

    def _check_rate(self, session: Session, is_media: bool) -> None:
        user = session.user
        if user is None:
            return
        tokens = user.rates.media if is_media else user.rates.text
        if tokens is not None and not tokens.take(self._clock.seconds()):
            session.traffic.user_limited += 1
            what = "media" if is_media else "messages"
            raise RateLimited(f"too many {what} a minute", retry_after_ms=tokens.retry_after_ms())

    async def _read(self, session: Session, envelope: Envelope) -> None:
        receipt = envelope.read
        check_id(receipt.conversationId, "read.conversationId")
        await self._receipts.take(session, receipt.conversationId, delivered=0, read=receipt.readSeq)

    async def _deliver_ack(self, session: Session, envelope: Envelope) -> None:
        ack = envelope.deliverAck
        check_id(ack.conversationId, "deliverAck.conversationId")
        await self._receipts.take(session, ack.conversationId, delivered=ack.seq, read=0)
        if self._fanout.awaited_acks.awaited:
            self._fanout.awaited_acks.acknowledged(ack.conversationId, ack.seq, session)

    async def _typing(self, session: Session, envelope: Envelope) -> None:
        _check_scope(session)
        typing = envelope.typing
        conversation_id = check_id(typing.conversationId, "typing.conversationId")
        live = await self._live.of_member(conversation_id, session.user_id, sparing=True)
        # Who may not write has nothing to type.
        refused = refusal(live.membership, session.user_id, CONTROL | MESSAGE, self._wall_clock())
        if refused is not None:
            raise refused
        if live.member_count > TYPING_MAX_MEMBERS:
            return
        tokens = session.device_bucket
        cost = live.member_count / TYPING_MEMBERS_PER_FRAME
        if tokens is not None and not tokens.take(self._clock.seconds(), cost):
            return
        notice = Typing(conversationId=conversation_id, userId=session.user_id, active=typing.active)
        outbound = Outbound(encode(Envelope(typing=notice)), Priority.BULK)
        self._fanout.broadcast(live, outbound, session)
        self._neighbours.typing(live, outbound.frames, session)

    async def _history(self, session: Session, envelope: Envelope) -> None:
        began_s = self._clock.seconds()
        payload = await self._catch_up.history(session.user_id, envelope.historyReq, session=session)
        self.history_seconds.observe(self._clock.seconds() - began_s)
        session.push(with_raw_payload(envelope.header.requestId, Envelope.HISTORYRESP_FIELD_NUMBER, payload))

    async def _sync(self, session: Session, envelope: Envelope) -> None:
        began_s = self._clock.seconds()
        answer = await self._catch_up.sync(session.speaker, envelope.syncReq, session=session)
        self.sync_seconds.observe(self._clock.seconds() - began_s)
        session.push(control(Envelope(header=same_request(envelope), syncResp=answer)))

    async def _status(self, session: Session, envelope: Envelope) -> None:
        answer = await self._catch_up.status(session.speaker, envelope.queryMessageStatusReq)
        session.push(control(Envelope(header=same_request(envelope), queryMessageStatusResp=answer)))

    async def _receipts_of(self, session: Session, envelope: Envelope) -> None:
        conversation_id = check_id(envelope.receiptsReq.conversationId, "receiptsReq.conversationId")
        answer = await self._receipts.of(session.user_id, conversation_id)
        session.push(control(Envelope(header=same_request(envelope), receiptNotice=answer)))

    async def _conversations(self, session: Session, envelope: Envelope) -> None:
        answer = await self._catch_up.conversations(session.speaker, envelope.conversationListReq)
        session.push(control(Envelope(header=same_request(envelope), conversationListResp=answer)))

    async def _recall(self, session: Session, envelope: Envelope) -> None:
        _check_scope(session)
        send = await self._recaller.prepare(session, envelope.recall, self._acks)
        session.in_flight += 1
        if self._traces is not None:
            self._traces.look(send, session, envelope)
        self._submit.submit(send)


def _check_scope(session: Session) -> None:
    if not session.may_send:
        raise Forbidden("this token is not for sending messages", reason="no_scope")


def _fill_conversation(user_id: int, envelope: Envelope) -> None:
    """The 1:1 conversation has one name only; a client need not know it, but must not name another."""
    request = envelope.send
    if request.peerUserId < 0 or request.peerUserId == user_id:
        raise PayloadInvalid("peerUserId must be another user", field="send.peerUserId")
    conversation_id = direct_conversation_id(user_id, request.peerUserId)
    if request.conversationId not in ("", conversation_id):
        raise PayloadInvalid(
            "conversationId is not the conversation with peerUserId", field="send.conversationId"
        )
    request.conversationId = conversation_id
