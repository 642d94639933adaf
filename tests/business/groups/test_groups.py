"""Groups, as members, strangers and core see them."""

from __future__ import annotations

import sqlite3
from typing import Any, ClassVar

from sqlalchemy.exc import OperationalError

from imd.bus.subjects import AUTH_MEMBERS
from imd.config.sections import Config
from imd.pb.bus_pb2 import MembersAnswer, MembersQuery
from imd.roles import business_groups
from tests.business.groups.town import CONFIG, PEOPLE, Person, Town
from tests.business.world import Reply


class Permission(Town):
    """Every role against every operation."""

    #: Operation: who may, of owner, admin, member, stranger.
    MATRIX: ClassVar = {
        "see": "owner admin member",
        "list members": "owner admin member",
        "rename": "owner admin",
        "invite": "owner admin",
        "kick a member": "owner admin",
        "kick an admin": "owner",
        "kick the owner": "",
        "make admin": "owner",
        "make member": "owner",
        "transfer": "owner",
        "dissolve": "owner",
        "leave": "admin member",
    }

    def operate(self, who: str, operation: str) -> Reply:
        group = f"/groups/{self.group}"
        owner, admin, member, outsider = self.ids("owner", "other-admin", "other-member", "stranger")
        method, path, body = {
            "see": ("GET", "", None),
            "list members": ("GET", "/members", None),
            "rename": ("PATCH", "", {"title": "More fun"}),
            "invite": ("POST", "/members", {"userIds": [outsider]}),
            "kick a member": ("DELETE", f"/members/{member}", None),
            "kick an admin": ("DELETE", f"/members/{admin}", None),
            "kick the owner": ("DELETE", f"/members/{owner}", None),
            "make admin": ("PUT", f"/members/{member}/role", {"role": "admin"}),
            "make member": ("PUT", f"/members/{admin}/role", {"role": "member"}),
            "transfer": ("POST", "/transfer", {"userId": member}),
            "dissolve": ("DELETE", "", None),
            "leave": ("POST", "/leave", None),
        }[operation]  # fmt: skip
        return self.call(who, method, group + path, body)

    def check(self, who: str) -> None:
        for operation, allowed in self.MATRIX.items():
            if who == "owner" and operation == "kick the owner":
                continue
            self.group = self.make_group()
            before = self.roles(), self.version()
            reply = self.operate(who, operation)
            if who in allowed.split():
                self.assertEqual(reply.status, 200, f"{who}: {operation}: {reply.raw!r}")
            else:
                self.assertEqual((reply.status, reply.error[0]), (403, 1003), f"{who}: {operation}")
                self.assertEqual((self.roles(), self.version()), before)

    def setUp(self) -> None:
        super().setUp()
        self.world = self.make_world(config=Config(limits=CONFIG.limits))
        for name in PEOPLE:
            session = self.world.register(name)
            self.people[name] = Person(session["userId"], session["token"])
        self.group = self.make_group()

    def test_owner(self) -> None:
        """The owner may do everything but leave behind a group without one."""
        self.check("owner")

    def test_admin(self) -> None:
        """An admin manages members, not admins, the owner or roles."""
        self.check("admin")

    def test_member(self) -> None:
        """A member looks, and leaves."""
        self.check("member")

    def test_stranger(self) -> None:
        """A stranger may nothing, and cannot tell a foreign group from none."""
        self.check("stranger")
        foreign = {name: self.operate("stranger", name).raw for name in self.MATRIX}
        for nowhere in ("g_0000000000000000", "g_' OR 1=1 --", "x" * 200, "$ne", "é"):
            self.group = nowhere.replace(" ", "%20").replace("é", "%C3%A9")
            for name, raw in foreign.items():
                self.assertEqual(self.operate("stranger", name).raw, raw, f"{nowhere} {name}")

    def test_nobody(self) -> None:
        """Without a token there is no group operation at all."""
        for operation in self.MATRIX:
            self.people["ghost"] = Person("1", "")
            self.assertEqual(self.operate("ghost", operation).status, 401)


