"""While the authority is slow or gone: what becomes of a message in each cell of the matrix, and all around it."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from imd.bus.audit import REFUSED, RELEASED
from imd.core.directory import CONTROL, GROUP, MANAGED, P2P, PUBLIC, Speaker
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend
from imd.core.permission.channel import Breaker
from imd.core.permission.release import MAX_UNRECORDED
from imd.core.permission.values import Decision, Gray, Level, PolicyValues
from imd.kernel.errors import Code, Forbidden, ImError
from imd.kernel.ids import direct_conversation_id
from imd.pb.sync_pb2 import HistoryReq, HistoryResp
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID, Answers, PipelineCase
from tests.core.permission.test_policy import CELLS
from tests.named_cases import named_cases

DIRECT = direct_conversation_id(ANN, BOB)
OFFICIAL_ID = "g_public"
CONVERSATIONS = {"p2p": DIRECT, "group": GROUP_ID, "sensitive": OFFICIAL_ID, "system": GROUP_ID}
#: Longer than any snapshot is believed.
OLD_S = 700.0
SLOW_S = 0.15


class Refusals(Answers):
    """Keeps errors, too."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: dict[str, ImError] = {}

    def failed(self, send: PendingSend, error: ImError) -> None:
        super().failed(send, error)
        self.errors[send.key.client_msg_id] = error


class StandInCase(PipelineCase):
    """Three conversations that are known here, and known no longer fresh."""

    def setUp(self) -> None:
        super().setUp()
        self.people.put(DIRECT, ANN, BOB, kind=P2P)
        self.people.put(OFFICIAL_ID, ANN, BOB, CY)
        self.people.known[OFFICIAL_ID] = self.people.known[OFFICIAL_ID]._replace(
            group_kind=PUBLIC, sensitive=True
        )
        self.answers = self.refusals = Refusals()
        for conversation_id in (DIRECT, GROUP_ID, OFFICIAL_ID):
            self.send("first", conversation_id=conversation_id)
        self.answers.told.clear()
        self.clock.advance(OLD_S)

    @property
    def standing(self) -> Any:
        return self.now.standing

    @property
    def entries(self) -> list[tuple[str, str, int]]:
        """(decision, clientMsgId, seq) of what was recorded."""
        return [(each.decision, each.request_id, each.seq) for each in self.standing.trail.entries]

    def set_values(self, **changes: Any) -> None:
        self.standing.stand_in.values = PolicyValues()._replace(**changes)

    def silence(self) -> None:
        """From here on the authority says nothing."""
        self.people.gate = Deferred()

    def slow_down(self) -> None:
        """It answers, after 150 ms, and has done so for a while."""
        for _ in range(5):
            self.standing.channel.answered(SLOW_S, self.clock.seconds())
        gate = self.people.gate = Deferred()
        self.clock.callLater(SLOW_S, gate.callback, None)


@named_cases(CELLS, "{0} x {1} while the channel is {2.name}: {3}.")
class CellTests(StandInCase):
    """One test a cell: what becomes of a message there, and when."""

    def check(self, kind: str, message: str, level: Level, decision: str, audit: str) -> None:
        if level is Level.DEGRADED:
            self.slow_down()
        elif level is Level.TIMED_OUT:
            self.silence()
        self.put_in(kind, message)
        waits = Decision(decision) in (Decision.STRICT, Decision.RELEASE, Decision.REFUSE)
        at_once = self.answers.of("a")
        self.assertEqual(bool(at_once), not waits)
        self.pass_time(0.31, 0.01)
        refused = decision == "refuse"
        self.assertEqual(self.answers.of("a")[-1], "failed" if refused else "stored")
        if refused:
            error = self.refusals.errors["a"]
            self.assertEqual((error.code, error.reason), (Code.SERVER_BUSY, "degraded"))
            self.assertGreater(error.retry_after_ms, 0)
        told = {"cache": (RELEASED, 2), "release": (RELEASED, 2), "refuse": (REFUSED, 0)}.get(decision)
        self.assertEqual(self.entries, [] if told is None else [(told[0], "a", told[1])])
        for entry in self.standing.trail.entries:
            self.assertEqual(entry.action, "message.recall" if message == "control" else "message.send")
            self.assertEqual(entry.level, ("low", "medium", "high").index(audit) + 1)

    def put_in(self, kind: str, message: str) -> None:
        how: dict[str, Any] = {"is_media": message == "media"}
        if message == "control":
            how = {"right": CONTROL, "revokes": (1, b"")}
        sender = SYSTEM_SENDER_ID if kind == "system" else ANN
        self.send("a", sender=sender, conversation_id=CONVERSATIONS[kind], **how)


