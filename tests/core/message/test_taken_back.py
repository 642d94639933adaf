"""Sends that were taken back from an owner: FAILED is said of none that may be stored, and each is settled once."""

from __future__ import annotations

from typing import Any

from imd.bus.subjects import message_settled
from imd.core.directory import Membership
from imd.core.message.forwarded import ForwardedHere
from imd.kernel.errors import ServerBusy
from imd.pb.bus_pb2 import SendOutcome, SendOutcomes
from tests.core.message.harness import BOB, GROUP_ID
from tests.core.message.test_forward import ForwardCase


class TakenBackTests(ForwardCase):
    """The owner has taken Ann's send, and then nothing is heard of it."""

    def setUp(self) -> None:
        super().setUp()
        self.owning.cable.losing.add(message_settled(self.home.node_id))

    def test_nobody_knows_the_members(self) -> None:
        """What the owner has stored is STORED, also while the members of its conversation cannot be learned."""
        self.log.hold()
        self.say("a")
        self.pass_time(0.5)
        self.log.release()
        self.pass_time(0.5)
        self.wait(self.owning.die())

        async def busy(conversation_id: str, *, sparing: bool = False) -> Membership | None:
            raise ServerBusy("planted")

        self.patch(self.people, "membership", busy)
        self.home.members.forget(GROUP_ID)
        self.pass_time(40)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "duplicate"])
        self.assertEqual(self.home.forwarding.unsettled, 0)

    def test_refused_while_the_store_does_not_answer(self) -> None:
        """A send that is refused and may be stored is settled when the store answers again."""
        self.log.hold()
        self.say("a")
        self.pass_time(0.5)
        self.log.release()
        self.pass_time(0.5)
        self.people.put(GROUP_ID, BOB)
        self.home.members.invalidate(GROUP_ID, 0)
        self.wait(self.owning.die())
        find, failures = self.log.find, [ServerBusy("planted")]

        async def sometimes(*asked: Any) -> Any:
            if failures:
                raise failures.pop()
            return await find(*asked)

        self.patch(self.log, "find", sometimes)
        self.pass_time(40)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "delayed", "duplicate"])
        self.assertEqual(self.home.forwarding.unsettled, 0)

    def test_stored_nowhere(self) -> None:
        """An outcome that says STORED and no seq is not believed."""
        self.log.hold()
        self.say("a")
        self.pass_time(0.5)
        forward_id = next(iter(self.home.forwarding._forwards))
        outcomes = SendOutcomes(outcomes=[SendOutcome(forwardId=forward_id)])
        self.bus.publish(message_settled(self.home.node_id), outcomes.SerializeToString())
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.of("a"), ["accepted"])
        self.log.release()
        self.pass_time(40)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored"])

    def test_going_down(self) -> None:
        """An owner that is going down takes nothing more; nobody waits for it."""
        for stage in self.owning.stages:
            if isinstance(stage, ForwardedHere):
                self.wait(stage.stop())
        self.say("a")
        self.pass_time(0.5)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "stored"])

    def test_behind_what_is_in_doubt(self) -> None:
        """A store that takes nothing ends in DELAYED for all that may be stored, however many wait."""
        self.home.appender._commits[0]._batch_size = 1
        self.log.hold()
        self.say("a", "b", "c")
        self.pass_time(0.5)
        self.wait(self.owning.die())
        self.log.down = "unknown_before"
        self.log.release()
        self.pass_time(30)
        self.assertEqual([self.home.answers.of(name)[-1] for name in "abc"], ["delayed"] * 3)
        self.log.down = ""
        self.pass_time(10)
        self.assertEqual([self.home.answers.of(name)[-1] for name in "abc"], ["stored"] * 3)
        self.assert_stored("a", "b", "c")

    def test_the_owner_may_come_back(self) -> None:
        """While the store refuses here, the owner may yet write: that is not FAILED."""
        self.log.down = "busy"
        self.say("a")
        self.pass_time(50)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "delayed"])
        self.log.down = ""
        self.pass_time(40)
        self.assertEqual(self.home.answers.of("a"), ["accepted", "delayed", "stored"])
        self.assert_stored("a")


