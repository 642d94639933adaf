"""Catching up: history, sync after a reconnect, what became of a send, the conversation list.

Everything read back is passed through as stored bytes; a page is put together without decoding
a message.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from imd.core.directory import ConversationEntry, Directory, Speaker
from imd.core.message.listening import Listening
from imd.core.message.live import LiveConversation, LiveConversations
from imd.core.message.model import CursorRow, Page, StoredKey
from imd.core.message.ports import Cursors, MessageLog
from imd.core.message.recipients import Recipient
from imd.core.message.visible import first_visible, unseen, within
from imd.core.screening.model import Held, being_reviewed, content_refused
from imd.core.screening.ports import HeldMessages
from imd.kernel.errors import AuthFailed, PayloadInvalid, ServerBusy
from imd.kernel.ids import check_id, is_client_msg_id, is_direct_id
from imd.kernel.sharing import SharedQuestions
from imd.pb.delivery_pb2 import Ack
from imd.pb.message_pb2 import DELAYED, FAILED, REVOKED, STORED, Message
from imd.pb.sync_pb2 import (
    BACKWARD,
    Conversation,
    ConversationListReq,
    ConversationListResp,
    ConversationState,
    HistoryReq,
    HistoryResp,
    QueryMessageStatusReq,
    QueryMessageStatusResp,
    SyncReq,
    SyncResp,
)
from imd.wire.framing import encode_varint
from imd.wire.outbound import error_payload

HISTORY_PAGE = 200
HISTORY_DEFAULT = 50
HISTORY_PAGE_BYTES = 256 * 1024
SYNC_PAGE = 200
#: Cursors in one request; the rest go into another.
MAX_SYNC_CURSORS = 2000
STATUS_QUERY_IDS = 200
LIST_PAGE = 100
LIST_DEFAULT = 50
#: Last messages may be large; the page then ends earlier, with at least one conversation.
LIST_PAGE_BYTES = 256 * 1024
#: Conversations looked up in the store at a time.
STORE_BATCH = 500
#: Last messages read at a time: each may have 256 KiB, and most of them would not fit on the page.
BODIES_BATCH = 20
#: Larger than any seq.
MAX_SEQ = (1 << 63) - 1
#: Tag of HistoryResp.messages (field 2).
_MESSAGES_TAG = b"\x12"


class CatchUp:
    """Reads for clients; every method checks that the caller may see what it asks for."""

    def __init__(
        self,
        *,
        live: LiveConversations,
        directory: Directory,
        log: MessageLog,
        cursors: Cursors,
        held: HeldMessages,
        listening: Listening | None = None,
    ) -> None:
        self._live = live
        self._directory = directory
        self._log = log
        self._cursors = cursors
        self._held = held
        self._listening = listening
        #: After a hint, a large group asks for the same page within the same moment.
        self._pages: SharedQuestions[tuple[str, int, int, bool], Page] = SharedQuestions()

    async def _mine(self, user_id: int, conversation_id: str, field: str) -> LiveConversation:
        check_id(conversation_id, field)
        return await self._live.of_member(conversation_id, user_id)

    async def _readable(
        self, user_id: int, conversation_id: str, field: str, session: Recipient | None
    ) -> LiveConversation:
        """As ``_mine``; while the authority does not answer, a 1:1 conversation that the session was told of first:
        who is in it never changes, and both see all of it."""
        try:
            return await self._mine(user_id, conversation_id, field)
        except ServerBusy:
            listening = self._listening
            if session is None or listening is None or not is_direct_id(conversation_id):
                raise
            if conversation_id not in listening.of(session):
                raise
            return LiveConversation(conversation_id)

    async def history(self, user_id: int, request: HistoryReq, *, session: Recipient | None = None) -> bytes:
        """A serialised HistoryResp.

        :param session: the user's; what it was told first counts while the authority does not answer.
        """
        conversation_id = request.conversationId
        live = await self._readable(user_id, conversation_id, "historyReq.conversationId", session)
        if not 0 <= request.limit <= HISTORY_PAGE:
            raise PayloadInvalid(f"limit must be 1 to {HISTORY_PAGE}", field="historyReq.limit")
        if request.fromSeq < 0:
            raise PayloadInvalid("fromSeq must not be negative", field="historyReq.fromSeq")
        backward = request.direction == BACKWARD
        # As far as this node knows; the store may hold more, written by another.
        last_seq = max(live.fanned_seq, live.last_seq or 0)
        first_seq = first_visible(live.membership, user_id)
        # Backward from nowhere: from the newest, whichever that is by then.
        from_seq = request.fromSeq or (MAX_SEQ if backward else 1)
        if not backward:
            from_seq = max(from_seq, first_seq)
        limit = request.limit or HISTORY_DEFAULT
        page = None
        if live.recent is not None and not backward:
            page = live.recent.page(
                from_seq=from_seq, last_seq=last_seq, limit=limit, max_bytes=HISTORY_PAGE_BYTES
            )
        if page is None:
            page = await self._page(conversation_id, from_seq, limit, backward)
            if backward:
                page = within(page, first_seq)
        if page.messages:
            last_seq = max(last_seq, page.messages[-1].seq)
        elif not backward:
            last_seq = (await self._log.last_seqs([conversation_id])).get(conversation_id, 0)
        head = HistoryResp(conversationId=conversation_id, more=page.more, lastSeq=last_seq)
        parts = [head.SerializeToString()]
        for message in page.messages:
            parts += (_MESSAGES_TAG, encode_varint(len(message.body)), message.body)
        return b"".join(parts)

    async def _page(self, conversation_id: str, from_seq: int, limit: int, backward: bool) -> Page:
        return await self._pages.ask(
            (conversation_id, from_seq, limit, backward),
            lambda: self._log.page(
                conversation_id,
                from_seq=from_seq,
                limit=limit,
                max_bytes=HISTORY_PAGE_BYTES,
                backward=backward,
            ),
        )

    async def sync(
        self,
        speaker: Speaker,
        request: SyncReq,
        entries: Sequence[ConversationEntry] | None = None,
        session: Recipient | None = None,
    ) -> SyncResp:
        """The conversations in which the server is ahead of the client's cursors, a page of them.

        :param entries: the speaker's conversations, if the caller has just asked for them.
        :param session: the speaker's; what it was told first counts while the authority does not answer.
        """
        if len(request.cursors) > MAX_SYNC_CURSORS:
            raise PayloadInvalid(f"at most {MAX_SYNC_CURSORS} cursors a request", field="syncReq.cursors")
        held = {cursor.conversationId: cursor.lastSeq for cursor in request.cursors}
        if entries is None:
            entries = await self._entries(speaker, session)
        hidden = {
            entry.conversation_id: unseen(entry)
            for entry in entries
            if entry.conversation_id > request.pageToken
            and (not request.onlyListed or entry.conversation_id in held)
        }
        wanted = sorted(hidden)
        last_seqs = await _in_batches(self._log.last_seqs, wanted)
        behind = [
            (conversation_id, last_seqs[conversation_id])
            for conversation_id in wanted
            if last_seqs.get(conversation_id, 0) > max(held.get(conversation_id, 0), hidden[conversation_id])
        ]
        page = behind[:SYNC_PAGE]
        cursors = await self._read_cursors(speaker.user_id, [conversation_id for conversation_id, _ in page])
        states = [
            ConversationState(
                conversationId=conversation_id,
                lastSeq=last_seq,
                readSeq=max(_read(cursors, conversation_id), hidden[conversation_id]),
            )
            for conversation_id, last_seq in page
        ]
        more = page[-1][0] if len(behind) > SYNC_PAGE else ""
        return SyncResp(behind=states, nextPageToken=more)

    async def _entries(self, speaker: Speaker, session: Recipient | None) -> Sequence[ConversationEntry]:
        try:
            return await self._directory.conversations_of(speaker)
        except ServerBusy:
            listening = self._listening
            if session is None or listening is None or not listening.has_all(session):
                raise
            # How far they go, no more: what is in them is read by whoever is still in.
            return [ConversationEntry(each, 0, 0, "", 0) for each in listening.of(session)]

    async def _read_cursors(self, user_id: int, conversation_ids: Sequence[str]) -> Mapping[str, CursorRow]:
        if not conversation_ids:
            return {}
        return await self._cursors.of_user(user_id, conversation_ids)

    async def status(self, speaker: Speaker, request: QueryMessageStatusReq) -> QueryMessageStatusResp:
        """What became of the caller's own sends."""
        conversation_id, user_id = request.conversationId, speaker.user_id
        ids = list(request.clientMsgIds[: STATUS_QUERY_IDS + 1])
        if len(ids) > STATUS_QUERY_IDS:
            raise PayloadInvalid(
                f"at most {STATUS_QUERY_IDS} ids a request", field="queryMessageStatusReq.clientMsgIds"
            )
        if not all(is_client_msg_id(each) for each in ids):
            raise PayloadInvalid("malformed id", field="queryMessageStatusReq.clientMsgIds")
        await self._mine(user_id, conversation_id, "queryMessageStatusReq.conversationId")
        found = await self._log.find(conversation_id, user_id, ids)
        held = await self._held_of(conversation_id, speaker, [each for each in ids if each not in found])
        acks = [_status_ack(conversation_id, each, found.get(each), held.get(each)) for each in ids]
        return QueryMessageStatusResp(conversationId=conversation_id, acks=acks)

    async def _held_of(
        self, conversation_id: str, speaker: Speaker, client_msg_ids: Sequence[str]
    ) -> Mapping[str, Held]:
        """Those that wait for a review, or did. Where that cannot be learned they count as never seen: whoever
        sends one again hears how it stands."""
        if not client_msg_ids:
            return {}
        try:
            return await self._held.states(conversation_id, speaker, client_msg_ids)
        except (ServerBusy, AuthFailed):
            return {}

    async def conversations(self, speaker: Speaker, request: ConversationListReq) -> ConversationListResp:
        """The caller's conversations, newest first, with last message and unread count."""
        if not 0 <= request.limit <= LIST_PAGE:
            raise PayloadInvalid(f"limit must be 1 to {LIST_PAGE}", field="conversationListReq.limit")
        start = _offset(request.pageToken)
        limit = request.limit or LIST_DEFAULT
        entries = list(await self._directory.conversations_of(speaker))
        newest = await _in_batches(self._log.newest, [entry.conversation_id for entry in entries])
        entries.sort(key=lambda entry: -newest.get(entry.conversation_id, 0))
        page = await self._with_last(entries[start : start + limit])
        cursors = await self._read_cursors(speaker.user_id, [entry.conversation_id for entry, _ in page])
        rows = [
            _conversation(entry, last, _read_by(speaker.user_id, last, _read(cursors, entry.conversation_id)))
            for entry, last in page
        ]
        following = start + len(page)
        more = str(following) if len(entries) > following else ""
        return ConversationListResp(conversations=rows, nextPageToken=more)

    async def _with_last(
        self, entries: Sequence[ConversationEntry]
    ) -> list[tuple[ConversationEntry, Message | None]]:
        """As many of them as fit on a page, at least one, with their last messages."""
        page: list[tuple[ConversationEntry, Message | None]] = []
        size_bytes = 0
        for first in range(0, len(entries), BODIES_BATCH):
            batch = entries[first : first + BODIES_BATCH]
            bodies = await self._log.last_bodies([entry.conversation_id for entry in batch])
            for entry in batch:
                body = bodies.get(entry.conversation_id)
                size_bytes += len(body or b"")
                if size_bytes > LIST_PAGE_BYTES and page:
                    return page
                page.append((entry, Message.FromString(body) if body is not None else None))
        return page


