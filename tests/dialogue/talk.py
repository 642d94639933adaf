"""Two people, their devices, and what they see of each other."""

from __future__ import annotations

from imd.client.client import ClientOptions
from imd.kernel.errors import Code
from imd.pb.message_pb2 import STORED
from imd.pb.sync_pb2 import P2P
from tests.dialogue.stage import Dialogue, Stage, refused


class Talk(Dialogue):
    """What two people see of each other."""

    async def test_first_message_to_a_stranger(self) -> None:
        """Who knows a user id can write; the answer comes in the same conversation."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        sent = await alice.sends("hello", to=bob)
        hello = await bob.sees("hello", from_=alice, seq=1)
        self.assertEqual(hello.conversation_id, sent.conversation_id)
        self.assertEqual(hello.server_msg_id, sent.server_msg_id)
        answer = await bob.sends("hello yourself", to=hello.conversation_id)
        self.assertEqual((answer.conversation_id, answer.seq), (sent.conversation_id, 2))
        await alice.sees("hello yourself", from_=bob, seq=2)

    async def test_nobody(self) -> None:
        """A user id that is nobody's, and one's own, cannot be written to."""
        stage = await Stage.open(self, self.transport)
        (alice,) = await stage.people("alice")
        await refused(Code.FORBIDDEN, alice.client.send_text("anybody there?", peer_user_id=12345))
        await refused(Code.PAYLOAD_INVALID, alice.sends("hello, me", to=alice))

    async def test_all_devices_see_the_same(self) -> None:
        """Both devices of both people see every message, in the same order, with the same seqs."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.person("alice"), await stage.person("bob")
        alices_phone, alices_laptop = await alice.device("phone"), await alice.device("laptop")
        bobs_phone, bobs_laptop = await bob.device("phone"), await bob.device("laptop")
        await alices_phone.sends("one", to=bob)
        await bobs_laptop.sees("one", from_=alice, seq=1)
        await bobs_laptop.sends("two", to=alice)
        await alices_laptop.sees("one", from_=alice, seq=1)
        await alices_laptop.sees("two", from_=bob, seq=2)
        await alices_laptop.sends("three", to=bob)
        await alices_phone.sees("two", from_=bob, seq=2)
        await alices_phone.sees("three", from_=alice, seq=3)
        await bobs_phone.sees_all(["one", "two", "three"])
        await bobs_laptop.sees("three", from_=alice, seq=3)
        for device in (alices_phone, alices_laptop, bobs_phone, bobs_laptop):
            await device.sees_nothing_more()

    async def test_both_at_once(self) -> None:
        """Two who write at the same time see one and the same order."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        from_alice = alice.begins_to_send([f"a{number}" for number in range(50)], to=bob)
        from_bob = bob.begins_to_send([f"b{number}" for number in range(50)], to=alice)
        stored = await alice.has_stored(from_alice) + await bob.has_stored(from_bob)
        self.assertEqual(sorted(sent.seq for sent in stored), list(range(1, 101)))
        await bob.sees_all([f"a{number}" for number in range(50)])
        await alice.sees_all([f"b{number}" for number in range(50)])
        past = await alice.past(bob, limit=100)
        self.assertEqual([one.seq for one in past], list(range(1, 101)))
        self.assertEqual([one.text for one in past if one.sender_id == alice.user_id][-1], "a49")

    async def test_accepted_then_stored(self) -> None:
        """Who wants all ACKs is told ACCEPTED, then STORED."""
        stage = await Stage.open(self, self.transport)
        alice = await (await stage.person("alice")).device("phone", options=ClientOptions(all_acks=True))
        (bob,) = await stage.people("bob")
        sent = await alice.sends("hello", to=bob)
        accepted = await alice.sees_accepted()
        stored = await alice.sees_stored()
        self.assertEqual(accepted.client_msg_id, sent.client_msg_id)
        self.assertEqual((stored.message.client_msg_id, stored.message.seq), (sent.client_msg_id, 1))
        self.assertEqual(alice.wire.heard["ack"], 2)

    async def test_final_ack_only(self) -> None:
        """Who wants the final ACK alone gets one ACK a message."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        await alice.sends("hello", to=bob)
        await alice.sends("hello?", to=bob)
        await alice.sees_nothing_more()
        self.assertEqual(alice.wire.heard["ack"], 2)

    async def test_receipts(self) -> None:
        """Delivered and read reach the sender on all devices, and the reader's own other devices."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.person("alice"), await stage.person("bob")
        phone, laptop = await alice.device("phone"), await alice.device("laptop")
        bobs_phone, bobs_laptop = await bob.device("phone"), await bob.device("laptop")
        await phone.sends("one", to=bob)
        await phone.sends("two", to=bob)
        await bobs_phone.sees("one")
        two = await bobs_phone.sees("two")
        await phone.sees_delivered(to=bob, seq=2, in_=bob)
        await laptop.sees_delivered(to=bob, seq=2, in_=bob)
        bobs_phone.reads(two)
        await phone.sees_read(by=bob, seq=2, in_=bob)
        await laptop.sees_read(by=bob, seq=2, in_=bob)
        await bobs_laptop.sees_read(by=bob, seq=2, in_=alice)

    async def test_typing(self) -> None:
        """Typing is seen by the other and by nobody else, not even by the own device; it is not stored."""
        stage = await Stage.open(self, self.transport)
        alice, bob, eve = await stage.people("alice", "bob", "eve")
        sent = await alice.sends("wait", to=bob)
        await bob.sees("wait")
        bob.client.typing(sent.conversation_id)
        await alice.sees_typing(by=bob, active=True)
        bob.client.typing(sent.conversation_id, False)
        await alice.sees_typing(by=bob, active=False)
        eve.client.typing(sent.conversation_id)
        for device in (alice, bob, eve):
            await device.sees_nothing_more()
        self.assertEqual([device.wire.heard["typing"] for device in (alice, bob, eve)], [2, 0, 0])
        self.assertEqual(eve.wire.heard["error"], 1)
        self.assertEqual([one.text for one in await alice.past(bob)], ["wait"])

    async def test_unread(self) -> None:
        """The conversation list counts what is unread; reading on one device clears it on the others."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        await alice.sends_all(["one", "two", "three"], to=bob)
        await bob.sees("one")
        two = await bob.sees("two")
        row = await bob.conversation(alice)
        assert row is not None
        self.assertEqual((row.unread, row.last_seq, row.read_seq), (3, 3, 0))
        self.assertEqual((row.kind, row.peer_user_id, row.member_count), (P2P, alice.user_id, 2))
        assert row.last_message is not None
        self.assertEqual(row.last_message.text, "three")
        bob.reads(two)
        await alice.sees_read(by=bob, seq=2, in_=bob)
        row = await bob.conversation(alice)
        assert row is not None
        self.assertEqual((row.unread, row.read_seq), (1, 2))
        row = await alice.conversation(bob)
        assert row is not None
        self.assertEqual(row.unread, 0, "who writes has read")

    async def test_conversation_list(self) -> None:
        """The conversation that something happened in last stands first."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        await bob.sends("from bob", to=alice)
        await alice.sees("from bob")
        await carol.sends("from carol", to=alice)
        await alice.sees("from carol")
        listed = await alice.client.conversations()
        self.assertEqual([one.peer_user_id for one in listed], [carol.user_id, bob.user_id])
        await bob.sends("again", to=alice)
        await alice.sees("again")
        listed = await alice.client.conversations()
        self.assertEqual([one.peer_user_id for one in listed], [bob.user_id, carol.user_id])

    async def test_two_conversations(self) -> None:
        """What is said in one conversation is not in the other, and each counts for itself."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        to_bob = alice.begins_to_send([f"bob {number}" for number in range(30)], to=bob)
        to_carol = alice.begins_to_send([f"carol {number}" for number in range(30)], to=carol)
        self.assertEqual([sent.seq for sent in await alice.has_stored(to_bob)], list(range(1, 31)))
        self.assertEqual([sent.seq for sent in await alice.has_stored(to_carol)], list(range(1, 31)))
        await bob.sees_all([f"bob {number}" for number in range(30)])
        await carol.sees_all([f"carol {number}" for number in range(30)])
        await bob.sees_nothing_more()
        await carol.sees_nothing_more()
        asked = bob.client.history(alice.conversation_id(carol))
        await refused(Code.FORBIDDEN, asked)

    async def test_same_id_again(self) -> None:
        """The same id with the same content is the first result again; with other content it is refused."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        first = await alice.sends("hello", to=bob, message_id="mine-1")
        again = await alice.sends("hello", to=bob, message_id="mine-1")
        self.assertEqual((again.seq, again.server_msg_id), (first.seq, first.server_msg_id))
        self.assertEqual((first.duplicate, again.duplicate), (False, True))
        await refused(Code.IDEMPOTENT_CONFLICT, alice.sends("other", to=bob, message_id="mine-1"))
        theirs = await bob.sends("bob's own", to=alice, message_id="mine-1")
        self.assertEqual((theirs.seq, theirs.duplicate), (2, False))
        await bob.sees("hello", seq=1)
        await bob.sees_nothing_more()
        await alice.sees("bob's own", seq=2)
        await alice.sees_nothing_more()

    async def test_fate(self) -> None:
        """The server knows what became of a message, and of one that never came."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        sent = await alice.sends("hello", to=bob, message_id="known")
        fates = await alice.client.message_fates(sent.conversation_id, ["unknown", "known"])
        self.assertEqual([fate.client_msg_id for fate in fates], ["unknown", "known"])
        self.assertEqual([fate.status for fate in fates], [0, STORED])
        self.assertEqual((fates[1].seq, fates[1].server_msg_id), (sent.seq, sent.server_msg_id))
        (not_bobs,) = await bob.client.message_fates(sent.conversation_id, ["known"])
        self.assertEqual(not_bobs.status, 0, "an id is its sender's own")
