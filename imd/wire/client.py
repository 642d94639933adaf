"""The client's side of one connection, sans-I/O: bytes and the time in, events and bytes out.

One machine serves TCP, TLS and WebSocket, protobuf and JSON. It says Connect, keeps the heart
beating, notices a silent server and lost frames, and tells how the connection ended
(``TRANSITIONS``)::

    NEW --hello--> AWAIT_CONNECTED --connected--> LIVE --reconnect--> DRAINING
       \\_________________\\__ kicked, refused, broken, silent, lost __/___/--> CLOSED

After every call write out ``take_outgoing()``; call ``tick`` no later than ``next_tick_s``.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from imd.kernel.errors import ImError, error_for_code
from imd.pb.connection_pb2 import Connect, Connected, Error
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import decode, decode_json, encode, encode_json
from imd.wire.framing import FrameDecoder, FrameError

#: A page of the conversation list may carry 100 last messages; more than this is no answer of ours.
MAX_INBOUND_FRAME_BYTES = 4 * 1024 * 1024
#: From the first byte sent until Connected; the server gives itself 10 s for the login.
CONNECTED_TIMEOUT_S = 15.0
#: What holds until Connected says otherwise.
DEFAULT_HEARTBEAT_S = 30.0
DEFAULT_IDLE_S = 90.0
#: A server that is there answers a heartbeat at once; waiting the whole idle time would only
#: show the user a dead line for longer.
PONG_TIMEOUT_S = 15.0


class State(Enum):
    """Where a connection is in its life."""

    NEW = "new"
    AWAIT_CONNECTED = "await connected"
    LIVE = "live"
    DRAINING = "draining"
    CLOSED = "closed"


class Input(Enum):
    """Everything that can happen to a connection."""

    HELLO = "hello"
    CONNECTED = "connected"
    HEARTBEAT = "heartbeat"
    FRAME = "frame"
    UNKNOWN = "unknown"
    ERROR = "error"
    FINAL_ERROR = "final error"
    RECONNECT = "reconnect"
    KICKED = "kicked"
    BROKEN = "broken"
    SILENT = "silent"
    LOST = "lost"


class Do(Enum):
    """What the machine does about it."""

    NOTHING = "nothing"
    GREET = "greet"
    OPEN = "open"
    COUNT = "count"
    PASS = "pass"
    REFUSE = "refuse"
    LEAVE = "leave"
    END = "end"


_S, _I, _D = State, Input, Do

#: (state, input) -> (next state, what to do). Complete: a test walks every pair.
TRANSITIONS: dict[tuple[State, Input], tuple[State, Do]] = {
    # Nobody speaks before the client does.
    **{(_S.NEW, anything): (_S.CLOSED, _D.END) for anything in _I},
    (_S.NEW, _I.HELLO): (_S.AWAIT_CONNECTED, _D.GREET),
    (_S.AWAIT_CONNECTED, _I.HELLO): (_S.AWAIT_CONNECTED, _D.NOTHING),
    (_S.AWAIT_CONNECTED, _I.CONNECTED): (_S.LIVE, _D.OPEN),
    (_S.AWAIT_CONNECTED, _I.HEARTBEAT): (_S.AWAIT_CONNECTED, _D.NOTHING),
    (_S.AWAIT_CONNECTED, _I.FRAME): (_S.CLOSED, _D.END),
    (_S.AWAIT_CONNECTED, _I.UNKNOWN): (_S.AWAIT_CONNECTED, _D.NOTHING),
    # The only thing that was asked is to be let in; whatever the server has against it is final.
    (_S.AWAIT_CONNECTED, _I.ERROR): (_S.CLOSED, _D.END),
    (_S.AWAIT_CONNECTED, _I.FINAL_ERROR): (_S.CLOSED, _D.END),
    (_S.AWAIT_CONNECTED, _I.RECONNECT): (_S.CLOSED, _D.END),
    (_S.AWAIT_CONNECTED, _I.KICKED): (_S.CLOSED, _D.END),
    (_S.AWAIT_CONNECTED, _I.BROKEN): (_S.CLOSED, _D.END),
    (_S.AWAIT_CONNECTED, _I.SILENT): (_S.CLOSED, _D.END),
    (_S.AWAIT_CONNECTED, _I.LOST): (_S.CLOSED, _D.END),
    (_S.LIVE, _I.HELLO): (_S.LIVE, _D.NOTHING),
    (_S.LIVE, _I.CONNECTED): (_S.CLOSED, _D.END),
    (_S.LIVE, _I.HEARTBEAT): (_S.LIVE, _D.COUNT),
    (_S.LIVE, _I.FRAME): (_S.LIVE, _D.PASS),
    (_S.LIVE, _I.UNKNOWN): (_S.LIVE, _D.NOTHING),
    (_S.LIVE, _I.ERROR): (_S.LIVE, _D.REFUSE),
    (_S.LIVE, _I.FINAL_ERROR): (_S.CLOSED, _D.END),
    (_S.LIVE, _I.RECONNECT): (_S.DRAINING, _D.LEAVE),
    (_S.LIVE, _I.KICKED): (_S.CLOSED, _D.END),
    (_S.LIVE, _I.BROKEN): (_S.CLOSED, _D.END),
    (_S.LIVE, _I.SILENT): (_S.CLOSED, _D.END),
    (_S.LIVE, _I.LOST): (_S.CLOSED, _D.END),
    # A draining server still serves; only the invitation to leave is not taken twice.
    (_S.DRAINING, _I.HELLO): (_S.DRAINING, _D.NOTHING),
    (_S.DRAINING, _I.CONNECTED): (_S.CLOSED, _D.END),
    (_S.DRAINING, _I.HEARTBEAT): (_S.DRAINING, _D.COUNT),
    (_S.DRAINING, _I.FRAME): (_S.DRAINING, _D.PASS),
    (_S.DRAINING, _I.UNKNOWN): (_S.DRAINING, _D.NOTHING),
    (_S.DRAINING, _I.ERROR): (_S.DRAINING, _D.REFUSE),
    (_S.DRAINING, _I.FINAL_ERROR): (_S.CLOSED, _D.END),
    (_S.DRAINING, _I.RECONNECT): (_S.DRAINING, _D.NOTHING),
    (_S.DRAINING, _I.KICKED): (_S.CLOSED, _D.END),
    (_S.DRAINING, _I.BROKEN): (_S.CLOSED, _D.END),
    (_S.DRAINING, _I.SILENT): (_S.CLOSED, _D.END),
    (_S.DRAINING, _I.LOST): (_S.CLOSED, _D.END),
    **{(_S.CLOSED, anything): (_S.CLOSED, _D.NOTHING) for anything in _I},
}

#: What a server says, by the name of the payload; everything else is UNKNOWN and ignored, so
#: that a newer server can say more.
_INPUT_OF: dict[str | None, Input] = {
    "connected": Input.CONNECTED,
    "hb": Input.HEARTBEAT,
    "reconnect": Input.RECONNECT,
    "kicked": Input.KICKED,
    **dict.fromkeys(
        (
            "ack",
            "deliver",
            "hint",
            "receiptNotice",
            "typing",
            "presenceNotice",
            "resync",
            "tokenRefreshed",
            "historyResp",
            "syncResp",
            "queryMessageStatusResp",
            "conversationListResp",
            "conversationLeft",
        ),
        Input.FRAME,
    ),
}


class Why(Enum):
    """How a connection ended."""

    KICKED = "kicked"
    REFUSED = "refused"
    LEAVING = "leaving"
    BROKEN = "broken"
    SILENT = "silent"
    LOST = "lost"


class Opened(NamedTuple):
    """The login succeeded; the connection is live."""

    connected: Connected


class Frame(NamedTuple):
    """The server said something. ``request_id`` is 0 unless it answers ``ask``."""

    payload: str
    envelope: Envelope
    request_id: int


class Refusal(NamedTuple):
    """A request was refused; the connection lives on."""

    request_id: int
    client_msg_id: str
    error: ImError


class FramesLost(NamedTuple):
    """The server has put so many Deliver and Hint frames more on this connection than came: sync."""

    missing: int


class Leave(NamedTuple):
    """The server goes away soon: reconnect after a random part of ``spread_ms``, by ``deadline_ms``."""

    reason: str
    spread_ms: int
    deadline_ms: int


class Ended(NamedTuple):
    """Nothing will come or go any more. ``error`` is the server's reason, where it gave one."""

    why: Why
    reason: str
    error: ImError | None = None
    spread_ms: int = 0


