"""How far everybody has come: delivered and read cursors, kept, and told to those whom it concerns.

Cursors never go back. They are gathered for a moment, written in one statement, and then told: in
1:1 conversations to the other side, in groups to those who wrote lately, and always to the user's
own other devices. Large groups are not told (spec 4.4).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from twisted.logger import Logger

from imd.core.directory import P2P
from imd.core.message.live import LiveConversation, LiveConversations
from imd.core.message.model import CursorRow
from imd.core.message.neighbours import Neighbours
from imd.core.message.ports import Cursors, MessageLog
from imd.core.message.recipients import LocalSessions, Recipient
from imd.core.message.visible import first_visible
from imd.kernel.clocks import Clock
from imd.kernel.errors import ImError, PayloadInvalid
from imd.kernel.eviction import forget_oldest
from imd.kernel.tasks import Tasks
from imd.kernel.timeouts import sleep
from imd.pb.delivery_pb2 import MemberCursor, ReceiptNotice
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from imd.wire.outbound import Outbound, Priority

#: A person does not notice so much; a thousand receipts become one write.
WINDOW_S = 0.1
#: Groups are gathered longer, since a message there brings a receipt from every member.
GROUP_WINDOW_S = 1.0
#: Cursor rows in one write.
MAX_ROWS = 500
#: After a write that failed; the store has other worries.
RETRY_S = 1.0
#: Cursors that wait for the store, about 300 B each. Above, new ones are let go: see ``Cursors``.
MAX_UNWRITTEN = 100_000
#: Cursors remembered, so that what is told never goes back, and what is known is not written again.
MAX_KNOWN = 50_000


class Receipts:
    """Takes cursors in, writes them, tells them on."""

    _logger = Logger()

    def __init__(
        self,
        *,
        live: LiveConversations,
        log: MessageLog,
        cursors: Cursors,
        sessions: LocalSessions,
        neighbours: Neighbours,
        tasks: Tasks,
        clock: Clock,
        max_members: int,
    ) -> None:
        self._live = live
        self._log = log
        self._cursors = cursors
        self._sessions = sessions
        self._neighbours = neighbours
        self._tasks = tasks
        self._clock = clock
        self.max_members = max_members
        self._unwritten: dict[tuple[str, int], CursorRow] = {}
        self._untold: dict[str, dict[int, CursorRow]] = {}
        self._known: dict[tuple[str, int], CursorRow] = {}
        self._told_groups_s = 0.0
        self._running = False

    async def take(self, recipient: Recipient, conversation_id: str, *, delivered: int, read: int) -> None:
        """A client's own word on how far it has come.

        :raises Forbidden: not its conversation. PayloadInvalid: a seq that does not exist.
        """
        live = await self._live.of_member(conversation_id, recipient.user_id)
        if min(delivered, read) < 0 or not await self._exists(live, max(delivered, read)):
            raise PayloadInvalid("there is no message with this seq yet", field="seq")
        self.advance(conversation_id, recipient.user_id, delivered=max(delivered, read), read=read)

    async def _exists(self, live: LiveConversation, seq: int) -> bool:
        """Whether there is a message with this seq; another node may have written it."""
        if seq <= max(live.last_seq or 0, live.fanned_seq):
            return True
        conversation_id = live.conversation_id
        return seq <= (await self._log.last_seqs([conversation_id])).get(conversation_id, 0)

    async def of(self, user_id: int, conversation_id: str) -> ReceiptNotice:
        """How far everybody has come, for who was away when it was told; in large groups the caller alone.

        :raises Forbidden: not the caller's conversation.
        """
        live = await self._live.of_member(conversation_id, user_id)
        if live.member_count > self.max_members:
            rows = list((await self._cursors.of_user(user_id, [conversation_id])).values())
        else:
            rows = list(await self._cursors.of_conversation(conversation_id, self.max_members))
        roles = live.membership.roles if live.membership is not None else {}
        first_seq = first_visible(live.membership, user_id)
        # What is not written yet is on its way, and told by itself.
        return _payload(
            conversation_id,
            [row for row in rows if row.user_id in roles and row.delivered_seq >= first_seq],
        )

    def advance(self, conversation_id: str, user_id: int, *, delivered: int, read: int) -> None:
        """Raise a cursor that is known to be right (who writes has read what came before)."""
        key = (conversation_id, user_id)
        old = self._unwritten.get(key) or self._known.get(key)
        if old is not None:
            delivered = max(delivered, old.delivered_seq)
            read = max(read, old.read_seq)
            if delivered == old.delivered_seq and read == old.read_seq:
                return
        if len(self._unwritten) >= MAX_UNWRITTEN and key not in self._unwritten:
            return
        self._unwritten[key] = CursorRow(conversation_id, user_id, delivered, read)
        if not self._running:
            self._running = True
            self._tasks.spawn("receipts", self._run())

    async def _run(self) -> None:
        try:
            while self._unwritten or self._untold:
                await sleep(WINDOW_S, clock=self._clock)
                written = await self.write()
                self._tell()
                if not written:
                    await sleep(RETRY_S, clock=self._clock)
        finally:
            self._running = False

    async def write(self) -> bool:
        """Write what has been gathered; False if the store did not take it, and it waits for the next time."""
        for _ in range(0, len(self._unwritten), MAX_ROWS):
            keys = list(islice(self._unwritten, MAX_ROWS))
            rows = [self._unwritten.pop(key) for key in keys]
            try:
                await self._cursors.advance(rows)
            except ImError as error:
                self._logger.warn("{count} cursors not written: {error}", count=len(rows), error=error)
                for row in rows:
                    self.advance(
                        row.conversation_id, row.user_id, delivered=row.delivered_seq, read=row.read_seq
                    )
                return False
            for row in rows:
                self._remember(row)
                self._untold.setdefault(row.conversation_id, {})[row.user_id] = row
        return True

    def _remember(self, row: CursorRow) -> None:
        known = self._known
        key = (row.conversation_id, row.user_id)
        known.pop(key, None)
        known[key] = row
        forget_oldest(known, MAX_KNOWN)

    def _tell(self) -> None:
        now_s = self._clock.seconds()
        groups_too = now_s - self._told_groups_s >= GROUP_WINDOW_S
        if groups_too:
            self._told_groups_s = now_s
        for conversation_id in list(self._untold):
            live = self._live.known(conversation_id)
            direct = live is None or live.membership is None or live.membership.kind == P2P
            if direct or groups_too:
                rows = self._untold.pop(conversation_id)
                if live is not None:
                    self._tell_one(live, rows)
                    self._neighbours.cursors(live, rows.values())

    def told(self, live: LiveConversation, rows: Iterable[CursorRow]) -> None:
        """Another node has written these."""
        self._tell_one(live, {row.user_id: row for row in rows}, own_devices=0)

    def _tell_one(self, live: LiveConversation, rows: dict[int, CursorRow], *, own_devices: int = 1) -> None:
        """To whom it concerns; ``own_devices`` of the user whose cursor it is are here and know it."""
        if not live.audience:
            return
        own_only = live.member_count > self.max_members
        everything = _notice(live.conversation_id, list(rows.values()))
        for recipient in list(live.audience):
            own = rows.get(recipient.user_id)
            concerned = live.membership is not None and (
                live.membership.kind == P2P or recipient.user_id in (live.senders or ())
            )
            if concerned and not own_only and (own is None or len(rows) > 1):
                recipient.push(everything)
            elif own is not None and len(self._sessions.of_user(recipient.user_id)) > own_devices:
                recipient.push(_notice(live.conversation_id, [own]))


def _payload(conversation_id: str, rows: list[CursorRow]) -> ReceiptNotice:
    cursors = [
        MemberCursor(userId=row.user_id, deliveredSeq=row.delivered_seq, readSeq=row.read_seq) for row in rows
    ]
    return ReceiptNotice(conversationId=conversation_id, cursors=cursors)


def _notice(conversation_id: str, rows: list[CursorRow]) -> Outbound:
    return Outbound(encode(Envelope(receiptNotice=_payload(conversation_id, rows))), Priority.NORMAL)
