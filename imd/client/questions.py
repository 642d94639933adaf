"""Questions to the server and what their answers mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from twisted.internet.defer import Deferred

from imd.client.events import (
    ConversationInfo,
    HistoryPage,
    MessageFate,
    PresenceChanged,
    ReceiptChanged,
    chat_message,
)
from imd.pb.delivery_pb2 import ReceiptNotice
from imd.pb.envelope_pb2 import Envelope
from imd.pb.presence_pb2 import PresenceNotice
from imd.pb.sync_pb2 import BACKWARD, FORWARD, Conversation

Ask = Callable[[Envelope], Deferred[Envelope]]

CONVERSATIONS_PAGE = 100
#: More than anybody reads; a server that never ends its list is stopped here.
MAX_CONVERSATIONS_LISTED = 10_000


async def history(
    ask: Ask, conversation_id: str, *, from_seq: int, limit: int, backward: bool
) -> HistoryPage:
    """One page."""
    envelope = Envelope()
    request = envelope.historyReq
    request.conversationId = conversation_id
    request.fromSeq = from_seq
    request.limit = limit
    request.direction = BACKWARD if backward else FORWARD
    page = (await ask(envelope)).historyResp
    return HistoryPage(tuple(map(chat_message, page.messages)), page.more, page.lastSeq)


async def conversations(ask: Ask) -> list[ConversationInfo]:
    """All pages."""
    found: list[ConversationInfo] = []
    page_token = ""
    while len(found) < MAX_CONVERSATIONS_LISTED:
        envelope = Envelope()
        envelope.conversationListReq.limit = CONVERSATIONS_PAGE
        envelope.conversationListReq.pageToken = page_token
        page = (await ask(envelope)).conversationListResp
        found.extend(map(_conversation, page.conversations))
        page_token = page.nextPageToken
        if not page_token:
            break
    return found


async def fates(ask: Ask, conversation_id: str, client_msg_ids: Sequence[str]) -> list[MessageFate]:
    """One for each id, in that order."""
    envelope = Envelope()
    envelope.queryMessageStatusReq.conversationId = conversation_id
    envelope.queryMessageStatusReq.clientMsgIds.extend(client_msg_ids)
    answer = (await ask(envelope)).queryMessageStatusResp
    return [MessageFate(ack.clientMsgId, ack.status, ack.seq, ack.serverMsgId) for ack in answer.acks]


async def presence(ask: Ask, user_ids: Sequence[int]) -> list[PresenceChanged]:
    """Watch these users; how they are now."""
    envelope = Envelope()
    envelope.presenceSubscribeReq.userIds.extend(user_ids)
    return list(presences((await ask(envelope)).presenceNotice))


def presences(notice: PresenceNotice) -> Iterable[PresenceChanged]:
    """The users in a notice."""
    for user in notice.users:
        platforms = tuple(device.platform for device in user.devices)
        yield PresenceChanged(user.userId, user.online, platforms, user.lastSeen)


async def receipts(ask: Ask, conversation_id: str) -> list[ReceiptChanged]:
    """How far everybody has come."""
    envelope = Envelope()
    envelope.receiptsReq.conversationId = conversation_id
    return list(receipts_in((await ask(envelope)).receiptNotice))


def receipts_in(notice: ReceiptNotice) -> Iterable[ReceiptChanged]:
    """The members in a notice."""
    for cursor in notice.cursors:
        yield ReceiptChanged(notice.conversationId, cursor.userId, cursor.deliveredSeq, cursor.readSeq)


def _conversation(entry: Conversation) -> ConversationInfo:
    return ConversationInfo(
        entry.conversationId,
        entry.kind,
        entry.peerUserId,
        entry.title,
        entry.lastSeq,
        entry.readSeq,
        entry.unread,
        chat_message(entry.lastMessage) if entry.HasField("lastMessage") else None,
        entry.memberCount,
        entry.updatedAt,
    )
