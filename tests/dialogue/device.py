"""One device of one person, in the words of a dialogue.

What a device hears waits in order until the dialogue has spoken of it. ``sees`` takes the *next*
message, and it must be the expected one: a message too many, too few or out of place breaks the
dialogue at the line where it shows. That each conversation comes as 1, 2, 3, ... is checked throughout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from random import Random
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from imd.client.client import Client, ClientOptions
from imd.client.events import (
    CaughtUp,
    ChatMessage,
    ConnectionState,
    ConnectionStateChanged,
    ConversationInfo,
    ConversationLeft,
    Event,
    MessageAccepted,
    MessageHeld,
    MessageReceived,
    MessageStored,
    PresenceChanged,
    Recalled,
    ReceiptChanged,
    SentMessage,
    SessionEnded,
    TypingChanged,
)
from imd.client.rest import RestClient
from imd.kernel.clocks import system_wall_clock
from imd.kernel.ids import direct_conversation_id
from imd.kernel.timeouts import TimeoutError, with_timeout
from imd.pb.message_pb2 import SYSTEM, SystemNotice
from tests.dialogue.wire import Wire

#: Nothing takes so long on a machine that works.
PATIENCE_S = 15.0
#: How much of what came stands in the message of a wait that was in vain.
_LATELY = 8

T = TypeVar("T")


class Peer(Protocol):
    """Somebody to write to: a person, or any device of theirs."""

    @property
    def user_id(self) -> int: ...


#: Where a message goes: a peer, or a conversation's id.
Target = Peer | str


class Hasty(Random):
    """Waits for a tenth of what others wait, so that a dialogue goes on."""

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) / 10


class Device:
    """See the module's docstring. ``name`` is how it is called in messages: "bob's laptop"."""

    def __init__(
        self,
        *,
        name: str,
        user_id: int,
        device_id: str,
        token_source: Callable[[], Awaitable[str]],
        wire: Wire,
        rest: RestClient,
        reactor: Any,
        options: ClientOptions,
    ) -> None:
        self.name = name
        self.user_id = user_id
        self.device_id = device_id
        self.wire = wire
        #: The same person's REST calls.
        self.rest = rest
        self.faults: list[str] = []
        self.reactor = reactor
        self._inbox: deque[ChatMessage] = deque()
        self._signs: deque[Event] = deque()
        self._last: dict[str, int] = {}
        self._lately: deque[str] = deque(maxlen=_LATELY)
        self._waiting: Deferred[None] | None = None
        self.client = Client(
            token_source=token_source,
            device_id=device_id,
            platform=device_id,
            reactor=reactor,
            random=Hasty(),
            wall_clock=system_wall_clock,
            on_event=self._happened,
            options=options,
            dial=wire,
        )

    # What the device does.

    async def comes(self) -> None:
        """Online, and with everything it had missed."""
        await self.within("come online", self.client.start())
        await self.catches_up()

    async def leaves(self) -> None:
        """Offline; what it has not seen waits for another device."""
        await self.within("go offline", self.client.stop())

    async def sends(self, text: str, *, to: Target, message_id: str = "") -> SentMessage:
        """A text, until it is STORED."""
        sending = self.client.send_text(text, client_msg_id=message_id, **address(to))
        return await self.within(f"have {_short(text)} stored", sending)

    def begins_to_send(self, texts: list[str], *, to: Target) -> list[Deferred[SentMessage]]:
        """Texts, one behind the other, without waiting for any."""
        return [Deferred.fromCoroutine(self.client.send_text(text, **address(to))) for text in texts]

    async def sends_all(self, texts: list[str], *, to: Target) -> list[SentMessage]:
        """Texts at once, until all are STORED."""
        return await self.has_stored(self.begins_to_send(texts, to=to))

    async def has_stored(self, sends: list[Deferred[SentMessage]]) -> list[SentMessage]:
        """Wait for what was begun."""
        return [await self.within("have a message stored", sent) for sent in sends]

    async def recalls(self, sent: SentMessage | ChatMessage) -> SentMessage:
        """Takes a message back."""
        recalling = self.client.recall(sent.conversation_id, sent.seq)
        return await self.within(f"recall seq {sent.seq}", recalling)

    def reads(self, message: ChatMessage) -> None:
        """Everything up to this message."""
        self.client.mark_read(message.conversation_id, message.seq)

    async def conversation(self, target: Target) -> ConversationInfo | None:
        """Its line in the conversation list."""
        listed = await self.within("get the conversation list", self.client.conversations())
        wanted = self.conversation_id(target)
        return next((one for one in listed if one.conversation_id == wanted), None)

    async def past(
        self, target: Target, *, from_seq: int = 0, limit: int = 50, backward: bool = True
    ) -> list[ChatMessage]:
        """A page of history."""
        asking = self.client.history(
            self.conversation_id(target), from_seq=from_seq, limit=limit, backward=backward
        )
        return list((await self.within("get history", asking)).messages)

    def conversation_id(self, target: Target) -> str:
        """The name of the conversation with somebody."""
        return target if isinstance(target, str) else direct_conversation_id(self.user_id, target.user_id)

    # What the device sees.

    async def sees(
        self, text: str | None = None, *, from_: Peer | None = None, seq: int = 0, in_: Target = ""
    ) -> ChatMessage:
        """The next message (of one conversation, if ``in_`` names it) is this one."""
        message = await self._next_message(f"{_short(text)}", self.conversation_id(in_) if in_ else "")
        wanted = (text, from_.user_id if from_ else 0, seq)
        found = (message.text, message.sender_id, message.seq)
        if any(want and want != have for want, have in zip(wanted, found, strict=True)):
            raise AssertionError(
                f"{self.name} was to see text, sender, seq {_short(wanted)}, and saw {_short(found)}"
            )
        return message

    async def hears(self, in_: Target) -> ChatMessage:
        """The next message of a conversation, whatever it is."""
        return await self._next_message("anything", self.conversation_id(in_))

    async def sees_all(self, texts: list[str], *, in_: Target = "") -> list[ChatMessage]:
        """The next messages are these, in this order."""
        return [await self.sees(text, in_=in_) for text in texts]

    async def sees_notice(
        self, event: str, *, about: list[Peer] | None = None, by: Peer | None = None, in_: str = ""
    ) -> SystemNotice:
        """The next message is the server's, and says this."""
        message = await self._next_message(f"the notice {event}", in_)
        if message.type != SYSTEM or message.system is None or message.system.event != event:
            raise AssertionError(f"{self.name} was to see the notice {event}, and saw {_short(message)}")
        notice = message.system
        subjects = sorted(notice.subjectIds)
        if about is not None and subjects != sorted(one.user_id for one in about):
            raise AssertionError(f"{event} is about {subjects}, not about {[one.user_id for one in about]}")
        if message.sender_id or (by is not None and notice.actorId != by.user_id):
            raise AssertionError(f"{event} is from {message.sender_id} by {notice.actorId}")
        return notice

    async def sees_recall(self, of: SentMessage | ChatMessage, *, in_: Target = "") -> None:
        """The next message says that this one is gone."""
        message = await self._next_message(f"seq {of.seq} recalled", self.conversation_id(in_) if in_ else "")
        if message.recalled_seq != of.seq:
            raise AssertionError(f"{self.name} was to see seq {of.seq} recalled, and saw {_short(message)}")

    async def sees_nothing_more(self) -> None:
        """After a question and its answer, which come behind everything sent before, nothing is left."""
        await self.within("get an answer", self.client.conversations())
        if self._inbox:
            raise AssertionError(f"{self.name} was to see nothing more, and saw {_short(self._inbox[0])}")

    async def sees_read(self, *, by: Peer, seq: int, in_: Target) -> None:
        """Somebody (another device of one's own, too) has read up to there."""
        wanted = self.conversation_id(in_)
        await self.sees_sign(
            ReceiptChanged,
            lambda sign: (sign.conversation_id, sign.user_id, sign.read_seq) == (wanted, by.user_id, seq),
            f"{by.user_id} has read {seq}",
            in_any_order=True,
        )

    async def sees_delivered(self, *, to: Peer, seq: int, in_: Target) -> None:
        """Somebody's device holds everything up to there."""
        wanted = self.conversation_id(in_)
        await self.sees_sign(
            ReceiptChanged,
            lambda sign: (
                (sign.conversation_id, sign.user_id) == (wanted, to.user_id) and sign.delivered_seq >= seq
            ),
            f"{to.user_id} has got {seq}",
            in_any_order=True,
        )

    async def sees_typing(self, *, by: Peer, active: bool = True) -> TypingChanged:
        """Somebody types, or has ceased to."""
        return await self.sees_sign(
            TypingChanged, lambda sign: (sign.user_id, sign.active) == (by.user_id, active), "typing"
        )

    async def sees_the_door(self, conversation_id: str, reason: str) -> ConversationLeft:
        """This device is told that it is not in the conversation any more, and why."""
        return await self.sees_sign(
            ConversationLeft,
            lambda sign: (sign.conversation_id, sign.reason) == (conversation_id, reason),
            f"the door ({reason})",
        )

    async def sees_next_presence(self) -> PresenceChanged:
        """The next one who came or went, whoever it is."""
        return await self.sees_sign(PresenceChanged, lambda _: True, "somebody come or go")

    async def sees_accepted(self) -> MessageAccepted:
        """The next ACK of the first kind."""
        return await self.sees_sign(MessageAccepted, lambda _: True, "ACCEPTED")

    async def sees_held(self) -> MessageHeld:
        """A message of its own has to be looked at by a person first."""
        return await self.sees_sign(MessageHeld, lambda _: True, "that its message is held")

    async def sees_stored(self) -> MessageStored:
        """The next own message in its place."""
        return await self.sees_sign(MessageStored, lambda _: True, "STORED")

    async def catches_up(self) -> None:
        """Everything that was missed has been handed over."""
        await self.sees_sign(CaughtUp, lambda _: True, "the end of catching up")

    async def loses_the_line(self) -> None:
        """The connection is noticed to be gone."""
        await self._sees_state(ConnectionState.RECONNECTING)

    async def comes_back(self) -> None:
        """Online again after a loss."""
        await self._sees_state(ConnectionState.LIVE)

    async def sees_the_end(self) -> str:
        """The server ended this session; the reason."""
        return (await self.sees_sign(SessionEnded, lambda _: True, "the end of the session")).reason

    def signs(self, kind: type[T]) -> list[T]:
        """Signs of a kind that the dialogue has not spoken of yet."""
        return [sign for sign in self._signs if isinstance(sign, kind)]

    @property
    def unseen(self) -> int:
        """Messages that came and were not spoken of yet."""
        return len(self._inbox)

    async def has_unseen(self, count: int) -> None:
        """So many messages came, whatever they are; they are still to be seen."""
        await self._until(lambda: True if len(self._inbox) >= count else None, f"{count} messages")

    async def sees_sign(
        self, kind: type[T], fits: Callable[[T], bool], wanted: str, *, in_any_order: bool = False
    ) -> T:
        """The first sign of this kind that fits; those before it are done with, unless order is no matter."""

        def take() -> T | None:
            for sign in [sign for sign in self._signs if isinstance(sign, kind)]:
                if fits(sign) or not in_any_order:
                    self._signs.remove(sign)
                if fits(sign):
                    return sign
            return None

        return await self._until(take, wanted)

    async def within(self, wanted: str, work: Coroutine[Deferred[Any], Any, T] | Deferred[T]) -> T:
        """The result of ``work``, which must not take for ever."""
        try:
            return await with_timeout(work, timeout_s=PATIENCE_S, clock=self.reactor)
        except TimeoutError:
            raise AssertionError(
                f"{self.name} was to {wanted} within {PATIENCE_S:g} s; it is {self.client.state.value}, and "
                f"lately heard {list(self._lately) or 'nothing'}"
            ) from None

    # Inside.

    async def _next_message(self, wanted: str, conversation_id: str) -> ChatMessage:
        def take() -> ChatMessage | None:
            for message in self._inbox:
                if not conversation_id or message.conversation_id == conversation_id:
                    self._inbox.remove(message)
                    return message
            return None

        return await self._until(take, wanted)

    async def _sees_state(self, state: ConnectionState) -> None:
        await self.sees_sign(ConnectionStateChanged, lambda sign: sign.state is state, state.value)

    async def _until(self, take: Callable[[], T | None], wanted: str) -> T:
        deadline_s = self.reactor.seconds() + PATIENCE_S
        while (found := take()) is None:
            self._waiting = Deferred()
            left_s = deadline_s - self.reactor.seconds()
            try:
                await with_timeout(self._waiting, timeout_s=max(left_s, 0.001), clock=self.reactor)
            except TimeoutError:
                raise AssertionError(
                    f"{self.name} was to see {wanted} within {PATIENCE_S:g} s; it is "
                    f"{self.client.state.value}, and lately heard {list(self._lately) or 'nothing'}"
                ) from None
        return found

    def _happened(self, event: Event) -> None:
        self._lately.append(_short(event))
        if isinstance(event, MessageReceived | MessageStored | Recalled):
            self._check_order(event.message)
        if isinstance(event, MessageReceived | Recalled) and not self._is_mine(event.message):
            self._inbox.append(event.message)
        else:
            self._signs.append(event)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _is_mine(self, message: ChatMessage) -> bool:
        return message.sender_id == self.user_id and message.sender_device_id == self.device_id

    def _check_order(self, message: ChatMessage) -> None:
        last = self._last.get(message.conversation_id, 0)
        if message.seq != last + 1:
            self.faults.append(f"{self.name} saw seq {message.seq} after {last} in {message.conversation_id}")
        self._last[message.conversation_id] = message.seq


def address(target: Target) -> dict[str, Any]:
    """Where the client library sends it."""
    return {"conversation_id": target} if isinstance(target, str) else {"peer_user_id": target.user_id}


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 300 else f"{text[:300]}..."
