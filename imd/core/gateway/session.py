"""One connection: its machine, who it is, and the bounded queue of what goes out.

A session is small on purpose (most are idle): no timer, no dict, nothing that is not used yet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from imd.core.directory import Speaker
from imd.core.gateway.limits import Address, UserRates
from imd.core.gateway.traffic import Traffic
from imd.kernel.token_bucket import TokenBucket
from imd.pb.delivery_pb2 import Resync
from imd.pb.envelope_pb2 import Envelope
from imd.wire.outbound import Outbound, Priority, control
from imd.wire.server import ServerConnection

#: While the peer reads well, so much is handed to the transport at once instead of waiting for the tick.
EAGER_FLUSH_COUNT = 64
EAGER_FLUSH_BYTES = 64 * 1024
#: Share of a blocked connection's queue above which a priority is dropped (spec 7.4).
WATER_MARKS = (1.0, 0.95, 0.85, 0.70)
NOTHING_SHED = len(Priority)
#: Control frames (ACKs, answers) are never dropped, but a peer that reads none of so many is cut off.
MAX_CONTROL_QUEUED = 10_000
#: Reasons not to read from a connection, as bits: it is read again when none is left.
BUSY = 1  # too many of its sends have no answer yet
BLOCKED = 2  # it does not read what it is told
BACKLOG = 4  # what it said is still being worked off
UNCUT = 8  # what it sent is still being cut into messages


class Link(Protocol):
    """The transport below a session. ``send`` takes frames in order and never fails."""

    @property
    def address(self) -> str: ...

    def send(self, batch: list[Outbound]) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Close after what was sent is out; abort when that takes longer than 5 s."""
        ...

    def abort(self) -> None: ...


class QueueLimits(NamedTuple):
    """Of one connection (spec 18.1); above, the queue is dropped and the client told to resync."""

    messages: int
    bytes: int


class User:
    """The sessions of one user here, by device, and what they share."""

    __slots__ = ("devices", "rates")

    def __init__(self, rates: UserRates) -> None:
        self.devices: dict[str, Session] = {}
        self.rates = rates


