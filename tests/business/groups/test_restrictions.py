"""Who is mute, and who is kept out: by whom, until when, and what core hears of it."""

from __future__ import annotations

from itertools import product
from typing import Any

from imd.business.groups.model import FOR_GOOD_MS
from imd.pb.bus_pb2 import Invalidation
from tests.business.groups.town import Town


class Restricting(Town):
    """What is shown of it."""

    def mute(self, who: str, *names: str, **body: Any) -> Any:
        return self.done(who, "POST", f"/conv/{self.group}/mute", {"userIds": self.ids(*names), **body})

    def muted(self) -> dict[str, int]:
        """Name to seconds from now, of those who are mute by themselves."""
        members = self.done("owner", "GET", f"/conv/{self.group}/members")["members"]
        now_ms = self.world.now_ms()
        (names,) = [self.names(one["userId"] for one in members)]
        untils = [one["mutedUntil"] for one in members]
        return {
            name: (until - now_ms) // 1000
            for name, until in zip(names, untils, strict=True)
            if until > now_ms
        }

    def invalidation(self) -> Invalidation:
        return self.world.invalidations[-1]


class Muting(Restricting):
    """Of one, and of all."""

    def test_for_a_while(self) -> None:
        """A mute has an end, which members see, and core hears who is mute before the group does."""
        self.mute("admin", "member", seconds=60)
        self.assertEqual(self.muted(), {"member": 60})
        self.assertEqual(self.names(self.invalidation().restrictedIds), ["member"])
        self.assertEqual(self.events(), ["group.muted"])
        notice = self.last().notice
        self.assertEqual(self.names([notice.actorId, *notice.subjectIds]), ["admin", "member"])
        self.assertEqual(notice.until, self.world.now_ms() + 60_000)
        self.world.clock.advance(60)
        self.assertEqual(self.muted(), {})

    def test_for_good(self) -> None:
        """Without an end it lasts until it is lifted, which restricts nobody."""
        self.mute("admin", "member")
        self.assertEqual(self.last().notice.until, FOR_GOOD_MS)
        self.mute("other-admin", "member", seconds=0)
        self.assertEqual((self.muted(), list(self.invalidation().restrictedIds)), ({}, []))
        self.assertEqual(self.events(), ["group.muted", "group.unmuted"])

    def test_again(self) -> None:
        """A mute may be made longer or shorter; the same again, and the end of none, are told to nobody."""
        self.mute("admin", "member", seconds=60)
        version = self.version()
        self.mute("admin", "member", seconds=60)
        self.mute("admin", "other-member", seconds=0)
        self.assertEqual(self.version(), version)
        for seconds in (90, 30):
            self.mute("admin", "member", seconds=seconds)
            self.assertEqual(self.muted(), {"member": seconds})

    def test_who(self) -> None:
        """Who keeps order does so with those below, and with all of them or none."""
        rank = {"owner": 2, "admin": 1, "other-admin": 1, "member": 0, "other-member": 0}
        path = f"/conv/{self.group}/mute"
        for who, whom in product(rank, repeat=2):
            body = {"userIds": self.ids(whom), "seconds": 60}
            reply = self.call(who, "POST", path, body)
            may = rank[who] > 0 and rank[who] > rank[whom]
            self.assertEqual(reply.status, 200 if may else 403, f"{who} {whom}")
        self.assertEqual(self.refused("stranger", "POST", path, {"userIds": self.ids("member")}), (403, ""))
        self.mute("owner", "member", "other-member", "admin", "other-admin", seconds=0)
        body = {"userIds": self.ids("member", "other-admin")}
        self.assertEqual(self.refused("admin", "POST", path, body), (403, "no_right"))
        body = {"userIds": self.ids("member", "stranger")}
        self.assertEqual(self.refused("admin", "POST", path, body), (403, "not_member"))
        self.assertEqual(self.muted(), {})

    def test_all(self) -> None:
        """All below admin are mute until then; nobody is named, and lifting it is told as well."""
        path = f"/conv/{self.group}/mute"
        for who in ("member", "stranger"):
            self.assertEqual(self.refused(who, "POST", path, {"everybody": True})[0], 403)
        answer = self.done("admin", "POST", path, {"everybody": True, "seconds": 60})
        self.assertEqual(answer["userIds"], [])
        self.assertEqual(list(self.invalidation().restrictedIds), [0])
        until = self.world.now_ms() + 60_000
        self.assertEqual(self.done("member", "GET", f"/groups/{self.group}")["allMutedUntil"], until)
        self.assertEqual(self.done("member", "GET", f"/conv/{self.group}/role/me")["allMutedUntil"], until)
        self.done("admin", "POST", path, {"everybody": True, "seconds": 60})
        self.done("owner", "POST", path, {"everybody": True, "seconds": 0})
        self.done("owner", "POST", path, {"everybody": True, "seconds": 0})
        self.assertEqual(self.events(), ["group.all_muted", "group.all_unmuted"])
        self.assertEqual(list(self.invalidation().restrictedIds), [])
        self.assertEqual(self.done("member", "GET", f"/groups/{self.group}")["allMutedUntil"], 0)

    def test_leaving(self) -> None:
        """Nobody gets rid of a mute by leaving and coming back, and core hears that they are mute."""
        self.rules(joinPolicy="open")
        self.mute("admin", "member", seconds=60)
        self.done("member", "POST", f"/groups/{self.group}/leave")
        self.world.clock.advance(10)
        self.done("member", "POST", f"/groups/{self.group}/join")
        self.assertEqual(self.muted(), {"member": 50})
        self.assertEqual(self.names(self.invalidation().restrictedIds), ["member"])
        self.mute("admin", "member", seconds=0)
        self.world.clock.advance(1)
        self.done("member", "POST", f"/groups/{self.group}/leave")
        self.done("member", "POST", f"/groups/{self.group}/join")
        self.assertEqual(self.muted(), {})

    def test_bad_input(self) -> None:
        """One of the two, so many, so long: what is else is refused by name before anything is asked."""
        path = f"/conv/{self.group}/mute"
        member = self.ids("member")
        for body, field in (
            ({}, "userIds"),
            ({"userIds": member, "everybody": True}, "userIds"),
            ({"userIds": ["x"]}, "userIds"),
            ({"userIds": [str(n) for n in range(1, 102)]}, "userIds"),
            ({"userIds": member, "seconds": -1}, "seconds"),
            ({"userIds": member, "seconds": 1 << 40}, "seconds"),
            ({"userIds": member, "seconds": 0.5}, "seconds"),
        ):
            reply = self.call("owner", "POST", path, body)
            self.assertEqual((reply.status, reply.error[2].partition("[")[0]), (400, field), body)


