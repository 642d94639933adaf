"""A server made of a script: an in-memory link, what the client said on it, and a mouth to answer."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from random import Random
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from imd.client.client import Client, ClientOptions
from imd.client.cursors import CursorStore
from imd.client.errors import Unreachable
from imd.client.events import Event, MessageReceived, MessageStored, Recalled
from imd.client.transport import Link, Receiver
from imd.pb.connection_pb2 import Connected
from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import RECALL, STORED, TEXT, Message
from imd.wire.codec import decode, encode
from imd.wire.framing import FrameDecoder

T = TypeVar("T")
ALICE = 7
BOB = 8
WALL_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


class ScriptedLink:
    """One connection, seen from the server."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._decoder = FrameDecoder(limit_bytes=1 << 20)
        self.heard: list[Envelope] = []
        self.open = True

    def write(self, items: Iterable[bytes | str]) -> None:
        for item in items:
            assert isinstance(item, bytes)
            self.heard.extend(decode(body) for body in self._decoder.feed(item))

    def close(self) -> None:
        if self.open:
            self.open = False
            self._receiver.lost("closed")

    abort = close

    def say(self, *envelopes: Envelope) -> None:
        """All in one segment."""
        self._receiver.received(b"".join(map(encode, envelopes)))

    def take(self, payload: str) -> list[Any]:
        """The payloads of this name that the client said and nobody took yet."""
        taken = [each for each in self.heard if each.WhichOneof("payload") == payload]
        self.heard = [each for each in self.heard if each.WhichOneof("payload") != payload]
        return [getattr(each, payload) for each in taken]

    def take_requests(self, payload: str) -> list[tuple[int, Any]]:
        """The same, with their request ids."""
        taken = [each for each in self.heard if each.WhichOneof("payload") == payload]
        self.heard = [each for each in self.heard if each.WhichOneof("payload") != payload]
        return [(each.header.requestId, getattr(each, payload)) for each in taken]

    def answer(self, request_id: int, **payload: Any) -> None:
        """Say the answer to a request."""
        envelope = Envelope(**payload)
        envelope.header.requestId = request_id
        self.say(envelope)


class ScriptedServer:
    """A Dial: every connection attempt becomes a ScriptedLink, as long as it is ``up``."""

    json = False

    def __init__(self) -> None:
        self.links: list[ScriptedLink] = []
        self.up = True
        self.attempts = 0

    def __call__(self, receiver: Receiver) -> Deferred[Link]:
        self.attempts += 1
        opened: Deferred[Link] = Deferred()
        if self.up:
            link = ScriptedLink(receiver)
            self.links.append(link)
            opened.callback(link)
        else:
            opened.errback(Unreachable("connection refused"))
        return opened

    @property
    def link(self) -> ScriptedLink:
        """The newest."""
        return self.links[-1]

    def accept(self, *, epoch: str = "1", expires_in_ms: int = HOUR_MS, sync: bool = True) -> None:
        """Let the newest connection in; ``sync``: with the empty SyncResp that follows by itself."""
        connected = Connected(
            userId=ALICE,
            deviceId="laptop",
            epoch=epoch,
            serverTime=WALL_MS,
            heartbeatIntervalS=30,
            idleTimeoutS=90,
            tokenExpiresAt=WALL_MS + expires_in_ms,
        )
        envelopes = [Envelope(connected=connected)]
        if sync:
            empty = Envelope()
            empty.syncResp.SetInParent()
            envelopes.append(empty)
        self.link.say(*envelopes)


class Scene:
    """Alice's client, a scripted server, and a clock that moves when told."""

    def __init__(
        self,
        *,
        options: ClientOptions | None = None,
        cursors: CursorStore | None = None,
        tokens: Iterable[str | Exception] = (),
        json: bool = False,
    ) -> None:
        self.clock = Clock()
        self.server = ScriptedServer()
        self.server.json = json
        self.events: list[Event] = []
        self.tokens = list(tokens)
        self.token_calls = 0
        self.client = Client(
            token_source=self._token,
            device_id="laptop",
            reactor=self.clock,
            random=Random(1),
            wall_clock=lambda: WALL_MS,
            on_event=self.events.append,
            options=options or ClientOptions(initial_history=None),
            cursors=cursors,
            dial=self.server,
        )

    async def _token(self) -> str:
        self.token_calls += 1
        if len(self.tokens) > 1:
            token = self.tokens.pop(0)
        else:
            token = self.tokens[0] if self.tokens else "token"
        if isinstance(token, Exception):
            raise token
        return token

    @property
    def link(self) -> ScriptedLink:
        return self.server.link

    def live(self) -> Scene:
        """Started and let in."""
        starting = run(self.client.start())
        self.server.accept()
        assert starting.called
        self.link.heard.clear()
        return self

    def come_back(self) -> None:
        """Lose the connection, wait, and be let in again."""
        self.link.close()
        self.pass_time(60)
        self.server.accept()

    def pass_time(self, seconds: float) -> None:
        """In steps small enough for what re-arms itself."""
        self.clock.pump([seconds / 20] * 20)

    def applied(self, conversation_id: str = "c") -> list[int]:
        """The seqs told to the application, in the order they were told."""
        return [
            event.message.seq
            for event in self.events
            if isinstance(event, MessageReceived | MessageStored | Recalled)
            and event.message.conversation_id == conversation_id
        ]

    def told(self, kind: type[T]) -> list[T]:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def run(work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """Start it; what comes of it is in the Deferred."""
    return Deferred.fromCoroutine(work)


def text(seq: int, *, sender: int = BOB, device: str = "phone", conversation: str = "c") -> Message:
    """A stored text."""
    return Message(
        conversationId=conversation,
        seq=seq,
        serverMsgId=1000 + seq,
        clientMsgId=f"m{seq}",
        senderId=sender,
        senderDeviceId=device,
        type=TEXT,
        textContent=f"text {seq}",
        status=STORED,
        serverTime=WALL_MS,
    )


def recall(seq: int, recalled: int) -> Message:
    """A stored recall."""
    message = text(seq)
    message.type = RECALL
    message.recall.seq = recalled
    return message


def deliver(message: Message) -> Envelope:
    envelope = Envelope()
    envelope.deliver.message.CopyFrom(message)
    return envelope


def ack(client_msg_id: str, seq: int, *, status: int = STORED, **fields: Any) -> Envelope:
    fields.setdefault("conversationId", "c")
    answer = Ack(clientMsgId=client_msg_id, seq=seq, status=status, serverMsgId=1000 + seq, **fields)  # type: ignore[arg-type]
    return Envelope(ack=answer)
