"""What may not be said: words that are replaced or refused, and messages that a person looks at first."""

from __future__ import annotations

from typing import Any

from imd.client.events import MessageStored
from imd.kernel.errors import Code
from tests.dialogue.device import Device
from tests.dialogue.stage import Dialogue, Stage, refused


async def _review_of(stage: Stage, device: Device) -> dict[str, Any]:
    """The one message of theirs that waits; others' wait there as well."""
    after = ""
    while True:
        page = await stage.operator("GET", f"/reviews?state=pending&after={after}")
        for review in page["reviews"]:
            if review["senderId"] == str(device.user_id):
                return dict(review)
        after = page["next"]
        if not after:
            raise AssertionError(f"nothing of {device.name} waits for a review")


async def _decides(stage: Stage, device: Device, decision: str) -> None:
    review = await _review_of(stage, device)
    await stage.operator("POST", f"/reviews/{review['id']}", {"decision": decision, "note": "seen"})


class Policy(Dialogue):
    """Words on a list, and a person who decides."""

    async def test_replaced(self) -> None:
        """A word is hidden from everybody, its sender included; sent again it is the same message."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        sent = await alice.sends("Z.ounds, he said", to=bob, message_id="said-once")
        await bob.sees("*******, he said", from_=alice, seq=1)
        again = await alice.sends("Z.ounds, he said", to=bob, message_id="said-once")
        self.assertEqual((again.seq, again.server_msg_id, again.duplicate), (1, sent.server_msg_id, True))
        self.assertEqual([one.text for one in await alice.past(bob)], ["*******, he said"])
        await bob.sees_nothing_more()

    async def test_refused(self) -> None:
        """What is refused goes nowhere, the sender hears why, and what follows is the first message."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        error = await refused(Code.FORBIDDEN, alice.sends("gadzooks!", to=bob))
        self.assertEqual(error.reason, "content")
        await alice.sends("well, then", to=bob)
        await bob.sees("well, then", seq=1)

    async def test_held_and_approved(self) -> None:
        """A held message keeps nobody waiting; approved, it is there for everybody, and its sender's devices know."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.person("alice"), (await stage.people("bob"))[0]
        phone = await alice.device("phone")
        laptop = await alice.device("laptop", over=self.transport.other)
        (sending,) = phone.begins_to_send(["egad, look"], to=bob)
        await phone.sees_held()
        await phone.sends("meanwhile", to=bob)
        await bob.sees("meanwhile", seq=1)
        self.assertFalse(sending.called)
        await _decides(stage, phone, "approve")
        (sent,) = await phone.has_stored([sending])
        self.assertEqual((sent.seq, sent.conversation_id), (2, phone.conversation_id(bob)))
        await bob.sees("egad, look", from_=phone, seq=2)
        await laptop.sees("meanwhile", seq=1)
        await laptop.sees("egad, look", from_=phone, seq=2)
        stored = [await phone.sees_stored() for _ in range(2)]
        self.assertEqual([sign.message.text for sign in stored], ["meanwhile", "egad, look"])
        await bob.sees_nothing_more()
        await phone.sees_nothing_more()
        self.assertEqual(phone.signs(MessageStored), [])

    async def test_first_words_held(self) -> None:
        """Also the very first message to somebody can be held, and opens the conversation when it is approved."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        (sending,) = alice.begins_to_send(["egad"], to=bob)
        await alice.sees_held()
        self.assertIsNone(await bob.conversation(alice))
        await _decides(stage, alice, "approve")
        await alice.has_stored([sending])
        await bob.sees("egad", from_=alice, seq=1)

    async def test_held_and_refused(self) -> None:
        """What a person refuses fails for its sender, and nobody else ever knows of it."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        (sending,) = alice.begins_to_send(["egad"], to=bob)
        await alice.sees_held()
        await _decides(stage, alice, "refuse")
        error = await refused(Code.FORBIDDEN, alice.within("hear that it is refused", sending))
        self.assertEqual(error.reason, "content")
        await alice.sends("well, then", to=bob)
        await bob.sees("well, then", seq=1)

    async def test_decided_while_away(self) -> None:
        """Whoever was away when it was decided hears of it when their device sends the message again."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        (sending,) = alice.begins_to_send(["egad"], to=bob)
        held = await alice.sees_held()
        alice.wire.cut()
        await alice.loses_the_line()
        await _decides(stage, alice, "approve")
        await bob.sees("egad", from_=alice, seq=1)
        await alice.comes_back()
        (sent,) = await alice.has_stored([sending])
        self.assertEqual((sent.seq, sent.client_msg_id), (1, held.client_msg_id))
        await bob.sees_nothing_more()

    async def test_held_before_the_kill(self) -> None:
        """A held message outlives kill -9, and is delivered once."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        (sending,) = alice.begins_to_send(["egad"], to=bob)
        await alice.sees_held()
        await stage.server_is_killed()
        await alice.loses_the_line()
        await stage.server_starts()
        await alice.comes_back()
        await bob.comes_back()
        await _decides(stage, alice, "approve")
        await alice.has_stored([sending])
        await bob.sees("egad", from_=alice, seq=1)
        await bob.sees_nothing_more()
