"""The verdict as a rule: above all, that what is not recorded is not guessed."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.model import ACTIVE, Account
from imd.business.explain.model import Facts, MessageName, Outcome, Person, Standing, Stay
from imd.business.explain.steps import steps_of
from imd.business.explain.verdict import judge
from imd.kernel.errors import PayloadInvalid
from imd.kernel.ids import snowflake_at
from imd.pb.explain_pb2 import (
    FANOUT_FAILED,
    HANDED_ON,
    HINTED,
    PUSHED,
    ExplainEvent,
    ExplainFanout,
    ExplainNodeAnswer,
    ExplainSession,
    ExplainStoredAnswer,
)
from imd.pb.message_pb2 import TEXT, Message

SENT_MS = 1_764_000_000_000
NOW_MS = SENT_MS + 60_000
ALICE, BOB = 1, 2


def person(user_id: int) -> Person:
    handle = {ALICE: "alice", BOB: "bob"}[user_id]
    return Person(Account(user_id, handle, handle, ACTIVE, 1, 0), 0, "")


def stored(*, delivered: int | None = None) -> ExplainStoredAnswer:
    """Message 5 of alice's, and how far bob has come."""
    message = Message(
        conversationId="g",
        seq=5,
        serverMsgId=snowflake_at(SENT_MS),
        senderId=ALICE,
        clientMsgId="m",
        type=TEXT,
        serverTime=SENT_MS,
    )
    answer = ExplainStoredAnswer(message=message, lastSeq=9)
    if delivered is not None:
        answer.deliveredSeq, answer.readSeq = delivered, 0
    return answer


def node(node_id: int = 1, *, since: int = SENT_MS - 1_000_000, **more: Any) -> ExplainNodeAnswer:
    return ExplainNodeAnswer(nodeId=node_id, fanoutsSince=since, eventsSince=since, **more)


def facts(**known: Any) -> Facts:
    """Alice wrote, bob is in the group, and nobody says anything else."""
    found: dict[str, Any] = {
        "now_ms": NOW_MS,
        "asked": MessageName(conversation_id="g", seq=5),
        "receiver": person(BOB),
        "sender": person(ALICE),
        "stored": stored(),
        "standing": Standing(True, stays=[Stay(SENT_MS - 5_000_000, 0, 0)]),
        "review": None,
        "decisions": (),
        "acts": (),
        "nodes": [node()],
        "gaps": (),
    }
    return Facts(**found | known)