class DeadlineTests(StandInCase):
    """Nobody waits longer than the scene allows."""

    def outcome_after(self, seconds: float, conversation_id: str) -> list[str]:
        self.silence()
        self.send("a", conversation_id=conversation_id)
        self.pass_time(seconds - 0.002, 0.001)
        self.assertEqual(self.answers.of("a"), [])
        self.pass_time(0.004, 0.001)
        return self.answers.of("a")

    def test_ordinary(self) -> None:
        """300 ms in a group and 1:1, then it is let through."""
        self.assertEqual(self.outcome_after(0.3, GROUP_ID), ["accepted", "stored"])

    def test_public(self) -> None:
        """200 ms in a public group, then it is refused."""
        self.assertEqual(self.outcome_after(0.2, OFFICIAL_ID), ["failed"])

    def test_managed(self) -> None:
        """150 ms in a managed one."""
        self.people.known[GROUP_ID] = self.people.known[GROUP_ID]._replace(group_kind=MANAGED, version=9)
        self.learn(GROUP_ID)
        self.assertEqual(self.outcome_after(0.15, GROUP_ID), ["failed"])

    def test_large(self) -> None:
        """100 ms in a large one."""
        self.people.put(GROUP_ID, *range(1, 1102))
        self.learn(GROUP_ID)
        self.assertEqual(self.outcome_after(0.1, GROUP_ID), ["failed"])

    def test_unknown(self) -> None:
        """300 ms where it is not known what it is, then it is refused: nobody could say who is in."""
        self.assertEqual(self.outcome_after(0.3, "g_unknown"), ["failed"])
        self.assertEqual(self.refusals.errors["a"].reason, "degraded")

    def test_two_questions(self) -> None:
        """A first message to somebody takes two questions, and no longer than one."""

        async def silent(speaker: Speaker, peer_user_id: int) -> str:
            return await Deferred()

        self.patch(self.people, "open_direct", silent)
        peer = direct_conversation_id(ANN, DAN)
        self.send("a", conversation_id=peer, peer_user_id=DAN)
        self.pass_time(0.305, 0.005)
        self.assertEqual(self.answers.of("a"), ["accepted", "stored"])

    def test_shared(self) -> None:
        """Who comes while others wait waits no longer than they."""
        self.silence()
        self.send("a")
        self.pass_time(0.25, 0.05)
        self.send("b")
        self.pass_time(0.055, 0.005)
        self.assertEqual(self.answers.of("b"), ["accepted", "stored"])

    def test_late_answer_counts_for_the_next(self) -> None:
        """What the authority says after the deadline is known from then on."""
        self.silence()
        self.send("a", conversation_id=OFFICIAL_ID)
        self.pass_time(0.25, 0.05)
        gate, self.people.gate = self.people.gate, None
        assert gate is not None
        gate.callback(None)
        self.send("b", conversation_id=OFFICIAL_ID)
        self.assertEqual((self.answers.of("a"), self.answers.of("b")), (["failed"], ["accepted", "stored"]))

    def learn(self, conversation_id: str) -> None:
        """Known here again, and no longer fresh again."""
        self.now.members.invalidate(conversation_id, 0)
        self.send("learn", conversation_id=conversation_id, sender=ANN)
        self.clock.advance(OLD_S)


