"""Whatever somebody does to others in a group is recorded: who, what, to whom, where."""

from __future__ import annotations

from imd.bus.audit import DONE, HIGH, LOW, MEDIUM, REFUSED, AuditEntry
from imd.business.groups import telling
from imd.ops.operators import BOOTSTRAP
from tests.business.groups.town import Town


class Recorded(Town):
    """Act by act."""

    def setUp(self) -> None:
        super().setUp()
        self.entries: list[AuditEntry] = []
        self.patch(self.world.parts.audit, "record", self.entries.append)

    def told(self) -> list[tuple[str, str, str, int]]:
        """Action, actor, subject and level of what was recorded since."""
        names = {0: ""} | {int(one.user_id): name for name, one in self.people.items()}
        told = []
        for entry in self.entries:
            self.assertEqual((entry.decision, entry.conversation_id), (DONE, self.group))
            told.append((entry.action, names[entry.actor_id], names[entry.subject_id], entry.level))
        self.entries.clear()
        return told

    def test_restrictions(self) -> None:
        """Mutes, unmutes, and who is kept out."""
        conv, member = f"/conv/{self.group}", self.people["member"].user_id
        for body in ({"userIds": [member]}, {"userIds": [member], "seconds": 0}, {"everybody": True}):
            self.done("admin", "POST", conv + "/mute", body)
        self.done("owner", "POST", conv + "/mute", {"everybody": True, "seconds": 0})
        self.done("admin", "POST", conv + "/blacklist", {"userIds": [member], "reason": "Noise"})
        self.assertIn("Noise", self.entries[-1].detail)
        self.done("admin", "DELETE", f"{conv}/blacklist/{member}")
        self.assertEqual(
            self.told(),
            [
                ("group.mute", "admin", "member", MEDIUM),
                ("group.unmute", "admin", "member", LOW),
                ("group.all_mute", "admin", "", MEDIUM),
                ("group.all_unmute", "owner", "", LOW),
                ("group.blacklist", "admin", "member", MEDIUM),
                ("group.unblacklist", "admin", "member", LOW),
            ],
        )

    def test_people(self) -> None:
        """Kicks, roles, titles, transfer; each of several has an event of their own."""
        group = f"/groups/{self.group}"
        member = self.people["member"].user_id
        self.done("owner", "PUT", f"{group}/members/{member}/role", {"role": "admin"})
        self.done("owner", "PUT", f"{group}/members/{member}/title", {"title": "Chef"})
        self.done("owner", "DELETE", f"{group}/members", {"userIds": self.ids("member", "other-member")})
        self.done("owner", "POST", f"{group}/transfer", {"userId": self.people["admin"].user_id})
        self.done("admin", "DELETE", group)
        self.assertEqual(
            self.told(),
            [
                ("group.role", "owner", "member", MEDIUM),
                ("group.title", "owner", "member", LOW),
                ("group.kick", "owner", "member", MEDIUM),
                ("group.kick", "owner", "other-member", MEDIUM),
                ("group.transfer", "owner", "admin", HIGH),
                ("group.dissolve", "admin", "", HIGH),
            ],
        )

    def test_rules(self) -> None:
        """Policies, announcements, and who was let in or not; no answer is in it."""
        group = f"/groups/{self.group}"
        self.rules(joinPolicy="approval", question="Who?", answer="sesame")
        self.done("admin", "PUT", group + "/announcement", {"text": "Read"})
        for verb in ("refuse", "approve"):
            self.done("stranger", "POST", group + "/join")
            self.done("admin", "POST", f"{group}/applications/{self.people['stranger'].user_id}/{verb}")
        self.assertNotIn("sesame", str(self.entries))
        self.assertEqual(
            self.told(),
            [
                ("group.rules", "owner", "", MEDIUM),
                ("group.announcement", "admin", "", LOW),
                ("group.refuse", "admin", "stranger", LOW),
                ("group.approve", "admin", "stranger", LOW),
            ],
        )

    def test_brought_in(self) -> None:
        """Who was added or asked in, by whom; not who was in, or asked, already."""
        add, ask = f"/groups/{self.group}/members", f"/groups/{self.group}/invitations"
        body = {"userIds": self.ids("stranger", "member")}
        for path in (ask, ask, add, add):
            self.done("admin", "POST", path, body)
        self.assertEqual(
            self.told(),
            [("group.invite", "admin", "stranger", LOW), ("group.add", "admin", "stranger", LOW)],
        )

    def test_operator(self) -> None:
        """What an operator does stands above all, and beside it which operator asked for it."""
        self.as_operator("PATCH", f"/groups/{self.group}", {"kind": "public"})
        self.as_operator("POST", f"/groups/{self.group}/members", {"userIds": self.ids("stranger")})
        body = {"userIds": self.ids("member")}
        self.as_operator("DELETE", f"/groups/{self.group}/members", body)
        self.as_operator("DELETE", f"/groups/{self.group}")
        asked = [entry for entry in self.entries if entry.action.startswith("operator.")]
        self.entries = [entry for entry in self.entries if entry not in asked]
        self.assertEqual({entry.actor_id for entry in asked}, {BOOTSTRAP.id})
        self.assertEqual(len(asked), 4)
        self.assertEqual(
            self.told(),
            [
                ("group.rules", "", "", HIGH),
                ("group.add", "", "stranger", HIGH),
                ("group.kick", "", "member", HIGH),
                ("group.dissolve", "", "", HIGH),
            ],
        )

    def test_refused(self) -> None:
        """What somebody tried who may not is recorded with the reason, also what a stranger was not told."""
        group, conv = f"/groups/{self.group}", f"/conv/{self.group}"
        body = {"userIds": self.ids("other-member")}
        self.refused("member", "DELETE", group + "/members", body)
        self.refused("stranger", "POST", conv + "/mute", body)
        self.refused("stranger", "POST", group + "/join")
        self.refused("member", "POST", group + "/invitations", body)
        self.refused("admin", "DELETE", group)
        names = {int(one.user_id): name for name, one in self.people.items()}
        told = [(one.action, names[one.actor_id], one.decision, one.reason) for one in self.entries]
        self.assertEqual(
            told,
            [
                ("group.kick", "member", REFUSED, "no_right"),
                ("group.mute", "stranger", REFUSED, "not_member"),
                ("group.join", "stranger", REFUSED, "not_member"),
                ("group.invite", "member", REFUSED, "no_right"),
                ("group.dissolve", "admin", REFUSED, "no_right"),
            ],
        )

    def test_nothing(self) -> None:
        """What changed nothing is not recorded."""
        self.rules(title="Fun")
        self.done("owner", "DELETE", f"/groups/{self.group}/members", {"userIds": self.ids("stranger")})
        self.done("owner", "POST", f"/conv/{self.group}/mute", {"userIds": self.ids("member"), "seconds": 0})
        self.assertEqual(self.told(), [])

    def test_many(self) -> None:
        """Of a crowd only how many they were is recorded."""
        self.patch(telling, "MAX_SUBJECTS_RECORDED", 1)
        self.done(
            "owner", "DELETE", f"/groups/{self.group}/members", {"userIds": self.ids("member", "admin")}
        )
        self.assertEqual([(one.subject_id, one.detail) for one in self.entries], [(0, '{"subjects":2}')])
