"""Admission: order, idempotency, limits."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from imd.core.message import group_commit
from imd.core.message.append import MAX_TWINS
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend
from imd.core.message.waiting import MAX_WAITING_PER_CONVERSATION
from imd.kernel.errors import Code, ImError
from imd.kernel.ids import direct_conversation_id
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID, Answers, PipelineCase, Told

DIRECT = direct_conversation_id(ANN, BOB)


class OrderTests(PipelineCase):
    """What is submitted first gets the lower seq."""

    def test_first(self) -> None:
        """A message is accepted, then stored as number 1."""
        self.send("a")
        self.assertEqual(self.answers.told, [Told("accepted", "a"), Told("stored", "a", 1)])
        self.assertEqual(self.stored(), [(1, "a")])
        self.assertEqual(self.now.appender.unsettled, 0)

    def test_while_members_are_looked_up(self) -> None:
        """Sends that wait for the members keep their order, also with those that come after."""
        self.people.gate = Deferred()
        for name in "abc":
            self.send(name)
        self.assertEqual(self.answers.told, [])
        self.assertEqual(self.now.appender.unsettled, 3)
        gate, self.people.gate = self.people.gate, None
        gate.callback(None)
        self.send("d")
        self.assertEqual(self.stored(), [(1, "a"), (2, "b"), (3, "c"), (4, "d")])

    def test_submitted_from_within_an_answer(self) -> None:
        """A send that an answer sets off does not overtake those that wait."""
        case = self

        class Eager(Answers):
            def accepted(self, send: PendingSend) -> None:
                case.send("late")

        self.people.gate = Deferred()
        self.send("a", submitter=Eager())
        self.send("b")
        gate, self.people.gate = self.people.gate, None
        gate.callback(None)
        self.assertEqual([name for _, name in self.stored()], ["a", "b", "late"])

    def test_across_batches(self) -> None:
        """Batches are cut at the batch size, and what comes meanwhile is the next one."""
        self.start(batch_size=3)
        self.send("warm")
        self.log.batches.clear()
        self.log.hold()
        for number in range(8):
            self.send(f"m{number}")
        self.assertEqual(self.answers.seqs(), [1])
        self.log.release()
        self.assertEqual(self.log.batches, [1, 3, 3, 1])
        self.assertEqual(self.stored()[1:], [(number + 2, f"m{number}") for number in range(8)])
        self.assertEqual(self.answers.seqs(), list(range(1, 10)))

    def test_batch_bytes(self) -> None:
        """A batch ends once it holds so many bytes."""
        self.patch(group_commit, "MAX_BATCH_BYTES", 100_000)
        self.log.hold()
        self.send("first")
        for number in range(50):
            self.send(f"m{number}", text="x" * 5_000)
        self.log.release()
        self.assertEqual(self.log.batches, [1, 20, 20, 10])

    def test_conversations_apart(self) -> None:
        """Each conversation counts for itself, also within one batch."""
        self.people.put("g_2", BOB, ANN)
        self.log.hold()
        for number in range(4):
            self.send(f"m{number}", conversation_id=("g_1", "g_2")[number % 2])
        self.log.release()
        self.assertEqual(self.stored("g_1"), [(1, "m0"), (2, "m2")])
        self.assertEqual(self.stored("g_2"), [(1, "m1"), (2, "m3")])

    def test_a_submitter_that_fails(self) -> None:
        """Whoever fails at hearing of its own message takes nobody else's away."""
        broken = Answers()
        broken.breaks = True
        self.log.hold()
        self.send("a")
        self.send("b", submitter=broken)
        self.send("c")
        self.log.release()
        self.send("d")
        self.assertEqual([name for _, name in self.stored()], ["a", "b", "c", "d"])
        self.assertEqual(self.answers.seqs(), [1, 3, 4])
        self.assertEqual(self.now.appender.unsettled, 0)
        self.flushLoggedErrors(RuntimeError)