async def _in_batches(
    ask: Callable[[Sequence[str]], Awaitable[Mapping[str, int]]], conversation_ids: Sequence[str]
) -> Mapping[str, int]:
    answers: dict[str, int] = {}
    for start in range(0, len(conversation_ids), STORE_BATCH):
        answers.update(await ask(conversation_ids[start : start + STORE_BATCH]))
    return answers


def _read(cursors: Mapping[str, CursorRow], conversation_id: str) -> int:
    cursor = cursors.get(conversation_id)
    return cursor.read_seq if cursor is not None else 0


def _read_by(user_id: int, last: Message | None, read_seq: int) -> int:
    """Who writes has read, also before that is written down."""
    return last.seq if last is not None and last.senderId == user_id else read_seq


def _offset(page_token: str) -> int:
    if not page_token:
        return 0
    if not page_token.isascii() or not page_token.isdigit() or len(page_token) > 6:
        raise PayloadInvalid("pageToken is not one of ours", field="conversationListReq.pageToken")
    return int(page_token)


def _conversation(entry: ConversationEntry, last: Message | None, read_seq: int) -> Conversation:
    last_seq = last.seq if last is not None else 0
    hidden_seq = unseen(entry)
    read_seq = max(read_seq, min(last_seq, hidden_seq))
    if last_seq <= hidden_seq:
        last = None
    return Conversation(
        conversationId=entry.conversation_id,
        kind=entry.kind,  # type: ignore[arg-type]
        peerUserId=entry.peer_user_id,
        title=entry.title,
        lastSeq=last_seq,
        readSeq=read_seq,
        unread=max(0, last_seq - read_seq),
        lastMessage=last,
        memberCount=entry.member_count,
        updatedAt=last.serverTime if last is not None else 0,
    )


def _status_ack(conversation_id: str, client_msg_id: str, stored: StoredKey | None, held: Held | None) -> Ack:
    if stored is None:
        ack = Ack(conversationId=conversation_id, clientMsgId=client_msg_id)
        if held is not None:
            # A delivered one that is not in the log came there since the log was asked: it is on its way.
            ack.status = FAILED if held is Held.REFUSED else DELAYED
            ack.error.CopyFrom(error_payload(content_refused() if held is Held.REFUSED else being_reviewed()))
        return ack
    return Ack(
        conversationId=conversation_id,
        clientMsgId=client_msg_id,
        serverMsgId=stored.server_msg_id,
        seq=stored.seq,
        serverTime=stored.server_time_ms,
        status=REVOKED if stored.revoked else STORED,
    )
