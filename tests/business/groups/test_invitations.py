"""Being asked in: who may ask, who may answer what, and until when."""

from __future__ import annotations

from imd.business.groups import sql_admissions
from imd.business.groups.joining import PENDING_MS
from tests.business.groups.town import Town


class Inviting(Town):
    """A group into which people are asked."""

    def invite(self, who: str = "admin", *names: str) -> list[str]:
        body = {"userIds": self.ids(*(names or ("stranger",))), "message": "Come"}
        return self.names(self.done(who, "POST", f"/groups/{self.group}/invitations", body)["userIds"])

    def no_invite(self, who: str = "admin", *names: str) -> tuple[int, str]:
        body = {"userIds": self.ids(*(names or ("stranger",)))}
        return self.refused(who, "POST", f"/groups/{self.group}/invitations", body)

    def path(self, verb: str) -> str:
        return f"/me/invitations/{self.group}/{verb}"

    def mine(self, who: str = "stranger") -> list[str]:
        return [one["state"] for one in self.done(who, "GET", "/me/invitations")["invitations"]]

    def test_accepted(self) -> None:
        """The invited is asked, and comes by their own word; until then nobody hears of it."""
        self.assertEqual(self.invite(), ["stranger"])
        self.assertEqual((self.mine(), self.world.heard), (["pending"], []))
        found = self.done("stranger", "GET", "/me/invitations")["invitations"][0]
        self.assertEqual((found["groupTitle"], found["message"]), ("Fun", "Come"))
        self.assertEqual(self.names([found["byUserId"]]), ["admin"])
        self.assertEqual(self.done("stranger", "POST", self.path("accept")), {"state": "joined"})
        self.assertEqual((self.mine(), self.roles()["stranger"]), (["accepted"], "member"))
        self.assertEqual(self.events(), ["group.joined"])

    def test_refused(self) -> None:
        """Who does not want stays outside, and may be asked again."""
        self.invite()
        self.done("stranger", "POST", self.path("refuse"))
        self.assertEqual((self.mine(), self.world.heard), (["refused"], []))
        self.assertEqual(self.refused("stranger", "POST", self.path("accept")), (403, "settled"))
        self.assertEqual(self.invite(), ["stranger"])

    def test_repeated(self) -> None:
        """Who was asked, or is in, is not asked again; a repeated yes is one yes."""
        self.invite()
        self.assertEqual(self.invite("owner", "stranger", "member"), [])
        for _ in range(2):
            self.done("stranger", "POST", self.path("accept"))
        self.assertEqual(self.events(), ["group.joined"])

    def test_expired(self) -> None:
        """After seven days an invitation opens nothing."""
        self.invite()
        self.world.clock.advance(PENDING_MS / 1000)
        token = self.world.login("stranger").json["token"]
        self.people["stranger"] = self.people["stranger"]._replace(token=token)
        self.assertEqual(self.mine(), ["expired"])
        self.assertEqual(self.refused("stranger", "POST", self.path("accept")), (403, "settled"))

    def test_never_asked(self) -> None:
        """Who was not asked cannot answer, and cannot tell the group from none."""
        nowhere = self.call("stranger", "POST", "/me/invitations/g_0/accept").raw
        for group in (self.group, "%24ne"):
            self.assertEqual(self.call("stranger", "POST", f"/me/invitations/{group}/accept").raw, nowhere)

    def test_members(self) -> None:
        """Members ask people in only where the group lets them; they never add anybody."""
        self.assertEqual(self.no_invite("member"), (403, "no_right"))
        self.assertEqual(self.no_invite("stranger"), (403, ""))
        self.rules(membersInvite=True)
        self.assertEqual(self.invite("member"), ["stranger"])
        body = {"userIds": self.ids("stranger")}
        add = f"/groups/{self.group}/members"
        self.assertEqual(self.refused("member", "POST", add, body), (403, "no_right"))

    def test_inviter_gone(self) -> None:
        """The word of somebody who has left, or may not invite any more, opens nothing."""
        self.rules(membersInvite=True)
        self.invite("member")
        self.rules(membersInvite=False)
        self.assertEqual(self.refused("stranger", "POST", self.path("accept")), (403, "settled"))
        self.rules(membersInvite=True)
        self.done("member", "POST", f"/groups/{self.group}/leave")
        self.assertEqual(self.refused("stranger", "POST", self.path("accept")), (403, "settled"))
        self.assertEqual(self.mine(), ["pending"])

    def test_approval(self) -> None:
        """Where admins approve, a member's invitation leads to an application, an admin's leads in."""
        self.rules(joinPolicy="approval", membersInvite=True)
        self.invite("member")
        self.assertEqual(self.done("stranger", "POST", self.path("accept")), {"state": "pending"})
        self.assertNotIn("stranger", self.roles())
        approve = f"/groups/{self.group}/applications/{self.people['stranger'].user_id}/approve"
        self.done("admin", "POST", approve)
        self.assertIn("stranger", self.roles())

    def test_consent(self) -> None:
        """Where people are asked first nobody is added, not even by the owner."""
        self.rules(consent=True)
        body = {"userIds": self.ids("stranger")}
        add = f"/groups/{self.group}/members"
        self.assertEqual(self.refused("owner", "POST", add, body), (403, "consent_needed"))
        self.invite("owner")
        self.done("stranger", "POST", self.path("accept"))

    def test_barred(self) -> None:
        """Who is kept out is not asked, and what was open is refused."""
        self.invite()
        body = {"userIds": self.ids("stranger")}
        self.done("owner", "POST", f"/conv/{self.group}/blacklist", body)
        self.assertEqual(self.mine(), ["refused"])
        self.assertEqual(self.no_invite(), (403, "blacklisted"))

    def test_wish_for_peace(self) -> None:
        """Whom one may not write to one neither brings into a group nor asks to come; why is not told."""
        bring = (f"/groups/{self.group}/members", {"userIds": self.ids("stranger")})
        ask = (f"/groups/{self.group}/invitations", bring[1])
        make = ("/groups", {"title": "Trap", "memberIds": self.ids("stranger")})
        for wanted in ("friends", "nobody"):
            self.done("stranger", "PATCH", "/me/privacy", {"messageFrom": wanted})
            for path, body in (bring, ask, make):
                self.assertEqual(self.refused("admin", "POST", path, body), (403, "not_accepted"), path)
        peaceful = self.call("admin", "POST", *bring).raw
        self.done("stranger", "PATCH", "/me/privacy", {"messageFrom": "everyone"})
        self.done("stranger", "PUT", f"/blocks/{self.people['admin'].user_id}")
        self.assertEqual(self.call("admin", "POST", *bring).raw, peaceful)
        self.assertEqual(self.names(self.done("owner", "POST", *ask)["userIds"]), ["stranger"])

    def test_friends(self) -> None:
        """Who takes messages of friends is brought in by friends, and may make groups of their own."""
        self.done("stranger", "PATCH", "/me/privacy", {"messageFrom": "friends"})
        self.done("stranger", "POST", "/groups", {"title": "Mine", "memberIds": self.ids("member")})
        self.done("stranger", "POST", "/friend-requests", {"userId": self.people["admin"].user_id})
        accept = f"/friend-requests/{self.people['stranger'].user_id}/accept"
        self.done("admin", "POST", accept)
        self.assertEqual(self.invite("admin"), ["stranger"])
        self.assertEqual(self.no_invite("owner"), (403, "not_accepted"))

    def test_of_blocked(self) -> None:
        """What somebody asked who is blocked since is not seen until the block is lifted."""
        self.invite()
        block = f"/blocks/{self.people['admin'].user_id}"
        self.done("stranger", "PUT", block)
        self.assertEqual(self.mine(), [])
        self.done("stranger", "DELETE", block)
        self.assertEqual(self.mine(), ["pending"])

    def test_dissolved(self) -> None:
        """An invitation into a group that is no more is not shown, and opens nothing."""
        self.invite()
        self.done("owner", "DELETE", f"/groups/{self.group}")
        self.assertEqual(self.mine(), [])
        self.assertEqual(self.refused("stranger", "POST", self.path("accept")), (403, ""))

    def test_rate(self) -> None:
        """Invitations are limited by how many people get one."""
        people = [str(number) for number in range(1 << 40, (1 << 40) + 100)]
        path = f"/groups/{self.group}/invitations"
        statuses = [self.call("admin", "POST", path, {"userIds": people}).status for _ in range(3)]
        self.assertEqual(statuses, [400, 400, 429])

    def test_too_many(self) -> None:
        """Nobody has more open invitations than the limit."""
        self.patch(sql_admissions, "MAX_PENDING_PER_USER", 1)
        self.invite()
        self.group = self.make_group()
        self.assertEqual(self.no_invite(), (403, "full"))

    def test_bad_input(self) -> None:
        """Nobody, too many, nonsense and people who do not exist are refused by name."""
        path = f"/groups/{self.group}/invitations"
        for user_ids in ([], ["x"], ["0"], [1], ["17"], [str(n) for n in range(1, 102)]):
            reply = self.call("owner", "POST", path, {"userIds": user_ids})
            self.assertEqual((reply.status, reply.error[2].partition("[")[0]), (400, "userIds"), user_ids)
