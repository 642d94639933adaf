"""The client library: one device of one user, on one server, over TCP, TLS or WebSocket.

A first conversation::

    from imd.client.client import Client
    from imd.client.events import MessageReceived

    def on_event(event):
        if isinstance(event, MessageReceived):
            print(event.message.sender_id, event.message.text)

    async def main(reactor, token):
        async def token_source():
            return token

        client = Client(
            url="tcp://127.0.0.1:7700", token_source=token_source, device_id="laptop",
            reactor=reactor, random=random.Random(), wall_clock=system_wall_clock, on_event=on_event,
        )
        await client.start()
        sent = await client.send_text("hello", peer_user_id=42)
        print("stored as", sent.seq, "in", sent.conversation_id)
        await client.stop()

**URLs.** ``tcp://host:port``, ``tls://host:port``, ``ws://host:port/ws``, ``wss://host/ws``; ``?codec=json``
on the WebSocket ones speaks JSON instead of protobuf. With ``http://`` or ``https://`` the server's REST API is
asked where to connect (``discovery.GatewayDial``). ``trust`` is a PEM file for servers of your own.

**Lifecycle.** ``start`` returns when the login has succeeded, or raises: ``Unreachable``, ``AuthFailed``, or
what the server says (``ClientOptions.keep_trying`` waits for an unreachable server instead). From then
on the line is kept: after a loss the client comes back by itself, with full jitter between 0 and a cap
that doubles from 0.5 s to 30 s, begun anew after a connection that lived 5 s; when the server asks to
reconnect, within the spread it asks for.
After Kicked, or when a fresh token is refused too, ``SessionEnded`` is the last event. ``stop`` closes;
unsettled sends fail with ``OutcomeUnknown`` (written) or ``SessionOver`` (never written).

**Tokens.** ``token_source`` is asked for a token before each connect, before the live token expires, and
after a refusal; if it answers with the refused token again, the session ends. ``rest.RefreshingToken``
is one that refreshes by REST.

**Sending.** ``send_text``, ``send_media``, ``send_custom`` and ``recall`` return when the message is STORED,
and raise the ImError of a refusal. Calls may overlap: messages leave in the order of the calls, at most
``max_in_flight`` are unacknowledged, and what was not acknowledged is sent again after a reconnect with the
same id, so it is stored once. Without a connection messages wait; more than the outbox holds is
``OutboxFull``. A cancelled call only stops waiting. What waits is in memory only: an application that must
not lose it over its own end keeps text and ``client_msg_id`` (from ``new_id``) itself, and sends it again
with the same id. A refusal that is ``retryable`` (RateLimited, ServerBusy) may be tried again with the same
id after ``retry_after_ms``; the library leaves that to the caller, who knows what must stay in order.

**Marks.** What was received is acknowledged, and ``mark_read`` told, a few times a second, the newest seq of
each conversation; what the server is too busy for, or what fell to a lost connection, is told again.

**Receiving.** ``on_event`` is called with one event at a time, in the reactor's thread; it must return
soon and must not block. In each conversation ``MessageReceived``, ``MessageStored`` (our own, from this
device) and ``Recalled`` come in seq order, each seq once, without a gap: what the network lost, doubled or
reordered is pulled and put in place before. The cursor moves after the callback has returned, so a crash
repeats at most the last event. An exception from the callback is logged and changes nothing else.

**Cursors.** ``cursors`` keeps how far this device has come (``MemoryCursors``, ``FileCursors``, or your own
``CursorStore``). In a conversation without a cursor the ``initial_history`` newest messages are told first.

Everything that may grow has a named limit: outbox (``outbox.MAX_WAITING``), early messages of a conversation
(``ordering.MAX_EARLY``), questions (``connection.MAX_QUESTIONS``), conversations in memory
(``catchup.MAX_CONVERSATIONS``), watched users (the server's).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from twisted.web.client import Agent, BrowserLikePolicyForHTTPS

from imd.client import questions
from imd.client.cursors import CursorStore, MemoryCursors
from imd.client.discovery import GatewayDial
from imd.client.events import (
    ConnectionState,
    ConversationInfo,
    Event,
    HistoryPage,
    MessageFate,
    PresenceChanged,
    ReceiptChanged,
    SentMessage,
)
from imd.client.line import TokenSource
from imd.client.outbox import MAX_IN_FLIGHT, Outgoing, check_target
from imd.client.rest import RestClient
from imd.client.session import Session
from imd.client.transport import CONNECT_TIMEOUT_S, Dial, dialer, trust_root
from imd.kernel.clocks import WallClock
from imd.kernel.errors import PayloadInvalid
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import CUSTOM, TEXT, MediaRef, SendMessageReq


class ClientOptions(NamedTuple):
    """What most applications leave as it is."""

    #: Messages told first of a conversation never seen before; None: all from the beginning.
    initial_history: int | None = 20
    #: Written and unacknowledged at a time.
    max_in_flight: int = MAX_IN_FLIGHT
    #: Ask for ACCEPTED too, told as MessageAccepted.
    all_acks: bool = False
    #: ``start`` waits for a server that is not there yet.
    keep_trying: bool = False
    #: PEM file of certificates to trust instead of the system's.
    trust: Path | None = None
    #: ``proto`` or ``json``; JSON needs a WebSocket URL.
    codec: str = ""
    #: Where this client is, and its version label: the server chooses gateways by them.
    zone: str = ""
    version: str = ""


def ignore(event: Event) -> None:
    """For clients that only send."""


def _dial(url: str, options: ClientOptions, *, device_id: str, reactor: Any) -> Dial:
    to = partial(dialer, reactor=reactor, trust=options.trust, codec=options.codec)
    if not url.startswith(("http://", "https://")):
        return to(url)
    # An agent without a pool: nothing is left open between two questions.
    agent = Agent(
        reactor, BrowserLikePolicyForHTTPS(trust_root(options.trust)), connectTimeout=CONNECT_TIMEOUT_S
    )
    return GatewayDial(
        server=url,
        rest=RestClient(server=url, reactor=reactor, agent=agent),
        device_id=device_id,
        clock=reactor,
        dialer=to,
        json=options.codec == "json",
        zone=options.zone,
        version=options.version,
    )


class Client:
    """See the module's docstring.

    :param reactor: for the network and for time; with ``dial`` given, only for time (a ``Clock``).
    :param dial: opens connections instead of ``url``.
    """

    def __init__(
        self,
        *,
        url: str = "",
        token_source: TokenSource,
        device_id: str,
        reactor: Any,
        random: Random,
        wall_clock: WallClock,
        platform: str = "desktop",
        on_event: Callable[[Event], None] = ignore,
        cursors: CursorStore | None = None,
        options: ClientOptions = ClientOptions(),  # noqa: B008 - immutable
        dial: Dial | None = None,
    ) -> None:
        if dial is None:
            dial = _dial(url, options, device_id=device_id, reactor=reactor)
        self.device_id = device_id
        self._keep_trying = options.keep_trying
        self._started = False
        self._sent_count = 0
        self._id_tail = f"{wall_clock()}-{random.getrandbits(24):06x}"
        self._session = Session(
            device_id=device_id,
            platform=platform,
            all_acks=options.all_acks,
            max_in_flight=options.max_in_flight,
            initial_history=options.initial_history,
            token_source=token_source,
            cursors=cursors if cursors is not None else MemoryCursors(),
            on_event=on_event,
            dial=dial,
            clock=reactor,
            random=random,
        )

    # Lifecycle.

    @property
    def user_id(self) -> int:
        """Who we are, by the server's word; 0 before the first login."""
        return self._session.user_id

    @property
    def state(self) -> ConnectionState:
        """As in the last ConnectionStateChanged."""
        return self._session.state

    @property
    def live(self) -> bool:
        """Whether there is a connection now."""
        return self._session.line.live

    async def start(self) -> None:
        """Connect and log in; raises the ImError that says why not. Once."""
        if self._started:
            raise RuntimeError("a Client is started once")
        self._started = True
        await self._session.start(keep_trying=self._keep_trying)

    async def stop(self) -> None:
        """Close for good. May be called at any time, and again."""
        await self._session.stop()

    # Sending.

    async def send_text(
        self,
        text: str,
        *,
        conversation_id: str = "",
        peer_user_id: int = 0,
        meta: Mapping[str, str] | None = None,
        client_msg_id: str = "",
    ) -> SentMessage:
        """A text of at most 32 KiB of UTF-8."""
        try:
            send = SendMessageReq(type=TEXT, textContent=text)
        except UnicodeEncodeError:
            raise PayloadInvalid("the text is no valid Unicode", field="textContent") from None
        return await self._send(send, conversation_id, peer_user_id, meta, client_msg_id)

    async def send_media(
        self,
        type: int,
        media: MediaRef,
        *,
        conversation_id: str = "",
        peer_user_id: int = 0,
        meta: Mapping[str, str] | None = None,
        client_msg_id: str = "",
    ) -> SentMessage:
        """An image, audio, video or file (an ``im.v1.MessageType``) that was uploaded before."""
        send = SendMessageReq(type=type, mediaRef=media)  # type: ignore[arg-type]
        return await self._send(send, conversation_id, peer_user_id, meta, client_msg_id)

    async def send_custom(
        self,
        content: bytes,
        *,
        conversation_id: str = "",
        peer_user_id: int = 0,
        meta: Mapping[str, str] | None = None,
        client_msg_id: str = "",
    ) -> SentMessage:
        """An application's own payload of at most 256 KiB."""
        send = SendMessageReq(type=CUSTOM, binaryContent=content)
        return await self._send(send, conversation_id, peer_user_id, meta, client_msg_id)

    async def recall(self, conversation_id: str, seq: int, *, client_msg_id: str = "") -> SentMessage:
        """Take a message of ours back, within the server's window; the recall's own place in the order."""
        send = SendMessageReq(conversationId=conversation_id, clientMsgId=client_msg_id or self.new_id())
        return await self._session.sender.submit(Outgoing(send, recalled_seq=seq))

    def new_id(self) -> str:
        """A clientMsgId never used before: at most 64 characters, unique across restarts and devices."""
        self._sent_count += 1
        return f"{self.user_id}-{self.device_id[:12]}-{self._sent_count}-{self._id_tail}"

    @property
    def unsettled(self) -> int:
        """Messages that are neither STORED nor refused yet."""
        return len(self._session.sender)

    async def _send(
        self,
        send: SendMessageReq,
        conversation_id: str,
        peer_user_id: int,
        meta: Mapping[str, str] | None,
        client_msg_id: str,
    ) -> SentMessage:
        check_target(conversation_id, peer_user_id)
        send.conversationId = conversation_id
        send.peerUserId = peer_user_id
        send.clientMsgId = client_msg_id or self.new_id()
        if meta:
            send.meta.update(meta)
        return await self._session.sender.submit(Outgoing(send, recalled_seq=0))

    # Small signs.

    def mark_read(self, conversation_id: str, seq: int) -> None:
        """The user has read everything up to ``seq``; kept if there is no connection now."""
        self._session.marks.read(conversation_id, seq)

    def typing(self, conversation_id: str, active: bool = True) -> None:
        """Tell who is online there; lost without a connection."""
        envelope = Envelope()
        envelope.typing.conversationId = conversation_id
        envelope.typing.active = active
        self._session.line.tell(envelope)

    # Questions; all raise the server's ImError, or Disconnected.

    async def watch_presence(self, user_ids: Sequence[int]) -> list[PresenceChanged]:
        """Replace the list of users whose coming and going is told; how they are now. Kept over reconnects."""
        self._session.watched = tuple(user_ids)
        return await questions.presence(self._session.line.ask, self._session.watched)

    async def history(
        self, conversation_id: str, *, from_seq: int = 0, limit: int = 50, backward: bool = True
    ) -> HistoryPage:
        """A page of up to 200, in rising seq; the default is the newest. Does not move the cursor."""
        return await questions.history(
            self._session.line.ask, conversation_id, from_seq=from_seq, limit=limit, backward=backward
        )

    async def conversations(self) -> list[ConversationInfo]:
        """All of the user's conversations, newest first."""
        return await questions.conversations(self._session.line.ask)

    async def message_fates(self, conversation_id: str, client_msg_ids: Sequence[str]) -> list[MessageFate]:
        """What became of messages of ours."""
        return await questions.fates(self._session.line.ask, conversation_id, client_msg_ids)

    async def receipts(self, conversation_id: str) -> list[ReceiptChanged]:
        """How far everybody has come, for what was told while we were away."""
        return await questions.receipts(self._session.line.ask, conversation_id)

    def resync(self) -> None:
        """Ask how far the server is, in all conversations; the client does so by itself when needed."""
        self._session.catchup.resync()