class ReleaseTests(StandInCase):
    """What is let through, and by what."""

    def test_order(self) -> None:
        """Released messages keep their order, also with those that are checked after."""
        self.silence()
        for name in "abc":
            self.send(name)
        self.pass_time(0.35)
        gate, self.people.gate = self.people.gate, None
        assert gate is not None
        gate.callback(None)
        for name in "de":
            self.send(name)
        self.assertEqual([name for _, name in self.stored()], ["first", "a", "b", "c", "d", "e"])

    def test_fan_out(self) -> None:
        """Members hear it who were members last, but for those who are heard to be out since."""
        bob, cy = self.connect(BOB), self.connect(CY)
        self.now.members.invalidate(GROUP_ID, 2, removed_ids=[CY])
        self.silence()
        self.send("a")
        self.pass_time(0.35)
        self.assertEqual((bob.seqs(), cy.seqs()), ([2], []))

    def test_what_is_known_holds(self) -> None:
        """Who was out or mute when last heard is refused as ever, and that is no release."""
        self.silence()
        self.send("a", sender=DAN)
        self.now.members.invalidate(GROUP_ID, 2, restricted_ids=[BOB])
        self.send("b", sender=BOB)
        self.pass_time(0.35)
        self.assertIsInstance(self.refusals.errors["a"], Forbidden)
        self.assertEqual(self.refusals.errors["a"].reason, "not_member")
        self.assertEqual(self.refusals.errors["b"].reason, "muted")
        self.assertEqual(self.entries, [])

    def test_unknown_peer(self) -> None:
        """A 1:1 conversation that nothing is known of is still that of its two."""
        self.silence()
        peer = direct_conversation_id(ANN, DAN)
        dan = self.connect(DAN)
        self.send("a", conversation_id=peer, peer_user_id=DAN)
        self.send("b", conversation_id=peer)
        self.pass_time(0.35)
        self.assertEqual(dan.seqs(peer), [1])
        self.assertEqual(self.refusals.errors["b"].reason, "degraded")
        self.assertEqual(json.loads(self.standing.trail.entries[0].detail)["peer"], DAN)

    def test_peer_becomes_known(self) -> None:
        """Once business has made the conversation, whoever could not be found before is told what was said."""
        self.silence()
        peer = direct_conversation_id(ANN, DAN)
        self.send("a", conversation_id=peer, peer_user_id=DAN)
        self.pass_time(0.35)
        gate, self.people.gate = self.people.gate, None
        assert gate is not None
        gate.callback(None)
        dan = self.connect(DAN)
        self.people.put(peer, ANN, DAN, kind=P2P)
        self.now.members.invalidate(peer, 1)
        self.pass_time(1.1)
        self.assertEqual(dan.hints, [1])

    def test_restricted_peer(self) -> None:
        """Unless the sender may be one whom somebody does not want to hear of."""
        self.standing.restricted.add(ANN)
        self.silence()
        self.send("a", conversation_id=direct_conversation_id(ANN, DAN), peer_user_id=DAN)
        self.pass_time(0.35)
        self.assertEqual(self.answers.of("a"), ["failed"])

    def test_failed_to_store(self) -> None:
        """What was let through and could not be stored is recorded as such."""
        self.silence()
        self.log.faults.extend(["busy"] * 10)
        self.send("a")
        self.pass_time(20.0)
        self.assertEqual(self.answers.of("a")[-1], "failed")
        (entry,) = self.standing.trail.entries
        self.assertEqual((entry.decision, entry.seq), (RELEASED, 0))
        self.assertIn("failed", json.loads(entry.detail))

    def test_resend(self) -> None:
        """The first result again is no second release."""
        self.silence()
        self.send("a")
        self.pass_time(0.35)
        self.send("a")
        self.pass_time(0.35)
        self.assertEqual(self.answers.of("a")[-1], "duplicate")
        self.assertEqual(self.entries, [(RELEASED, "a", 2)])
        self.assertTrue(self.standing.releases.has_room)

    def test_no_room(self) -> None:
        """What could not be recorded is not let through."""
        self.silence()
        self.standing.trail.releases_waiting = MAX_UNRECORDED
        self.send("a")
        self.pass_time(0.35)
        self.assertEqual(self.answers.of("a"), ["failed"])
        self.standing.trail.releases_waiting = MAX_UNRECORDED - 1
        self.log.hold()
        self.send("b")
        self.send("c", conversation_id=DIRECT)
        self.pass_time(0.35)
        self.log.release()
        self.assertEqual([self.answers.of(name)[-1] for name in "bc"], ["stored", "failed"])


