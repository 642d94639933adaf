"""One load client, sans-I/O: bytes in, bytes out, everything it sees is counted.

It follows the rules of a real client (window, cumulative DeliverAcks, resync after a reconnect,
resend with the same id) but keeps nothing of a message beyond what counting needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from imd.client.load import frames
from imd.client.load.frames import ACK_TAG, DELIVER_TAG, FOREIGN, Delivery
from imd.client.load.sender import Sender
from imd.client.load.shared import Shared
from imd.client.load.tally import PULLED, SEEN, Inbox
from imd.pb.connection_pb2 import Error
from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import DELAYED, DELIVERED, FAILED, READ, STORED
from imd.pb.sync_pb2 import HistoryResp, SyncResp
from imd.wire.framing import FrameDecoder

#: A history page is at most 256 KiB; nothing the server says is larger than this.
FRAME_LIMIT: Final = 1024 * 1024
#: Bodies remembered when many devices get the same bytes; then the memory starts anew.
_KNOWN_BODIES: Final = 4096
_RETRY_AFTER_NS: Final = 50_000_000
#: About seconds; then a pull is begun anew.
_STALLED_TICKS: Final = 5
#: Statuses that prove that the message is on disk.
_STORED: Final = (STORED, DELIVERED, READ)
_DELIVER_FIRST: Final = DELIVER_TAG[0]


class State(Enum):
    """Where a device is."""

    AWAY = auto()
    CONNECTING = auto()
    SYNCING = auto()
    READY = auto()


class Device:
    """One connection's worth of client; what it wants to say is put into ``out``."""

    def __init__(
        self,
        *,
        token: str,
        device_id: str,
        conversations: Sequence[str],
        sender: Sender | None,
        shared: Shared,
        clock_ns: Callable[[], int],
    ) -> None:
        self._token = token
        self._device_id = device_id
        self.inboxes = {name: Inbox(name) for name in conversations}
        self.sender = sender
        self.state = State.AWAY
        self.out: list[bytes] = []
        self._shared = shared
        self._counts = shared.counts
        self._clock_ns = clock_ns
        self._cutter = FrameDecoder(limit_bytes=FRAME_LIMIT)
        #: Deliver and Hint frames of this connection, compared with what a heartbeat tells.
        self._pushed = 0
        #: How many of them the server has counted; a heartbeat may overtake what it counts.
        self._owed = 0
        #: Ticks since a pull last got an answer.
        self._stalled_ticks = 0
        self._first_sync = True
        #: The server asked to be left within so long; -1: it did not.
        self.leave_within_ms = -1

    def connected(self) -> None:
        """The transport is up: introduce yourself."""
        self.state = State.CONNECTING
        self._cutter = FrameDecoder(limit_bytes=FRAME_LIMIT)
        self._pushed = self._owed = self._stalled_ticks = 0
        self.leave_within_ms = -1
        for inbox in self.inboxes.values():
            inbox.pulling = True
            inbox.target = 0
            inbox.held.clear()
        self.out.clear()
        cursors = self._cursors()
        self.out.append(frames.connect_frame(token=self._token, device_id=self._device_id, cursors=cursors))

    def disconnected(self) -> None:
        if self.state is State.READY:
            self._counts.connected -= 1
        self.state = State.AWAY

    @property
    def sends_into(self) -> str:
        """A sender's conversation: its first one."""
        return next(iter(self.inboxes))

    def _cursors(self) -> list[tuple[str, int]]:
        return [(name, inbox.contiguous()) for name, inbox in self.inboxes.items()]

    @property
    def caught_up(self) -> bool:
        """Connected, and holding all that the server said there was."""
        return self.state is State.READY and not any(i.pulling for i in self.inboxes.values())

    def received(self, data: bytes, now_ns: int) -> None:
        """Bytes from the server."""
        known = self._shared.known
        for body in self._cutter.feed(data):
            first = body[0]
            if first == _DELIVER_FIRST:
                if known is not None and (seen := known.get(body)) is not None:
                    self._pushed += 1
                    self._deliver(seen, now_ns)
                    continue
                envelope = Envelope.FromString(body)
                if envelope.HasField("deliver"):
                    self._pushed += 1
                    seen = frames.delivery(envelope.deliver.message)
                    if known is not None:
                        if len(known) >= _KNOWN_BODIES:
                            known.clear()
                        known[body] = seen
                    self._deliver(seen, now_ns)
                    continue
            else:
                envelope = Envelope.FromString(body)
            if first == ACK_TAG:
                self._acked(envelope.ack, now_ns)
            else:
                self._other(envelope, now_ns)

    def _deliver(self, seen: Delivery, now_ns: int) -> None:
        conversation_id, seq, who, due_ns = seen
        inbox = self.inboxes.get(conversation_id)
        if inbox is None:
            self._counts.foreign += 1
        elif inbox.pulling:
            inbox.held.append((seq, who, due_ns))
        else:
            held = inbox.seen
            if seq > inbox.high and (seq >= len(held) or not held[seq]):
                self._hold(inbox, seq, who, SEEN)
                if who != FOREIGN:
                    self._shared.delivery_latency.add(now_ns - due_ns)
            elif held[seq] == PULLED:
                held[seq] = SEEN
                self._counts.overlapping += 1
                self._shared.ledger.note(conversation_id, seq, who)
            elif held[seq]:
                self._counts.duplicated += 1
                self._counts.pushed_again += 1
                self._shared.ledger.note(conversation_id, seq, who)
            else:
                self._counts.reordered += 1
                self._counts.pushed_late += 1
                self._hold(inbox, seq, who, SEEN)

    def _hold(self, inbox: Inbox, seq: int, who: int, how: int) -> None:
        if seq >= len(inbox.seen):
            inbox.grow(seq)
        inbox.seen[seq] = how
        if seq > inbox.high:
            inbox.high = seq
        self._shared.ledger.note(inbox.conversation_id, seq, who)
        if who == FOREIGN:
            self._counts.foreign += 1
        else:
            self._counts.delivered += 1

    def _acked(self, ack: Ack, now_ns: int) -> None:
        sender = self.sender
        index, number, due_ns = frames.read_id(ack.clientMsgId)
        if sender is None or index != sender.index:
            self._counts.foreign += 1
            return
        status = ack.status
        if status in _STORED:
            seq = ack.seq
            if sender.pending.pop(number, None) is None:
                self._acked_again(sender, number, seq)
                return
            self._counts.stored += 1
            sender.seqs[number - 1] = seq
            inbox = self.inboxes.get(ack.conversationId)
            if inbox is not None:
                inbox.own(seq)
            self._shared.ack_latency.add(now_ns - due_ns)
            if self._shared.refill:
                self.out.append(sender.next(self._clock_ns()))
                self._counts.sent += 1
        elif status == FAILED:
            self._refused(sender, number, ack.error, now_ns)
        elif status == DELAYED:
            self._counts.waited_for += 1

    def _acked_again(self, sender: Sender, number: int, seq: int) -> None:
        if sender.seqs[number - 1] == seq:
            self._counts.acked_twice += 1
        else:
            self._counts.duplicated += 1
            self._shared.complain(
                f"message {number} of sender {sender.index} was ACKed with two seqs: "
                f"{sender.seqs[number - 1]} and {seq}"
            )

    def _refused(self, sender: Sender, number: int, error: Error, now_ns: int) -> None:
        if number not in sender.pending:
            return
        if error.retryable:
            self._counts.retried += 1
            wait_ns = error.retryAfterMs * 1_000_000 or _RETRY_AFTER_NS
            sender.again.append((now_ns + wait_ns, number))
        else:
            del sender.pending[number]
            self._counts.refused += 1
            self._shared.complain(f"send refused with {error.code}: {error.message}")

    def _other(self, envelope: Envelope, now_ns: int) -> None:
        kind = envelope.WhichOneof("payload")
        if kind == "deliver":
            self._pushed += 1
            self._deliver(frames.delivery(envelope.deliver.message), now_ns)
        elif kind == "ack":
            self._acked(envelope.ack, now_ns)
        elif kind == "connected":
            self.state = State.SYNCING
        elif kind == "syncResp":
            self._synced(envelope.syncResp)
        elif kind == "historyResp":
            self._pulled(envelope.historyResp, now_ns)
        elif kind == "hint":
            self._pushed += 1
            self._counts.hints += 1
            self._hinted(envelope.hint.conversationId, envelope.hint.lastSeq)
        elif kind == "resync":
            self.resync()
        elif kind == "hb":
            self._owed = max(self._owed, envelope.hb.deliveredCount)
        elif kind == "error":
            self._failed(envelope, now_ns)
        elif kind == "reconnect":
            self._counts.told_to_leave += 1
            self.leave_within_ms = envelope.reconnect.spreadMs
        elif kind == "kicked":
            self._shared.complain(f"kicked: {envelope.kicked.reason}")

    def _failed(self, envelope: Envelope, now_ns: int) -> None:
        error = envelope.error
        index, number, _ = frames.read_id(envelope.header.clientMsgId)
        if self.sender is not None and index == self.sender.index:
            self._refused(self.sender, number, error, now_ns)
        elif self.state is State.READY or not error.retryable:
            self._shared.complain(f"error {error.code}: {error.message}")

    def resync(self) -> None:
        """Something may be missing: ask for the state of all conversations."""
        self._counts.resyncs += 1
        for inbox in self.inboxes.values():
            inbox.pulling = True
            inbox.target = 0
        self.out.append(frames.sync_frame(self._cursors()))

    def _synced(self, answer: SyncResp) -> None:
        self._stalled_ticks = 0
        for behind in answer.behind:
            inbox = self.inboxes.get(behind.conversationId)
            if inbox is None:
                continue
            if self._first_sync:
                inbox.skip_to(behind.lastSeq)
            else:
                inbox.target = behind.lastSeq
        if answer.nextPageToken:
            self.out.append(frames.sync_frame(self._cursors(), answer.nextPageToken))
            return
        self._first_sync = False
        if self.state is State.SYNCING:
            self.state = State.READY
            self._counts.connected += 1
            if self.sender is not None:
                self.out.extend(self.sender.pending.values())
        for inbox in self.inboxes.values():
            if inbox.pulling:
                self._pull_or_release(inbox, 0)

    def _hinted(self, conversation_id: str, last_seq: int) -> None:
        inbox = self.inboxes.get(conversation_id)
        if inbox is None:
            return
        if inbox.pulling:
            inbox.target = max(inbox.target, last_seq)
        elif inbox.contiguous() < last_seq:
            self._pull_up_to(inbox, last_seq)

    def _pull_up_to(self, inbox: Inbox, last_seq: int) -> None:
        inbox.pulling = True
        inbox.target = last_seq
        self.out.append(frames.history_frame(inbox.conversation_id, inbox.contiguous() + 1))

    def _pulled(self, page: HistoryResp, now_ns: int) -> None:
        inbox = self.inboxes.get(page.conversationId)
        if inbox is None:
            return
        self._stalled_ticks = 0
        last = 0
        for message in page.messages:
            _, seq, who, due_ns = frames.delivery(message)
            if seq <= last:
                self._counts.reordered += 1
            last = max(last, seq)
            if seq >= len(inbox.seen):
                inbox.grow(seq)
            if inbox.seen[seq]:
                self._shared.ledger.note(inbox.conversation_id, seq, who)
                continue
            if self.sender is not None and frames.sender_of(who) == self.sender.index:
                # The ACK was cut off with the connection; it comes again after the resend.
                inbox.own(seq)
                self._shared.ledger.note(inbox.conversation_id, seq, who)
                continue
            self._hold(inbox, seq, who, PULLED)
            self._counts.pulled += 1
            if who != FOREIGN:
                self._shared.delivery_latency.add(now_ns - due_ns)
        if not page.messages:
            inbox.target = 0
        elif page.more:
            inbox.target = max(inbox.target, page.lastSeq)
        self._pull_or_release(inbox, last)

    def _pull_or_release(self, inbox: Inbox, last: int) -> None:
        """Ask for the next page, or, when nothing is missing below the target, apply what was held."""
        asked_from = max(last, inbox.contiguous())
        if asked_from < inbox.target:
            self.out.append(frames.history_frame(inbox.conversation_id, asked_from + 1))
            return
        inbox.pulling = False
        now_ns = self._clock_ns()
        held = inbox.held
        inbox.held = []
        for seq, who, due_ns in held:
            if seq < len(inbox.seen) and inbox.seen[seq]:
                self._counts.overlapping += 1
            else:
                self._deliver((inbox.conversation_id, seq, who, due_ns), now_ns)

    def tick(self, now_ms: int, *, heartbeat: bool) -> None:
        """About once a second: acknowledge what was delivered, and now and then say hello."""
        if self.state is not State.READY:
            return
        self._notice_loss()
        for inbox in self.inboxes.values():
            if inbox.gap_lasts() and not inbox.pulling:
                self._counts.gaps += 1
                self._pull_up_to(inbox, max(inbox.high, inbox.own_high))
            cursor = inbox.to_acknowledge()
            if cursor:
                self.out.append(frames.deliver_ack_frame(inbox.conversation_id, cursor))
        if heartbeat:
            self.out.append(frames.heartbeat_frame(now_ms))

    def _notice_loss(self) -> None:
        """The server pushed more than arrived within a tick, or a request was never answered."""
        if self._pushed < self._owed:
            self._pushed = self._owed
            self.resync()
        elif self.caught_up:
            self._stalled_ticks = 0
        else:
            self._stalled_ticks += 1
            if self._stalled_ticks > _STALLED_TICKS:
                self._stalled_ticks = 0
                self.resync()

    def send_new(self, due_ns: int) -> bool:
        """Send one more message, if there is room in the window."""
        sender = self.sender
        if sender is None or self.state is not State.READY or not sender.has_room:
            return False
        self.out.append(sender.next(due_ns))
        self._counts.sent += 1
        return True
