"""Why did Bob not get it? Planted cases, each a dialogue with a whole server, and the reason that the operator is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import delete

from imd.business.tables.groups import group_members
from imd.config.permission import Permission
from imd.config.sections import Config, Limits, Messages
from imd.core.explain.model import SESSION
from imd.core.explain.segments import MemorySegments
from imd.pb.message_pb2 import FAILED, STORED
from tests.roles.explained import ExplainedCase, Someone


def steps(story: Any, what: str) -> list[str]:
    """What is told of this kind of step."""
    return [step["text"] for step in story["steps"] if step["what"] == what]


class Got(ExplainedCase):
    """The receiver has it."""

    def test_delivered(self) -> None:
        """A device that has it, by its own word; each way to name the message finds it."""
        self.bob.comes()
        ack = self.alice.says("hello", to=self.bob, name="first")
        chat = self.alice.with_(self.bob)
        self.bob.has(chat, delivered=1)
        for name in (str(ack.serverMsgId), f"{chat}:1", f"{chat}/{self.alice.user_id}/first"):
            story = self.assert_told(name, self.bob, "yes", "delivered")
            self.assertEqual((story["conversationId"], story["seq"]), (chat, 1))
            self.assertIn("pushed: 2 session(s)", steps(story, "fan-out")[0])
            self.assertEqual(len(steps(story, "stored")), 1)
            self.assertEqual(story["gaps"], [])

    def test_read(self) -> None:
        """Somebody who has read it; asked for by handle."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        chat = self.alice.with_(self.bob)
        self.bob.has(chat, read=1)
        self.assert_told(f"{chat}:1", self.bob.person.handle, "yes", "read", self.bob.person.handle)

    def test_delivered_on_return(self) -> None:
        """Somebody who was away, and came back."""
        self.alice.says("hello", to=self.bob)
        self.later(2)
        self.bob.comes()
        chat = self.alice.with_(self.bob)
        self.bob.has(chat, delivered=1)
        story = self.assert_told(f"{chat}:1", self.bob, "yes", "delivered")
        stored = next(step["at"] for step in story["steps"] if step["what"] == "stored")
        came = next(step["at"] for step in story["steps"] if step["what"] == "connected")
        self.assertGreater(came, stored)

    def test_duplicate(self) -> None:
        """Sent twice, it is there once, and the second try is told."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob, name="twice")
        self.assertTrue(self.alice.says("hello", to=self.bob, name="twice").duplicate)
        chat = self.alice.with_(self.bob)
        self.bob.has(chat, delivered=1)
        story = self.assert_told(f"{chat}/{self.alice.user_id}/twice", self.bob, "yes", "delivered")
        self.assertEqual(steps(story, "repeated"), ["sent again, and answered with the first result"])


class NotStored(ExplainedCase):
    """It never came into the conversation."""

    def name(self, chat: str, name: str) -> str:
        return f"{chat}/{self.alice.user_id}/{name}"

    def group(self, *others: Someone) -> str:
        """Of bob's; the id."""
        body = {"title": "G", "memberIds": [str(one.user_id) for one in others]}
        return str(self.bob.asks("POST", "/groups", body)["conversationId"])

    def test_muted(self) -> None:
        """A sender who was mute."""
        group = self.group(self.alice)
        self.bob.asks("POST", f"/conv/{group}/mute", {"userIds": [str(self.alice.user_id)], "seconds": 600})
        self.alice.says("hello", to=group, name="quiet")
        self.assert_told(
            self.name(group, "quiet"), self.bob, "no", "muted", self.alice.person.handle, "muted"
        )

    def test_blocked(self) -> None:
        """A receiver who blocks the sender; the operator hears who blocks whom."""
        self.alice.says("hello", to=self.bob)
        self.bob.asks("PUT", f"/blocks/{self.alice.user_id}")
        self.alice.says("are you there?", to=self.bob, name="unheard")
        name = self.name(self.alice.with_(self.bob), "unheard")
        blocks = f"{self.bob.person.handle} blocks {self.alice.person.handle}"
        self.assert_told(name, self.bob, "no", "not_accepted", blocks)

    def test_sender_no_member(self) -> None:
        """A sender who is not in the group."""
        group = self.group()
        self.alice.says("let me in", to=group, name="outside")
        self.assert_told(self.name(group, "outside"), self.bob, "no", "not_member", self.alice.person.handle)

    def test_rate_limited(self) -> None:
        """A sender who was too fast."""
        limits = Limits(user_text_per_min=1, user_burst=1)
        self.ground.in_force.change(Config(limits=limits), 1)
        self.alice.says("one", to=self.bob)
        self.alice.says("two", to=self.bob, name="too-fast")
        name = self.name(self.alice.with_(self.bob), "too-fast")
        self.assert_told(name, self.bob, "no", "rate_limited", "too much too fast")

    def test_too_many_frames(self) -> None:
        """A device that sends too much of anything; the conversation was named by its peer alone."""
        self.alice.says("one", to=self.bob)
        self.ground.in_force.change(Config(limits=Limits(device_frames_per_s=1)), 1)
        acks = [self.alice.says("more", to=self.bob, name=f"frame-{number}") for number in range(10)]
        last = next(ack for ack in acks if ack.status == FAILED)
        name = self.name(self.alice.with_(self.bob), last.clientMsgId)
        self.assert_told(name, self.bob, "no", "rate_limited", "too many frames")

    def test_flood(self) -> None:
        """Of somebody who sends without end not each refusal is kept, and that is told, with what they were told."""
        self.alice.says("one", to=self.bob)
        self.ground.in_force.change(Config(limits=Limits(user_text_per_min=1, user_burst=1)), 1)
        for number in range(30):
            self.alice.says("more", to=self.bob, name=f"more-{number}")
        name = self.name(self.alice.with_(self.bob), "more-29")
        story = self.assert_told(name, self.bob, "unknown", "not_kept_singly", "sent too much too fast")
        self.assertIn("are not kept singly", steps(story, "summed")[0])
        self.assertIn("sends of " + self.alice.person.handle, steps(story, "summed")[0])

    def test_word_filter(self) -> None:
        """A word that may not be said."""
        self.alice.says("hello", to=self.bob)
        self.alice.says("gadzooks!", to=self.bob, name="rude")
        name = self.name(self.alice.with_(self.bob), "rude")
        story = self.assert_told(name, self.bob, "no", "content", "content check")
        self.assertNotIn("gadzooks!", str(story))

    def test_held(self) -> None:
        """A message that waits for a person, and what becomes of it."""
        self.alice.says("hello", to=self.bob)
        self.alice.says("egad, look", to=self.bob, name="looked-at")
        name = self.name(self.alice.with_(self.bob), "looked-at")
        story = self.assert_told(name, self.bob, "no", "held_for_review")
        number = story["advice"].rpartition("/")[2]
        reply = self.ground.call(
            "POST",
            f"/operator/reviews/{number}",
            {"decision": "refuse", "by": "Ruth"},
            token=self.ground.operator_token,
        )
        self.assertEqual(reply.status, 200, reply)
        self.assert_told(name, self.bob, "no", "review_refused", "Ruth")

    def test_conflict(self) -> None:
        """A second message under the id of the first: the first is there, and the second was refused."""
        self.bob.comes()
        self.alice.says("one", to=self.bob, name="same")
        self.alice.says("two", to=self.bob, name="same")
        chat = self.alice.with_(self.bob)
        self.bob.has(chat, delivered=1)
        story = self.assert_told(self.name(chat, "same"), self.bob, "yes", "delivered")
        self.assertIn("1012", steps(story, "refused")[0])

    def test_unknown(self) -> None:
        """Nobody knows of it, and that is told."""
        self.alice.says("hello", to=self.bob)
        chat = self.alice.with_(self.bob)
        self.assert_told(self.name(chat, "never"), self.bob, "unknown", "never_arrived")
        self.assert_told(f"{chat}:7", self.bob, "unknown", "no_such_message", "its last one is 1")
        self.assert_told("1234567890123456789", self.bob, "unknown", "no_such_message")