class RefusedHereTests(ForwardCase):
    """The owner has Ann's send when she is removed, and her own node, which takes it back, refuses it."""

    def setUp(self) -> None:
        super().setUp()
        self.owning.cable.losing.add(message_settled(self.home.node_id))
        self.say("warm")
        self.pass_time(0.5)

    def remove_ann(self) -> None:
        """Only her own node hears of it."""
        self.people.put(GROUP_ID, BOB)
        self.home.members.invalidate(GROUP_ID, 0)

    def assert_said(self, *answers: str) -> None:
        self.assertEqual(self.home.answers.of("a"), list(answers))

    def test_owner_writes(self) -> None:
        """While the owner's write takes long, DELAYED, however long that is; then what became of it."""
        self.log.hold()
        self.say("a")
        self.pass_time(0.5)
        self.remove_ann()
        self.pass_time(200, step_s=0.5)
        self.assert_said("accepted", "delayed")
        self.log.release()
        self.pass_time(10)
        self.assert_said("accepted", "delayed", "duplicate")
        self.assert_stored("warm", "a")

    def test_owner_paused(self) -> None:
        """While the owner is paused with the send before it, DELAYED; when it goes on, what it makes of it."""
        self.owning.cable.frozen = True
        self.say("a")
        self.remove_ann()
        self.pass_time(40, step_s=0.5)
        self.assert_said("accepted", "delayed")
        self.owning.cable.thaw()
        self.pass_time(10)
        self.assert_said("accepted", "delayed", "duplicate")
        self.assert_stored("warm", "a")

    def test_owner_overslept(self) -> None:
        """An owner that counted as gone meanwhile takes in nothing that lay before it: that becomes FAILED."""
        self.owning.cable.frozen = True
        self.say("a")
        self.remove_ann()
        self.pass_time(100, step_s=0.5)
        heartbeats = self.owning.heartbeats
        said_at_s, heartbeats._said_at_s = heartbeats._said_at_s, 0.0
        self.assertTrue(heartbeats.overslept)
        self.owning.cable.thaw()
        self.clock.advance(0)
        heartbeats._said_at_s = said_at_s
        self.pass_time(40)
        self.assert_said("accepted", "delayed", "failed")
        self.assert_stored("warm")

    def test_owner_refuses(self) -> None:
        """An owner that does not hold it has not stored it, and will not."""
        self.owning.cable.frozen = True
        self.say("a")
        self.remove_ann()
        self.owning.members.invalidate(GROUP_ID, 0)
        self.pass_time(3)
        self.assert_said("accepted", "delayed")
        self.owning.cable.thaw()
        self.pass_time(40)
        self.assert_said("accepted", "delayed", "failed")
        self.assert_stored("warm")

    def test_owner_gone(self) -> None:
        """What an owner that is gone has not stored when its last write must have ended is FAILED."""
        self.owning.cable.frozen = True
        self.say("a")
        self.remove_ann()
        self.pass_time(3)
        self.wait(self.owning.die())
        self.owning.cable.thaw()
        self.pass_time(20)
        self.assert_said("accepted", "delayed")
        self.pass_time(60)
        self.assert_said("accepted", "delayed", "failed")
        self.assert_stored("warm")

    def test_owner_of_before(self) -> None:
        """An owner of an earlier release, which does not say what it holds, may hold it."""
        self.log.hold()
        self.say("a")
        self.pass_time(0.5)
        self.remove_ann()
        self.patch(self.owning.appender, "holds", None)
        self.pass_time(100, step_s=0.5)
        self.assert_said("accepted", "delayed")
        self.log.release()
        self.pass_time(10)
        self.assert_said("accepted", "delayed", "duplicate")
        self.flushLoggedErrors(TypeError)

    def test_sent_again(self) -> None:
        """A send that the owner may store joins a resend of it: the resend is not FAILED either."""
        self.owning.cable.frozen = True
        self.say("a")
        self.pass_time(0.5)
        self.log.down = "busy"
        self.home.appender.submit(self.home.write(self.ann, "a"))
        self.pass_time(60, step_s=0.5)
        self.assertNotIn("failed", self.home.answers.of("a"))
        self.log.down = ""
        self.pass_time(20)
        self.assertEqual(set(self.home.answers.of("a")[-2:]), {"stored", "duplicate"})
