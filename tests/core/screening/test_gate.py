"""Before a message is taken in: let through in order, refused, or held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.audit import AuditEntry
from imd.core.message.content import Origin, content_hash, sent_body
from imd.core.message.sends import PendingSend, SendKey
from imd.core.screening import gate as gate_module
from imd.core.screening.chain import Chain, Step
from imd.core.screening.draft import draft_of
from imd.core.screening.gate import Gate
from imd.core.screening.model import (
    ALLOWED,
    UNAVAILABLE,
    Action,
    FailureMode,
    Held,
    Verdict,
)
from imd.core.screening.ports import ContentCheck
from imd.kernel.errors import Code, Forbidden, ImError, ServerBusy
from imd.kernel.tasks import Tasks
from imd.pb.message_pb2 import CUSTOM, TEXT, Message, SendMessageReq
from tests.core.screening.checks import AtOnce, Reviews, Slow

REFUSE = Verdict(Action.REFUSE, reason="word")
REVIEW = Verdict(Action.REVIEW, reason="word")


class Log:
    """A message log that is only asked whether it has a message."""

    def __init__(self) -> None:
        self.stored: set[str] = set()

    async def find(
        self, conversation_id: str, sender_id: int, client_msg_ids: Sequence[str]
    ) -> Mapping[str, Any]:
        return {one: None for one in client_msg_ids if one in self.stored}


class GateCase(SynchronousTestCase):
    """A gate; ``heard`` is what came of each send, in order."""

    def setUp(self) -> None:
        self.heard: list[str] = []
        self.texts: list[str] = []
        self.recorded: list[AuditEntry] = []
        self.reviews = Reviews()
        self.log = Log()
        self.phone: Any = object()

    def gate(self, *checks: ContentCheck) -> Gate:
        log: Any = self.log
        steps = [Step("check", check, 0.5, FailureMode.CLOSED) for check in checks]
        return Gate(
            check=Chain(steps=steps, clock=Clock()),
            submit=self,
            log=log,
            held=self.reviews,
            on_held=lambda send: self.note("held", send),
            record=self.recorded.append,
            tasks=Tasks(),
        )

    def note(self, what: str, send: PendingSend) -> None:
        self.heard.append(f"{what} {send.key.client_msg_id}")

    # Submit

    unsettled = 0

    def submit(self, send: PendingSend) -> None:
        self.note("submitted", send)
        self.texts.append(Message.FromString(send.body).textContent)

    # Submitter

    def accepted(self, send: PendingSend) -> None:
        """Not said by a gate."""

    def stored(self, send: PendingSend, *, duplicate: bool) -> None:
        """Not said by a gate."""

    def delayed(self, send: PendingSend) -> None:
        """Not said by a gate."""

    def failed(self, send: PendingSend, error: ImError) -> None:
        self.note(f"failed {error.code.name}", send)

    def sends(
        self, gate: Gate, name: str, *, text: str = "what the heck", by: Any = None, to: str = "c"
    ) -> PendingSend:
        request = SendMessageReq(conversationId=to, clientMsgId=name, type=TEXT, textContent=text)
        origin = Origin(to, 7, "phone", name, 1, 1)
        send = self.made(request, origin, by)
        gate.take(send, draft_of(request, origin))
        return send

    def follows(self, gate: Gate, name: str, *, to: str = "c") -> None:
        request = SendMessageReq(conversationId=to, clientMsgId=name, type=CUSTOM, binaryContent=b"x")
        gate.follow(self.made(request, Origin(to, 7, "phone", name, 1, 1)))

    def made(self, request: SendMessageReq, origin: Origin, by: Any = None) -> PendingSend:
        return PendingSend(
            key=SendKey(request.conversationId, 7, request.clientMsgId),
            body=sent_body(request, origin),
            content_hash=content_hash(request),
            server_msg_id=1,
            server_time_ms=1,
            submitter=self,
            recipient=by or self.phone,
        )


class VerdictTests(GateCase):
    """What each verdict means."""

    def test_allowed(self) -> None:
        """What is allowed goes on at once, as it is."""
        self.sends(self.gate(AtOnce()), "a")
        self.assertEqual((self.heard, self.texts), (["submitted a"], ["what the heck"]))

    def test_nothing_judges(self) -> None:
        """Without checks the gate stands open."""
        self.assertTrue(self.gate().is_open)
        self.assertFalse(self.gate(AtOnce()).is_open)

    def test_replaced(self) -> None:
        """A replaced message is stored as replaced, under the hash of what was sent: a resend is the same message."""
        gate = self.gate(AtOnce(lambda _: Verdict(Action.REPLACE, text="what the ****")))
        first, again = self.sends(gate, "a"), self.sends(gate, "a")
        self.assertEqual(self.texts, ["what the ****"] * 2)
        self.assertEqual(first.content_hash, again.content_hash)
        self.assertEqual(
            first.content_hash, self.sends(self.gate(AtOnce()), "a").content_hash, "the hash changed"
        )

    def test_refused(self) -> None:
        """What is refused goes nowhere."""
        self.sends(self.gate(AtOnce(lambda _: REFUSE)), "a")
        self.assertEqual(self.heard, ["failed FORBIDDEN a"])

    def test_not_judged(self) -> None:
        """Without a verdict a closed gate asks for another try."""
        self.sends(self.gate(AtOnce(lambda _: UNAVAILABLE)), "a")
        self.assertEqual(self.heard, ["failed SERVER_BUSY a"])

    def test_held(self) -> None:
        """What needs a person's eyes is held, in the words that would be sent."""
        self.sends(self.gate(AtOnce(lambda _: REVIEW)), "a")
        replaced = Verdict(Action.REPLACE, text="****")
        self.sends(self.gate(AtOnce(lambda _: replaced), AtOnce(lambda _: REVIEW)), "b")
        self.assertEqual(self.reviews.held, [("a", "what the heck", "word"), ("b", "****", "word")])
        self.assertEqual(self.heard, ["held a", "held b"])

    def test_recorded(self) -> None:
        """What is refused or held is recorded with its reason and without its words; what goes through is not."""
        for verdict in (ALLOWED, Verdict(Action.REPLACE, text="x"), REFUSE, REVIEW, UNAVAILABLE):
            self.sends(self.gate(AtOnce(lambda _, verdict=verdict: verdict)), "a")  # type: ignore[misc]
        self.assertEqual(
            [(one.decision, one.detail) for one in self.recorded],
            [
                ("refused", '{"verdict": "word"}'),
                ("held", '{"verdict": "word"}'),
                ("refused", '{"verdict": "unavailable"}'),
            ],
        )
        self.assertEqual(
            {(one.actor_id, one.request_id, one.reason) for one in self.recorded}, {(7, "a", "content")}
        )

    def test_decided(self) -> None:
        """Of what was decided meanwhile, a resend hears the decision."""
        self.reviews.known = {"a": Held.DELIVERED, "b": Held.REFUSED}
        for name in "ab":
            self.sends(self.gate(AtOnce(lambda _: REVIEW)), name)
        self.assertEqual(self.heard, ["submitted a", "failed FORBIDDEN b"])

    def test_not_held(self) -> None:
        """Where it cannot be held, or not by this sender, it is refused with the reason for that."""
        for error, code in ((ServerBusy("x"), Code.SERVER_BUSY), (Forbidden("x"), Code.FORBIDDEN)):
            self.reviews.error = error
            self.sends(self.gate(AtOnce(lambda _: REVIEW)), "a")
            self.assertEqual(self.heard.pop(), f"failed {code.name} a")

    def test_stored_before(self) -> None:
        """What is stored already is never called FAILED or DELAYED because the rules changed since."""
        self.log.stored.add("a")
        for verdict in (REFUSE, REVIEW):
            self.sends(self.gate(AtOnce(lambda _, verdict=verdict: verdict)), "a")  # type: ignore[misc]
        self.assertEqual(self.heard, ["submitted a"] * 2)
        self.assertEqual(self.reviews.held, [])

    def test_held_before(self) -> None:
        """What is being looked at is not called FAILED because the rules changed since."""
        self.reviews.known = {"a": Held.UNDECIDED}
        self.sends(self.gate(AtOnce(lambda _: REFUSE)), "a")
        self.assertEqual(self.heard, ["held a"])

    def test_refused_while_business_is_away(self) -> None:
        """A refusal is not put off because nobody knows whether it was held."""
        self.reviews.error = ServerBusy("x")
        self.sends(self.gate(AtOnce(lambda _: REFUSE)), "a")
        self.assertEqual(self.heard, ["failed FORBIDDEN a"])