class SwitchTests(StandInCase):
    """What operators can set."""

    def assert_refused(self, **changes: Any) -> None:
        self.set_values(**changes)
        self.silence()
        self.send("a")
        self.pass_time(0.35)
        self.assertEqual(self.answers.of("a"), ["failed"])

    def test_gray_scene(self) -> None:
        """Where the release is not switched on, the answer is no."""
        self.assert_refused(gray=Gray(scenes=frozenset({"p2p"})))

    def test_gray_users(self) -> None:
        """For whom it is not switched on, the answer is no."""
        self.assert_refused(gray=Gray(users_percent=0.0))

    def test_gray_level(self) -> None:
        """Below the level for which it is switched on, the answer is no."""
        self.set_values(gray=Gray(min_level=2))
        self.silence()
        for level in (1, 2):
            self.send(f"level{level}", level=level)
        self.pass_time(0.35)
        self.assertEqual([self.answers.of(f"level{level}")[-1] for level in (1, 2)], ["failed", "stored"])

    def test_cell(self) -> None:
        """A cell that says otherwise holds at once."""
        matrix = dict(PolicyValues().matrix)
        for key, row in matrix.items():
            matrix[key] = row._replace(timed_out=Decision.REFUSE)
        self.assert_refused(matrix=matrix)

    def test_shadow(self) -> None:
        """In the shadow nothing is let through and nothing kept from being asked; what would be is recorded."""
        self.set_values(shadow=True)
        self.slow_down()
        self.silence()
        self.send("a")
        self.send("b", conversation_id=OFFICIAL_ID)
        self.pass_time(0.35)
        self.assertEqual([self.refusals.errors[name].code for name in "ab"], [Code.SERVER_BUSY] * 2)
        self.assertEqual([self.refusals.errors[name].reason for name in "ab"], ["", ""])
        self.assertEqual(self.entries, [("would_release", "a", 0), ("would_refuse", "b", 0)])


class ThrottleTests(StandInCase):
    """Less is taken where much could not be checked."""

    def test_rates(self) -> None:
        """An ordinary group gets four fifths of its rate, and all of it again after."""
        self.start(conversation_per_s=10)
        self.assertEqual(self.taken("a"), 10)
        self.clock.advance(10)
        self.standing.stand_in.failed_share = 0.06
        self.assertEqual(self.taken("b"), 8)
        self.clock.advance(10)
        self.assertEqual(self.taken("c"), 8)
        self.standing.stand_in.failed_share = 0.0
        self.taken("d")
        self.clock.advance(10)
        self.assertEqual(self.taken("e"), 10)

    def taken(self, name: str) -> int:
        for number in range(20):
            self.send(f"{name}{number}", conversation_id=GROUP_ID)
        return sum("stored" in self.answers.of(f"{name}{number}") for number in range(20))


class BreakerTests(StandInCase):
    """The breaker, as ``Asking`` heeds it."""

    def test_open_for_sends_only(self) -> None:
        """While nothing is asked for messages they go by the matrix, at once; who reads is answered."""
        self.people.spared = True
        self.send("a")
        self.assertEqual(self.answers.of("a"), ["accepted", "stored"])
        self.assertEqual(self.entries, [(RELEASED, "a", 2)])
        self.send("b", conversation_id=OFFICIAL_ID)
        self.assertEqual(self.answers.of("b"), ["failed"])
        for conversation_id in CONVERSATIONS.values():
            request = HistoryReq(conversationId=conversation_id, fromSeq=1)
            page = HistoryResp.FromString(self.wait(self.now.catch_up.history(ANN, request)))
            self.assertEqual(page.messages[0].textContent, "first")

    def test_degraded_group_is_asked_again(self) -> None:
        """What goes by the cache asks all the same, so that it is found out when all is well."""
        self.slow_down()
        self.send("a")
        self.assertEqual(self.answers.of("a"), ["accepted", "stored"])
        self.pass_time(0.2, 0.05)
        self.assertIsNotNone(self.now.members.peek(GROUP_ID))
        self.assertIs(self.standing.channel.breaker, Breaker.CLOSED)
        self.assertEqual(self.people.known[GROUP_ID].kind, GROUP)
