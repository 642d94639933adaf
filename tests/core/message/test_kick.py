"""A kick races a send: once its notice is stored, nobody whom it removed has a later seq.

Business commits the change, has it told, and asks for a notice that bears its version. Here the telling is late, or
lost, and the notice comes at every moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from twisted.internet.defer import Deferred

from imd.bus.audit import RELEASED
from imd.bus.subjects import shard_of
from imd.core.message.content import Origin, system_body, with_seq
from imd.core.message.model import NewMessage
from imd.core.message.sends import SYSTEM_SENDER_ID, PendingSend, SendKey
from imd.kernel.errors import Code
from imd.pb.message_pb2 import SystemNotice
from tests.core.message.cluster import ClusterCase
from tests.core.message.harness import ANN, BOB, CY, DAN, GROUP_ID, LONG_S, PipelineCase

ROUNDS = 60


class Kicking(PipelineCase):
    """Ann kicks, or mutes, Bob."""

    name = ""
    held: Deferred[None] | None = None
    holding = False

    def notice(self, event: str = "group.kicked", *, name: str = "kick", subject: int = BOB) -> PendingSend:
        """As core takes it from business."""
        version = self.people.known[GROUP_ID].version
        origin = Origin(GROUP_ID, SYSTEM_SENDER_ID, "", name, self.ids.next(), self.wall_clock())
        return PendingSend(
            key=SendKey(GROUP_ID, SYSTEM_SENDER_ID, name),
            body=system_body(SystemNotice(event=event, actorId=ANN, subjectIds=[subject]), origin),
            content_hash=b"n" + name.encode(),
            server_msg_id=origin.server_msg_id,
            server_time_ms=origin.server_time_ms,
            submitter=self.answers,
            recipient=None,
            version=version,
        )

    def mute(self) -> None:
        known = self.people.known[GROUP_ID]
        self.people.known[GROUP_ID] = known._replace(
            version=known.version + 1, muted_until_ms={BOB: self.wall_clock() + 60_000}
        )

    def kick(self) -> None:
        self.people.put(GROUP_ID, ANN, CY)

    def after_notice(self, name: str = "kick") -> list[str]:
        """What was stored behind the notice."""
        names = [name for _, name in self.stored()]
        return names[names.index(name) + 1 :]

    def test_kick(self) -> None:
        """The invalidation never comes, the notice does: what Bob says after it is refused."""
        self.send("before", sender=BOB)
        self.kick()
        self.send("between", sender=BOB)
        self.now.appender.submit(self.notice())
        self.send("after", sender=BOB)
        self.assertEqual([name for _, name in self.stored()], ["before", "between", "kick"])
        self.assertEqual(self.answers.of("after"), ["failed"])

    def test_mute(self) -> None:
        """A mute is heard by its notice, too, and its end is told by the clock."""
        self.send("before", sender=BOB)
        self.mute()
        self.now.appender.submit(self.notice("group.muted"))
        self.send("after", sender=BOB)
        self.assertEqual(self.answers.told[-1].code, Code.FORBIDDEN)
        self.clock.advance(61)
        self.send("later", sender=BOB)
        self.assertEqual(self.after_notice(), ["later"])

    def test_while_members_are_looked_up(self) -> None:
        """The answer to a question that was asked before the kick is not believed after its notice."""
        gate: Deferred[None] = Deferred()
        self.people.gate = gate
        self.send("before", sender=BOB)
        self.kick()
        self.now.appender.submit(self.notice())
        self.send("after", sender=BOB)
        self.people.gate = None
        gate.callback(None)
        self.assertEqual(self.after_notice(), [])

    def test_while_a_batch_is_written(self) -> None:
        """What was taken in before the notice keeps its place before it."""
        self.send("warm", sender=BOB)
        self.log.hold()
        self.send("a", sender=BOB)
        self.send("b", sender=BOB)
        self.kick()
        self.now.appender.submit(self.notice())
        self.send("c", sender=BOB)
        self.log.release()
        self.assertEqual([name for _, name in self.stored()], ["warm", "a", "b", "kick"])

    def test_authority_gone(self) -> None:
        """The notice itself says who is out or mute: while business is gone nothing of theirs is let through."""
        for sender in (BOB, CY):
            self.send("before", sender=sender)
        self.kick()
        self.people.busy = True
        self.now.appender.submit(self.notice())
        self.now.appender.submit(self.notice("group.muted", name="mute", subject=CY))
        for sender in (ANN, BOB, CY):
            self.send(f"after-{sender}", sender=sender)
        self.pass_time(LONG_S)
        self.assertEqual(self.after_notice(), ["mute", f"after-{ANN}"])

    def test_authority_gone_from_all_muted(self) -> None:
        """A notice that all are mute silences all plain members of the group that was known before."""
        self.send("before", sender=BOB)
        self.mute()
        self.people.busy = True
        self.now.appender.submit(self.notice("group.all_muted", name="mute", subject=0))
        for sender in (BOB, CY):
            self.send(f"after-{sender}", sender=sender)
        self.pass_time(LONG_S)
        self.assertEqual(self.after_notice("mute"), [])
        self.assertEqual(self.answers.told[-1].code, Code.FORBIDDEN)

    def test_authority_gone_while_the_log_is_read(self) -> None:
        """A kick that is heard of between the release of a message and its admission holds."""
        self.wait(self.now.members.get(GROUP_ID))
        self.people.busy = True
        self.clock.advance(3_600)
        read: Deferred[None] = Deferred()
        last_seqs = self.log.last_seqs

        async def slow(conversation_ids: Sequence[str]) -> Mapping[str, int]:
            await read
            return await last_seqs(conversation_ids)

        self.patch(self.log, "last_seqs", slow)
        self.send("after", sender=BOB)
        self.pass_time(1)
        self.now.members.invalidate(GROUP_ID, 2, removed_ids=[BOB])
        read.callback(None)
        self.pass_time(1)
        self.assertEqual((self.answers.of("after"), self.stored()), (["failed"], []))

    def test_any_order(self) -> None:
        """However sends, look-ups, writes and the notice interleave, nobody speaks after their kick."""
        for seed in range(ROUNDS):
            self.people.put(GROUP_ID, ANN, BOB, CY)
            self.now.members.forget(GROUP_ID)
            self.play(Random(seed), f"r{seed}")

    def play(self, random: Random, name: str) -> None:
        moves = ["say"] * 8 + ["kick", "notice", "hold", "release", "gate", "open", "heard", "tick"]
        random.shuffle(moves)
        kick, notice = sorted((moves.index("kick"), moves.index("notice")))
        moves[kick], moves[notice] = "kick", "notice"
        self.name, self.held, self.holding = name, None, False
        for number, move in enumerate(moves):
            if move == "say":
                self.send(f"{name}-{number}", sender=BOB)
            else:
                getattr(self, f"move_{move}")()
        self.move_release()
        self.move_open()
        self.pass_time(LONG_S, 1.0)
        self.assertEqual(self.after_notice(name), [], f"{name} {moves}")

    def move_kick(self) -> None:
        self.kick()

    def move_notice(self) -> None:
        self.now.appender.submit(self.notice(name=self.name))

    def move_heard(self) -> None:
        self.now.members.invalidate(GROUP_ID, self.people.known[GROUP_ID].version)

    def move_tick(self) -> None:
        self.clock.advance(0.05)

    def move_hold(self) -> None:
        self.log.hold()
        self.holding = True

    def move_release(self) -> None:
        if self.holding:
            self.log.release()
            self.holding = False

    def move_gate(self) -> None:
        self.people.gate = self.held = Deferred()

    def move_open(self) -> None:
        held, self.held, self.people.gate = self.held, None, None
        if held is not None:
            held.callback(None)


class TwoOwners(PipelineCase):
    """Another node owns the conversation meanwhile, and writes."""

    def setUp(self) -> None:
        super().setUp()
        self.send("warm", sender=BOB)

    def test_outrun(self) -> None:
        """What was let in and not yet written when the other node wrote the kick is refused, and told so."""
        self.log.hold()
        for name in "ab":
            self.send(name, sender=BOB)
        self.send("c", sender=CY)
        self.people.put(GROUP_ID, ANN, CY)
        self.wait(self.log.plant(GROUP_ID))
        self.log.release()
        self.pass_time(LONG_S)
        self.assertEqual([name for _, name in self.stored()], ["warm", "foreign-1", "c"])
        for name in "ab":
            self.assertEqual(self.answers.of(name), ["accepted", "failed"])
        self.assertEqual(self.now.appender.unsettled, 0)

    def test_outrun_by_itself(self) -> None:
        """What the other node stored before it wrote a mute is not called FAILED when it was sent here as well."""
        self.log.hold()
        self.send("new", sender=BOB)
        again = self.send("again", sender=BOB)
        self.people.known[GROUP_ID] = self.people.known[GROUP_ID]._replace(
            version=2, muted_until_ms={BOB: self.wall_clock() + 3_600_000}
        )
        body = with_seq(again.body, 2)
        row = NewMessage(GROUP_ID, 2, BOB, "again", 7, 0, again.content_hash, body)
        self.wait(self.log.real.append([row]))
        self.log.release()
        self.pass_time(LONG_S)
        self.assertEqual([name for _, name in self.stored()], ["warm", "again"])
        self.assertEqual(self.answers.of("new"), ["accepted", "failed"])
        self.assertEqual(self.answers.of("again"), ["accepted", "duplicate"])
        self.assertEqual(self.now.appender.unsettled, 0)

    def test_nobody_to_ask(self) -> None:
        """Where the authority cannot be asked what was let in is let through by the matrix, to be looked at later."""
        self.log.hold()
        self.send("a", sender=BOB)
        self.people.busy = True
        self.wait(self.log.plant(GROUP_ID))
        self.log.release()
        self.pass_time(LONG_S)
        self.assertEqual([name for _, name in self.stored()], ["warm", "foreign-1", "a"])
        self.assertEqual([entry.decision for entry in self.now.standing.trail.entries], [RELEASED])

    def test_nobody_to_ask_about_a_crowd(self) -> None:
        """In a sensitive group it is refused."""
        self.people.known[GROUP_ID] = self.people.known[GROUP_ID]._replace(version=2, sensitive=True)
        self.now.members.invalidate(GROUP_ID, 2)
        self.send("again", sender=BOB)
        self.log.hold()
        self.send("a", sender=BOB)
        self.people.busy = True
        self.wait(self.log.plant(GROUP_ID))
        self.log.release()
        self.pass_time(LONG_S)
        self.assertEqual([name for _, name in self.stored()], ["warm", "again", "foreign-1"])
        self.assertEqual(self.answers.told[-1].code, Code.SERVER_BUSY)


class NewOwner(ClusterCase):
    """A node takes a conversation of whose last change it has not heard."""

    def test_taken(self) -> None:
        """What it knew of the members is asked about anew before it writes: the kick by the former owner holds."""
        heir, dying = self.other(), self.owner()
        bob = heir.connect(BOB)
        heir.say(bob, "before")
        self.pass_time(1)
        heir.ownership.on_taken(heir.live.taken)
        self.assertIsNotNone(heir.members.peek(GROUP_ID))
        self.people.put(GROUP_ID, ANN, DAN)
        self.wait(dying.die())
        self.pass_time(25)
        self.assertIn(shard_of(GROUP_ID), heir.ownership.mine)
        heir.say(bob, "after")
        self.pass_time(1)
        self.assertEqual(heir.answers.of("after"), ["failed"])
        self.assertEqual([name for _, name in self.stored()], ["before"])
