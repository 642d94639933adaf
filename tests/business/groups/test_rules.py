"""What a group is like: its kind and rules, who changes them, and who hears of it."""

from __future__ import annotations

from imd.business.groups import sql
from tests.business.groups.town import Town


class Rules(Town):
    """Of a group that is there."""

    def test_kinds(self) -> None:
        """People make normal groups, and public ones with an open door; what needs the operator they cannot make."""
        for kind, policy in (("normal", "invitation"), ("public", "open")):
            made = self.done("stranger", "POST", "/groups", {"title": "x", "kind": kind})
            self.assertEqual((made["kind"], made["joinPolicy"]), (kind, policy))
        for kind in ("managed", "official", "secret", ""):
            self.assertEqual(
                self.refused("stranger", "POST", "/groups", {"title": "x", "kind": kind})[0], 400
            )

    def test_as_made(self) -> None:
        """A new group is closed: people are brought in by those who manage it, and see all of its past."""
        group = self.done("owner", "GET", f"/groups/{self.group}")
        for name, value in {
            "kind": "normal",
            "joinPolicy": "invitation",
            "membersInvite": False,
            "consent": False,
            "history": "all",
            "allMutedUntil": 0,
        }.items():
            self.assertEqual(group[name], value, name)

    def test_change(self) -> None:
        """Title and rules change together, in one version, each told in its own words; what was so is not told."""
        before = self.version()
        changed = self.rules(title="More", joinPolicy="open", membersInvite=True, history="from_join")
        self.assertEqual((changed["joinPolicy"], changed["membersInvite"]), ("open", True))
        self.assertEqual((changed["history"], changed["version"]), ("from_join", before + 1))
        self.assertEqual(self.events(), ["group.renamed", "group.rules"])
        self.assertEqual(self.last().notice.text, "joinPolicy,membersInvite,history")
        self.rules(joinPolicy="open", title="More")
        self.assertEqual(self.version(), before + 1)
        self.assertEqual(len(self.world.notices), 2)

    def test_who(self) -> None:
        """Owner and admins change the rules, members and strangers do not."""
        path, body = f"/groups/{self.group}", {"consent": True}
        self.assertEqual(self.refused("member", "PATCH", path, body), (403, "no_right"))
        self.assertEqual(self.refused("stranger", "PATCH", path, body), (403, ""))
        self.done("admin", "PATCH", path, body)

    def test_question(self) -> None:
        """A question comes with its answer, which nobody is ever told; without one there is no such policy."""
        path = f"/groups/{self.group}"
        for body, field in (
            ({"joinPolicy": "question"}, "question"),
            ({"question": "Who?"}, "answer"),
            ({"answer": "me"}, "question"),
            ({"question": "Who?", "answer": "  "}, "answer"),
            ({"question": "Who?", "answer": ""}, "answer"),
            ({"question": "a\nb", "answer": "me"}, "question"),
        ):
            reply = self.call("owner", "PATCH", path, body)
            self.assertEqual((reply.status, reply.error[2]), (400, field), body)
        changed = self.rules(joinPolicy="question", question="Who?", answer="it is me")
        self.assertEqual(changed["question"], "Who?")
        self.assertNotIn("it is me", str(changed) + str(self.world.heard))
        again = self.rules(joinPolicy="question")
        self.assertEqual(again["question"], "Who?")

    def test_no_such_rule(self) -> None:
        """Kind and mark are not the owner's to change."""
        for body in ({"kind": "official"}, {"sensitive": True}, {"joinPolicy": "secret"}, {"history": 1}):
            self.assertEqual(self.refused("owner", "PATCH", f"/groups/{self.group}", body)[0], 400)

    def test_members_invite(self) -> None:
        """Where the kind does not let members bring in others, no rule does; a rule that was there goes."""
        self.rules(membersInvite=True)
        self.as_operator("PATCH", f"/groups/{self.group}", {"kind": "managed"})
        path = f"/groups/{self.group}"
        self.assertFalse(self.done("owner", "GET", path)["membersInvite"])
        reply = self.call("owner", "PATCH", path, {"membersInvite": True})
        self.assertEqual((reply.status, reply.error[2]), (400, "membersInvite"))


class Admins(Town):
    """So many, and no more."""

    def test_most(self) -> None:
        """Above the limit nobody becomes an admin; by a transfer the old owner does."""
        self.patch(sql, "MAX_ADMINS", 2)
        member = self.people["member"].user_id
        path = f"/groups/{self.group}/members/{member}/role"
        self.assertEqual(self.refused("owner", "PUT", path, {"role": "admin"}), (403, "full"))
        self.done("owner", "POST", f"/groups/{self.group}/transfer", {"userId": member})
        self.assertEqual(list(self.roles().values()).count("admin"), 3)
