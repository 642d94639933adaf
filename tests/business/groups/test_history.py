"""What newcomers see of a group's past, and what was true of people at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select

from imd.bus.subjects import AUTH_CONVERSATIONS
from imd.business.groups.model import ADMIN, MEMBER, StandingAt
from imd.business.groups.sql_past import KEPT_MS, SETTLED_KEPT_MS
from imd.business.groups.sql_standing import SqlStandingsAt
from imd.business.tables.groups import group_admissions, group_departures, group_past_mutes
from imd.kernel.ids import direct_conversation_id
from imd.pb.bus_pb2 import ConversationsAnswer, ConversationsQuery
from tests.business.groups.town import Town


class FromJoin(Town):
    """A group whose newcomers see what is said from then on."""

    def setUp(self) -> None:
        super().setUp()
        self.rules(joinPolicy="open", history="from_join")

    def visible_from(self, who: str = "stranger") -> int:
        return int(self.done(who, "GET", f"/groups/{self.group}/me")["visibleFrom"])

    def add(self) -> None:
        body = {"userIds": self.ids("stranger")}
        self.done("owner", "POST", f"/groups/{self.group}/members", body)

    def test_every_way(self) -> None:
        """However somebody comes in, they see what comes after what was last when they came."""
        asked = self.core_knows(41)
        leave = f"/groups/{self.group}/leave"
        applied = f"/groups/{self.group}/applications/{self.people['stranger'].user_id}/approve"
        self.add()
        self.assertEqual(self.visible_from(), 42)
        self.done("stranger", "POST", leave)
        self.done("stranger", "POST", f"/groups/{self.group}/join")
        self.assertEqual(self.visible_from(), 42)
        self.done("stranger", "POST", leave)
        self.done("owner", "POST", f"/groups/{self.group}/invitations", {"userIds": self.ids("stranger")})
        self.done("stranger", "POST", f"/me/invitations/{self.group}/accept")
        self.assertEqual(self.visible_from(), 42)
        self.done("stranger", "POST", leave)
        self.rules(joinPolicy="approval")
        self.done("stranger", "POST", f"/groups/{self.group}/join")
        self.done("owner", "POST", applied)
        self.assertEqual(self.visible_from(), 42)
        self.assertEqual(set(asked), {self.group})

    def test_core_is_told(self) -> None:
        """Core learns of it with the newcomer's conversations."""
        self.core_knows(41)
        self.add()
        told = {}
        for who in ("stranger", "member"):
            person = self.people[who]
            ticket = self.world.ticket({"token": person.token, "deviceId": "phone"})
            query = ConversationsQuery(userId=int(person.user_id), ticket=ticket)
            answer = self.world.ask(AUTH_CONVERSATIONS, query, ConversationsAnswer)
            told[who] = [each.visibleFrom for each in answer.conversations]
        self.assertEqual(told, {"stranger": [42], "member": [0]})

    def test_old_members(self) -> None:
        """Who was in before sees everything as before."""
        self.core_knows(41)
        self.assertEqual(self.visible_from("member"), 0)

    def test_all(self) -> None:
        """Where everything is shown core is not asked."""
        self.rules(history="all")
        asked = self.core_knows(41)
        self.add()
        self.assertEqual((self.visible_from(), asked), (0, []))

    def test_core_is_away(self) -> None:
        """Where core does not say how far the conversation has come nobody comes in, whichever way."""
        self.done("owner", "POST", f"/groups/{self.group}/invitations", {"userIds": self.ids("stranger")})
        body = {"userIds": self.ids("stranger")}
        ways: list[tuple[str, str, Any]] = [
            ("owner", f"/groups/{self.group}/members", body),
            ("stranger", f"/groups/{self.group}/join", None),
            ("stranger", f"/me/invitations/{self.group}/accept", None),
        ]
        for core in ("away", "failing"):
            if core == "failing":
                self.core_knows(None)
            for who, path, body in ways:
                self.assertEqual(self.refused(who, "POST", path, body)[0], 503, f"{core} {path}")
        self.assertNotIn("stranger", self.roles())

    def test_rule_comes_between(self) -> None:
        """If the rule comes between the look at it and the joining, nobody comes in who would see too much."""
        groups = self.world.parts.groups
        with_rule = self.world.run(groups.memberships.group(self.group))
        assert with_rule is not None
        self.rules(history="all")
        without = self.world.run(groups.memberships.group(self.group))
        self.core_knows(41)
        self.rules(history="from_join")

        async def as_before(_: str) -> Any:
            return without

        self.patch(groups.memberships, "group", as_before)
        self.assertEqual(self.refused("stranger", "POST", f"/groups/{self.group}/join")[0], 503)


