"""What was before: catching up, history, recall."""

from __future__ import annotations

from imd.client.client import ClientOptions
from imd.kernel.errors import Code
from imd.pb.message_pb2 import REVOKED
from tests.dialogue.stage import TOO_LATE, WHOLE_HISTORY, Dialogue, Stage, refused


class Past(Dialogue):
    """What was before."""

    async def test_offline(self) -> None:
        """Who was offline has everything on connecting, and what comes then follows it."""
        stage = await Stage.open(self, self.transport)
        (alice,) = await stage.people("alice")
        bob = await stage.person("bob")
        await alice.sends_all(["one", "two", "three"], to=bob)
        phone = await bob.device("phone")
        await alice.sends("four", to=bob)
        await phone.sees_all(["one", "two", "three", "four"])
        await phone.sees_nothing_more()
        await alice.sees_delivered(to=bob, seq=4, in_=bob)

    async def test_newest_first_acquaintance(self) -> None:
        """A new device may begin with the newest few of a long conversation."""
        stage = await Stage.open(self, self.transport)
        (alice,) = await stage.people("alice")
        bob = await stage.person("bob")
        await alice.sends_all([f"{number}" for number in range(1, 31)], to=bob)
        phone = stage.device(bob, "phone", options=ClientOptions(initial_history=5))
        await phone.comes()
        for seq in range(26, 31):
            await phone.sees(f"{seq}", seq=seq)
        phone.faults.clear()
        await phone.sees_nothing_more()

    async def test_away_for_500_messages(self) -> None:
        """A device that was away for 500 messages in three conversations has each in order."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol, dora = await stage.people("alice", "bob", "carol", "dora")
        writers = {"bob": (bob, 300), "carol": (carol, 150), "dora": (dora, 50)}
        for name, (writer, _) in writers.items():
            await writer.sends(f"{name} 0", to=alice)
            await alice.sees(f"{name} 0")
        alice.wire.goes_deaf()
        begun = [
            writer.begins_to_send([f"{name} {number}" for number in range(1, count + 1)], to=alice)
            for name, (writer, count) in writers.items()
        ]
        for sends, (writer, _) in zip(begun, writers.values(), strict=True):
            await writer.has_stored(sends)
        alice.wire.cut()
        await alice.loses_the_line()
        await alice.catches_up()
        for name, (writer, count) in writers.items():
            await alice.sees_all([f"{name} {number}" for number in range(1, count + 1)], in_=writer)
        await alice.sees_nothing_more()

    async def test_history(self) -> None:
        """Pages forward and backward, with every message once, and each page in rising order."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        await alice.sends_all([f"{seq}" for seq in range(1, 26)], to=bob)
        name = bob.conversation_id(alice)
        newest = await bob.client.history(name, limit=10)
        self.assertEqual([one.seq for one in newest.messages], list(range(16, 26)))
        self.assertEqual((newest.more, newest.last_seq), (True, 25))
        older = await bob.client.history(name, from_seq=15, limit=10)
        self.assertEqual([one.seq for one in older.messages], list(range(6, 16)))
        oldest = await bob.client.history(name, from_seq=5, limit=10)
        self.assertEqual([one.seq for one in oldest.messages], list(range(1, 6)))
        self.assertFalse(oldest.more)
        first = await bob.client.history(name, from_seq=1, limit=20, backward=False)
        self.assertEqual([one.text for one in first.messages], [f"{seq}" for seq in range(1, 21)])
        self.assertTrue(first.more)
        rest = await bob.client.history(name, from_seq=21, limit=20, backward=False)
        self.assertEqual([one.seq for one in rest.messages], list(range(21, 26)))
        self.assertFalse(rest.more)
        beyond = await bob.client.history(name, from_seq=26, limit=20, backward=False)
        self.assertEqual((beyond.messages, beyond.more, beyond.last_seq), ((), False, 25))
        await refused(Code.PAYLOAD_INVALID, bob.client.history(name, limit=201), field="limit")

    async def test_recall(self) -> None:
        """A recall is seen by all devices, in its place; the content is gone for good."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.person("alice"), await stage.person("bob")
        phone, laptop = await alice.device("phone"), await alice.device("laptop")
        bobs_phone, bobs_laptop = await bob.device("phone"), await bob.device("laptop")
        sent = await phone.sends("I never said this", to=bob)
        for device in (bobs_phone, bobs_laptop, laptop):
            await device.sees("I never said this", seq=1)
        await bobs_laptop.leaves()
        recall = await phone.recalls(sent)
        self.assertEqual(recall.seq, 2)
        await bobs_phone.sees_recall(sent)
        await laptop.sees_recall(sent)
        await phone.sends("but this", to=bob)
        await bobs_phone.sees("but this", seq=3)
        tablet = await bob.device("tablet")
        gone = await tablet.sees(seq=1)
        self.assertEqual((gone.revoked, gone.text, gone.meta), (True, "", {}))
        await tablet.sees_recall(sent)
        await tablet.sees("but this", seq=3)
        self.assertEqual([one.revoked for one in await bobs_phone.past(alice)], [True, False, False])
        (fate,) = await phone.client.message_fates(sent.conversation_id, [sent.client_msg_id])
        self.assertEqual((fate.status, fate.seq), (REVOKED, 1))
        await refused(Code.PAYLOAD_INVALID, phone.recalls(sent))

    async def test_recall_is_not_for_others(self) -> None:
        """Who did not write it cannot take it back, nor can one who is not there at all."""
        stage = await Stage.open(self, self.transport)
        alice, bob, eve = await stage.people("alice", "bob", "eve")
        sent = await alice.sends("stays", to=bob)
        await bob.sees("stays")
        await refused(Code.FORBIDDEN, bob.recalls(sent))
        await refused(Code.FORBIDDEN, eve.recalls(sent))
        await refused(Code.FORBIDDEN, alice.recalls(sent._replace(seq=99)))
        self.assertEqual([one.text for one in await bob.past(alice)], ["stays"])
        await alice.sees_nothing_more()

    async def test_recall_too_late(self) -> None:
        """After the window it stays."""
        stage = await Stage.open(self, self.transport, TOO_LATE)
        alice, bob = await stage.people("alice", "bob")
        sent = await alice.sends("stays", to=bob)
        await bob.sees("stays")
        await bob.sees_nothing_more()
        await refused(Code.FORBIDDEN, alice.recalls(sent))
        await bob.sees_nothing_more()
        self.assertEqual([one.text for one in await bob.past(alice)], ["stays"])

    async def test_recall_while_offline(self) -> None:
        """Who had the message and was offline learns of the recall on coming back."""
        stage = await Stage.open(self, self.transport)
        (alice,) = await stage.people("alice")
        bob = await stage.person("bob")
        phone = await bob.device("phone", options=WHOLE_HISTORY)
        sent = await alice.sends("soon gone", to=bob)
        await phone.sees("soon gone", seq=1)
        phone.wire.goes_deaf()
        await alice.recalls(sent)
        phone.wire.cut()
        await phone.loses_the_line()
        await phone.comes_back()
        await phone.sees_recall(sent)
        await phone.sees_nothing_more()