class Session:
    """A connection from accept to close."""

    __slots__ = (
        "_blocked_since_s",
        "_counted",
        "_on_shed",
        "_queue",
        "_queue_limits",
        "_queued_bytes",
        "_request_flush",
        "_shed_from",
        "_unsorted",
        "acks_final_only",
        "client_version",
        "closing",
        "connection",
        "device_bucket",
        "device_id",
        "ending",
        "expires_at_ms",
        "from_address",
        "heard_at_s",
        "held",
        "in_flight",
        "level",
        "link",
        "live_since_s",
        "login_id",
        "may_send",
        "opened_at_s",
        "partial_since_s",
        "platform",
        "queued_to_flush",
        "requests",
        "session_id",
        "ticket",
        "traffic",
        "user",
        "user_id",
        "watcher",
    )

    def __init__(
        self,
        *,
        connection: ServerConnection,
        link: Link,
        from_address: Address,
        request_flush: Callable[[Session], None],
        queue_limits: QueueLimits,
        traffic: Traffic,
        now_s: float,
        on_shed: Callable[[Session], None] | None = None,
    ) -> None:
        self.connection = connection
        self.link = link
        self.from_address = from_address
        self._request_flush = request_flush
        self._queue_limits = queue_limits
        self._on_shed = on_shed
        self.traffic = traffic
        self._queue: list[Outbound] = []
        self._queued_bytes = 0
        self._unsorted = False
        self._shed_from = NOTHING_SHED
        self._blocked_since_s: float | None = None
        self._counted = 0
        self.queued_to_flush = False
        self.held = 0
        self.opened_at_s = self.heard_at_s = now_s
        self.partial_since_s: float | None = None
        self.closing = False
        #: Why this side ends it; empty: the other side did.
        self.ending = ""
        self.in_flight = 0
        self.requests = 0
        self.device_bucket: TokenBucket | None = None
        # Known after Connect.
        self.user_id = 0
        self.device_id = ""
        self.login_id = ""
        self.platform = ""
        self.client_version = ""
        self.session_id = 0
        self.live_since_s = 0.0
        self.expires_at_ms = 0
        self.acks_final_only = False
        self.may_send = False
        self.ticket = b""
        self.level = 0
        self.user: User | None = None
        self.watcher: object | None = None

    @property
    def speaker(self) -> Speaker:
        """Whoever is connected, as the authority is shown them."""
        return Speaker(self.user_id, self.ticket)

    def push(self, outbound: Outbound) -> None:
        """Queue for the next flush; a peer that does not read has its queue dropped instead."""
        if self.closing:
            return
        queue = self._queue
        if self._blocked_since_s is None:
            if queue and outbound.priority < queue[-1].priority:
                self._unsorted = True
            queue.append(outbound)
            self._queued_bytes += len(outbound.frames)
            self._counted += outbound.counted
            if not self.queued_to_flush:
                self.queued_to_flush = True
                self._request_flush(self)
            elif len(queue) >= EAGER_FLUSH_COUNT or self._queued_bytes >= EAGER_FLUSH_BYTES:
                self.flush()
            return
        self._push_blocked(outbound)

    def _push_blocked(self, outbound: Outbound) -> None:
        """The transport is full: keep what fits below this priority's water mark (spec 7.4)."""
        # Counted even if dropped: the client then hears in the next heartbeat that it lost some.
        self._counted += outbound.counted
        queue = self._queue
        if outbound.priority is Priority.CONTROL:
            queue.append(outbound)
            self._queued_bytes += len(outbound.frames)
            self._unsorted = True
            if len(queue) > MAX_CONTROL_QUEUED:
                self.traffic.cut_for_control += 1
                self.ending = "unread"
                self.link.abort()
            return
        if outbound.priority >= self._shed_from:
            return
        messages, size_bytes = self._queue_limits
        share = max(len(queue) / messages, (self._queued_bytes + len(outbound.frames)) / size_bytes)
        if share > WATER_MARKS[outbound.priority]:
            self._shed(outbound.priority)
        else:
            queue.append(outbound)
            self._queued_bytes += len(outbound.frames)
            self._unsorted = True

    def _shed(self, priority: Priority) -> None:
        """Drop this priority and those below it until the peer reads again; one Resync says so."""
        self.traffic.sheds += 1
        if self._shed_from > Priority.BULK:
            self._queue.append(control(Envelope(resync=Resync(reason="you read too slowly"))))
            if self._on_shed is not None:
                self._on_shed(self)
        self._shed_from = priority
        self._queue = [outbound for outbound in self._queue if outbound.priority < priority]
        self._queued_bytes = sum(len(outbound.frames) for outbound in self._queue)

    def flush(self) -> int:
        """Hand what is queued to the transport, control first, each priority in its order; how many."""
        if self._blocked_since_s is not None or not self._queue:
            return 0
        queue, self._queue = self._queue, []
        traffic = self.traffic
        traffic.writes += 1
        traffic.written_bytes += self._queued_bytes
        frames = traffic.frames_out
        for outbound in queue:
            frames[outbound.priority] += outbound.counted or 1
        self._queued_bytes = 0
        if self._unsorted:
            self._unsorted = False
            queue.sort(key=_priority)
        self.link.send(queue)
        return len(queue)

    def finish(self, last: Outbound) -> None:
        """Send the last frame and close: after what is queued, or instead of it if the peer does not read."""
        self.flush()
        self.closing = True
        self._queue = []
        self.link.send([last])
        self.link.close()

    @property
    def delivered_count(self) -> int:
        """Deliver and Hint frames that were handed out or dropped.

        Not those still queued: the heartbeat's answer that tells this overtakes them.
        """
        return self._counted - sum(outbound.counted for outbound in self._queue)

    @property
    def queued_bytes(self) -> int:
        """What waits for the next flush, or for a peer that does not read."""
        return self._queued_bytes

    def hold(self, reason: int) -> None:
        """Read no more from the peer, for this reason."""
        if reason == BUSY and not self.held & BUSY:
            self.traffic.read_paused += 1
        if not self.held:
            self.link.pause_reading()
        self.held |= reason

    def release(self, reason: int) -> None:
        """The reason is gone; reading goes on if it was the last one."""
        if self.held == reason:
            self.held = 0
            self.link.resume_reading()
        else:
            self.held &= ~reason

    def blocked(self, now_s: float) -> None:
        """The transport takes no more for now."""
        if self._blocked_since_s is None:
            self._blocked_since_s = now_s
            self.traffic.blocked += 1
            self.traffic.write_blocked += 1
            self.hold(BLOCKED)

    def unblocked(self) -> None:
        """The transport takes more again."""
        self._read_again()
        self._shed_from = NOTHING_SHED
        self.flush()
        if self._blocked_since_s is None:
            self.release(BLOCKED)

    def gone(self) -> None:
        """There is no connection any more."""
        self.closing = True
        self._read_again()
        self.traffic.ended[self.ending or "left"] += 1

    def _read_again(self) -> None:
        if self._blocked_since_s is not None:
            self._blocked_since_s = None
            self.traffic.blocked -= 1

    def blocked_for_s(self, now_s: float) -> float:
        """How long the peer has not been reading."""
        return 0.0 if self._blocked_since_s is None else now_s - self._blocked_since_s


def _priority(outbound: Outbound) -> int:
    return outbound.priority