class StandingsAt(Town):
    """What was true when."""

    def setUp(self) -> None:
        super().setUp()
        self.standings = SqlStandingsAt(self.world.database)
        self.zero = self.world.now_ms()

    def at(self, who: str, second: int) -> StandingAt:
        work = self.standings.standing_at(self.group, self.id_of(who), self.zero + second * 1000)
        return self.world.run(work)

    def mute(self, seconds: int | None, *names: str) -> None:
        body: dict[str, Any] = {"userIds": self.ids(*names)} if names else {"everybody": True}
        self.done("owner", "POST", f"/conv/{self.group}/mute", {**body, "seconds": seconds})

    def kick(self, *names: str) -> None:
        self.done("owner", "DELETE", f"/groups/{self.group}/members", {"userIds": self.ids(*names)})

    def test_membership(self) -> None:
        """Somebody was in it from when they came until they left, and again when they came back."""
        self.world.clock.advance(10)
        self.kick("member")
        self.world.clock.advance(10)
        self.done("owner", "POST", f"/groups/{self.group}/members", {"userIds": self.ids("member")})
        was_in = [self.at("member", second).is_member for second in (-1, 0, 9, 10, 19, 20, 30)]
        self.assertEqual(was_in, [False, True, True, False, False, True, True])
        self.assertEqual(self.at("stranger", 5), StandingAt(False, MEMBER, False, False))
        self.assertEqual(self.at("admin", 5), StandingAt(True, ADMIN, False, False))

    def test_mute(self) -> None:
        """A mute was true from when it was made until its end, or until it was lifted."""
        self.mute(10, "member")
        self.world.clock.advance(5)
        self.mute(10, "member")
        self.world.clock.advance(15)
        self.mute(None, "member")
        self.world.clock.advance(5)
        self.mute(0, "member")
        was_mute = [self.at("member", second).is_muted for second in (-1, 0, 7, 14, 15, 19, 20, 24, 25, 99)]
        expected = [False, True, True, True, False, False, True, True, False, False]
        self.assertEqual(was_mute, expected)

    def test_all_mute(self) -> None:
        """A mute of all was true for members, and for nobody above."""
        self.mute(10)
        self.world.clock.advance(5)
        self.mute(0)
        for who, expected in (("member", [True, False]), ("admin", [False, False])):
            self.assertEqual([self.at(who, second).is_muted for second in (4, 5)], expected)

    def test_gone(self) -> None:
        """Of somebody who left it is known that they were mute, and of somebody kept out since when."""
        self.mute(10, "member")
        self.world.clock.advance(5)
        self.done("owner", "POST", f"/conv/{self.group}/blacklist", {"userIds": self.ids("member")})
        self.assertEqual(self.at("member", 4), StandingAt(True, MEMBER, True, False))
        self.assertEqual(self.at("member", 5), StandingAt(False, MEMBER, False, True))

    def test_dissolved(self) -> None:
        """Of a group that is no more it is known who was in it."""
        self.world.clock.advance(5)
        self.done("owner", "DELETE", f"/groups/{self.group}")
        self.assertEqual([self.at("member", second).is_member for second in (4, 5)], [True, False])

    def test_pair(self) -> None:
        """A 1:1 conversation is that of the two since it was made."""
        self.done("owner", "POST", "/conversations/direct", {"userId": self.people["admin"].user_id})
        self.group = direct_conversation_id(self.id_of("owner"), self.id_of("admin"))
        was_in = [self.at(who, second).is_member for who in ("owner", "member") for second in (-1, 0)]
        self.assertEqual(was_in, [False, True, False, False])

    def test_nowhere(self) -> None:
        """In a conversation that never was nobody was."""
        self.group = "g_0"
        self.assertEqual(self.at("owner", 0), StandingAt(False, MEMBER, False, False))

    def counts(self) -> list[int]:
        tables = (group_departures, group_past_mutes, group_admissions)
        return [
            self.world.run(
                self.world.database.read(
                    lambda c, table=table: c.execute(select(func.count()).select_from(table)).scalar_one()  # type: ignore[misc]
                )
            )
            for table in tables
        ]

    def test_forgotten(self) -> None:
        """After a week what was is forgotten, except of who would come back mute; applications after a month."""
        self.rules(joinPolicy="approval")
        self.done("stranger", "POST", f"/groups/{self.group}/join")
        self.mute(10, "other-member")
        self.mute(0, "other-member")
        self.mute(None, "member")
        self.kick("member", "other-member")
        self.assertEqual(self.counts(), [2, 1, 1])
        forgetting = self.world.parts.groups.forgetting
        self.world.run(forgetting.start())
        self.world.clock.advance(KEPT_MS / 1000)
        self.world.clock.pump([0.0, 3600.0, 0.0])
        self.assertEqual(self.counts(), [1, 0, 1])
        self.world.clock.advance(SETTLED_KEPT_MS / 1000)
        self.world.clock.pump([0.0, 3600.0, 0.0])
        self.assertEqual(self.counts(), [1, 0, 0])
        self.world.run(self.world.tasks.stop())
