"""People who talk to a whole ``twistd im`` in memory, and an operator who asks what became of what they said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from imd.core.explain.record import NodeRecord
from imd.core.gateway.session import Session
from imd.ctl.explain.command import Story, lines
from imd.kernel.ids import direct_conversation_id
from imd.pb.delivery_pb2 import Ack, DeliverAck, Receipt
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import DELAYED, FAILED, STORED, TEXT, SendMessageReq
from imd.pb.sync_pb2 import RecallReq
from tests.matrix.ground import InProcess, Line, Person

T = TypeVar("T")

#: Turns of 2 ms; nobody waits longer for the authority.
_PATIENCE = 1_000
_LAST = (STORED, FAILED, DELAYED)
WORDS = ("gadzooks\trefuse", "egad\treview")


class Someone:
    """A person with a device, online or not."""

    def __init__(self, ground: InProcess) -> None:
        self._ground = ground
        self.person: Person = ground.person()
        self.user_id = self.person.user_id
        self._line: Line | None = None
        self._sent = 0

    def comes(self) -> None:
        """Connects."""
        self._line = self._ground.line(self.person.token)

    def goes(self) -> None:
        """The connection is lost."""
        assert self._line is not None
        self._line.close()
        self._line = None

    @property
    def session(self) -> Session:
        line: Any = self._line
        session: Session = line._link.live
        return session

    def says(self, text: str, *, to: Someone | str, name: str = "") -> Ack:
        """The last word on it."""
        self._sent += 1
        request = SendMessageReq(clientMsgId=name or f"m{self._sent}", type=TEXT, textContent=text)
        if isinstance(to, Someone):
            request.peerUserId = to.user_id
        else:
            request.conversationId = to
        line: Any = self._line
        line._link.says(Envelope(send=request))
        for _ in range(_PATIENCE):
            self._ground.turn()
            for envelope in line._link.sent:
                if envelope.ack.clientMsgId == request.clientMsgId and envelope.ack.status in _LAST:
                    line._link.sent.remove(envelope)
                    return Ack.FromString(envelope.ack.SerializeToString())
        raise AssertionError(f"no last word on {request}")

    def has(self, conversation_id: str, *, delivered: int = 0, read: int = 0) -> None:
        """Tells how far it has come, and the server writes it down."""
        assert self._line is not None
        if delivered:
            self._line.ask(Envelope(deliverAck=DeliverAck(conversationId=conversation_id, seq=delivered)))
        if read:
            self._line.ask(Envelope(read=Receipt(conversationId=conversation_id, readSeq=read)))
        self._ground.world.clock.pump([0.1] * 20)

    def recalls(self, conversation_id: str, seq: int) -> None:
        """Takes it back."""
        assert self._line is not None
        recall = RecallReq(conversationId=conversation_id, seq=seq, clientMsgId=f"recall-{seq}")
        answer = self._line.ask(Envelope(recall=recall))
        assert answer is not None and answer.ack.status == STORED, answer

    def with_(self, other: Someone) -> str:
        """Their 1:1 conversation."""
        return direct_conversation_id(self.user_id, other.user_id)

    def asks(self, method: str, path: str, body: Any = None) -> Any:
        """REST, which has to say yes."""
        reply = self._ground.call(method, path, body, token=self.person.token)
        assert reply.status < 300, reply
        return msgspec.json.decode(reply.raw) if reply.raw else None


class Database:
    """Threads of the business database that can be held up."""

    def __init__(self) -> None:
        self.is_held = False
        self._held: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], T]) -> Deferred[T]:
        if not self.is_held:
            return execute(work)
        waiting: Deferred[T] = Deferred()

        def go_on() -> None:
            execute(work).chainDeferred(waiting)

        self._held.append(go_on)
        return waiting

    def goes_on(self) -> None:
        """What waits is done now."""
        self.is_held = False
        held, self._held = self._held, []
        for work in held:
            work()


class ExplainedCase(SynchronousTestCase):
    """One server a class, for it costs half a second; nobody meets anybody from another test."""

    def setUp(self) -> None:
        self.ground = InProcess(Path(self.mktemp()), words=WORDS)
        self.addCleanup(self.ground.close)
        (self.record,) = (stage for stage in self.ground._stages if isinstance(stage, NodeRecord))
        self.database = Database()
        self.ground.world.database._threads = self.database
        self.alice, self.bob = Someone(self.ground), Someone(self.ground)
        self.alice.comes()
        self.later(6.0)

    def later(self, seconds: float) -> None:
        """Time goes by, in steps in which everything due is done; devices say that they are there."""
        for _ in range(int(seconds / 0.5) + 1):
            self.ground.world.clock.advance(0.5)
            self.ground.turn()

    def explained(self, message: str, receiver: Someone | str) -> Any:
        """What the operator is told."""
        user = receiver if isinstance(receiver, str) else str(receiver.user_id)
        query = urlencode({"message": message, "user": user})
        reply = self.ground.call("GET", f"/operator/explain?{query}", token=self.ground.operator_token)
        assert reply.status == 200, reply
        return msgspec.json.decode(reply.raw)

    def assert_told(self, message: str, receiver: Someone | str, got: str, reason: str, *words: str) -> Any:
        """The verdict, and what is said in it."""
        story = self.explained(message, receiver)
        self.assertEqual((story["got"], story["reason"]), (got, reason), story)
        for word in words:
            self.assertIn(word, story["verdict"])
        if os.environ.get("SHOW"):
            told = msgspec.convert(story, type=Story)
            print("\n" + "\n".join(lines(told)))  # noqa: T201 - for who looks
        return story
