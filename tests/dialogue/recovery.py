"""Lines that break and servers that die: nothing lost, nothing doubled, nothing out of order."""

from __future__ import annotations

from tests.dialogue.stage import Dialogue, Stage

MANY = 300
#: What the other one has seen when it happens: the middle.
SOME = 40


def _texts(what: str, count: int = MANY) -> list[str]:
    return [f"{what} {number}" for number in range(1, count + 1)]


class Recovery(Dialogue):
    """Nothing lost, doubled or out of order."""

    async def test_sender_loses_the_line(self) -> None:
        """The sender's connection breaks in the middle of its sends."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        sends = alice.begins_to_send(_texts("broken"), to=bob)
        await bob.has_unseen(SOME)
        alice.wire.cut()
        await alice.loses_the_line()
        stored = await alice.has_stored(sends)
        self.assertEqual([sent.seq for sent in stored], list(range(1, MANY + 1)))
        await bob.sees_all(_texts("broken"))
        await bob.sees_nothing_more()

    async def test_receiver_loses_the_line(self) -> None:
        """The receiver's connection breaks, twice, while messages come."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        sends = alice.begins_to_send(_texts("broken"), to=bob)
        for seen in (SOME, 3 * SOME):
            await bob.has_unseen(seen)
            bob.wire.cut()
            await bob.loses_the_line()
            await bob.comes_back()
        await alice.has_stored(sends)
        await bob.sees_all(_texts("broken"))
        await bob.sees_nothing_more()

    async def test_lost_acks(self) -> None:
        """ACKs that did not arrive: the resend is told the first result, and says that it is one."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        await alice.sends("first", to=bob)
        alice.wire.goes_deaf()
        sends = alice.begins_to_send(_texts("unheard", 20), to=bob)
        await bob.sees("first", seq=1)
        seen = await bob.sees_all(_texts("unheard", 20))
        alice.wire.cut()
        stored = await alice.has_stored(sends)
        self.assertEqual([sent.seq for sent in stored], list(range(2, 22)))
        self.assertEqual([sent.server_msg_id for sent in stored], [one.server_msg_id for one in seen])
        self.assertTrue(all(sent.duplicate for sent in stored))
        await bob.sees_nothing_more()

    async def test_server_is_killed(self) -> None:
        """``kill -9`` in the middle of sends both ways, and a restart."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        carol = await (await stage.person("carol")).device("phone")
        from_alice = alice.begins_to_send(_texts("from alice"), to=bob)
        from_bob = bob.begins_to_send(_texts("from bob"), to=alice)
        aside = carol.begins_to_send(_texts("aside", 50), to=bob)
        await bob.has_unseen(SOME)
        await stage.server_is_killed()
        for device in (alice, bob, carol):
            await device.loses_the_line()
        await stage.server_starts()
        stored = await alice.has_stored(from_alice) + await bob.has_stored(from_bob)
        self.assertEqual(sorted(sent.seq for sent in stored), list(range(1, 2 * MANY + 1)))
        self.assertEqual([sent.seq for sent in await carol.has_stored(aside)], list(range(1, 51)))
        await bob.sees_all(_texts("from alice"), in_=alice)
        await bob.sees_all(_texts("aside", 50), in_=carol)
        await alice.sees_all(_texts("from bob"))
        for device in (alice, bob, carol):
            await device.sees_nothing_more()

    async def test_stored_before_the_kill(self) -> None:
        """What was STORED when the server was killed is there afterwards, for a device that had nothing."""
        stage = await Stage.open(self, self.transport)
        (alice,) = await stage.people("alice")
        bob = await stage.person("bob")
        sends = alice.begins_to_send(_texts("kept"), to=bob)
        stored = await alice.has_stored(sends[:SOME])
        await stage.server_is_killed()
        stored += await alice.has_stored([sent for sent in sends[SOME:] if sent.called])
        count = len(stored)
        await stage.server_starts()
        stored += await alice.has_stored(sends[count:])
        phone = await bob.device("phone")
        seen = await phone.sees_all(_texts("kept"))
        self.assertEqual(
            [(one.seq, one.server_msg_id) for one in seen],
            [(sent.seq, sent.server_msg_id) for sent in stored],
        )
        await phone.sees_nothing_more()

    async def test_server_stops_gracefully(self) -> None:
        """A stopping server tells its clients to go; they come back to the next one, with nothing lost."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        sends = alice.begins_to_send(_texts("steady"), to=bob)
        await bob.has_unseen(SOME)
        stopped = stage.server_stops()
        await alice.loses_the_line()
        await bob.loses_the_line()
        self.assertEqual((alice.wire.heard["reconnect"], bob.wire.heard["reconnect"]), (1, 1))
        await alice.within("see the server end", stopped)
        await stage.server_starts()
        stored = await alice.has_stored(sends)
        self.assertEqual([sent.seq for sent in stored], list(range(1, MANY + 1)))
        await bob.sees_all(_texts("steady"))
        await bob.sends("still here?", to=alice)
        await alice.sees("still here?", seq=MANY + 1)
        await bob.sees_nothing_more()
