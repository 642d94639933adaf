"""Groups: who is in, what they are told, and what is not for those who are out."""

from __future__ import annotations

from imd.client.events import ReceiptChanged
from imd.kernel.errors import Code
from imd.pb.sync_pb2 import GROUP
from tests.dialogue.device import Device
from tests.dialogue.stage import HINT_ABOVE_ONLINE, HINT_BODY_BYTES, Dialogue, Stage, refused


async def founded(founder: Device, *others: Device) -> str:
    """A group of all these, its founding seen by everybody; its id."""
    group = await founder.rest.create_group("Team", [other.user_id for other in others])
    for device in (founder, *others):
        await device.sees_notice("group.created", by=founder, in_=group.conversation_id)
    return group.conversation_id


class Groups(Dialogue):
    """Groups of people."""

    async def test_everybody_sees_everything(self) -> None:
        """All members, online from the start or invited later, see messages and notices in one order."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol, dora = await stage.people("alice", "bob", "carol", "dora")
        team = await founded(alice, bob)
        await alice.sends("welcome", to=team)
        await bob.sees("welcome", from_=alice, seq=2)
        self.assertEqual(await alice.rest.invite(team, [carol.user_id]), [carol.user_id])
        for device in (alice, bob):
            await device.sees_notice("group.joined", about=[carol], by=alice)
        await carol.sees_notice("group.created", by=alice)
        await carol.sees("welcome", from_=alice, seq=2)
        await carol.sees_notice("group.joined", about=[carol], by=alice)
        await carol.sends("thanks", to=team)
        await alice.sees("thanks", from_=carol, seq=4)
        await bob.sees("thanks", from_=carol, seq=4)
        row = await bob.conversation(team)
        assert row is not None
        self.assertEqual((row.kind, row.title, row.member_count), (GROUP, "Team", 3))
        await dora.sees_nothing_more()
        self.assertIsNone(await dora.conversation(team))

    async def test_strangers(self) -> None:
        """Who is not in it cannot write, read, invite or rename, and cannot tell it from no group at all."""
        stage = await Stage.open(self, self.transport)
        alice, bob, eve = await stage.people("alice", "bob", "eve")
        team = await founded(alice, bob)
        for name in (team, "g_0123456789abcdef"):
            reasons = [
                await refused(Code.FORBIDDEN, eve.sends("hi", to=name)),
                await refused(Code.FORBIDDEN, eve.client.history(name)),
                await refused(Code.FORBIDDEN, eve.client.message_fates(name, ["x"])),
                await refused(Code.FORBIDDEN, eve.client.recall(name, 1)),
            ]
            self.assertEqual(len({reason.message for reason in reasons}), 1, reasons)
            await refused(Code.FORBIDDEN, eve.rest.invite(name, [eve.user_id]))
            await refused(Code.FORBIDDEN, eve.rest.rename_group(name, "Mine"))
        for device in (alice, bob, eve):
            await device.sees_nothing_more()

    async def test_kick(self) -> None:
        """Who was kicked can neither write nor read, and hears nothing more."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        team = await founded(alice, bob, carol)
        await bob.sends("what ever", to=team)
        await alice.sees("what ever")
        await carol.sees("what ever")
        await alice.rest.kick(team, bob.user_id)
        for device in (alice, carol):
            await device.sees_notice("group.kicked", about=[bob], by=alice)
        await bob.sees_the_door(team, "kicked")
        await refused(Code.FORBIDDEN, bob.sends("but", to=team))
        await refused(Code.FORBIDDEN, bob.client.history(team))
        await alice.sends("he is gone", to=team)
        await carol.sees("he is gone", from_=alice, seq=4)
        bob.wire.cut()
        await bob.loses_the_line()
        await bob.catches_up()
        await bob.sees_nothing_more()
        self.assertIsNone(await bob.conversation(team))
        await carol.sees_nothing_more()

    async def test_back_again(self) -> None:
        """Who is invited again has what was said in between, and sees the rest."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        team = await founded(alice, bob)
        await alice.rest.kick(team, bob.user_id)
        await alice.sees_notice("group.kicked", about=[bob])
        await alice.sends("he does not hear this", to=team)
        await bob.sees_nothing_more()
        await alice.rest.invite(team, [bob.user_id])
        await bob.sees_notice("group.kicked", about=[bob])
        await bob.sees("he does not hear this", seq=3)
        await bob.sees_notice("group.joined", about=[bob])
        await bob.sends("I am back", to=team)
        await alice.sees_notice("group.joined", about=[bob])
        await alice.sees("I am back", seq=5)

    async def test_leave(self) -> None:
        """Who leaves is out; the owner cannot leave others behind without one."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        team = await founded(alice, bob, carol)
        await refused(Code.FORBIDDEN, alice.rest.leave(team))
        await bob.rest.leave(team)
        await bob.sees_the_door(team, "left")
        for device in (alice, carol):
            await device.sees_notice("group.left", about=[bob], by=bob)
        await refused(Code.FORBIDDEN, bob.sends("one more thing", to=team))
        await carol.sends("bye", to=team)
        await alice.sees("bye", seq=3)
        await bob.sees_nothing_more()

    async def test_roles(self) -> None:
        """Admins invite, kick members and recall for others; members do not, and nobody kicks upwards."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol, dora = await stage.people("alice", "bob", "carol", "dora")
        team = await founded(alice, bob, carol)
        said = await carol.sends("rude", to=team)
        for device in (alice, bob):
            await device.sees("rude")
        await refused(Code.FORBIDDEN, bob.rest.invite(team, [dora.user_id]))
        await refused(Code.FORBIDDEN, bob.recalls(said))
        await refused(Code.FORBIDDEN, bob.rest.set_role(team, bob.user_id, "admin"))
        await alice.rest.set_role(team, bob.user_id, "admin")
        for device in (alice, bob, carol):
            notice = await device.sees_notice("group.role", about=[bob], by=alice)
            self.assertEqual(notice.text, "admin")
        await refused(Code.FORBIDDEN, bob.rest.kick(team, alice.user_id))
        await bob.recalls(said)
        for device in (alice, carol):
            await device.sees_recall(said)
        await bob.rest.rename_group(team, "A-Team")
        for device in (alice, bob, carol):
            notice = await device.sees_notice("group.renamed", by=bob)
            self.assertEqual(notice.text, "A-Team")
        await bob.rest.kick(team, carol.user_id)
        await alice.sees_notice("group.kicked", about=[carol], by=bob)
        roles = {one.person.user_id: one.role for one in await alice.rest.members(team)}
        self.assertEqual(roles, {alice.user_id: "owner", bob.user_id: "admin"})

    async def test_transfer(self) -> None:
        """A group changes hands; then the old owner may leave."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        team = await founded(alice, bob)
        await refused(Code.FORBIDDEN, bob.rest.transfer(team, bob.user_id))
        await alice.rest.transfer(team, bob.user_id)
        for device in (alice, bob):
            notice = await device.sees_notice("group.role", about=[bob], by=alice)
            self.assertEqual(notice.text, "owner")
        await refused(Code.FORBIDDEN, alice.rest.dissolve_group(team))
        await alice.rest.leave(team)
        await bob.sees_notice("group.left", about=[alice])
        self.assertEqual((await bob.rest.group(team)).role, "owner")

    async def test_dissolve(self) -> None:
        """A dissolved group is as if it had never been: nobody can write to it or read it."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        team = await founded(alice, bob)
        await refused(Code.FORBIDDEN, bob.rest.dissolve_group(team))
        await alice.rest.dissolve_group(team)
        for device in (alice, bob):
            await device.sees_the_door(team, "dissolved")
            await refused(Code.FORBIDDEN, device.sends("anybody?", to=team))
            await refused(Code.FORBIDDEN, device.client.history(team))
            self.assertIsNone(await device.conversation(team))

    async def test_receipts_in_a_group(self) -> None:
        """Who wrote learns who has read; who did not write is not told."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        team = await founded(alice, bob, carol)
        await alice.sends("read this", to=team)
        bob.reads(await bob.sees("read this"))
        carol.reads(await carol.sees("read this"))
        await alice.sees_read(by=bob, seq=2, in_=team)
        await alice.sees_read(by=carol, seq=2, in_=team)
        await bob.sees_nothing_more()
        told = {sign.user_id for sign in bob.signs(ReceiptChanged)}
        self.assertNotIn(carol.user_id, told)

    async def test_hint_in_a_crowd(self) -> None:
        """With many online the server hints and the clients pull: same messages, same order."""
        stage = await Stage.open(self, self.transport)
        names = [f"member {number}" for number in range(HINT_ABOVE_ONLINE + 1)]
        alice, *others = await stage.people("alice", *names)
        team = await founded(alice, *others)
        for device in others:
            device.wire.heard.clear()
        texts = [f"to all {number}" for number in range(20)]
        stored = await alice.sends_all(texts, to=team)
        self.assertEqual([sent.seq for sent in stored], list(range(2, 22)))
        for device in others:
            await device.sees_all(texts)
            self.assertEqual(device.wire.heard["deliver"], 0, "pushed")
            self.assertGreater(device.wire.heard["hint"], 0)
        await others[0].sends("and back", to=team)
        await alice.sees("and back", seq=22)

    async def test_hint_for_a_large_body(self) -> None:
        """In a group that is not small a large body is hinted and pulled, a small one is pushed."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol, dora = await stage.people("alice", "bob", "carol", "dora")
        team = await founded(alice, bob, carol, dora)
        others = (bob, carol, dora)
        for device in others:
            device.wire.heard.clear()
        large = "long " * (HINT_BODY_BYTES // 4)
        await alice.sends(large, to=team)
        for device in others:
            await device.sees(large, from_=alice, seq=2)
            self.assertEqual((device.wire.heard["hint"], device.wire.heard["deliver"]), (1, 0))
        await alice.sends("short", to=team)
        for device in others:
            await device.sees("short", seq=3)
            self.assertEqual((device.wire.heard["hint"], device.wire.heard["deliver"]), (1, 1))
        await alice.sends(large, to=bob)
        await bob.sees(large, from_=alice, seq=1)
        self.assertEqual(bob.wire.heard["hint"], 1, "1:1 conversations are pushed whatever the size")
