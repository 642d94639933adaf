"""Friends, from the question to the end."""

from __future__ import annotations

from sqlalchemy import update

from imd.business.relations import sql_lists, sql_requests
from imd.business.relations.model import REFUSAL_LASTS_MS, REQUEST_TTL_MS
from imd.business.tables.people import users
from tests.business.relations.people import people
from tests.business.world import WorldCase

NOT_ACCEPTED = (403, "not_accepted", "userId")
NO_REQUEST = (403, "no_request", "userId")


class Asking(WorldCase):
    """Requests for friendship."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob, self.carol = people(self.world, "alice", "bob", "carol")

    def test_accept(self) -> None:
        """Who is asked sees who asks and why, says yes, and each is in the other's list."""
        self.assertEqual(self.alice.asks(self.bob, " hi, it is me "), "pending")
        (request,) = self.bob.does("GET", "/friend-requests")["requests"]
        self.assertEqual((request["user"]["handle"], request["message"]), ("alice", "hi, it is me"))
        self.assertEqual(self.bob.accepts(self.alice), "accepted")
        self.assertEqual(set(self.alice.friends()["friends"]), {self.bob.id})
        self.assertEqual(set(self.bob.friends()["friends"]), {self.alice.id})
        self.assertEqual(self.bob.open_requests(), [])
        self.assertEqual(self.alice.open_requests("out"), [(self.bob.id, "accepted")])

    def test_again(self) -> None:
        """Whatever is said twice has the same answer the second time, and changes nothing."""
        self.assertEqual([self.alice.asks(self.bob) for _ in range(2)], ["pending", "pending"])
        self.assertEqual([self.bob.accepts(self.alice) for _ in range(2)], ["accepted", "accepted"])
        version = self.bob.friends()["version"]
        self.assertEqual(self.alice.asks(self.bob), "accepted")
        self.assertEqual(self.bob.friends()["version"], version)

    def test_both_ask(self) -> None:
        """Who asks somebody who has asked them has said yes."""
        self.alice.asks(self.bob)
        self.assertEqual(self.bob.asks(self.alice), "accepted")
        self.assertEqual(set(self.alice.friends()["friends"]), {self.bob.id})

    def test_refuse(self) -> None:
        """A no holds for a day, and the one who asked sees it."""
        self.alice.asks(self.bob)
        refuse = f"/friend-requests/{self.alice.id}/refuse"
        self.assertEqual(self.bob.does("POST", refuse), {"state": "refused"})
        self.assertEqual(self.alice.open_requests("out"), [(self.bob.id, "refused")])
        body = {"userId": str(self.bob.id)}
        self.assertEqual(self.alice.refused("POST", "/friend-requests", body)[0], 429)
        self.assertEqual(self.bob.refused("POST", f"/friend-requests/{self.alice.id}/accept"), NO_REQUEST)
        self.world.clock.advance(REFUSAL_LASTS_MS / 1000)
        self.renew()
        self.assertEqual(self.alice.asks(self.bob), "pending")

    def test_cancel(self) -> None:
        """What is taken back cannot be accepted, and can be asked again."""
        self.alice.asks(self.bob)
        mine = f"/friend-requests/{self.bob.id}"
        self.assertEqual(self.bob.refused("DELETE", f"/friend-requests/{self.alice.id}"), NO_REQUEST)
        self.assertEqual(self.alice.does("DELETE", mine), {"state": "cancelled"})
        self.assertEqual(self.bob.refused("POST", f"/friend-requests/{self.alice.id}/accept"), NO_REQUEST)
        self.assertEqual(self.alice.asks(self.bob), "pending")

    def test_expiry(self) -> None:
        """After a week it is over, and makes room."""
        self.alice.asks(self.bob)
        self.world.clock.advance(REQUEST_TTL_MS / 1000)
        self.renew()
        self.assertEqual(self.bob.open_requests(), [])
        self.assertEqual(self.alice.open_requests("out"), [(self.bob.id, "expired")])
        self.assertEqual(self.bob.refused("POST", f"/friend-requests/{self.alice.id}/accept"), NO_REQUEST)
        self.assertEqual(self.alice.asks(self.bob), "pending")

    def renew(self) -> None:
        """Logins do not last as long as requests."""
        for one in (self.alice, self.bob):
            one.token = self.world.login(one.handle).json["token"]

    def test_foreign(self) -> None:
        """Somebody else's request, an unknown user's, a frozen one's and one's own: all refused, none told apart."""
        self.alice.asks(self.bob)
        self.assertEqual(self.carol.refused("POST", f"/friend-requests/{self.alice.id}/accept"), NO_REQUEST)
        for user_id in (self.alice.id, 12345):
            for method, path in (("POST", "/accept"), ("POST", "/refuse"), ("DELETE", "")):
                reply = self.carol.refused(method, f"/friend-requests/{user_id}{path}")
                self.assertEqual(reply, NO_REQUEST, (user_id, path))
        unknown = {"userId": "12345"}
        self.assertEqual(self.carol.refused("POST", "/friend-requests", unknown), NOT_ACCEPTED)
        frozen = update(users).where(users.c.id == self.bob.id).values(status=2)
        self.world.run(self.world.database.write(lambda c: c.execute(frozen).rowcount))
        self.assertEqual(
            self.carol.refused("POST", "/friend-requests", {"userId": str(self.bob.id)}), NOT_ACCEPTED
        )
        own = {"userId": str(self.carol.id)}
        self.assertEqual(self.carol.refused("POST", "/friend-requests", own), (400, "", "userId"))

    def test_wrong_input(self) -> None:
        """Ids that are none, texts that are too long, pages that are too large."""
        for path, field in (
            ("/friend-requests?direction=up", "direction"),
            ("/friend-requests?limit=501", "limit"),
            ("/friend-requests?after=x", "after"),
            ("/friends?since=1", "since"),
            ("/friends?limit=0", "limit"),
            ("/blocks?after=-1", "after"),
        ):
            self.assertEqual(self.alice.refused("GET", path), (400, "", field), path)
        for body, field in (
            ({"userId": "0"}, "userId"),
            ({"userId": str(1 << 63)}, "userId"),
            ({"userId": str(self.bob.id), "message": "x" * 201}, "message"),
            ({"userId": str(self.bob.id), "message": "a\nb"}, "message"),
        ):
            self.assertEqual(self.alice.refused("POST", "/friend-requests", body), (400, "", field), body)
        for path in ("/friend-requests/x/accept", "/friend-requests/-1/refuse"):
            self.assertEqual(self.alice.refused("POST", path), (400, "", "userId"), path)

    def test_rate(self) -> None:
        """Nobody asks everybody: after thirty in a row one has to wait."""
        unknown = {"userId": "12345"}
        statuses = [self.alice.refused("POST", "/friend-requests", unknown)[0] for _ in range(31)]
        self.assertEqual(statuses, [403] * 30 + [429])

    def test_room(self) -> None:
        """Open requests are bounded on both sides; whose inbox is full is refused like one who is not there."""
        self.patch(sql_requests, "OPEN_REQUESTS_MAX", 1)
        self.alice.asks(self.bob)
        own = {"userId": str(self.carol.id)}
        self.assertEqual(self.alice.refused("POST", "/friend-requests", own), (403, "too_many", ""))
        full = {"userId": str(self.bob.id)}
        self.assertEqual(self.carol.refused("POST", "/friend-requests", full), NOT_ACCEPTED)

    def test_most_friends(self) -> None:
        """A list that is full takes nobody, on whichever side it is."""
        self.patch(sql_lists, "FRIENDS_MAX", 1)
        self.alice.befriends(self.bob)
        self.carol.asks(self.bob)
        self.assertEqual(
            self.bob.refused("POST", f"/friend-requests/{self.carol.id}/accept"), (403, "too_many", "")
        )
        self.alice.asks(self.carol)
        self.assertEqual(self.carol.refused("POST", f"/friend-requests/{self.alice.id}/accept"), NOT_ACCEPTED)

    def test_nobody_asks(self) -> None:
        """Who wants no requests gets none, but may ask."""
        self.bob.does("PATCH", "/me/privacy", {"addFrom": "nobody"})
        body = {"userId": str(self.bob.id)}
        self.assertEqual(self.alice.refused("POST", "/friend-requests", body), NOT_ACCEPTED)
        self.bob.befriends(self.alice)
        self.assertEqual(set(self.alice.friends()["friends"]), {self.bob.id})

    def test_blocked(self) -> None:
        """Who is blocked asks in vain, and what they asked before is not to be seen; the blocker lifts it first."""
        self.alice.asks(self.bob)
        self.bob.blocks(self.alice)
        self.assertEqual(self.bob.open_requests(), [])
        body = {"userId": str(self.bob.id)}
        self.assertEqual(self.alice.refused("POST", "/friend-requests", body), NOT_ACCEPTED)
        accept = f"/friend-requests/{self.alice.id}/accept"
        self.assertEqual(self.bob.refused("POST", accept), (403, "blocked", "userId"))
        self.assertEqual(
            self.bob.refused("POST", "/friend-requests", {"userId": str(self.alice.id)}),
            (403, "blocked", "userId"),
        )
        self.bob.does("DELETE", f"/blocks/{self.alice.id}")
        self.assertEqual(self.bob.accepts(self.alice), "accepted")

    def test_blocked_by_the_asking(self) -> None:
        """A request of somebody who then blocks the one asked looks as if it had been taken back."""
        self.alice.asks(self.bob)
        self.alice.blocks(self.bob)
        self.assertEqual(self.bob.open_requests(), [])
        self.assertEqual(self.bob.refused("POST", f"/friend-requests/{self.alice.id}/accept"), NO_REQUEST)