class Verdicts(SynchronousTestCase):
    """Facts in, a reason out."""

    def assert_reason(self, reason: str, outcome: Outcome = Outcome.NOT, **known: Any) -> str:
        verdict = judge(facts(**known))
        self.assertEqual((verdict.reason, verdict.outcome), (reason, outcome), verdict)
        return verdict.text

    def test_no_answer(self) -> None:
        """A store that cannot be asked leaves it open."""
        self.assert_reason("not_answered", Outcome.UNKNOWN, stored=None)

    def test_offline_needs_all_nodes(self) -> None:
        """Offline is only said when every node was asked, and remembers as far back as that."""
        self.assert_reason("offline")
        text = self.assert_reason("not_acknowledged", gaps=["core-2 did not answer in time"])
        self.assertIn("core-2 did not answer in time", text)
        text = self.assert_reason("not_acknowledged", nodes=[node(), node(3, since=SENT_MS + 1)])
        self.assertIn("core-3 remembers nothing before", text)
        text = self.assert_reason("not_acknowledged", nodes=[node(), node(3, lost=7)])
        self.assertIn("core-3 could not keep 7 records", text)
        text = self.assert_reason("not_acknowledged", nodes=[])
        self.assertIn("no core node has reported yet", text)

    def test_offline_needs_all_sessions(self) -> None:
        """Of whom not each session is kept it is not said that none was there, unless that was before the message."""
        summed = ExplainEvent(what="sessions_summed", at=SENT_MS + 1, since=SENT_MS - 60_000, count=40)
        text = self.assert_reason("not_acknowledged", nodes=[node(events=[summed])])
        self.assertIn("40 records", text)
        summed.at = SENT_MS - 1
        self.assert_reason("offline", nodes=[node(events=[summed])])

    def test_acknowledged_needs_nobody(self) -> None:
        """What the receiver's device has said is enough, whoever else is silent."""
        self.assert_reason(
            "delivered", Outcome.GOT, stored=stored(delivered=5), nodes=[], gaps=["core-2 is not there"]
        )

    def test_not_up_to_it(self) -> None:
        """An acknowledgement of what came before says nothing of this one."""
        self.assert_reason("offline", stored=stored(delivered=4))

    def test_two_stays(self) -> None:
        """Who was out when it was sent, and is in again and sees what was said, may still get it."""
        gone = Stay(SENT_MS - 900, SENT_MS - 500, 0)
        back = Stay(SENT_MS + 900, 0, 0)
        self.assert_reason("offline", standing=Standing(True, stays=[gone, back]))
        hidden = back._replace(visible_from=9)
        self.assert_reason("joined_later", standing=Standing(True, stays=[gone, hidden]))
        self.assert_reason("left_before", standing=Standing(True, stays=[gone]))

    def test_left_since(self) -> None:
        """Who left before a device had it does not get it by connecting; who is back and sees it may."""
        gone = Stay(SENT_MS - 900, SENT_MS + 500, 0)
        self.assert_reason("left_since", standing=Standing(True, stays=[gone]))
        self.assert_reason(
            "delivered", Outcome.GOT, standing=Standing(True, stays=[gone]), stored=stored(delivered=5)
        )
        ended = Standing(True, dissolved_at_ms=SENT_MS + 500, stays=[gone])
        self.assertIn("was dissolved", self.assert_reason("left_since", standing=ended))
        back = Stay(SENT_MS + 900, 0, 0)
        self.assert_reason("offline", standing=Standing(True, stays=[gone, back]))
        self.assert_reason("left_since", standing=Standing(True, stays=[gone, back._replace(visible_from=9)]))

    def test_other_errors(self) -> None:
        """Whatever the sender was answered with has a word, also a code of a later release."""
        for code, said, reason in (
            (1099, "the server is busy", "server_busy"),
            (1007, "textContent is too long", "payload_invalid"),
            (1005, "daily_quota", "rate_limited"),
            (1003, "no_scope", "no_scope"),
            (1777, "what is this", "error_1777"),
        ):
            end = ExplainEvent(at=SENT_MS, what="refused", code=code, reason=said)
            text = self.assert_reason(reason, stored=ExplainStoredAnswer(), nodes=[node(events=[end])])
            self.assertIn("it was refused at", text)

    def test_unknown_conversation(self) -> None:
        """What business knows nothing of is no reason: a first message may have been let through without it."""
        self.assert_reason("offline", standing=Standing())
        self.assert_reason("not_member", standing=Standing(True))

    def test_clocks_differ(self) -> None:
        """A device that has a message of after the end, by the clocks, has it all the same."""
        gone = Standing(True, stays=[Stay(SENT_MS - 900, SENT_MS - 1, 0)])
        self.assert_reason("delivered", Outcome.GOT, standing=gone, stored=stored(delivered=5))

    def test_old_shed(self) -> None:
        """A queue that was dropped long before has nothing to do with it."""
        session = ExplainSession(sessionId=1, deviceId="phone", since=SENT_MS - 100_000)
        shed = ExplainEvent(at=SENT_MS - 60_000, what="shed", sessionId=1, deviceId="phone")
        self.assert_reason("not_told", nodes=[node(sessions=[session], events=[shed])])
        shed.at = SENT_MS + 1
        self.assert_reason("queue_shed", nodes=[node(sessions=[session], events=[shed])])

    def test_hinted(self) -> None:
        """Whoever was only told that there is something has to pull it."""
        session = ExplainSession(sessionId=1, deviceId="phone", since=SENT_MS - 1)
        hint = ExplainFanout(at=SENT_MS, firstSeq=5, lastSeq=5, mode=HINTED, sessions=9)
        self.assertIn("has to pull it", self.assert_reason(
            "not_acknowledged", nodes=[node(sessions=[session], fanouts=[hint])]
        ))  # fmt: skip

    def test_not_told(self) -> None:
        """A node that has the device and no record of the message is named; that it was sent is not assumed."""
        session = ExplainSession(sessionId=1, deviceId="phone", since=SENT_MS - 1)
        handed = ExplainFanout(at=SENT_MS, firstSeq=5, lastSeq=5, mode=HANDED_ON, nodeIds=[2], nodeCount=1)
        owner, home = node(1, fanouts=[handed]), node(2, sessions=[session])
        self.assertIn("core-2", self.assert_reason("not_told", nodes=[owner, home]))
        home.fanouts.add(at=SENT_MS, firstSeq=5, lastSeq=5, mode=PUSHED, sessions=1)
        self.assertIn("was sent it", self.assert_reason("not_acknowledged", nodes=[owner, home]))

    def test_never_acknowledged(self) -> None:
        """A client that has never acknowledged anything may have everything; that is said."""
        session = ExplainSession(sessionId=1, deviceId="phone", since=SENT_MS - 1)
        pushed = ExplainFanout(at=SENT_MS, firstSeq=5, lastSeq=5, mode=PUSHED, sessions=1)
        nodes = [node(sessions=[session], fanouts=[pushed])]
        self.assertIn("may well have it", judge(facts(nodes=nodes)).advice)
        self.assertIn("is stuck", judge(facts(nodes=nodes, stored=stored(delivered=4))).advice)

    def test_came_later(self) -> None:
        """Who came after it was stored was not sent it, but told by the sync."""
        session = ExplainSession(sessionId=1, deviceId="phone", since=SENT_MS + 5)
        pushed = ExplainFanout(at=SENT_MS, firstSeq=5, lastSeq=5, mode=PUSHED, sessions=1)
        text = self.assert_reason("not_acknowledged", nodes=[node(fanouts=[pushed], sessions=[session])])
        self.assertIn("first sync", text)

    def test_fanouts_forgotten(self) -> None:
        """A node that remembers sessions longer than fan-outs says so."""
        session = ExplainSession(sessionId=1, deviceId="phone", since=SENT_MS - 1)
        short = node(sessions=[session])
        short.fanoutsSince = SENT_MS + 1
        self.assertIn("remembers no fan-outs before", self.assert_reason("not_acknowledged", nodes=[short]))

    def test_fanout_failed(self) -> None:
        """A fan-out that failed is told before anybody's client is blamed."""
        session = ExplainSession(sessionId=1, deviceId="phone", since=SENT_MS - 1)
        failed = ExplainFanout(at=SENT_MS, firstSeq=5, lastSeq=5, mode=FANOUT_FAILED)
        self.assert_reason("fanout_failed", nodes=[node(sessions=[session], fanouts=[failed])])
        swept = ExplainFanout(at=SENT_MS + 9, firstSeq=5, lastSeq=8, mode=HINTED, sessions=1)
        text = self.assert_reason(
            "not_acknowledged", nodes=[node(sessions=[session], fanouts=[failed, swept])]
        )
        self.assertIn("has to pull it", text)


