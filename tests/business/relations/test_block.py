"""Blocks and privacy: what they end, what they leave, and who hears of it."""

from __future__ import annotations

from imd.bus.subjects import AUTH_DIRECT, AUTH_VISIBLE
from imd.business.relations import sql_blocks
from imd.business.relations.sql_blocks import SqlRelations
from imd.kernel.ids import direct_conversation_id
from imd.pb.bus_pb2 import DirectAnswer, DirectQuery, VisibleAnswer, VisibleQuery
from tests.business.relations.people import Somebody, people
from tests.business.world import WorldCase

NOT_ACCEPTED = (403, "not_accepted", "userId")


class Relating(WorldCase):
    """Three people."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob, self.carol = people(self.world, "alice", "bob", "carol")

    def refused(self, one: Somebody, other: Somebody) -> set[str]:
        """Who of the two may not write to the other."""
        relations = SqlRelations(self.world.database)
        refused = self.world.run(relations.refused(one.id, other.id))
        self.assertTrue(set(refused.values()) <= {"not_accepted"})
        return {each.handle for each in (one, other) if each.id in refused}

    def sees(self, one: Somebody, other: Somebody) -> bool:
        """Whether one may see the other's presence."""
        ticket = self.world.ticket(one.session)
        query = VisibleQuery(userId=one.id, targetIds=[other.id], ticket=ticket)
        return list(self.world.ask(AUTH_VISIBLE, query, VisibleAnswer).visibleIds) == [other.id]

    def changed(self) -> list[tuple[dict[str, int], set[int]]]:
        """The conversations and versions of which core has heard, and who may do less."""
        return [
            (
                dict(zip(event.changed.conversationIds, event.changed.versions, strict=True)),
                set(event.changed.restrictedIds),
            )
            for event in self.world.invalidations
            if event.WhichOneof("what") == "changed"
        ]

    def sights(self) -> list[tuple[int, list[int]]]:
        return [
            (event.sight.userId, list(event.sight.peerIds))
            for event in self.world.invalidations
            if event.WhichOneof("what") == "sight"
        ]


class Blocking(Relating):
    """Nobody hears of the other."""

    def test_silence(self) -> None:
        """A block silences both, the end of it neither, and the conversation has a version for each."""
        name = self.alice.opens(self.bob)
        self.alice.blocks(self.bob)
        self.assertEqual(self.refused(self.alice, self.bob), {"alice", "bob"})
        self.assertEqual(self.refused(self.carol, self.bob), set())
        self.alice.does("DELETE", f"/blocks/{self.bob.id}")
        self.assertEqual(self.refused(self.alice, self.bob), set())
        both = {self.alice.id, self.bob.id}
        self.assertEqual(self.changed(), [({name: 2}, both), ({name: 3}, set())])
        self.assertEqual(self.sights(), [(self.alice.id, [self.bob.id])])

    def test_friendship_stays(self) -> None:
        """Friends that block each other are friends when it is lifted."""
        self.alice.befriends(self.bob)
        self.alice.blocks(self.bob)
        self.assertEqual(set(self.bob.friends()["friends"]), {self.alice.id})

    def test_opening(self) -> None:
        """Who is blocked, or blocks, opens no conversation; the answer is the same as for nobody at all."""
        self.alice.blocks(self.bob)
        replies = [
            self.bob.call("POST", "/conversations/direct", {"userId": user_id}).json
            for user_id in (str(self.alice.id), "12345")
        ]
        self.assertEqual(replies[0], replies[1])
        self.assertEqual(replies[0]["error"]["reason"], "not_accepted")
        body = {"userId": str(self.bob.id)}
        self.assertEqual(self.alice.refused("POST", "/conversations/direct", body), NOT_ACCEPTED)
        query = DirectQuery(userId=self.bob.id, ticket=self.world.ticket(self.bob.session))
        failures = []
        for peer_id in (self.alice.id, 12345):
            query.peerUserId = peer_id
            failures.append(self.world.ask(AUTH_DIRECT, query, DirectAnswer).failure)
        self.assertEqual(failures[0], failures[1])
        self.assertEqual(failures[0].reason, "not_accepted")

    def test_what_was_said_stays(self) -> None:
        """A conversation that is there can still be found by both, to read it."""
        name = self.alice.opens(self.bob)
        self.alice.blocks(self.bob)
        self.assertEqual([self.alice.opens(self.bob), self.bob.opens(self.alice)], [name, name])

    def test_list(self) -> None:
        """Who blocks sees whom, page by page; nobody else sees it."""
        self.alice.blocks(self.bob)
        self.alice.blocks(self.carol)
        first, second = sorted((self.bob.id, self.carol.id))
        page = self.alice.does("GET", "/blocks?limit=1")
        self.assertEqual([int(one["userId"]) for one in page["blocks"]], [first])
        page = self.alice.does("GET", f"/blocks?limit=1&after={page['next']}")
        self.assertEqual(([int(one["userId"]) for one in page["blocks"]], page["next"]), ([second], ""))
        self.assertEqual(self.bob.does("GET", "/blocks"), {"blocks": [], "next": ""})

    def test_again(self) -> None:
        """Blocking twice and lifting what is not there is done, and told to nobody."""
        self.alice.blocks(self.bob)
        heard = len(self.world.heard)
        self.alice.blocks(self.bob)
        self.alice.does("DELETE", f"/blocks/{self.carol.id}")
        self.alice.does("DELETE", "/blocks/12345")
        self.assertEqual(len(self.world.heard), heard)

    def test_refusals(self) -> None:
        """Oneself, nobody and nonsense cannot be blocked, and not everybody."""
        self.assertEqual(self.alice.refused("PUT", f"/blocks/{self.alice.id}"), (400, "", "userId"))
        self.assertEqual(self.alice.refused("PUT", "/blocks/12345"), NOT_ACCEPTED)
        self.assertEqual(self.alice.refused("PUT", "/blocks/x"), (400, "", "userId"))
        self.patch(sql_blocks, "BLOCKS_MAX", 1)
        self.alice.blocks(self.bob)
        self.assertEqual(self.alice.refused("PUT", f"/blocks/{self.carol.id}"), (403, "too_many", ""))

    def test_rate(self) -> None:
        """It is no way to leaf through ids."""
        statuses = [self.alice.refused("PUT", "/blocks/12345")[0] for _ in range(31)]
        self.assertEqual(statuses, [403] * 30 + [429])


