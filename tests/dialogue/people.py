"""How people stand to each other: who reaches whom, who sees whom, and what becomes of those who go."""

from __future__ import annotations

from imd.client.events import ConnectionState, PresenceChanged
from imd.kernel.errors import Code, ImError
from imd.kernel.timeouts import sleep
from tests.dialogue.device import Device
from tests.dialogue.stage import Dialogue, Stage, refused
from tests.dialogue.town import PASSWORD

#: How often it is tried until all nodes have heard of a change, and the time between.
TRIES, PAUSE_S = 30, 0.1


class People(Dialogue):
    """Who reaches whom."""

    async def is_refused(self, sender: Device, receiver: Device) -> ImError:
        """What one writes to the other is not taken, once all nodes have heard of that, and nobody is told why."""
        for number in range(TRIES):
            try:
                await sender.sends(f"do you hear me? {number}", to=receiver)
            except ImError as error:
                self.assertEqual((error.code, error.reason), (Code.FORBIDDEN, "not_accepted"))
                return error
            if receiver.client.state is not ConnectionState.ENDED:
                await receiver.sees(f"do you hear me? {number}")
            await sleep(PAUSE_S, clock=sender.reactor)
        raise AssertionError("nobody has heard that these messages are not accepted")

    async def is_heard(self, sender: Device, text: str, receiver: Device) -> None:
        """The same the other way."""
        for number in range(TRIES):
            try:
                await sender.sends(text, to=receiver)
                break
            except ImError as error:
                if error.reason != "not_accepted" or number == TRIES - 1:
                    raise
            await sleep(PAUSE_S, clock=sender.reactor)
        await receiver.sees(text, from_=sender)

    async def test_block(self) -> None:
        """A block silences both at once, the refusal does not tell who blocked, and what was said stays readable."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        await bob.sends("hello", to=alice)
        await alice.sees("hello", seq=1)
        await alice.rest.people.block(bob.user_id)
        from_bob = await self.is_refused(bob, alice)
        from_alice = await self.is_refused(alice, bob)
        self.assertEqual((from_bob.code, from_bob.message), (from_alice.code, from_alice.message))
        await carol.sends("hello from me", to=alice)
        await alice.sees("hello from me", from_=carol)
        self.assertEqual([one.user_id for one in await alice.rest.people.blocks()], [bob.user_id])
        await alice.rest.people.lift_block(bob.user_id)
        await self.is_heard(bob, "there you are", alice)
        await bob.sees_nothing_more()

    async def test_block_before_the_first_word(self) -> None:
        """Who is blocked before anything was said is answered like one who writes to nobody at all."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        await alice.rest.people.block(bob.user_id)
        reasons = []
        for user_id in (alice.user_id, 4242):
            sending = bob.client.send_text("hello", peer_user_id=user_id)
            reasons.append(await refused(Code.FORBIDDEN, sending))
        self.assertEqual(reasons[0].message, reasons[1].message)
        await alice.sees_nothing_more()

    async def test_friends_only(self) -> None:
        """Who takes messages of friends alone is reached by whoever becomes one, and not by who was one."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        await bob.sends("hello", to=alice)
        await alice.sees("hello")
        await alice.rest.people.set_privacy(messageFrom="friends")
        await self.is_refused(bob, alice)
        await bob.rest.people.ask_friend(alice.user_id, "it is me")
        (request,) = await alice.rest.people.friend_requests()
        self.assertEqual((request.user.user_id, request.message), (bob.user_id, "it is me"))
        await alice.rest.people.accept_friend(bob.user_id)
        await self.is_heard(bob, "thanks", alice)
        await alice.rest.people.remove_friend(bob.user_id)
        await self.is_refused(bob, alice)
        await self.is_heard(alice, "but I may", bob)

    async def test_friend_list(self) -> None:
        """A list that is kept tells what came, what is different and who is gone, whoever did it."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        kept = alice.rest.people.friend_list()
        for other in (bob, carol):
            await alice.rest.people.ask_friend(other.user_id)
            await other.rest.people.accept_friend(alice.user_id)
        await kept.sync()
        self.assertEqual(set(kept.friends), {bob.user_id, carol.user_id})
        group = await alice.rest.people.add_friend_group("Work")
        await alice.rest.people.describe_friend(bob.user_id, remark="B.", group_id=group.group_id)
        await carol.rest.people.remove_friend(alice.user_id)
        await kept.sync()
        self.assertEqual(set(kept.friends), {bob.user_id})
        friend = kept.friends[bob.user_id]
        self.assertEqual((friend.remark, friend.group_id, kept.groups), ("B.", group.group_id, [group]))

    async def test_hidden(self) -> None:
        """Who blocks somebody is not seen by them any more, also if they were watching."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        for watching in (bob, carol):
            await watching.sends("hello", to=alice)
            (state,) = await watching.client.watch_presence([alice.user_id])
            self.assertTrue(state.online)
        await alice.rest.people.block(bob.user_id)
        self.assertEqual(await bob.sees_next_presence(), PresenceChanged(alice.user_id, False, (), 0))
        (state,) = await bob.client.watch_presence([alice.user_id])
        self.assertEqual(state, PresenceChanged(alice.user_id, False, (), 0))
        await alice.rest.people.set_privacy(presenceTo="nobody")
        self.assertFalse((await carol.sees_next_presence()).online)

    async def test_sign_out(self) -> None:
        """A device that is signed out from another one is off the line at once, and does not come back."""
        stage = await Stage.open(self, self.transport)
        alice = await stage.person("alice")
        phone, laptop = await alice.device("phone"), await alice.device("laptop")
        devices = await phone.rest.people.devices()
        self.assertLessEqual({"phone", "laptop"}, {device.device_id for device in devices})
        await phone.rest.people.sign_out("laptop")
        self.assertIn("signed_out", await laptop.sees_the_end())
        await refused(Code.AUTH_FAILED, laptop.rest.me())
        tablet = await alice.device("tablet")
        await phone.rest.sign_out_others()
        self.assertIn("signed_out", await tablet.sees_the_end())
        await phone.rest.me()

    async def test_delete(self) -> None:
        """Who deletes their account is off the line, cannot be written to, and is out of all groups."""
        stage = await Stage.open(self, self.transport)
        alice, bob, carol = await stage.people("alice", "bob", "carol")
        await bob.sends("hello", to=alice)
        await alice.sees("hello")
        group = await bob.rest.create_group("Team", [alice.user_id, carol.user_id])
        team = group.conversation_id
        for device in (alice, bob, carol):
            await device.sees_notice("group.created", by=bob, in_=team)
        await alice.rest.people.delete_account(PASSWORD)
        self.assertIn("deleted", await alice.sees_the_end())
        for device in (bob, carol):
            await device.sees_notice("group.left", about=[alice], in_=team)
        await self.is_refused(bob, alice)
        self.assertEqual(
            [one.person.user_id for one in await bob.rest.members(team)], sorted([bob.user_id, carol.user_id])
        )
        self.assertEqual(await bob.rest.people.users([alice.user_id]), [])
