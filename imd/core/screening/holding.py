"""Messages that wait for a person's decision: handed to business, and their senders told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.defer import TimeoutError

from imd.bus.failures import error_of
from imd.bus.port import Bus, BusFailure, BusRefused, NoResponder
from imd.bus.subjects import DEFAULT_TIMEOUT_S, MESSAGE_DECIDED, REVIEW_HOLD, REVIEW_STATE
from imd.core.directory import Speaker
from imd.core.message.recipients import LocalSessions
from imd.core.message.sends import PendingSend
from imd.core.screening.model import Draft, Held
from imd.kernel.clocks import Clock
from imd.kernel.errors import ServerBusy
from imd.kernel.timeouts import sleep
from imd.pb.bus_pb2 import Decided, HeldAnswer, HeldMessage, HeldQuery, HoldAnswer
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import DELAYED, FAILED, STORED, Message, SendMessageReq
from imd.wire.outbound import control

#: Between tries to hold a message; it is there once, however often business hears of it.
_RETRY_S = (0.2, 1.0, 3.0)
_RETRY_MS = 5_000

_HELD: Mapping[int, Held] = {DELAYED: Held.UNDECIDED, STORED: Held.DELIVERED, FAILED: Held.REFUSED}


class BusReviews:
    """See ``HeldMessages``."""

    def __init__(self, *, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def hold(self, send: PendingSend, draft: Draft, reason: str) -> Held:
        """See ``HeldMessages``."""
        held = HeldMessage(
            senderId=draft.sender_id,
            deviceId=draft.device_id,
            request=_request(send).SerializeToString(),
            reason=reason,
            contentHash=send.content_hash,
            ticket=send.ticket,
        )
        may_be_held = False
        for delay_s in (*_RETRY_S, None):
            try:
                answer = HoldAnswer.FromString(await self._ask(REVIEW_HOLD, held.SerializeToString()))
            except (TimeoutError, BusFailure):
                may_be_held = True
            except (NoResponder, BusRefused):
                pass
            else:
                if not answer.failure.code:
                    return _HELD.get(answer.status, Held.UNDECIDED)
                error = error_of(answer.failure)
                if not error.retryable:
                    raise error
            if delay_s is not None:
                await sleep(delay_s, clock=self._clock)
        if may_be_held:
            # FAILED would be a promise that it never appears. Its device asks again.
            return Held.UNDECIDED
        raise ServerBusy("this message cannot be held for review now", retry_after_ms=_RETRY_MS)

    async def states(
        self, conversation_id: str, sender: Speaker, client_msg_ids: Sequence[str]
    ) -> Mapping[str, Held]:
        """See ``HeldMessages``."""
        query = HeldQuery(
            conversationId=conversation_id,
            senderId=sender.user_id,
            clientMsgIds=client_msg_ids,
            ticket=sender.ticket,
        )
        try:
            answer = HeldAnswer.FromString(await self._ask(REVIEW_STATE, query.SerializeToString()))
        except (TimeoutError, BusFailure, NoResponder) as error:
            raise ServerBusy("what is held cannot be looked up now", retry_after_ms=_RETRY_MS) from error
        if answer.failure.code:
            raise error_of(answer.failure)
        pairs = zip(client_msg_ids, answer.statuses, strict=True)
        return {one: _HELD[status] for one, status in pairs if status in _HELD}

    async def _ask(self, subject: str, payload: bytes) -> bytes:
        return await self._bus.request(subject, payload, timeout_s=DEFAULT_TIMEOUT_S)


class DecisionsHeard:
    """A stage: what became of held messages goes to the devices of their senders that are here."""

    def __init__(self, *, bus: Bus, sessions: LocalSessions) -> None:
        self._bus = bus
        self._sessions = sessions

    async def start(self) -> None:
        self._bus.subscribe(MESSAGE_DECIDED, self._heard)

    async def stop(self) -> None:
        """The bus forgets its subscribers when it stops."""

    async def _heard(self, _: str, payload: bytes) -> None:
        decided = Decided.FromString(payload)
        told = control(Envelope(ack=decided.ack))
        for session in self._sessions.of_user(decided.senderId):
            session.push(told)


def _request(send: PendingSend) -> SendMessageReq:
    """What the client sent, with what was replaced since: the stored form has it all."""
    message = Message.FromString(send.body)
    request = SendMessageReq(
        conversationId=message.conversationId,
        clientMsgId=message.clientMsgId,
        type=message.type,
        meta=message.meta,
        peerUserId=send.peer_user_id,
    )
    which = message.WhichOneof("content")
    if which == "textContent":
        request.textContent = message.textContent
    elif which == "mediaRef":
        request.mediaRef.CopyFrom(message.mediaRef)
    return request