class OrderTests(GateCase):
    """Who waits behind whom."""

    def test_same_device_same_conversation(self) -> None:
        """What follows waits until what came before is judged, whichever is judged first."""
        slow = Slow()
        gate = self.gate(slow)
        for name in "abcd":
            self.sends(gate, name)
        self.assertEqual(gate.unsettled, 4)
        slow.answers[2].callback(REFUSE)
        slow.answers[1].callback(ALLOWED)
        self.assertEqual(self.heard, [])
        slow.answers[0].callback(ALLOWED)
        self.assertEqual(self.heard, ["submitted a", "submitted b", "failed FORBIDDEN c"])
        slow.answers[3].callback(Verdict(Action.REPLACE, text="*"))
        self.assertEqual(self.heard[3:], ["submitted d"])
        self.assertEqual(gate.unsettled, 0)

    def test_at_once_behind_slow(self) -> None:
        """One that is judged at once does not overtake one that is not."""
        slow = Slow()
        gate = self.gate(AtOnce(lambda draft: REFUSE if draft.text == "bad" else ALLOWED), slow)
        self.sends(gate, "a")
        self.sends(gate, "b", text="bad")
        self.assertEqual(self.heard, [])
        slow.answers[0].callback(ALLOWED)
        self.assertEqual(self.heard, ["submitted a", "failed FORBIDDEN b"])

    def test_not_judged_behind_slow(self) -> None:
        """One that nobody judges keeps its place too, and waits for nothing else."""
        slow = Slow()
        gate = self.gate(slow)
        self.sends(gate, "a")
        self.follows(gate, "b")
        self.follows(gate, "c", to="d")
        self.sends(gate, "e")
        self.assertEqual((self.heard, gate.unsettled), (["submitted c"], 3))
        slow.answers[1].callback(ALLOWED)
        slow.answers[0].callback(REFUSE)
        self.assertEqual(self.heard[1:], ["failed FORBIDDEN a", "submitted b", "submitted e"])
        self.assertEqual(gate.unsettled, 0)

    def test_too_many_wait(self) -> None:
        """When too many wait, of whichever devices, the next are told to come later, and are not even judged."""
        self.patch(gate_module, "MAX_WAITING", 2)
        slow = Slow()
        gate = self.gate(slow)
        for name in "abc":
            self.sends(gate, name, by=object())
        self.assertEqual((self.heard, len(slow.answers)), (["failed SERVER_BUSY c"], 2))
        self.sends(gate, "d", to="d")
        self.follows(gate, "e", to="e")
        slow.answers[0].callback(ALLOWED)
        self.sends(gate, "f")
        self.assertEqual(self.heard[1:], ["failed SERVER_BUSY d", "submitted e", "submitted a"])
        self.assertEqual(len(slow.answers), 3)

    def test_nobody_else_waits(self) -> None:
        """Other devices, and other conversations of the same device, have lines of their own."""
        slow = Slow()
        gate = self.gate(slow)
        self.sends(gate, "a")
        self.sends(gate, "b", to="d")
        self.sends(gate, "c", by=object())
        slow.answers[1].callback(ALLOWED)
        slow.answers[2].callback(ALLOWED)
        self.assertEqual(self.heard, ["submitted b", "submitted c"])

    def test_rules_gone_meanwhile(self) -> None:
        """With the last check gone, what waits still goes first."""
        slow = Slow()
        chain = Chain(steps=[Step("check", slow, 0.5, FailureMode.OPEN)], clock=Clock())
        log: Any = self.log
        gate = Gate(
            check=chain,
            submit=self,
            log=log,
            held=self.reviews,
            on_held=lambda _: None,
            record=self.recorded.append,
            tasks=Tasks(),
        )
        self.sends(gate, "a")
        chain.steps = ()
        self.assertFalse(gate.is_open)
        self.sends(gate, "b")
        slow.answers[0].callback(ALLOWED)
        self.assertEqual(self.heard, ["submitted a", "submitted b"])
        self.assertTrue(gate.is_open)

    def test_broken_check(self) -> None:
        """A fault of ours is the sender's to know and nobody else's to wait for."""
        slow = Slow()
        gate = self.gate(slow)
        self.sends(gate, "a")
        self.sends(gate, "b")
        self.log.find = None  # type: ignore[assignment, method-assign]
        slow.answers[0].callback(REFUSE)
        slow.answers[1].callback(ALLOWED)
        self.assertEqual(self.heard, ["failed INTERNAL_ERROR a", "submitted b"])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