class KeepingOut(Restricting):
    """The blacklist."""

    def bar(self, who: str, *names: str, reason: str = "") -> list[str]:
        body = {"userIds": self.ids(*names), "reason": reason}
        return self.names(self.done(who, "POST", f"/conv/{self.group}/blacklist", body)["userIds"])

    def barred(self) -> list[str]:
        found = self.done("admin", "GET", f"/conv/{self.group}/blacklist")["blacklist"]
        return self.names(one["userId"] for one in found)

    def test_member(self) -> None:
        """A member who is kept out is kicked, for core, for themselves and for the group."""
        self.assertEqual(self.bar("admin", "member", reason="Noise"), ["member"])
        self.assertNotIn("member", self.roles())
        told = self.invalidation()
        self.assertEqual((told.reason, self.names(told.removedIds)), ("kicked", ["member"]))
        self.assertEqual(self.names(told.restrictedIds), ["member"])
        self.assertEqual(self.events(), ["group.kicked"])
        found = self.done("owner", "GET", f"/conv/{self.group}/blacklist")["blacklist"][0]
        self.assertEqual((self.names([found["byUserId"]]), found["reason"]), (["admin"], "Noise"))

    def test_stranger(self) -> None:
        """Who was never in it is kept out without the group hearing of it, and core does."""
        self.bar("admin", "stranger")
        self.assertEqual((self.barred(), self.world.notices), (["stranger"], []))
        self.assertEqual(self.names(self.invalidation().restrictedIds), ["stranger"])
        self.assertFalse(self.invalidation().removedIds)

    def test_not_added(self) -> None:
        """Nobody adds somebody who is kept out, until they are not any more."""
        self.bar("admin", "member")
        path, body = f"/groups/{self.group}/members", {"userIds": self.ids("member")}
        self.assertEqual(self.refused("owner", "POST", path, body), (403, "blacklisted"))
        blacklisted = f"/conv/{self.group}/blacklist/{self.people['member'].user_id}"
        for _ in range(2):
            self.done("admin", "DELETE", blacklisted)
        self.assertEqual(self.barred(), [])
        self.done("owner", "POST", path, body)

    def test_who(self) -> None:
        """Those who manage the group do so with those below; members and strangers neither do nor see it."""
        path = f"/conv/{self.group}/blacklist"
        for who, whom in (
            ("admin", "other-admin"),
            ("admin", "owner"),
            ("member", "other-member"),
            ("member", "stranger"),
        ):
            self.assertEqual(self.refused(who, "POST", path, {"userIds": self.ids(whom)}), (403, "no_right"))
        for who in ("member", "stranger"):
            self.assertEqual(self.refused(who, "GET", path)[0], 403)
            self.assertEqual(self.refused(who, "DELETE", f"{path}/{self.people['stranger'].user_id}")[0], 403)
        self.assertEqual(self.refused("owner", "POST", path, {"userIds": self.ids("owner")})[0], 400)
        self.bar("owner", "admin", "member")
        self.assertEqual(sorted(self.roles()), ["other-admin", "other-member", "owner"])

    def test_again(self) -> None:
        """Who is kept out already is not kept out twice."""
        self.bar("admin", "member")
        version = self.version()
        self.assertEqual(self.bar("owner", "member"), [])
        self.assertEqual(self.version(), version)

    def test_pages(self) -> None:
        """The list comes page by page."""
        self.bar("owner", "member", "other-member", "stranger")
        first = self.done("owner", "GET", f"/conv/{self.group}/blacklist?limit=2")
        rest = self.done("owner", "GET", f"/conv/{self.group}/blacklist?limit=2&after={first['next']}")
        self.assertEqual((len(first["blacklist"]), len(rest["blacklist"]), rest["next"]), (2, 1, ""))

    def test_bad_input(self) -> None:
        """Nobody, nonsense and people who do not exist are refused by name."""
        path = f"/conv/{self.group}/blacklist"
        for user_ids in ([], ["x"], ["17"], [str(n) for n in range(1, 102)]):
            reply = self.call("owner", "POST", path, {"userIds": user_ids})
            self.assertEqual((reply.status, reply.error[2].partition("[")[0]), (400, "userIds"), user_ids)
        reply = self.call("owner", "POST", path, {"userIds": self.ids("member"), "reason": "a\nb"})
        self.assertEqual(reply.error[2], "reason")