class Steps(SynchronousTestCase):
    """The timeline."""

    def test_in_order(self) -> None:
        """By time, over all nodes; what has no time comes last."""
        handed = ExplainFanout(
            at=SENT_MS + 7, firstSeq=4, lastSeq=6, mode=HANDED_ON, nodeIds=[2], nodeCount=3
        )
        pushed = ExplainFanout(at=SENT_MS + 9, firstSeq=4, lastSeq=6, mode=PUSHED, sessions=1)
        session = ExplainSession(
            sessionId=1, deviceId="phone", since=SENT_MS - 50, until=SENT_MS + 90, ended="kicked: same_device"
        )
        nodes = [node(2, fanouts=[pushed], sessions=[session]), node(1, fanouts=[handed])]
        steps = steps_of(facts(nodes=nodes, stored=stored(delivered=4)))
        self.assertEqual(
            [(step.what, step.where) for step in steps],
            [
                ("membership", "business"),
                ("connected", "core-2"),
                ("admitted", "core-0"),
                ("permission", "core-0"),
                ("stored", ""),
                ("fan-out", "core-1"),
                ("fan-out", "core-2"),
                ("disconnected", "core-2"),
                ("delivered", ""),
                ("read", ""),
            ],
        )
        self.assertIn("core-2 and 2 more", steps[5].text)
        self.assertIn("kicked: same_device", steps[7].text)


class Names(SynchronousTestCase):
    """What MESSAGE may be."""

    def test_good(self) -> None:
        """A server id, a place, a key; a clientMsgId may hold colons."""
        self.assertEqual(MessageName.parse("252947159274488483"), MessageName(252947159274488483))
        self.assertEqual(MessageName.parse("p_1:7"), MessageName(0, "p_1", 7))
        self.assertEqual(MessageName.parse("p_1/5/a:b.c"), MessageName(0, "p_1", 0, 5, "a:b.c"))

    def test_bad(self) -> None:
        """Anything else is told what it should have been."""
        for text in ("", "x", "0", "-1", "1.5", "p_1:", ":7", "p_1:0", "p_1:-1", "p_1:٣", "p 1:7", "p_1/5", "p_1//m",
                     "p_1/0/m", "p_1/5/", "p_1/5/a b", "/5/m", "9" * 19, "9" * 400, "p_1:" + "9" * 30, "a\nb:1"):  # fmt: skip
            with self.assertRaises(PayloadInvalid, msg=repr(text)):
                MessageName.parse(text)