class Privacy(Relating):
    """What others may do."""

    def test_as_before(self) -> None:
        """Who has said nothing is there for everybody."""
        self.assertEqual(
            self.alice.does("GET", "/me/privacy"),
            {"messageFrom": "everyone", "addFrom": "everyone", "presenceTo": "contacts", "findable": True},
        )

    def test_one_by_one(self) -> None:
        """What is not named stays."""
        self.alice.does("PATCH", "/me/privacy", {"presenceTo": "nobody"})
        self.alice.does("PATCH", "/me/privacy", {"findable": False})
        self.assertEqual(
            self.alice.does("PATCH", "/me/privacy", {}),
            {"messageFrom": "everyone", "addFrom": "everyone", "presenceTo": "nobody", "findable": False},
        )

    def test_rate(self) -> None:
        """It touches all conversations of somebody, so nobody does it all the time."""
        wanted = ("nobody", "everyone") * 10
        statuses = [self.alice.call("PATCH", "/me/privacy", {"messageFrom": one}).status for one in wanted]
        self.assertEqual(statuses, [200] * 20)
        self.assertEqual(self.alice.call("PATCH", "/me/privacy", {"findable": False}).status, 429)

    def test_wrong_input(self) -> None:
        """Words that are none, and friends where it can only be everyone or nobody."""
        for field, value in (
            ("addFrom", "friends"),
            ("messageFrom", "contacts"),
            ("findable", 1),
            ("x", "y"),
        ):
            self.assertEqual(self.alice.refused("PATCH", "/me/privacy", {field: value}), (400, "", field))

    def test_messages_from_friends(self) -> None:
        """Strangers are refused, friends are not, and each change is told with the conversation's new version."""
        name = self.bob.opens(self.alice)
        self.alice.does("PATCH", "/me/privacy", {"messageFrom": "friends"})
        self.assertEqual(self.refused(self.alice, self.bob), {"bob"})
        body = {"userId": str(self.alice.id)}
        self.assertEqual(self.carol.refused("POST", "/conversations/direct", body), NOT_ACCEPTED)
        self.alice.befriends(self.bob)
        self.assertEqual(self.refused(self.alice, self.bob), set())
        self.alice.does("DELETE", f"/friends/{self.bob.id}")
        self.assertEqual(self.refused(self.alice, self.bob), {"bob"})
        both = {self.alice.id, self.bob.id}
        self.assertEqual(self.changed(), [({name: 2}, both), ({name: 3}, set()), ({name: 4}, both)])

    def test_messages_from_nobody(self) -> None:
        """Not even friends; and the one who wants none may still write to others."""
        self.alice.befriends(self.bob)
        self.alice.does("PATCH", "/me/privacy", {"messageFrom": "nobody"})
        self.assertEqual(self.refused(self.alice, self.bob), {"bob"})
        self.assertEqual(self.alice.opens(self.bob), direct_conversation_id(self.alice.id, self.bob.id))

    def test_presence(self) -> None:
        """Contacts see it, or friends, or nobody; a block hides both from each other."""
        self.assertFalse(self.sees(self.bob, self.alice))
        self.bob.opens(self.alice)
        self.carol.befriends(self.alice)
        self.assertEqual([self.sees(one, self.alice) for one in (self.bob, self.carol)], [True, True])
        self.alice.does("PATCH", "/me/privacy", {"presenceTo": "friends"})
        self.assertEqual([self.sees(one, self.alice) for one in (self.bob, self.carol)], [False, True])
        self.assertTrue(self.sees(self.alice, self.bob))
        self.alice.does("PATCH", "/me/privacy", {"presenceTo": "nobody"})
        self.assertEqual([self.sees(one, self.alice) for one in (self.bob, self.carol)], [False, False])
        self.assertTrue(self.sees(self.alice, self.alice))
        self.assertEqual(self.sights(), [(self.alice.id, []), (self.alice.id, [])])
        self.carol.blocks(self.alice)
        self.assertEqual(
            [self.sees(self.carol, self.alice), self.sees(self.alice, self.carol)], [False, False]
        )

    def test_unknown(self) -> None:
        """Of somebody who never was, both are refused."""
        relations = SqlRelations(self.world.database)
        refused = self.world.run(relations.refused(self.alice.id, 12345))
        self.assertEqual(refused, {self.alice.id: "not_accepted", 12345: "not_accepted"})