class NotThere(ExplainedCase):
    """It is stored, and the receiver does not have it."""

    def test_offline(self) -> None:
        """Nobody was connected."""
        self.alice.says("hello", to=self.bob)
        self.later(2)
        self.assert_told(f"{self.alice.with_(self.bob)}:1", self.bob, "no", "offline")

    def test_silent(self) -> None:
        """A device that is connected, and says nothing."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        self.assert_told(f"{self.alice.with_(self.bob)}:1", self.bob, "no", "not_acknowledged", "phone")

    def test_lost(self) -> None:
        """A device whose connection was lost before it said that it has it."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        self.later(1)
        self.bob.goes()
        self.assert_told(
            f"{self.alice.with_(self.bob)}:1", self.bob, "no", "connection_lost", "the connection was lost"
        )

    def test_shed(self) -> None:
        """A device that read too slowly: what waited for it was dropped."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        self.bob.has(self.alice.with_(self.bob), delivered=1)
        self.bob.session.blocked(self.ground.world.clock.seconds())
        for _ in range(120):
            last = self.alice.says("and again", to=self.bob)
        story = self.assert_told(
            f"{self.alice.with_(self.bob)}:{last.seq}", self.bob, "no", "queue_shed", "too slowly", "phone"
        )
        self.assertEqual(len(steps(story, "shed")), 1)

    def test_cut_off(self) -> None:
        """A device that did not read for so long that it was cut off."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        chat = self.alice.with_(self.bob)
        self.bob.session.blocked(self.ground.world.clock.seconds())
        self.later(40)
        self.bob.goes()
        self.assert_told(f"{chat}:1", self.bob, "no", "connection_lost", "it did not read, and was cut off")

    def test_long_connected(self) -> None:
        """A device that came before anything is remembered is there all the same, and when it goes, was."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        self.later(2)
        self.record.sessions._segments = MemorySegments(
            record=SESSION, most_bytes=1 << 20, wall_clock=lambda: 0
        )
        chat = self.alice.with_(self.bob)
        self.assert_told(f"{chat}:1", self.bob, "no", "not_acknowledged", "device phone is connected")
        self.later(1)
        self.bob.goes()
        self.assert_told(f"{chat}:1", self.bob, "no", "connection_lost", "device (forgotten) was connected")

    def test_kicked_session(self) -> None:
        """A device that came again: its older session was ended for that, and how is told."""
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        self.bob.comes()
        story = self.assert_told(
            f"{self.alice.with_(self.bob)}:1", self.bob, "no", "not_acknowledged", "phone"
        )
        self.assertEqual(steps(story, "disconnected"), ["device phone: kicked: same_device"])
        self.assertEqual(len(steps(story, "connected")), 2)

    def test_hinted(self) -> None:
        """In a crowd people are told that there is something; who does not pull it is told from who was sent it."""
        self.bob.comes()
        body = {"title": "G", "memberIds": [str(self.bob.user_id)]}
        group = self.alice.asks("POST", "/groups", body)["conversationId"]
        messages = Messages(hint_members_online=1, small_group_members=1)
        self.ground.in_force.change(Config(messages=messages), 1)
        last = self.alice.says("to the crowd", to=group)
        story = self.assert_told(f"{group}:{last.seq}", self.bob, "no", "not_acknowledged", "has to pull it")
        self.assertIn("told that there is something", steps(story, "fan-out")[0])

    def test_not_member(self) -> None:
        """Somebody who never was in the group."""
        group = self.alice.asks("POST", "/groups", {"title": "G", "memberIds": []})["conversationId"]
        self.alice.says("alone", to=group)
        self.assert_told(f"{group}:1", self.bob, "no", "not_member")

    def test_kicked_before(self) -> None:
        """Somebody who had been removed, and by whom."""
        body = {"title": "G", "memberIds": [str(self.bob.user_id)]}
        group = self.alice.asks("POST", "/groups", body)["conversationId"]
        self.later(1)
        self.alice.asks("DELETE", f"/groups/{group}/members/{self.bob.user_id}")
        self.later(1)
        last = self.alice.says("he is gone", to=group)
        self.assert_told(
            f"{group}:{last.seq}", self.bob, "no", "left_before", "removed", str(self.alice.user_id)
        )

    def test_joined_later(self) -> None:
        """Somebody who came later, into a group that shows nothing from before."""
        group = self.alice.asks("POST", "/groups", {"title": "G", "memberIds": []})["conversationId"]
        self.alice.asks("PATCH", f"/groups/{group}", {"history": "from_join"})
        early = self.alice.says("early", to=group)
        self.later(1)
        self.alice.asks("POST", f"/groups/{group}/members", {"userIds": [str(self.bob.user_id)]})
        self.later(1)
        self.assert_told(f"{group}:{early.seq}", self.bob, "no", "joined_later", "shows nothing from before")

    def test_recalled(self) -> None:
        """Taken back by its sender before anybody had it."""
        self.alice.says("oops", to=self.bob)
        chat = self.alice.with_(self.bob)
        self.alice.recalls(chat, 1)
        taken_back = f"{self.alice.person.handle} took it back"
        story = self.assert_told(f"{chat}:1", self.bob, "no", "recalled", taken_back)
        self.assertIn(f"by {chat}:2", steps(story, "taken_back")[0])

    def test_recalled_too_late(self) -> None:
        """Taken back when the receiver had it; who was connected may have seen it, who came later has not."""
        self.bob.comes()
        self.alice.says("oops", to=self.bob)
        chat = self.alice.with_(self.bob)
        self.bob.has(chat, delivered=1)
        self.later(1)
        self.alice.recalls(chat, 1)
        self.assert_told(f"{chat}:1", self.bob, "yes", "recalled", "may have seen it")
        self.bob.goes()
        self.later(1)
        self.alice.says("again", to=self.bob)
        self.alice.recalls(chat, 3)
        self.later(1)
        self.bob.comes()
        self.bob.has(chat, delivered=4)
        self.assert_told(f"{chat}:3", self.bob, "no", "recalled", "empty place")

    def test_frozen(self) -> None:
        """A receiver whose account was frozen."""
        self.alice.says("hello", to=self.bob)
        body = {"state": "frozen", "reason": "spam"}
        path = f"/operator/accounts/{self.bob.user_id}/state"
        self.ground.call("PUT", path, body, token=self.ground.operator_token)
        self.assert_told(f"{self.alice.with_(self.bob)}:1", self.bob, "no", "account_frozen", "spam")


class Unreadable:
    """A disk that takes everything and gives nothing back."""

    since_ms = 0

    async def start(self) -> None:
        """It looks well."""

    async def append(self, records: bytes, now_ms: int) -> None:
        """It still does."""

    async def find(
        self, key: int, *, keep: Callable[[Sequence[Any]], bool], limit: int
    ) -> list[tuple[Any, ...]]:
        raise OSError(5, "Input/output error")


class DiskTrouble(ExplainedCase):
    """What the node remembers cannot be read."""

    def setUp(self) -> None:
        super().setUp()
        self.record.sessions._segments = Unreadable()
        self.bob.comes()
        self.alice.says("hello", to=self.bob)
        self.chat = self.alice.with_(self.bob)

    def test_stored_is_enough(self) -> None:
        """What is stored is told all the same, and what could not be read is named."""
        self.bob.has(self.chat, delivered=1)
        story = self.assert_told(f"{self.chat}:1", self.bob, "yes", "delivered")
        self.assertEqual(story["gaps"], ["core-0 cannot read what it remembers: Input/output error"])

    def test_nothing_guessed(self) -> None:
        """Without it there is no reason, and none is made up."""
        self.assert_told(
            f"{self.chat}:1", self.bob, "no", "not_acknowledged", "why is not recorded: core-0 cannot read"
        )


class Degraded(ExplainedCase):
    """While nobody could judge it."""

    def setUp(self) -> None:
        super().setUp()
        self.bob.comes()

    def group(self) -> str:
        """Of bob's, with alice, and known to core."""
        body = {"title": "G", "memberIds": [str(self.alice.user_id)]}
        group = str(self.bob.asks("POST", "/groups", body)["conversationId"])
        self.assertEqual(self.alice.says("hello", to=group).status, STORED)
        return group

    def test_refused(self) -> None:
        """What nobody could judge, in a conversation of which nothing is known."""
        self.database.is_held = True
        ack = self.alice.says("hello", to="g_0000000000000001", name="unjudged")
        self.assertEqual((ack.status, ack.error.reason), (FAILED, "degraded"))
        self.database.goes_on()
        self.later(30)
        name = f"g_0000000000000001/{self.alice.user_id}/unjudged"
        self.assert_told(name, self.bob, "no", "degraded", "im-business did not answer in time")

    def test_released_and_revoked(self) -> None:
        """What was let through, and taken back when somebody could judge it."""
        soon = 0.3
        permission = Permission(snapshot_s=soon, snapshot_hot_s=soon, snapshot_sensitive_s=soon)
        self.ground.in_force.change(Config(permission=permission), 1)
        group = self.group()
        # Another business node removes her, and core does not hear of it.
        gone = delete(group_members).where(group_members.c.user_id == self.alice.user_id)
        self.ground.world.run(self.ground.world.database.write(lambda c: c.execute(gone).close()))
        self.later(1)
        self.database.is_held = True
        ack = self.alice.says("am I still here?", to=group, name="wrong")
        self.assertEqual(ack.status, STORED)
        self.database.goes_on()
        self.later(30)
        name = f"{group}/{self.alice.user_id}/wrong"
        story = self.assert_told(name, self.bob, "no", "revoked", "the server took it back")
        self.assertEqual(len(steps(story, "released")), 1)
        self.assertEqual(len(steps(story, "revoked")), 1)
        # Had he said that he had it, that would be another matter.
        self.bob.has(group, delivered=ack.seq)
        self.assert_told(name, self.bob, "yes", "revoked", "may have seen it")
