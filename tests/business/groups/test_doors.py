"""Getting in by oneself: open doors, questions, applications."""

from __future__ import annotations

from typing import Any

from imd.business.groups import sql_admissions
from imd.business.groups.joining import PENDING_MS
from tests.business.groups.town import Town

WEEK_S = PENDING_MS / 1000


class Joining(Town):
    """By each policy."""

    def join(self, who: str = "stranger", **body: Any) -> Any:
        return self.done(who, "POST", f"/groups/{self.group}/join", body or None)

    def no_join(self, who: str = "stranger", **body: Any) -> tuple[int, str]:
        return self.refused(who, "POST", f"/groups/{self.group}/join", body or None)

    def test_open(self) -> None:
        """Whoever wants comes in, and core hears of it first, then the group."""
        self.rules(joinPolicy="open")
        self.assertEqual(self.join(), {"state": "joined"})
        self.assertEqual(self.roles()["stranger"], "member")
        self.assertEqual(self.events()[-1], "group.joined")
        notice = self.last().notice
        self.assertEqual(self.names([notice.actorId, *notice.subjectIds]), ["stranger"] * 2)

    def test_again(self) -> None:
        """Who is in already is told so, and nobody else is."""
        self.rules(joinPolicy="open")
        self.join()
        version = self.version()
        for who in ("stranger", "owner"):
            self.assertEqual(self.join(who), {"state": "joined"})
        self.assertEqual(self.version(), version)

    def test_question(self) -> None:
        """Who knows the answer comes in; who does not, or says nothing, stays outside."""
        self.rules(joinPolicy="question", question="Who?", answer="Me")
        self.assertEqual(self.done("stranger", "GET", f"/groups/{self.group}/door")["question"], "Who?")
        for body in ({}, {"answer": "you"}, {"answer": ""}):
            self.assertEqual(self.no_join(**body), (403, "wrong_answer"))
        self.assertNotIn("stranger", self.roles())
        self.join(answer=" me")
        self.assertIn("stranger", self.roles())

    def test_guessing(self) -> None:
        """Answers to one group's question are limited, also the right one; time and other groups are not."""
        self.rules(joinPolicy="question", question="Who?", answer="me")
        for number in range(5):
            self.assertEqual(self.no_join(answer=f"x{number}"), (403, "wrong_answer"))
        self.assertEqual(self.no_join(answer="me")[0], 429)
        self.world.clock.advance(601)
        self.join(answer="me")

    def test_closed(self) -> None:
        """By invitation: from outside it cannot be told from a group that never was, or is no more."""
        paths = [f"/groups/{self.group}", "/groups/g_0000000000000000", "/groups/%24ne"]
        self.done("owner", "DELETE", f"/groups/{(gone := self.make_group())}")
        paths.append(f"/groups/{gone}")
        for method, path in (("GET", "/door"), ("POST", "/join")):
            answers = {self.call("stranger", method, one + path).raw for one in paths}
            self.assertEqual(len(answers), 1)
            self.assertIn(b"1003", answers.pop())

    def test_full(self) -> None:
        """A full group takes nobody, and no application opens it."""
        self.rules(joinPolicy="open")
        for number in range(2):
            token = self.world.register(f"more{number}")["token"]
            self.world.call("POST", f"/groups/{self.group}/join", token=token)
        self.assertEqual(self.no_join(), (403, "full"))

    def test_too_many_groups(self) -> None:
        """Who is in as many groups as may be joins no other."""
        self.rules(joinPolicy="open")
        for _ in range(3):
            self.done("stranger", "POST", "/groups", {"title": "x"})
        self.assertEqual(self.no_join()[0], 403)

    def test_barred(self) -> None:
        """Who is kept out finds no group, whatever its policy."""
        body = {"userIds": self.ids("stranger")}
        self.done("owner", "POST", f"/conv/{self.group}/blacklist", body)
        nowhere = self.call("stranger", "POST", "/groups/g_0/join").raw
        for policy in ("open", "approval"):
            self.rules(joinPolicy=policy)
            self.assertEqual(self.call("stranger", "POST", f"/groups/{self.group}/join").raw, nowhere)
            self.assertEqual(self.call("stranger", "GET", f"/groups/{self.group}/door").raw, nowhere)

    def test_looking_around(self) -> None:
        """Trying ids of groups one after another is limited."""
        tried = [self.call("stranger", "GET", f"/groups/g_{n:016x}/door").status for n in range(31)]
        self.assertEqual(tried, [403] * 30 + [429])

    def test_kicked(self) -> None:
        """Who was kicked may come back through an open door, unless they are kept out."""
        self.rules(joinPolicy="open")
        self.done("owner", "DELETE", f"/groups/{self.group}/members/{self.people['member'].user_id}")
        self.join("member")


