"""Order in groups: who is mute, who was kicked in the middle of a word, what newcomers see."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from imd.client.events import SentMessage
from imd.kernel.errors import Code, Forbidden
from imd.kernel.timeouts import sleep
from tests.dialogue.device import Device
from tests.dialogue.groups import founded
from tests.dialogue.stage import Dialogue, Stage, refused

#: Words in a stream; what restricts the speaker comes somewhere among them.
TEXTS = 100
PAUSE_S = 0.001


class Order(Dialogue):
    """Those who keep order, and those who do not."""

    async def test_mute(self) -> None:
        """Who is mute is told so until it is lifted; with all muted admins still speak."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        team = await founded(alice, bob)
        await alice.rest.groups.mute(team, [bob.user_id], seconds=600)
        for device in (alice, bob):
            notice = await device.sees_notice("group.muted", about=[bob], by=alice)
            self.assertGreater(notice.until, 0)
        self.assertEqual((await refused(Code.FORBIDDEN, bob.sends("but", to=team))).reason, "muted")
        await alice.rest.groups.mute(team, [bob.user_id], seconds=0)
        for device in (alice, bob):
            await device.sees_notice("group.unmuted", about=[bob])
        await bob.sends("thanks", to=team)
        await alice.sees("thanks")
        await alice.rest.groups.mute_all(team)
        for device in (alice, bob):
            await device.sees_notice("group.all_muted", about=[])
        self.assertEqual((await refused(Code.FORBIDDEN, bob.sends("but", to=team))).reason, "all_muted")
        await alice.sends("silence", to=team)
        await bob.sees("silence")

    async def test_kick_races_a_send(self) -> None:
        """Of what somebody says while they are kicked nothing comes after the notice that says so."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        team = await founded(alice, bob)
        said = await self.said_during(bob, team, lambda: alice.rest.kick(team, bob.user_id))
        await self.check_silence(alice, team, "group.kicked", said)

    async def test_mute_races_a_send(self) -> None:
        """Of what somebody says while they are muted nothing comes after the notice that says so."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        team = await founded(alice, bob)
        said = await self.said_during(bob, team, lambda: alice.rest.groups.mute(team, [bob.user_id]))
        await self.check_silence(alice, team, "group.muted", said)

    async def said_during(
        self, bob: Device, team: str, act: Callable[[], Coroutine[Deferred[Any], Any, None]]
    ) -> list[int]:
        """Bob talks before, while and after somebody acts; the seqs of what was stored."""
        stored = [(await bob.sends("before", to=team)).seq]
        begun: list[Deferred[SentMessage]] = []
        acting: Deferred[None] | None = None
        for number in range(TEXTS):
            if number == TEXTS // 10:
                acting = Deferred.fromCoroutine(act())
            begun += bob.begins_to_send([f"word {number}"], to=team)
            await sleep(PAUSE_S, clock=bob.reactor)
        assert acting is not None
        await acting
        begun += bob.begins_to_send(["after"], to=team)
        refusals = 0
        for sent in begun:
            try:
                stored.append((await bob.within("have an answer", sent)).seq)
            except Forbidden:
                refusals += 1
        self.assertGreater(refusals, 0)
        return stored

    async def check_silence(self, alice: Device, team: str, event: str, said: list[int]) -> None:
        """Everything that was said has a lower seq than the notice, and nothing of it is lost."""
        told = []
        for _ in range(len(said) + 1):
            message = await alice.hears(team)
            told.append(message.seq)
            if message.system is not None:
                self.assertEqual(message.system.event, event)
                break
        self.assertEqual(told[:-1], sorted(said))
        await alice.sees_nothing_more()

    async def test_newcomers(self) -> None:
        """Where the past is not for newcomers they see the notice of their coming, and what follows."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        group = await alice.rest.create_group("Team")
        team = group.conversation_id
        await alice.rest.groups.change(team, joinPolicy="open", history="from_join")
        await alice.sends("a secret", to=team)
        self.assertTrue(await bob.rest.groups.join(team))
        first = (await bob.rest.groups.own(team)).visible_from
        await alice.sends("welcome", to=team)
        seen = await bob.past(team, from_seq=1, backward=False)
        self.assertEqual([message.seq for message in seen], [first, first + 1])
        self.assertEqual(seen[1].text, "welcome")
        bob.faults.clear()

    async def test_kept_out(self) -> None:
        """Who is kept out does not come back through an open door."""
        stage = await Stage.open(self, self.transport)
        alice, bob = await stage.people("alice", "bob")
        team = await founded(alice, bob)
        await alice.rest.groups.change(team, joinPolicy="open")
        await alice.rest.groups.keep_out(team, [bob.user_id])
        await bob.sees_notice("group.rules", by=alice)
        await bob.sees_the_door(team, "kicked")
        await refused(Code.FORBIDDEN, bob.rest.groups.join(team))
        await refused(Code.FORBIDDEN, bob.sends("but", to=team))
