"""Who is there, and who may know."""

from __future__ import annotations

from imd.client.events import PresenceChanged
from tests.dialogue.stage import Dialogue, Stage


class Presence(Dialogue):
    """Who is there."""

    async def test_coming_and_going(self) -> None:
        """Who is watched is seen coming, with each device, and going, with the time."""
        stage = await Stage.open(self, self.transport)
        (alice,) = await stage.people("alice")
        bob = await stage.person("bob")
        await alice.sends("are you there?", to=bob)
        (now,) = await alice.client.watch_presence([bob.user_id])
        self.assertEqual(now, PresenceChanged(bob.user_id, False, (), 0))
        phone = await bob.device("phone")
        come = await alice.sees_next_presence()
        self.assertEqual((come.user_id, come.online, come.platforms), (bob.user_id, True, ("phone",)))
        laptop = await bob.device("laptop")
        both = await alice.sees_next_presence()
        self.assertEqual((both.online, sorted(both.platforms)), (True, ["laptop", "phone"]))
        await phone.leaves()
        await laptop.leaves()
        gone = await alice.sees_next_presence()
        self.assertEqual((gone.user_id, gone.online, gone.platforms), (bob.user_id, False, ()))
        self.assertGreater(gone.last_seen_ms, 0)
        (later,) = await alice.client.watch_presence([bob.user_id])
        self.assertEqual(later, gone)

    async def test_flapping(self) -> None:
        """A line that breaks and comes back at once is told to nobody."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        await alice.sends("hello", to=bob)
        await alice.sends("hello", to=carol)
        states = await alice.client.watch_presence([bob.user_id, carol.user_id])
        self.assertEqual([state.online for state in states], [True, True])
        bob.wire.cut()
        await bob.loses_the_line()
        await bob.comes_back()
        await carol.leaves()
        gone = await alice.sees_next_presence()
        self.assertEqual((gone.user_id, gone.online), (carol.user_id, False))
        await alice.sees_nothing_more()
        self.assertEqual(alice.signs(PresenceChanged), [])

    async def test_strangers_see_nothing(self) -> None:
        """Who shares no conversation with somebody sees them offline and never seen, whatever they do."""
        stage = await Stage.open(self, self.transport)
        alice, eve = await stage.people("alice", "eve")
        bob = await stage.person("bob")
        await alice.sends("hello", to=bob)
        phone = await bob.device("phone")
        unknown = 4242
        states = await eve.client.watch_presence([bob.user_id, unknown])
        self.assertEqual(
            states, [PresenceChanged(bob.user_id, False, (), 0), PresenceChanged(unknown, False, (), 0)]
        )
        await alice.client.watch_presence([bob.user_id])
        await phone.leaves()
        self.assertFalse((await alice.sees_next_presence()).online)
        await eve.sees_nothing_more()
        self.assertEqual(eve.signs(PresenceChanged), [])

    async def test_not_any_more(self) -> None:
        """A new list replaces the old one."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        await alice.sends("hello", to=bob)
        await alice.sends("hello", to=carol)
        await alice.client.watch_presence([bob.user_id])
        await alice.client.watch_presence([carol.user_id])
        await bob.leaves()
        await carol.leaves()
        self.assertEqual((await alice.sees_next_presence()).user_id, carol.user_id)
        await alice.sees_nothing_more()
        self.assertEqual(alice.signs(PresenceChanged), [])

    async def test_after_a_reconnect(self) -> None:
        """Watching goes on over a new connection, and tells what was missed."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        await alice.sends("hello", to=bob)
        await alice.client.watch_presence([bob.user_id])
        alice.wire.cut()
        await alice.loses_the_line()
        await alice.comes_back()
        self.assertTrue((await alice.sees_next_presence()).online)
        await bob.leaves()
        self.assertFalse((await alice.sees_next_presence()).online)