class Applying(Town):
    """Where somebody has to say yes."""

    def setUp(self) -> None:
        super().setUp()
        self.rules(joinPolicy="approval")
        self.world.heard.clear()

    def apply(self, who: str = "stranger", message: str = "Please") -> None:
        answer = self.done(who, "POST", f"/groups/{self.group}/join", {"message": message})
        self.assertEqual(answer, {"state": "pending"})

    def path(self, verb: str, who: str = "stranger") -> str:
        return f"/groups/{self.group}/applications/{self.people[who].user_id}/{verb}"

    def open(self) -> list[str]:
        found = self.done("admin", "GET", f"/groups/{self.group}/applications")["applications"]
        return self.names(one["userId"] for one in found)

    def mine(self, who: str = "stranger") -> list[str]:
        found = self.done(who, "GET", "/me/applications")["applications"]
        return [one["state"] for one in found if one["conversationId"] == self.group]

    def test_approved(self) -> None:
        """The applicant waits, is let in by an admin, and the group hears by whom."""
        self.apply()
        self.assertEqual((self.open(), self.mine(), self.world.heard), (["stranger"], ["pending"], []))
        found = self.done("admin", "GET", f"/groups/{self.group}/applications")["applications"][0]
        self.assertEqual((found["message"], found["handle"]), ("Please", "stranger"))
        self.done("admin", "POST", self.path("approve"))
        self.assertEqual((self.open(), self.mine()), ([], ["approved"]))
        self.assertEqual(self.roles()["stranger"], "member")
        self.assertEqual(self.events(), ["group.joined"])
        notice = self.last().notice
        self.assertEqual(self.names([notice.actorId, *notice.subjectIds]), ["admin", "stranger"])

    def test_refused(self) -> None:
        """Who is refused stays outside, may ask again, and the group hears nothing."""
        self.apply()
        self.done("owner", "POST", self.path("refuse"))
        self.assertEqual((self.open(), self.mine(), self.world.heard), ([], ["refused"], []))
        self.assertEqual(self.refused("owner", "POST", self.path("approve")), (403, "settled"))
        self.apply()
        self.assertEqual(self.open(), ["stranger"])

    def test_repeated(self) -> None:
        """Applying twice is applying once, and so are a yes and a no whose answer was lost."""
        self.apply()
        self.apply(message="Please!")
        self.assertEqual(self.open(), ["stranger"])
        for _ in range(2):
            self.done("owner", "POST", self.path("approve"))
        self.assertEqual(self.events(), ["group.joined"])

    def test_cancelled(self) -> None:
        """An application that was taken back cannot be approved."""
        mine = f"/me/applications/{self.group}"
        self.assertEqual(self.refused("stranger", "DELETE", mine), (403, ""))
        self.apply()
        for _ in range(2):
            self.done("stranger", "DELETE", mine)
        self.assertEqual(self.mine(), ["cancelled"])
        self.assertEqual(self.refused("owner", "POST", self.path("approve")), (403, "settled"))

    def test_expired(self) -> None:
        """After seven days nobody is let in by it any more; whoever still wants asks again."""
        self.apply()
        self.world.clock.advance(WEEK_S)
        self.people = {
            name: one._replace(token=self.world.login(name).json["token"])
            for name, one in self.people.items()
        }
        self.assertEqual((self.open(), self.mine()), ([], ["expired"]))
        self.assertEqual(self.refused("owner", "POST", self.path("approve")), (403, "settled"))
        self.apply()
        self.done("owner", "POST", self.path("approve"))

    def test_who(self) -> None:
        """Only those who manage the group see and decide; others cannot tell it from none."""
        self.apply()
        path = f"/groups/{self.group}/applications"
        for verb in ("approve", "refuse"):
            self.assertEqual(self.refused("member", "POST", self.path(verb)), (403, "no_right"))
            self.assertEqual(self.refused("stranger", "POST", self.path(verb)), (403, ""))
        self.assertEqual(self.refused("member", "GET", path), (403, "no_right"))
        self.assertEqual(self.refused("stranger", "GET", path), (403, ""))
        self.assertEqual(self.refused("owner", "POST", self.path("approve", "member")), (403, "unknown"))

    def test_added(self) -> None:
        """Who is added meanwhile has no application left."""
        self.apply()
        body = {"userIds": self.ids("stranger")}
        self.done("owner", "POST", f"/groups/{self.group}/members", body)
        self.assertEqual((self.open(), self.mine()), ([], ["approved"]))

    def test_barred(self) -> None:
        """Who is kept out meanwhile was refused."""
        self.apply()
        body = {"userIds": self.ids("stranger")}
        self.done("owner", "POST", f"/conv/{self.group}/blacklist", body)
        self.assertEqual((self.open(), self.mine()), ([], ["refused"]))

    def test_full(self) -> None:
        """A yes that finds the group full changes nothing: the application still waits."""
        self.apply()
        more = [self.world.register(f"more{number}")["userId"] for number in range(2)]
        self.done("owner", "POST", f"/groups/{self.group}/members", {"userIds": more})
        self.assertEqual(self.refused("owner", "POST", self.path("approve")), (403, "full"))
        self.assertEqual(self.open(), ["stranger"])

    def test_crowd(self) -> None:
        """A group has so many open applications, and so has a person; more are refused."""
        self.patch(sql_admissions, "MAX_PENDING_PER_GROUP", 1)
        self.apply()
        token = self.world.register("other-stranger")["token"]
        reply = self.world.call("POST", f"/groups/{self.group}/join", token=token)
        self.assertEqual(reply.json["error"]["reason"], "full")
        self.patch(sql_admissions, "MAX_PENDING_PER_GROUP", 1000)
        self.patch(sql_admissions, "MAX_PENDING_PER_USER", 1)
        self.group = self.make_group()
        self.rules(joinPolicy="approval")
        self.assertEqual(self.refused("stranger", "POST", f"/groups/{self.group}/join"), (403, "full"))

    def test_pages(self) -> None:
        """Applications come page by page, each once."""
        tokens = [self.world.register(f"more{number}")["token"] for number in range(2)]
        for token in tokens:
            self.world.call("POST", f"/groups/{self.group}/join", token=token)
        self.apply()
        path, after = f"/groups/{self.group}/applications?limit=1&after=", ""
        seen: list[str] = []
        while not seen or after:
            page = self.done("owner", "GET", path + after)
            seen += [one["handle"] for one in page["applications"]]
            after = page["next"]
        self.assertEqual(sorted(seen), ["more0", "more1", "stranger"])
        for query in ("limit=0", "limit=101", "after=x"):
            self.assertEqual(
                self.refused("owner", "GET", f"/groups/{self.group}/applications?{query}")[0], 400
            )
        self.assertEqual(self.refused("owner", "GET", "/me/applications?after=%24ne")[0], 400)

    def test_bad_input(self) -> None:
        """What is no id, or no message, is refused by name."""
        reply = self.call("owner", "POST", f"/groups/{self.group}/applications/x/approve")
        self.assertEqual((reply.status, reply.error[2]), (400, "userId"))
        for message in ("a\nb", "x" * 201, 7):
            reply = self.call("stranger", "POST", f"/groups/{self.group}/join", {"message": message})
            self.assertEqual((reply.status, reply.error[2]), (400, "message"))