class IdempotencyTests(PipelineCase):
    """One key, one message."""

    def test_twin(self) -> None:
        """A resend of what is being written gets the same result, as a duplicate."""
        self.log.hold()
        self.send("a")
        self.send("a")
        self.log.release()
        self.assertEqual(self.answers.of("a"), ["accepted", "accepted", "stored", "duplicate"])
        self.assertEqual(self.stored(), [(1, "a")])

    def test_too_many_twins(self) -> None:
        """Resends of one message are kept up to a limit."""
        self.log.hold()
        for _ in range(MAX_TWINS + 5):
            self.send("a")
        self.assertEqual(self.answers.of("a").count("failed"), 4)
        self.log.release()
        self.assertEqual(self.answers.of("a").count("duplicate"), MAX_TWINS)

    def test_recent(self) -> None:
        """A resend of what is stored is answered without the store."""
        self.send("a")
        self.send("b")
        self.log.batches.clear()
        self.send("a")
        self.assertEqual(self.answers.told[-1], Told("duplicate", "a", 1))
        self.assertEqual(self.log.batches, [])

    def test_after_a_restart(self) -> None:
        """Only the store remembers: the first result again, and no new message."""
        self.send("a")
        self.send("b")
        self.restart()
        self.send("a")
        self.assertEqual(self.answers.told[-1], Told("duplicate", "a", 1))
        self.send("c")
        self.assertEqual(self.stored(), [(1, "a"), (2, "b"), (3, "c")])

    def test_forgotten(self) -> None:
        """Results beyond the limit are forgotten, and found in the store."""
        self.start(recent_sends=2)
        for name in "abcd":
            self.send(name)
        self.send("a")
        self.assertEqual(self.answers.told[-1], Told("duplicate", "a", 1))
        self.assertLessEqual(len(self.now.appender._recent), 2)

    def test_other_content(self) -> None:
        """The same key with other content is 1012, in flight, stored, and after a restart."""
        self.log.hold()
        self.send("a", text="one")
        self.send("a", text="two")
        self.log.release()
        self.send("a", text="two")
        self.restart()
        self.send("a", text="two")
        refused = [told.code for told in self.answers.told if told.what == "failed"]
        self.assertEqual(refused, [Code.IDEMPOTENT_CONFLICT] * 3)
        self.assertEqual(len(self.stored()), 1)

    def test_keys_of_others(self) -> None:
        """Two people may use the same id."""
        self.send("a", sender=ANN)
        self.send("a", sender=BOB)
        self.assertEqual(self.stored(), [(1, "a"), (2, "a")])

    def test_duplicates_in_the_middle(self) -> None:
        """Known keys in a batch leave no hole, wherever they are and however many."""
        for name in ("x", "y", "z"):
            self.send(name)
        self.restart()
        self.log.hold()
        self.send("warm")
        for name in ("a", "x", "b", "c", "y", "d", "z", "e", "a"):
            self.send(name)
        self.log.release()
        self.assert_contiguous()
        self.assertEqual(
            [name for _, name in self.stored()], ["x", "y", "z", "warm", "a", "b", "c", "d", "e"]
        )
        self.assertEqual(self.answers.of("y"), ["accepted", "stored", "accepted", "duplicate"])

    def test_many_duplicates(self) -> None:
        """A reconnect storm's worth of known keys costs a few writes, not one each."""
        for number in range(100):
            self.send(f"m{number}")
        self.restart()
        self.log.batches.clear()
        self.log.hold()
        self.send("warm")
        for number in range(100):
            self.send(f"m{number}")
        self.send("new")
        self.log.release()
        self.assertLess(len(self.log.batches), 6)
        self.assertEqual(self.stored()[-2:], [(101, "warm"), (102, "new")])
        self.assertEqual(self.answers.of("m7"), ["accepted", "stored", "accepted", "duplicate"])


class AccessTests(PipelineCase):
    """Only members write."""

    def refused(self) -> list[int]:
        return [told.code for told in self.answers.told if told.what == "failed"]

    def test_strangers(self) -> None:
        """A foreign conversation and one that does not exist are refused alike."""
        self.send("a", sender=DAN)
        self.send("b", conversation_id="g_none")
        self.assertEqual(self.refused(), [Code.FORBIDDEN, Code.FORBIDDEN])

    def test_kicked(self) -> None:
        """Nobody writes after leaving, although the conversation is hot."""
        self.send("a", sender=CY)
        self.change(GROUP_ID, ANN, BOB)
        self.send("b", sender=CY)
        self.assertEqual(self.refused(), [Code.FORBIDDEN])
        self.assertEqual(self.stored(), [(1, "a")])

    def test_kicked_while_the_store_is_read(self) -> None:
        """A change that falls between the look-up and the first store read is not missed."""
        self.people.put("g_2", ANN, CY)
        cy = self.connect(CY)
        original = self.log.last_seqs

        async def last_seqs(conversation_ids: list[str]) -> dict[str, int]:
            self.change("g_2", ANN, BOB)
            return dict(await original(conversation_ids))

        self.log.last_seqs = last_seqs  # type: ignore[assignment, method-assign]
        self.send("a", sender=CY, conversation_id="g_2")
        self.log.last_seqs = original  # type: ignore[method-assign]
        self.send("b", sender=ANN, conversation_id="g_2")
        self.assertEqual(self.refused(), [Code.FORBIDDEN])
        self.assertEqual(cy.seqs("g_2"), [])

    def test_directory_down(self) -> None:
        """Without an answer about the members a send is refused for now, and the next one asks again."""
        self.people.busy = True
        self.send("a")
        self.people.busy = False
        self.send("b")
        self.assertEqual(self.refused(), [Code.SERVER_BUSY])
        self.assertEqual(self.stored(), [(1, "b")])

    def test_opens_a_direct_conversation(self) -> None:
        """The first message to a peer opens the conversation; those behind it follow in order."""
        self.people.gate = Deferred()
        self.send("a", conversation_id=DIRECT, peer_user_id=BOB)
        self.send("b", conversation_id=DIRECT)
        self.send("c", sender=BOB, conversation_id=DIRECT, peer_user_id=ANN)
        self.send("d", sender=CY, conversation_id=DIRECT)
        gate, self.people.gate = self.people.gate, None
        gate.callback(None)
        self.assertEqual(self.stored(DIRECT), [(1, "a"), (2, "b"), (3, "c")])
        self.assertEqual(self.refused(), [Code.FORBIDDEN])

    def test_refusal_is_the_senders_own(self) -> None:
        """Who may not open the conversation does not take it away from the other side."""
        self.people.blocked.add(ANN)
        self.people.gate = Deferred()
        self.send("a", conversation_id=DIRECT, peer_user_id=BOB)
        self.send("b", conversation_id=DIRECT, peer_user_id=BOB)
        self.send("c", sender=BOB, conversation_id=DIRECT, peer_user_id=ANN)
        gate, self.people.gate = self.people.gate, None
        gate.callback(None)
        self.assertEqual(self.stored(DIRECT), [(1, "c")])
        self.assertEqual(self.refused(), [Code.FORBIDDEN, Code.FORBIDDEN])

    def test_system_needs_no_membership(self) -> None:
        """The server itself writes wherever the conversation exists."""
        self.send("a", sender=SYSTEM_SENDER_ID)
        self.assertEqual(self.stored(), [(1, "a")])


