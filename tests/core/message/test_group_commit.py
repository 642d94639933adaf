"""Group commit when the store fails, is in doubt, or has a second writer."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from imd.core.message.group_commit import MAX_OUTRUN
from imd.core.message.neighbours import NoNeighbours
from imd.core.message.settle import Settling
from imd.kernel.errors import Code
from imd.pb.message_pb2 import Message
from tests.core.message.harness import ANN, BOB, CY, GROUP_ID, LONG_S, PipelineCase, Told


class BusyTests(PipelineCase):
    """The store did provably nothing."""

    def test_retries(self) -> None:
        """A busy store is tried again after 1, 3 and 5 seconds."""
        self.log.faults.extend(["busy"] * 3)
        self.send("a")
        for pause_s, tries in ((0.9, 1), (0.2, 2), (2.8, 2), (0.2, 3), (4.7, 3), (0.3, 4)):
            self.clock.advance(pause_s)
            self.assertEqual(len(self.log.batches), tries)
        self.assertEqual(self.answers.of("a"), ["accepted", "stored"])

    def test_gives_up(self) -> None:
        """After the last try the send fails; later ones fail at once; the first that works ends that."""
        self.log.down = "busy"
        self.send("a")
        self.pass_time(9.5)
        self.assertEqual(self.answers.told[-1], Told("failed", "a", code=Code.SERVER_BUSY))
        self.send("b")
        self.assertEqual(self.answers.of("b"), ["accepted", "failed"])
        self.log.down = ""
        self.send("c")
        self.send("a")
        self.assertEqual(self.stored(), [(1, "c"), (2, "a")])
        self.log.faults.append("busy")
        self.send("d")
        self.clock.advance(1)
        self.assertEqual(self.answers.of("d"), ["accepted", "stored"])

    def test_reads_fail(self) -> None:
        """A store that cannot be read after another owner wrote leaves no hole and no double."""
        self.send("a")
        self.log.faults.append("foreign")
        self.log.read_faults.extend(["busy", "busy"])
        self.send("b")
        self.pass_time(LONG_S)
        self.assertEqual(self.stored(), [(1, "a"), (2, "foreign-1"), (3, "b")])
        self.assertEqual(self.answers.of("b"), ["accepted", "stored"])

    def test_receivers_follow(self) -> None:
        """What a busy store delays is delivered once, in order."""
        bob = self.connect(BOB)
        self.log.faults.extend(["busy", "", "busy"])
        for name in "abc":
            self.send(name)
        self.pass_time(LONG_S)
        self.assertEqual(bob.seqs(), [1, 2, 3])


class DoubtTests(PipelineCase):
    """The store may have done it."""

    def test_done(self) -> None:
        """A write that took effect unheard is STORED once, with its true seq, and delivered once."""
        bob = self.connect(BOB)
        self.send("a")
        self.log.hold()
        self.send("b")
        self.send("c")
        self.send("d", sender=CY)
        self.log.faults.extend(["", "unknown_after"])
        self.log.release()
        self.pass_time(LONG_S)
        self.assertEqual([name for _, name in self.stored()], ["a", "b", "c", "d"])
        self.assertEqual(self.answers.seqs(), [1, 2, 3, 4])
        self.assertEqual(self.answers.of("d"), ["accepted", "stored"])
        self.assertEqual(bob.seqs(), [1, 2, 3, 4])
        self.assertEqual(bob.hints, [])

    def test_not_done(self) -> None:
        """A write that took no effect is made again."""
        self.log.faults.append("unknown_before")
        self.send("a")
        self.clock.advance(1)
        self.assertEqual(self.answers.of("a"), ["accepted", "stored"])
        self.assertEqual(self.stored(), [(1, "a")])

    def test_half_done(self) -> None:
        """Of a batch that was half written, the rest follows without a hole or a double."""
        bob = self.connect(BOB)
        self.log.hold()
        for name in "abcde":
            self.send(name, sender=(ANN, CY)[name in "bd"])
        self.log.faults.extend(["", "unknown_half"])
        self.log.release()
        self.pass_time(LONG_S)
        self.assertEqual([name for _, name in self.stored()], list("abcde"))
        self.assertEqual(bob.seqs(), [1, 2, 3, 4, 5])
        self.assertEqual(self.answers.seqs(), [1, 2, 3, 4, 5])

    def test_delayed(self) -> None:
        """In doubt after all tries: DELAYED once, never FAILED, and STORED when the store is back."""
        self.send("warm")
        self.log.faults.append("unknown_after")
        self.log.read_faults.extend(["busy"] * 6)
        self.send("a")
        self.pass_time(9.5)
        self.assertEqual(self.answers.of("a"), ["accepted", "delayed"])
        self.send("a")
        self.pass_time(LONG_S)
        self.assertEqual(self.answers.of("a"), ["accepted", "delayed", "accepted", "stored", "duplicate"])
        self.assertEqual(self.answers.told[-2:], [Told("stored", "a", 2), Told("duplicate", "a", 2)])
        self.assert_contiguous()

    def test_nobody_waits_behind_a_doubt(self) -> None:
        """While one send is in doubt, those behind it, which were never tried, fail fast."""
        self.send("warm")
        self.log.hold()
        self.send("a")
        self.send("b")
        self.log.faults.append("unknown_after")
        self.log.read_faults.extend(["busy"] * 8)
        self.log.release()
        self.pass_time(9.5)
        self.assertEqual(self.answers.of("b"), ["accepted", "failed"])
        self.assertEqual(self.answers.of("a"), ["accepted", "delayed"])
        self.pass_time(LONG_S)
        self.assertEqual(self.stored(), [(1, "warm"), (2, "a")])
        self.assertEqual(self.now.appender.unsettled, 0)
        self.assertEqual([live.in_use for live in self.now.live], [0])

    def test_looking_fails_in_the_middle(self) -> None:
        """A look-up that fails after others succeeded has nobody told twice, and nothing pinned or unpinned."""
        self.send("warm")
        self.log.hold()
        self.send("a", sender=ANN)
        self.send("b", sender=BOB)
        self.send("c", sender=CY)
        self.log.faults.extend(["unknown_after", "unknown_after"])
        self.log.read_faults.extend(["", "", "busy"])
        self.log.release()
        self.pass_time(LONG_S)
        for name in "abc":
            self.assertEqual(self.answers.of(name), ["accepted", "stored"])
        self.assertEqual([live.in_use for live in self.now.live], [0])
        self.assertEqual(self.now.appender.unsettled, 0)

    def test_seen_by_a_load_first(self) -> None:
        """A tail that a look-up sees before the writer does is still told."""
        bob = self.connect(BOB)
        self.send("a")
        self.log.faults.append("unknown_after")
        self.send("b")
        self.wait(self.now.live.load(GROUP_ID))
        self.pass_time(LONG_S)
        self.assertEqual(bob.seqs(), [1, 2])

    def test_broken_contract(self) -> None:
        """An error that the store must not raise counts as doubt, and the writer lives on."""
        self.log.faults.append("broken")
        self.send("a")
        self.pass_time(2)
        self.send("b")
        self.assertEqual(self.stored(), [(1, "a"), (2, "b")])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class OtherOwnerTests(PipelineCase):
    """A second writer, which should not be, costs speed and nothing else."""

    def test_takes_a_seq(self) -> None:
        """A seq that is taken is not written over: read again, no hole, no double."""
        self.send("a")
        self.log.hold()
        for name in "bcd":
            self.send(name)
        self.log.faults.extend(["", "foreign"])
        self.log.release()
        self.assert_contiguous()
        self.assertEqual([name for _, name in self.stored()], ["a", "b", "foreign-1", "c", "d"])
        self.assertEqual(self.answers.seqs(), [1, 2, 4, 5])

    def test_endless_race(self) -> None:
        """Outrun every time, the writer pauses instead of spinning, and says so in the end."""
        self.log.down = "foreign"
        self.send("a")
        self.assertLessEqual(len(self.log.batches), MAX_OUTRUN)
        self.pass_time(LONG_S)
        self.assertEqual(self.answers.of("a"), ["accepted", "failed"])
        self.log.down = ""
        self.send("b")
        self.assertEqual(self.answers.of("b"), ["accepted", "stored"])
        self.assert_contiguous()


class NamesakeTests(PipelineCase):
    """Another process has made the same server_msg_id."""

    def body_of(self, seq: int) -> Message:
        body = self.wait(self.log.real.read_one(GROUP_ID, seq))
        assert body is not None
        return Message.FromString(body)

    def test_another_id(self) -> None:
        """The message gets another id, in its body too, and is stored in its place; nobody behind it suffers."""
        bob = self.connect(BOB)
        self.send("a")
        self.log.hold()
        sends = [self.send(name) for name in "bcdef"]
        ids = [send.server_msg_id for send in sends]
        # The first batch is "b" alone.
        self.log.faults.extend(["", "id_taken"])
        self.log.release()
        self.assertEqual([name for _, name in self.stored()], list("abcdef"))
        self.assertEqual(bob.seqs(), [1, 2, 3, 4, 5, 6])
        renumbered = [send for send, old in zip(sends, ids, strict=True) if send.server_msg_id != old]
        self.assertEqual([send.key.client_msg_id for send in renumbered], ["e"])
        stored = self.body_of(5)
        self.assertEqual((stored.serverMsgId, stored.textContent), (sends[3].server_msg_id, "e"))
        self.assertEqual(self.answers.of("e"), ["accepted", "stored"])

    def test_no_more_ids(self) -> None:
        """A node that makes no more ids refuses that message, and stores those behind it."""
        self.log.hold()
        self.send("a")
        self.send("b")
        self.ids.retire()
        self.log.faults.append("id_taken")
        self.log.release()
        self.assertEqual(self.answers.of("a"), ["accepted", "failed"])
        self.assertEqual(self.answers.of("b"), ["accepted", "stored"])
        self.assertEqual(self.stored(), [(1, "b")])

    def test_every_id(self) -> None:
        """However many ids are taken, the writer does not spin."""
        self.log.down = "id_taken"
        self.send("a")
        self.assertLessEqual(len(self.log.batches), MAX_OUTRUN)
        self.log.down = ""
        self.pass_time(2)
        self.assertEqual(self.answers.of("a"), ["accepted", "stored"])


class StopTests(PipelineCase):
    """A stop in good order loses nothing that was admitted."""

    def settle(self) -> None:
        stage = Settling(
            pending=[self.now.appender],
            neighbours=NoNeighbours(),
            receipts=self.now.receipts,
            clock=self.clock,
        )
        self.wait(stage.start())
        self.wait(stage.stop())

    def test_queue_is_written(self) -> None:
        """What is queued is stored before the tasks end, and so are the cursors."""
        self.log.hold()
        for name in "abc":
            self.send(name)
        self.clock.callLater(0.5, self.log.release)
        self.settle()
        self.wait(self.now.tasks.stop())
        self.assertEqual(self.stored(), [(1, "a"), (2, "b"), (3, "c")])
        self.assertEqual(self.cursors.writes[-1][0].read_seq, 3)

    def test_store_is_down(self) -> None:
        """A store that takes nothing does not hold up the stop for long."""
        self.log.down = "unknown_before"
        self.send("a")
        started_s = self.clock.seconds()
        self.settle()
        self.assertLess(self.clock.seconds() - started_s, 11)

    def test_cancelled(self) -> None:
        """A stop in the middle of a write ends at once; nothing was said that is not so."""
        self.log.hold()
        self.send("a")
        before_s = self.clock.seconds()
        self.wait(self.now.tasks.stop())
        self.assertEqual(self.clock.seconds(), before_s)
        self.assertEqual(self.answers.of("a"), ["accepted"])
        self.assertEqual(self.flushLoggedErrors(), [])
        self.log.release()

    def test_cancelled_look_up(self) -> None:
        """Who waits for the members at a stop hears to try again."""
        self.people.gate = Deferred()
        self.send("a")
        self.send("b")
        self.wait(self.now.tasks.stop())
        failures = [Told("failed", name, code=Code.SERVER_BUSY) for name in "ab"]
        self.assertEqual(self.answers.told, failures)
        self.assertEqual(self.now.appender.unsettled, 0)


class CountTests(PipelineCase):
    """What is counted of writes."""

    def test_counted(self) -> None:
        """Batches, what became durable, tries again by why, and how long all of it took."""
        counts = self.now.appender.writes
        self.send("a")
        self.assertEqual((counts.stored, counts.batch_messages.total, counts.write_seconds.count), (1, 1, 1))
        self.log.hold()
        for name in "bcd":
            self.send(name)
        self.clock.advance(0.25)
        self.log.release()
        self.pass_time(0.1)
        # One was under way, two were gathered behind it, and waited for it.
        self.assertEqual((counts.stored, counts.batch_messages.count, counts.batch_messages.total), (4, 3, 4))
        self.assertAlmostEqual(counts.assign_seq_seconds.total, 0.25)
        self.assertGreaterEqual(counts.write_seconds.total, 0.25)
        self.assertGreater(counts.stored_bytes, 4)
        self.log.faults.extend(["busy", "unknown_before", "foreign"])
        self.send("e")
        self.pass_time(LONG_S)
        self.assertEqual(counts.retries, {"busy": 1, "unknown": 1, "outrun": 1})
        self.assertEqual(counts.down, 0)

    def test_down(self) -> None:
        """A store that takes no writes counts as down until it takes one."""
        self.log.down = "busy"
        self.send("a")
        self.pass_time(9.5)
        self.assertEqual(self.now.appender.writes.down, 1)
        self.log.down = ""
        self.send("b")
        self.assertEqual(self.now.appender.writes.down, 0)