class Pairs(Town):
    """The same questions about a 1:1 conversation."""

    def setUp(self) -> None:
        super().setUp()
        body = {"userId": self.people["admin"].user_id}
        self.pair = self.done("owner", "POST", "/conversations/direct", body)["conversationId"]

    def test_members(self) -> None:
        """The two see each other, page by page, and nobody else sees anything."""
        path = f"/conv/{self.pair}/members"
        found = self.done("owner", "GET", path)["members"]
        self.assertEqual(self.names(one["userId"] for one in found), ["owner", "admin"])
        self.assertEqual({one["role"] for one in found}, {"member"})
        rest = self.done("admin", "GET", f"{path}?after={found[0]['userId']}")
        self.assertEqual(len(rest["members"]), 1)
        nowhere = self.call("member", "GET", "/conv/p_0/members").raw
        self.assertEqual(self.call("member", "GET", path).raw, nowhere)

    def test_role(self) -> None:
        """Both talk; nobody keeps order."""
        mine = self.done("admin", "GET", f"/conv/{self.pair}/role/me")
        self.assertEqual((mine["role"], mine["rights"]), ("member", ["message", "media", "control"]))
        nowhere = self.call("member", "GET", "/conv/p_0/role/me").raw
        self.assertEqual(self.call("member", "GET", f"/conv/{self.pair}/role/me").raw, nowhere)

    def test_no_group(self) -> None:
        """Mutes and blacklists are refused: to the two with what to do instead, to others as anywhere."""
        ids = self.ids("admin")
        for method, path, body in (
            ("POST", "mute", {"userIds": ids}),
            ("POST", "mute", {"everybody": True}),
            ("POST", "blacklist", {"userIds": ids}),
            ("GET", "blacklist", None),
            ("DELETE", f"blacklist/{ids[0]}", None),
        ):
            self.assertEqual(
                self.refused("owner", method, f"/conv/{self.pair}/{path}", body), (403, "no_group")
            )
            self.assertEqual(self.refused("member", method, f"/conv/{self.pair}/{path}", body), (403, ""))