class LimitTests(PipelineCase):
    """Queues are bounded, and small conversations outlast large ones."""

    def fill(self, count: int, **more: object) -> list[str]:
        before = len(self.answers.told)
        for number in range(count):
            self.send(f"f{before}-{number}", **more)  # type: ignore[arg-type]
        return [told.what for told in self.answers.told[before:] if told.what == "failed"]

    def test_water_marks(self) -> None:
        """70 % turns away large media, 85 % large groups, 95 % everybody, and only the system is heard."""
        self.start(queue_size=100)
        self.people.put("g_big", *range(1, 1003))
        self.send("warm", conversation_id="g_big")
        self.send("warm")
        self.log.hold()
        self.assertEqual(len(self.fill(80, conversation_id="g_big", is_media=True)), 10)
        self.assertEqual(self.now.appender.unsettled, 70)
        self.assertEqual(len(self.fill(20, conversation_id="g_big")), 5)
        self.assertEqual(self.now.appender.unsettled, 85)
        self.assertEqual(len(self.fill(20)), 10)
        self.assertEqual(self.now.appender.unsettled, 95)
        self.assertEqual(len(self.fill(10, sender=SYSTEM_SENDER_ID)), 5)
        self.assertEqual(self.now.appender.unsettled, 100)
        self.log.release()
        self.assertEqual(self.now.appender.unsettled, 0)
        self.assertEqual(self.fill(1, conversation_id="g_big", is_media=True), [])

    def test_waiting_for_one_conversation(self) -> None:
        """A conversation whose members are not known holds so many sends, not more."""
        self.start(queue_size=5000)
        self.people.gate = Deferred()
        self.assertEqual(len(self.fill(MAX_WAITING_PER_CONVERSATION + 7)), 7)
        self.assertEqual(self.now.appender.unsettled, MAX_WAITING_PER_CONVERSATION)

    def test_waiting_for_many_conversations(self) -> None:
        """Sends to many unknown conversations together are bounded too."""
        self.start(queue_size=20)
        self.people.gate = Deferred()
        for number in range(30):
            self.send(f"m{number}", conversation_id=f"g_{number}")
        self.assertEqual(self.now.appender.unsettled, 20)
        self.assertEqual({told.code for told in self.answers.told}, {Code.SERVER_BUSY})

    def test_conversation_rate(self) -> None:
        """A conversation takes so many a second; the rest hears when to come again."""
        self.start(conversation_per_s=5)
        waits: list[int] = []

        class Waits(Answers):
            def failed(self, send: PendingSend, error: ImError) -> None:
                super().failed(send, error)
                waits.append(error.retry_after_ms)

        self.answers = Waits()
        self.assertEqual(len(self.fill(8)), 3)
        self.assertTrue(all(0 < wait <= 1000 for wait in waits))
        self.assertEqual(self.fill(1, sender=SYSTEM_SENDER_ID), [])
        self.clock.advance(1)
        self.assertEqual(len(self.fill(6)), 1)

    def test_nothing_is_pinned(self) -> None:
        """When all is answered, no conversation is in use any more."""
        self.fill(5)
        self.fill(5, sender=DAN)
        self.pass_time(2)
        self.assertEqual([live.in_use for live in self.now.live], [0])
        self.assertEqual(len(self.now.tasks), 0)
