"""The server's side of one connection, sans-I/O: bytes in, what to do out.

One machine serves TCP, TLS and WebSocket, protobuf and JSON. It decides what may come when
(``TRANSITIONS``), counts bad requests, and knows nothing of sockets, accounts or messages::

    AWAIT_CONNECT --connect--> AUTHENTICATING --accepted--> LIVE --drain--> DRAINING
          \\______________________\\___ refused, broken, timed out ____/________/--> CLOSED
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from imd.kernel.errors import AuthFailed, ImError, PayloadInvalid
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import decode, decode_json
from imd.wire.framing import FrameDecoder, FrameError

#: Before login a stranger may make the server hold so much, no more.
UNAUTHENTICATED_FRAME_BYTES = 4 * 1024
#: A client with a bug gets answers; one that goes on like this is closed.
MAX_BAD_REQUESTS = 10
#: JSON is longer than protobuf: names, quotes, base64.
JSON_FACTOR = 2
BAD_REQUEST_WINDOW_S = 60.0
#: Looked up once, see imd/wire/codec.py.
_which = Envelope.WhichOneof


class State(Enum):
    """Where a connection is in its life."""

    AWAIT_CONNECT = "await connect"
    AUTHENTICATING = "authenticating"
    LIVE = "live"
    DRAINING = "draining"
    CLOSED = "closed"


class Input(Enum):
    """Everything that can happen to a connection."""

    CONNECT = "connect"
    HEARTBEAT = "heartbeat"
    REQUEST = "request"
    NOT_FOR_SERVER = "not for server"
    BROKEN = "broken"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    DRAIN = "drain"
    TIMED_OUT = "timed out"
    LOST = "lost"


class Do(Enum):
    """What the gateway does about it."""

    NOTHING = "nothing"
    AUTHENTICATE = "authenticate"
    PONG = "pong"
    SERVE = "serve"
    REFUSE = "refuse"
    CLOSE = "close"
    GREET = "greet"
    FAREWELL = "farewell"


_S, _I, _D = State, Input, Do

#: (state, input) -> (next state, what to do). Complete: a test walks every pair.
TRANSITIONS: dict[tuple[State, Input], tuple[State, Do]] = {
    (_S.AWAIT_CONNECT, _I.CONNECT): (_S.AUTHENTICATING, _D.AUTHENTICATE),
    (_S.AWAIT_CONNECT, _I.HEARTBEAT): (_S.AWAIT_CONNECT, _D.PONG),
    (_S.AWAIT_CONNECT, _I.REQUEST): (_S.CLOSED, _D.CLOSE),
    (_S.AWAIT_CONNECT, _I.NOT_FOR_SERVER): (_S.CLOSED, _D.CLOSE),
    (_S.AWAIT_CONNECT, _I.BROKEN): (_S.CLOSED, _D.CLOSE),
    (_S.AWAIT_CONNECT, _I.ACCEPTED): (_S.AWAIT_CONNECT, _D.NOTHING),
    (_S.AWAIT_CONNECT, _I.REFUSED): (_S.CLOSED, _D.CLOSE),
    (_S.AWAIT_CONNECT, _I.DRAIN): (_S.CLOSED, _D.CLOSE),
    (_S.AWAIT_CONNECT, _I.TIMED_OUT): (_S.CLOSED, _D.CLOSE),
    (_S.AWAIT_CONNECT, _I.LOST): (_S.CLOSED, _D.NOTHING),
    (_S.AUTHENTICATING, _I.CONNECT): (_S.CLOSED, _D.CLOSE),
    (_S.AUTHENTICATING, _I.HEARTBEAT): (_S.AUTHENTICATING, _D.PONG),
    (_S.AUTHENTICATING, _I.REQUEST): (_S.CLOSED, _D.CLOSE),
    (_S.AUTHENTICATING, _I.NOT_FOR_SERVER): (_S.CLOSED, _D.CLOSE),
    (_S.AUTHENTICATING, _I.BROKEN): (_S.CLOSED, _D.CLOSE),
    (_S.AUTHENTICATING, _I.ACCEPTED): (_S.LIVE, _D.GREET),
    (_S.AUTHENTICATING, _I.REFUSED): (_S.CLOSED, _D.CLOSE),
    (_S.AUTHENTICATING, _I.DRAIN): (_S.CLOSED, _D.CLOSE),
    (_S.AUTHENTICATING, _I.TIMED_OUT): (_S.CLOSED, _D.CLOSE),
    (_S.AUTHENTICATING, _I.LOST): (_S.CLOSED, _D.NOTHING),
    (_S.LIVE, _I.CONNECT): (_S.LIVE, _D.REFUSE),
    (_S.LIVE, _I.HEARTBEAT): (_S.LIVE, _D.PONG),
    (_S.LIVE, _I.REQUEST): (_S.LIVE, _D.SERVE),
    (_S.LIVE, _I.NOT_FOR_SERVER): (_S.LIVE, _D.REFUSE),
    (_S.LIVE, _I.BROKEN): (_S.CLOSED, _D.CLOSE),
    (_S.LIVE, _I.ACCEPTED): (_S.LIVE, _D.NOTHING),
    (_S.LIVE, _I.REFUSED): (_S.CLOSED, _D.CLOSE),
    (_S.LIVE, _I.DRAIN): (_S.DRAINING, _D.FAREWELL),
    (_S.LIVE, _I.TIMED_OUT): (_S.CLOSED, _D.CLOSE),
    (_S.LIVE, _I.LOST): (_S.CLOSED, _D.NOTHING),
    # A draining client may finish what it does; only the invitation to leave is not repeated.
    (_S.DRAINING, _I.CONNECT): (_S.DRAINING, _D.REFUSE),
    (_S.DRAINING, _I.HEARTBEAT): (_S.DRAINING, _D.PONG),
    (_S.DRAINING, _I.REQUEST): (_S.DRAINING, _D.SERVE),
    (_S.DRAINING, _I.NOT_FOR_SERVER): (_S.DRAINING, _D.REFUSE),
    (_S.DRAINING, _I.BROKEN): (_S.CLOSED, _D.CLOSE),
    (_S.DRAINING, _I.ACCEPTED): (_S.DRAINING, _D.NOTHING),
    (_S.DRAINING, _I.REFUSED): (_S.CLOSED, _D.CLOSE),
    (_S.DRAINING, _I.DRAIN): (_S.DRAINING, _D.NOTHING),
    (_S.DRAINING, _I.TIMED_OUT): (_S.CLOSED, _D.CLOSE),
    (_S.DRAINING, _I.LOST): (_S.CLOSED, _D.NOTHING),
    **{(_S.CLOSED, anything): (_S.CLOSED, _D.NOTHING) for anything in _I},
}

#: What a client may ask once it is known, by the name of the payload.
REQUESTS = frozenset(
    {
        "send",
        "read",
        "typing",
        "refreshToken",
        "deliverAck",
        "historyReq",
        "syncReq",
        "queryMessageStatusReq",
        "receiptsReq",
        "recall",
        "presenceSubscribeReq",
        "conversationListReq",
    }
)
_INPUT_OF: dict[str | None, Input] = {
    "connect": Input.CONNECT,
    "hb": Input.HEARTBEAT,
    **dict.fromkeys(REQUESTS, Input.REQUEST),
}


class Received(NamedTuple):
    """One thing to do. ``payload`` names what is in ``envelope``; ``error`` goes with REFUSE and CLOSE."""

    do: Do
    payload: str = ""
    envelope: Envelope | None = None
    error: ImError | None = None
    size_bytes: int = 0


class ServerConnection:
    """The state of one connection and the frames that wait to be judged.

    ``feed_*`` takes what came in, ``take`` gives out at most so many judgements at a time, so
    that 10,000 frames in one segment cannot hold up everybody else.
    """

    __slots__ = ("_backlog", "_bad_count", "_bad_since_s", "_decoder", "_limit_bytes", "state")

    def __init__(self, *, limit_bytes: int) -> None:
        self.state = State.AWAIT_CONNECT
        self._limit_bytes = limit_bytes
        self._decoder = FrameDecoder(limit_bytes=UNAUTHENTICATED_FRAME_BYTES)
        self._backlog: deque[bytes | str | FrameError] | None = None
        self._bad_count = 0
        self._bad_since_s = 0.0

    @property
    def limit_bytes(self) -> int:
        """The longest frame that may come now."""
        return self._decoder.limit_bytes

    @property
    def partial(self) -> bool:
        """Whether a frame has begun to come in and is not complete."""
        return self._decoder.partial

    @property
    def backlog(self) -> bool:
        """Whether ``take`` has more to give."""
        return bool(self._backlog)

    def feed_stream(self, data: bytes) -> None:
        """Bytes of a TCP or TLS stream, cut anyhow."""
        try:
            bodies = self._decoder.feed(data)
            broken = None
        except FrameError as error:
            bodies, broken = list(error.before), error
        if self._backlog is None:
            self._backlog = deque(bodies)
        else:
            self._backlog.extend(bodies)
        if broken is not None:
            self._keep(broken)

    def feed_message(self, data: bytes) -> None:
        """One binary WebSocket message: one or more whole frames."""
        self.feed_stream(data)
        if self._decoder.partial:
            self._keep(FrameError("a binary message must hold whole frames"))

    def feed_text(self, text: str) -> None:
        """One text WebSocket message: a JSON Envelope."""
        if len(text) > self._decoder.limit_bytes * JSON_FACTOR:
            self._keep(FrameError(f"text of {len(text)} characters is over the limit"))
        else:
            self._keep(text)

    def _keep(self, item: str | FrameError) -> None:
        if self._backlog is None:
            self._backlog = deque()
        self._backlog.append(item)

    def take(self, limit: int, now_s: float) -> Iterator[Received]:
        """At most ``limit`` frames in the order they came, each judged when it is its turn.

        So what is done about one frame, such as closing, holds for the next.
        """
        backlog = self._backlog
        while backlog and limit:
            if self.state is State.CLOSED:
                backlog.clear()
                break
            limit -= 1
            yield self._judge(backlog.popleft(), now_s)
        if not backlog:
            self._backlog = None

    def _judge(self, item: bytes | str | FrameError, now_s: float) -> Received:
        if isinstance(item, FrameError):
            return self._broken(PayloadInvalid(str(item)))
        try:
            envelope = decode(item) if isinstance(item, bytes) else decode_json(item)
        except PayloadInvalid as error:
            return self._broken(error)
        payload = _which(envelope, "payload")
        self.state, do = TRANSITIONS[self.state, _INPUT_OF.get(payload, Input.NOT_FOR_SERVER)]
        if do is Do.SERVE or do is Do.PONG or do is Do.AUTHENTICATE:
            # A text counts its characters, and one of them may be four bytes of content.
            size_bytes = len(item) if isinstance(item, bytes) else envelope.ByteSize()
            return Received(do, payload or "", envelope, None, size_bytes)
        if do is Do.REFUSE:
            return self.bad_request(_unwelcome(payload), envelope, now_s)
        if payload == "connect":
            return Received(do, "connect", envelope, PayloadInvalid("Connect comes once"))
        return Received(do, payload or "", envelope, AuthFailed("the first frame must be Connect"))

    def _broken(self, error: PayloadInvalid) -> Received:
        self.state, do = TRANSITIONS[self.state, Input.BROKEN]
        return Received(do, error=error)

    def bad_request(self, error: ImError, envelope: Envelope, now_s: float) -> Received:
        """A request that cannot be served as it is: REFUSE, or CLOSE after too many in a minute."""
        if now_s - self._bad_since_s > BAD_REQUEST_WINDOW_S:
            self._bad_since_s = now_s
            self._bad_count = 0
        self._bad_count += 1
        do = Do.REFUSE
        if self._bad_count >= MAX_BAD_REQUESTS:
            self.state, do = TRANSITIONS[self.state, Input.REFUSED]
        return Received(do, "", envelope, error)

    def step(self, happened: Input) -> Do:
        """Something that is not a frame: accepted, refused, drain, timed out, lost."""
        self.state, do = TRANSITIONS[self.state, happened]
        if do is Do.GREET:
            self._decoder.limit_bytes = self._limit_bytes
        return do


def _unwelcome(payload: str | None) -> ImError:
    if payload is None:
        return PayloadInvalid("this Envelope has no payload that is known here", field="payload")
    if payload == "connect":
        return PayloadInvalid("Connect comes once; send RefreshToken for a new token", field="connect")
    return PayloadInvalid(f"{payload} goes from the server to clients only", field=payload)