Event = Opened | Frame | Refusal | FramesLost | Leave | Ended


class ClientConnection:
    """One connection's state, its counters, and what is to be written."""

    __slots__ = (
        "_counted",
        "_decoder",
        "_heard_s",
        "_heartbeat_s",
        "_idle_s",
        "_json",
        "_known_loss",
        "_outgoing",
        "_pinged_s",
        "_request_id",
        "state",
    )

    def __init__(self, *, json: bool = False) -> None:
        self.state = State.NEW
        self._json = json
        self._decoder = FrameDecoder(limit_bytes=MAX_INBOUND_FRAME_BYTES)
        self._outgoing: list[bytes | str] = []
        self._request_id = 0
        self._counted = 0
        self._known_loss = 0
        self._heartbeat_s = DEFAULT_HEARTBEAT_S
        self._idle_s = CONNECTED_TIMEOUT_S
        self._heard_s = 0.0
        self._pinged_s = 0.0

    @property
    def next_tick_s(self) -> float:
        """The time of the next heartbeat, or when the silence gets too long."""
        if self.state is State.AWAIT_CONNECTED:
            return self._heard_s + self._idle_s
        return min(self._heard_s + self._idle_s, self._pinged_s + self._heartbeat_s)

    def take_outgoing(self) -> list[bytes | str]:
        """What is to be written now, in order: frames, or JSON texts."""
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def hello(self, connect: Connect, now_s: float) -> None:
        """The transport is up: say who we are."""
        self.state, do = TRANSITIONS[self.state, Input.HELLO]
        if do is Do.GREET:
            self._heard_s = self._pinged_s = now_s
            self._put(Envelope(connect=connect))

    def tell(self, envelope: Envelope) -> None:
        """Say something that has no answer. Without effect unless live."""
        if self.state is State.LIVE or self.state is State.DRAINING:
            self._put(envelope)

    def ask(self, envelope: Envelope) -> int:
        """Say something under a new request id, which the answer or Refusal will carry."""
        self._request_id += 1
        envelope.header.requestId = self._request_id
        self.tell(envelope)
        return self._request_id

    def _put(self, envelope: Envelope) -> None:
        self._outgoing.append(encode_json(envelope) if self._json else encode(envelope))

    def feed(self, data: bytes | str, now_s: float) -> list[Event]:
        """What came in: bytes of a stream, a binary message of whole frames, or a JSON text."""
        self._heard_s = now_s
        events: list[Event] = []
        try:
            for item in [data] if isinstance(data, str) else self._decoder.feed(data):
                self._judge(decode_json(item) if isinstance(item, str) else decode(item), events, now_s)
        except (FrameError, ImError) as error:
            self._step(Input.BROKEN, Ended(Why.BROKEN, str(error)), events)
        return events

    def tick(self, now_s: float) -> list[Event]:
        """Time has passed."""
        # The same sums as in next_tick_s: a difference may be rounded to just below, for ever.
        events: list[Event] = []
        if now_s >= self._heard_s + self._idle_s:
            reason = f"nothing came from the server for {now_s - self._heard_s:.0f} s"
            self._step(Input.SILENT, Ended(Why.SILENT, reason), events)
        elif self.state in (State.LIVE, State.DRAINING) and now_s >= self._pinged_s + self._heartbeat_s:
            self._pinged_s = now_s
            heartbeat = Envelope()
            heartbeat.hb.sentAt = int(now_s * 1000)
            self._put(heartbeat)
        return events

    def lost(self, reason: str) -> list[Event]:
        """The transport is gone."""
        events: list[Event] = []
        self._step(Input.LOST, Ended(Why.LOST, reason), events)
        return events

    def _step(self, happened: Input, ended: Ended, events: list[Event]) -> None:
        self.state, do = TRANSITIONS[self.state, happened]
        if do is Do.END:
            events.append(ended)

    def _judge(self, envelope: Envelope, events: list[Event], now_s: float) -> None:
        payload = envelope.WhichOneof("payload")
        if payload == "error":
            happened = Input.FINAL_ERROR if envelope.error.closing else Input.ERROR
        else:
            happened = _INPUT_OF.get(payload, Input.UNKNOWN)
        self.state, do = TRANSITIONS[self.state, happened]
        if do is Do.PASS:
            if payload in {"deliver", "hint"}:
                self._counted += 1
            events.append(Frame(payload or "", envelope, envelope.header.requestId))
        elif do is Do.COUNT:
            self._compare(envelope.hb.deliveredCount, events)
        elif do is Do.OPEN:
            self._open(envelope.connected, now_s)
            events.append(Opened(envelope.connected))
        elif do is Do.REFUSE:
            header = envelope.header
            events.append(Refusal(header.requestId, header.clientMsgId, error_of(envelope.error)))
        elif do is Do.LEAVE:
            leaving = envelope.reconnect
            events.append(Leave(leaving.reason, leaving.spreadMs, leaving.deadlineMs))
        elif do is Do.END:
            events.append(_ended(payload, envelope))

    def _open(self, connected: Connected, now_s: float) -> None:
        self._heartbeat_s = connected.heartbeatIntervalS or DEFAULT_HEARTBEAT_S
        self._idle_s = min(connected.idleTimeoutS or DEFAULT_IDLE_S, self._heartbeat_s + PONG_TIMEOUT_S)
        self._pinged_s = now_s

    def _compare(self, sent_count: int, events: list[Event]) -> None:
        """A frame that is only late may come yet, so a loss is told once and taken back when it does."""
        missing = sent_count - self._counted
        if missing > self._known_loss:
            events.append(FramesLost(missing))
        self._known_loss = max(missing, 0)


def error_of(error: Error) -> ImError:
    """The exception for an Error that came over the wire."""
    return error_for_code(
        error.code,
        error.message,
        field=error.field,
        retry_after_ms=error.retryAfterMs,
        reason=error.reason,
    )


def _ended(payload: str | None, envelope: Envelope) -> Ended:
    if payload == "kicked":
        return Ended(Why.KICKED, envelope.kicked.reason)
    if payload == "error":
        error = error_of(envelope.error)
        return Ended(Why.REFUSED, error.message, error)
    if payload == "reconnect":
        leaving = envelope.reconnect
        return Ended(Why.LEAVING, leaving.reason, spread_ms=leaving.spreadMs)
    return Ended(Why.BROKEN, f"{payload} was not expected now")
