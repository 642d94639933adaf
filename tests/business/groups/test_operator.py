"""What operators do with groups."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from imd.business.accounts.model import ACTIVE
from imd.business.announce import MAX_SUBJECTS
from imd.business.tables.people import users
from imd.config.sections import Config, Limits
from tests.business.groups.town import Town
from tests.business.world import OPERATOR_TOKEN


class Operating(Town):
    """With the operators' token."""

    def make(self, **body: Any) -> Any:
        wanted = {"title": "All hands", "ownerId": self.people["owner"].user_id, **body}
        reply = self.as_operator("POST", "/groups", wanted)
        self.assertEqual(reply.status, 201, reply.raw)
        return reply.json

    def test_kinds(self) -> None:
        """Operators make groups of every kind, owned by somebody, and say which are sensitive."""
        for kind in ("normal", "managed", "public", "official"):
            made = self.make(kind=kind)
            self.assertEqual((made["kind"], made["sensitive"]), (kind, False))
            self.assertEqual(made["treatedAsSensitive"], kind != "normal")
            self.group = made["conversationId"]
            self.assertEqual(self.roles(), {"owner": "owner"})
            self.as_operator("DELETE", f"/groups/{self.group}")
        self.assertTrue(self.make(sensitive=True)["treatedAsSensitive"])

    def test_change(self) -> None:
        """A change of kind or mark is invalidated, and told in the group."""
        before = self.version()
        changed = self.as_operator(
            "PATCH", f"/groups/{self.group}", {"kind": "public", "sensitive": True}
        ).json
        self.assertEqual((changed["kind"], changed["sensitive"]), ("public", True))
        self.assertEqual(changed["version"], before + 1)
        self.assertEqual(self.events(), ["group.rules"])
        self.assertEqual((self.last().notice.text, self.last().notice.actorId), ("kind,sensitive", 0))

    def test_people(self) -> None:
        """Operators bring in and remove people, and hand a group over; the owner they cannot remove."""
        path = f"/groups/{self.group}"
        self.rules(consent=True)
        body = {"userIds": self.ids("stranger")}
        self.assertEqual(
            self.as_operator("POST", path + "/members", body).json["userIds"], self.ids("stranger")
        )
        self.assertEqual(
            self.as_operator("DELETE", path + "/members", {"userIds": self.ids("owner")}).status, 403
        )
        self.as_operator("POST", path + "/transfer", {"userId": self.people["stranger"].user_id})
        body = {"userIds": self.ids("owner")}
        self.assertEqual(self.as_operator("DELETE", path + "/members", body).status, 200)
        self.assertEqual(self.roles()["stranger"], "owner")

    def test_dissolve(self) -> None:
        """A group that an operator ended is no more, for everybody who was in it."""
        self.assertEqual(self.as_operator("DELETE", f"/groups/{self.group}").status, 200)
        self.assertEqual(self.roles(), {})
        self.assertEqual(len(self.world.invalidations[-1].removedIds), 5)

    def test_nobody_else(self) -> None:
        """No user's token opens any of it, not the owner's either, and no operator's token the users' side."""
        group = f"/operator/groups/{self.group}"
        for method, path in (
            ("POST", "/operator/groups"),
            ("GET", group),
            ("PATCH", group),
            ("DELETE", group),
            ("POST", group + "/members"),
            ("DELETE", group + "/members"),
            ("POST", group + "/transfer"),
        ):
            for token in ("", self.people["owner"].token):
                self.assertEqual(self.world.call(method, path, token=token).status, 401, path)
        reply = self.world.call("GET", f"/groups/{self.group}", token=OPERATOR_TOKEN)
        self.assertEqual(reply.status, 401)

    def test_nowhere(self) -> None:
        """A group that is none is refused, as is nonsense."""
        for group in ("g_0", "%24ne", "x" * 100):
            self.assertEqual(self.as_operator("GET", f"/groups/{group}").status, 403)
            self.assertEqual(self.as_operator("PATCH", f"/groups/{group}", {"sensitive": True}).status, 403)
        for body, field in (
            ({"ownerId": "x"}, "ownerId"),
            ({"ownerId": "17"}, "memberIds"),
            ({"memberIds": ["17"]}, "memberIds"),
            ({"kind": "secret"}, "kind"),
        ):
            wanted = {"title": "x", "ownerId": self.people["owner"].user_id, **body}
            reply = self.as_operator("POST", "/groups", wanted)
            self.assertEqual((reply.status, reply.error[2]), (400, field), body)


class Ten(Town):
    """Ten thousand members."""

    def setUp(self) -> None:
        self.world = self.make_world(config=Config(limits=Limits(registrations_per_hour_per_ip=0)))
        self.ids_of_all = [str(number) for number in range(1 << 60, (1 << 60) + 10_000)]
        row = {
            "display_name": "",
            "password_hash": "",
            "status": ACTIVE,
            "token_version": 1,
            "created_at_ms": 0,
        }
        rows = [{"id": int(one), "handle": f"u{one}", **row} for one in self.ids_of_all]
        self.world.run(self.world.database.write(lambda c: c.execute(insert(users), rows).rowcount))

    def test_one_request(self) -> None:
        """A whole group of 10,000 is made by one request, and its notice names so many as everybody can be sent."""
        body = {"title": "All", "ownerId": self.ids_of_all[0], "memberIds": self.ids_of_all}
        reply = self.as_operator("POST", "/groups", body)
        self.assertEqual((reply.status, reply.json["memberCount"]), (201, 10_000))
        notice = self.world.notices[0].notice
        self.assertEqual((len(notice.subjectIds), notice.subjectCount), (MAX_SUBJECTS, 9_999))
        self.group = reply.json["conversationId"]
        self.assertEqual(len(self.conversation().memberIds), 10_000)

    def test_one_too_many(self) -> None:
        """Above 10,000 nobody is in any group."""
        body = {"title": "All", "ownerId": self.ids_of_all[0], "memberIds": [*self.ids_of_all, "7"]}
        self.assertEqual(self.as_operator("POST", "/groups", body).status, 400)
        user = self.world.register("user")
        body = {"title": "All", "ownerId": user["userId"], "memberIds": self.ids_of_all}
        self.assertEqual(self.as_operator("POST", "/groups", body).status, 403)