class Changes(Town):
    """What a change does, and who hears of it in which order."""

    def heard(self) -> list[tuple[str, int, str]]:
        """What core heard: kind, version, event."""
        told = []
        for kind, event in self.world.heard:
            self.assertEqual(event.conversationId, self.group)
            if kind == "invalidation":
                told.append((kind, event.version, ""))
            else:
                told.append((kind, int(event.clientMsgId.rpartition(":")[2]), event.notice.event))
        return told

    def test_order(self) -> None:
        """Each change is invalidated first, then noticed, with a version that rises by one."""
        version = self.version()
        group = f"/groups/{self.group}"
        self.call("admin", "PATCH", group, {"title": "More"})
        self.call("admin", "POST", group + "/members", {"userIds": self.ids("stranger")})
        self.call("admin", "DELETE", f"{group}/members/{self.people['member'].user_id}")
        self.call("stranger", "POST", group + "/leave")
        self.call("owner", "POST", group + "/transfer", {"userId": self.people["admin"].user_id})
        self.call("admin", "DELETE", group)
        events = (
            "group.renamed",
            "group.joined",
            "group.kicked",
            "group.left",
            "group.role",
        )
        expected: list[tuple[str, int, str]] = []
        for number, event in enumerate(events, version + 1):
            expected += [("invalidation", number, ""), ("notice", number, event)]
        # Of its end nobody is left to read; those who were in it are told directly.
        expected.append(("invalidation", version + len(events) + 1, ""))
        self.assertEqual(self.heard(), expected)

    def test_removed(self) -> None:
        """Who is kicked, leaves, or loses the group is named, with the reason; who joins or stays is not."""
        group = f"/groups/{self.group}"
        self.call("admin", "POST", group + "/members", {"userIds": self.ids("stranger")})
        self.call("admin", "DELETE", f"{group}/members/{self.people['member'].user_id}")
        self.call("stranger", "POST", group + "/leave")
        self.call("owner", "DELETE", group)
        told = [
            (event.reason, sorted(str(one) for one in event.removedIds))
            for kind, event in self.world.heard
            if kind == "invalidation"
        ]
        rest = sorted(self.ids("owner", "admin", "other-admin", "other-member"))
        self.assertEqual(
            told,
            [("", []), ("kicked", self.ids("member")), ("left", self.ids("stranger")), ("dissolved", rest)],
        )

    def test_notice(self) -> None:
        """A notice says who did what to whom."""
        self.call(
            "admin",
            "DELETE",
            f"/groups/{self.group}/members",
            {"userIds": self.ids("member", "other-member")},
        )
        notice = self.world.notices[0].notice
        self.assertEqual([str(notice.actorId)], self.ids("admin"))
        self.assertEqual([str(one) for one in notice.subjectIds], self.ids("member", "other-member"))

    def test_in_doubt(self) -> None:
        """A change of which nobody knows whether it was done is announced as one, and then as what it is."""
        engine = self.world.database._engine
        assert engine is not None
        commit = engine.dialect.do_commit
        lost = sqlite3.OperationalError("disk I/O error")
        lost.sqlite_errorcode = sqlite3.SQLITE_IOERR

        def fail(connection: Any) -> None:
            commit(connection)
            raise OperationalError("", {}, lost)

        group = f"/groups/{self.group}"
        self.call("admin", "GET", group)
        patched = self.patch(engine.dialect, "do_commit", fail)
        self.assertEqual(self.call("owner", "PATCH", group, {"title": "More"}).error[0], 1099)
        self.assertEqual(self.call("admin", "POST", group + "/leave").error[0], 1099)
        patched.restore()
        self.assertEqual(self.heard(), [("invalidation", 0, "")] * 2)
        self.assertEqual(self.call("owner", "GET", group).json["title"], "More")

    def test_nothing_changed(self) -> None:
        """What is so already is answered alike and announced to nobody."""
        group = f"/groups/{self.group}"
        for reply in (
            self.call("owner", "PATCH", group, {"title": "Fun"}),
            self.call("owner", "POST", group + "/members", {"userIds": self.ids("member", "member")}),
            self.call("owner", "DELETE", f"{group}/members/{self.people['stranger'].user_id}"),
            self.call(
                "owner", "PUT", f"{group}/members/{self.people['admin'].user_id}/role", {"role": "admin"}
            ),
            self.call("owner", "POST", group + "/transfer", {"userId": self.people["owner"].user_id}),
        ):
            self.assertEqual(reply.status, 200, reply.raw)
        self.assertEqual(self.heard(), [])

    def test_all_or_none(self) -> None:
        """Of a batch with one impossible user nobody is added, or removed."""
        path = f"/groups/{self.group}/members"
        before = self.roles()
        for ids in ([*self.ids("stranger"), "17"], [*self.ids("stranger"), str((1 << 63) - 1)]):
            reply = self.call("owner", "POST", path, {"userIds": ids})
            self.assertEqual((reply.status, reply.error[2]), (400, "userIds"))
        reply = self.call("owner", "POST", "/groups", {"title": "New", "memberIds": ["17"]})
        self.assertEqual((reply.status, reply.error[2]), (400, "memberIds"))
        self.assertEqual(
            self.call("admin", "DELETE", path, {"userIds": self.ids("member", "owner")}).status, 403
        )
        self.assertEqual(self.roles(), before)
        self.assertEqual(self.heard(), [])

    def test_bad_ids(self) -> None:
        """What is no user id is refused by name before anything is asked."""
        path = f"/groups/{self.group}/members"
        for bad in ("0", "-1", "x", "1" * 20, str(1 << 63), "", "１２"):
            self.assertEqual(self.call("owner", "POST", path, {"userIds": [bad]}).status, 400, bad)
        for ids in ([], [str(n) for n in range(1, 1002)], [1]):
            self.assertEqual(self.call("owner", "POST", path, {"userIds": ids}).status, 400)

    def test_full(self) -> None:
        """A group has its limit; the one who does not fit changes nothing."""
        more = [self.world.register(f"more{number}")["userId"] for number in range(3)]
        path = f"/groups/{self.group}/members"
        self.assertEqual(self.call("owner", "POST", path, {"userIds": more}).status, 403)
        self.assertEqual(self.call("owner", "POST", path, {"userIds": more[:2]}).status, 200)
        body = {"title": "x", "memberIds": self.ids(*PEOPLE) + more[:2]}
        self.assertEqual(self.call("owner", "POST", "/groups", body).status, 403)

    def test_too_many_groups(self) -> None:
        """Nobody is put into more groups than the limit, by themselves or by others."""
        for _ in range(2):
            self.assertEqual(self.call("owner", "POST", "/groups", {"title": "x"}).status, 201)
        self.assertEqual(self.call("owner", "POST", "/groups", {"title": "x"}).status, 403)
        body = {"title": "x", "memberIds": self.ids("owner")}
        self.assertEqual(self.call("stranger", "POST", "/groups", body).status, 403)

    def test_transfer(self) -> None:
        """After a transfer there is one owner, and the old one is an admin who may leave."""
        self.call(
            "owner", "POST", f"/groups/{self.group}/transfer", {"userId": self.people["member"].user_id}
        )
        roles = self.roles()
        self.assertEqual((roles["member"], roles["owner"]), ("owner", "admin"))
        self.assertEqual(self.call("owner", "POST", f"/groups/{self.group}/leave").status, 200)
        self.assertNotIn("owner", self.roles())

    def test_transfer_to_frozen(self) -> None:
        """A group is not given to an account that is frozen: nobody could run it, or end it."""
        member = self.people["member"].user_id
        frozen = {"state": "frozen", "reason": "spam"}
        self.assertEqual(self.world.operate("PUT", f"/accounts/{member}/state", frozen).status, 200)
        reply = self.call("owner", "POST", f"/groups/{self.group}/transfer", {"userId": member})
        self.assertEqual((reply.status, reply.error[2]), (403, "userId"))
        self.assertEqual(self.roles()["owner"], "owner")

    def test_last_one(self) -> None:
        """When the last one leaves, the group is no more, for core and for everybody."""
        group = self.call("stranger", "POST", "/groups", {"title": "Alone"}).json["conversationId"]
        self.assertEqual(self.call("stranger", "POST", f"/groups/{group}/leave").status, 200)
        answer = self.world.ask(AUTH_MEMBERS, MembersQuery(conversationId=group), MembersAnswer)
        self.assertFalse(answer.found)
        self.assertEqual(self.call("stranger", "GET", f"/groups/{group}").status, 403)

    def test_dissolved(self) -> None:
        """A dissolved group looks like none, even to its owner, and cannot be changed any more."""
        self.call("owner", "DELETE", f"/groups/{self.group}")
        self.assertEqual(self.roles(), {})
        for who in PEOPLE:
            self.assertEqual(self.call(who, "GET", f"/groups/{self.group}").status, 403)
        body = {"userIds": self.ids("stranger")}
        self.assertEqual(self.call("owner", "POST", f"/groups/{self.group}/members", body).status, 403)

    def test_rate(self) -> None:
        """So many people are brought into groups by one person, at the beginning of a group or later; then fewer."""
        self.patch(business_groups, "_ADDED_BURST", 4.0)
        self.world = self.make_world(config=CONFIG)
        for name in PEOPLE:
            session = self.world.register(name)
            self.people[name] = Person(session["userId"], session["token"])
        body = {"title": "x", "memberIds": self.ids("member", "admin")}
        self.group = self.done("owner", "POST", "/groups", body)["conversationId"]
        path = f"/groups/{self.group}/members"
        self.done("owner", "POST", path, {"userIds": self.ids("stranger", "other-member")})
        body = {"userIds": self.ids("other-admin")}
        self.assertEqual(self.refused("owner", "POST", path, body)[0], 429)
        self.assertEqual(self.as_operator("POST", path, body).status, 200)

    def test_kick_oneself(self) -> None:
        """Removing oneself is leaving, and must be called so."""
        path = f"/groups/{self.group}/members/{self.people['admin'].user_id}"
        self.assertEqual(self.call("admin", "DELETE", path).status, 400)

    def test_titles(self) -> None:
        """Titles are trimmed and bounded, and hold no control characters."""
        for title in ("", "   ", "x" * 129, "a\nb", 7):
            reply = self.call("owner", "PATCH", f"/groups/{self.group}", {"title": title})
            self.assertEqual((reply.status, reply.error[2]), (400, "title"), repr(title))
        reply = self.call("owner", "PATCH", f"/groups/{self.group}", {"title": " 家族 👪 "})
        self.assertEqual(reply.json["title"], "家族 👪")

    def test_pages(self) -> None:
        """Members come page by page, each once, by id."""
        seen: list[str] = []
        after = ""
        while True:
            page = self.call("member", "GET", f"/groups/{self.group}/members?limit=2&after={after}").json
            seen += [one["userId"] for one in page["members"]]
            after = page["next"]
            if not after:
                break
        self.assertEqual(seen, sorted(self.ids(*PEOPLE[:5]), key=int))
        for query in ("limit=0", "limit=501", "limit=x", "after=x", "limit=1&limit=2", "page=1"):
            reply = self.call("member", "GET", f"/groups/{self.group}/members?{query}")
            self.assertEqual(reply.status, 400, query)

    def test_core_is_away(self) -> None:
        """Without core the change holds; the missing notice is only logged."""
        lonely = self.make_world(config=CONFIG, core=False)
        token = lonely.register("owner")["token"]
        reply = lonely.call("POST", "/groups", {"title": "Fun"}, token=token)
        self.assertEqual(reply.status, 201)
        self.assertEqual(len(lonely.invalidations), 1)
