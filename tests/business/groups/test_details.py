"""What is said of a group and its members: titles, announcements, each member's own wishes."""

from __future__ import annotations

from typing import Any

from tests.business.groups.town import Town


class Titles(Town):
    """What members are called."""

    def path(self, who: str) -> str:
        return f"/groups/{self.group}/members/{self.people[who].user_id}/title"

    def title_of(self, who: str) -> str:
        members = self.done("owner", "GET", f"/groups/{self.group}/members")["members"]
        return str(next(one["title"] for one in members if one["userId"] == self.people[who].user_id))

    def test_title(self) -> None:
        """A member's title is seen by all, told in the group, and taken away again."""
        self.done("admin", "PUT", self.path("member"), {"title": " Chef "})
        self.assertEqual(self.title_of("member"), "Chef")
        self.assertEqual((self.last().notice.event, self.last().notice.text), ("group.title", "Chef"))
        self.done("admin", "PUT", self.path("member"), {"title": "Chef"})
        self.done("owner", "PUT", self.path("member"), {"title": ""})
        self.assertEqual(self.title_of("member"), "")
        self.assertEqual(self.events(), ["group.title"] * 2)

    def test_who(self) -> None:
        """Owner and admins give titles to those below, and to themselves."""
        body = {"title": "Chef"}
        for who, whom in (("member", "member"), ("admin", "other-admin"), ("admin", "owner")):
            self.assertEqual(self.refused(who, "PUT", self.path(whom), body), (403, "no_right"))
        self.assertEqual(self.refused("stranger", "PUT", self.path("member"), body), (403, ""))
        self.assertEqual(self.refused("owner", "PUT", self.path("stranger"), body)[0], 403)
        for who in ("admin", "owner"):
            self.done(who, "PUT", self.path(who), body)

    def test_bad_input(self) -> None:
        """A title is one short line."""
        for title in ("x" * 33, "a\nb", 7, None):
            reply = self.call("owner", "PUT", self.path("member"), {"title": title})
            self.assertEqual((reply.status, reply.error[2]), (400, "title"))


class Announcing(Town):
    """What everybody should know."""

    def test_announcement(self) -> None:
        """It is kept with who and when, told in the group, replaced, and taken away."""
        path = f"/groups/{self.group}/announcement"
        for text in ("Meet\r\nat 8", "Meet at 9"):
            self.done("admin", "PUT", path, {"text": text})
        self.done("admin", "PUT", path, {"text": "Meet at 9"})
        shown = self.done("member", "GET", f"/groups/{self.group}")["announcement"]
        self.assertEqual((shown["text"], self.names([shown["byUserId"]])), ("Meet at 9", ["admin"]))
        self.assertEqual(shown["at"], self.world.now_ms())
        self.assertEqual(self.world.notices[0].notice.text, "Meet\nat 8")
        gone = self.done("owner", "DELETE", path)["announcement"]
        self.assertEqual(gone, {"text": "", "byUserId": "", "at": 0})
        self.assertEqual(self.events(), ["group.announcement"] * 3)

    def test_who(self) -> None:
        """Owner and admins."""
        path, body = f"/groups/{self.group}/announcement", {"text": "x"}
        for who, reason in (("member", "no_right"), ("stranger", "")):
            self.assertEqual(self.refused(who, "PUT", path, body), (403, reason))
            self.assertEqual(self.refused(who, "DELETE", path), (403, reason))

    def test_bad_input(self) -> None:
        """Text with line breaks, and no other characters that are not seen."""
        for text in ("", "x" * 2001, "a\x00b", "a\u202eb", 7):
            reply = self.call("owner", "PUT", f"/groups/{self.group}/announcement", {"text": text})
            self.assertEqual((reply.status, reply.error[2]), (400, "text"))


class Wishing(Town):
    """What members want for themselves."""

    def wish(self, **wishes: Any) -> Any:
        return self.done("member", "PATCH", f"/groups/{self.group}/me", wishes)

    def test_wishes(self) -> None:
        """What is left out stays; nobody is told, and a nickname is seen by all."""
        version = self.version()
        self.wish(nickname="Bee", pinned=True)
        mine = self.wish(doNotDisturb=True, pinned=False)
        self.assertEqual((mine["nickname"], mine["doNotDisturb"], mine["pinned"]), ("Bee", True, False))
        self.assertEqual(self.wish(), mine)
        (shown,) = self.done("member", "GET", "/conversations")["conversations"]
        self.assertEqual((shown["doNotDisturb"], shown["pinned"]), (True, False))
        self.assertEqual((self.world.heard, self.version()), ([], version))
        members = self.done("owner", "GET", f"/groups/{self.group}/members")["members"]
        self.assertEqual([one["nickname"] for one in members if one["nickname"]], ["Bee"])

    def test_outside(self) -> None:
        """Who is not in it has nothing to wish for."""
        path = f"/groups/{self.group}/me"
        self.assertEqual(self.refused("stranger", "GET", path), (403, ""))
        self.assertEqual(self.refused("stranger", "PATCH", path, {"pinned": True}), (403, ""))

    def test_role(self) -> None:
        """Everybody is told what they may do, in the words of the table of rights."""
        talk = ["message", "media", "control"]
        order = ["invite", "mute", "recall_others", "manage"]
        for who, rights in (("owner", talk + order), ("admin", talk + order), ("member", talk)):
            mine = self.done(who, "GET", f"/conv/{self.group}/role/me")
            self.assertEqual((mine["role"], mine["rights"]), (who, rights))
        self.as_operator("PATCH", f"/groups/{self.group}", {"kind": "official"})
        self.assertEqual(self.done("member", "GET", f"/conv/{self.group}/role/me")["rights"], ["control"])
        self.assertEqual(self.refused("stranger", "GET", f"/conv/{self.group}/role/me"), (403, ""))

    def test_bad_input(self) -> None:
        """A nickname is one short line, the rest is yes or no."""
        for body, field in (
            ({"nickname": "x" * 65}, "nickname"),
            ({"nickname": "a\nb"}, "nickname"),
            ({"pinned": 1}, "pinned"),
            ({"role": "owner"}, "role"),
        ):
            reply = self.call("member", "PATCH", f"/groups/{self.group}/me", body)
            self.assertEqual((reply.status, reply.error[2]), (400, field), body)
