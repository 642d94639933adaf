"""Webhooks in the whole business role: from the bus and from reviews to the operator's server, and what operators see."""

from __future__ import annotations

from typing import Any

from imd.bus.subjects import HOOK_MESSAGE
from imd.business.reviews.sql import SqlReviews
from imd.business.webhooks.dispatch import POLL_S
from imd.business.webhooks.stored import KeepStored
from imd.config.policy import Webhook
from imd.config.sections import Config
from imd.hooks.post import Answer
from imd.kernel.errors import ServerBusy
from imd.pb.bus_pb2 import StoredMessages
from imd.pb.message_pb2 import TEXT, Message
from imd.roles.business_policy import build_outbox
from tests.business.rest.driven_policy import held
from tests.business.webhooks.test_webhooks import Receiver
from tests.business.world import OPERATOR_TOKEN, Reply, World, WorldCase

WEBHOOK = Webhook(url="http://127.0.0.1/hook", max_tries=1)


class RoleTests(WorldCase):
    """A role with a receiver in place of the network."""

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.world = World(config=Config(webhook=WEBHOOK), posts=self.receiver)

    def passes(self) -> None:
        self.world.clock.pump([POLL_S] * 4)

    def stored(self, *seqs: int) -> bytes:
        messages = [Message(conversationId="c", seq=seq, type=TEXT, textContent="x") for seq in seqs]
        return StoredMessages(messages=[one.SerializeToString() for one in messages]).SerializeToString()

    def publish(self, payload: bytes) -> None:
        self.world.run(self.world.bus.publish_durable(HOOK_MESSAGE, payload))
        self.passes()

    def operator(self, method: str, path: str) -> Reply:
        return self.world.call(method, "/operator/webhooks" + path, token=OPERATOR_TOKEN)

    def test_stored(self) -> None:
        """What core publishes is sent."""
        self.publish(self.stored(1, 2))
        self.publish(self.stored(3))
        self.assertEqual(self.receiver.got, ["c:1", "c:2", "c:3"])

    def test_nonsense(self) -> None:
        """What is no message is dropped, and holds up nothing."""
        self.publish(b"\xff")
        self.publish(StoredMessages(messages=[b"\xff"]).SerializeToString())
        self.publish(self.stored(1))
        self.assertEqual(self.receiver.got, ["c:1"])

    def test_reviews(self) -> None:
        """That a message is held, and what became of it, is told in this order."""
        reviews = SqlReviews(self.world.database, outbox=build_outbox(WEBHOOK))
        self.world.run(reviews.hold(5, held("m"), self.world.now_ms()))
        self.passes()
        body = {"decision": "refuse"}
        self.world.call("POST", "/operator/reviews/5", body, token=OPERATOR_TOKEN)
        self.passes()
        self.assertEqual(self.receiver.got, ["review:5:pending", "review:5:refused"])

    def test_dead_and_again(self) -> None:
        """Operators see what was given up, have one sent again, or all; what is not there is not found."""
        self.receiver.answer = lambda _: Answer(410, b"")
        self.publish(self.stored(1, 2))
        page = self.operator("GET", "/dead?limit=1").json
        (dead,) = page["events"]
        self.assertEqual((dead["eventId"], dead["error"], dead["tries"]), ("c:1", "answered 410", 1))
        following = self.operator("GET", f"/dead?after={page['next']}").json
        self.assertEqual([one["eventId"] for one in following["events"]], ["c:2"])
        self.receiver.answer = lambda _: Answer(204, b"")
        self.assertEqual(self.operator("POST", f"/dead/{dead['id']}/replay").json, {"replayed": 1})
        self.assertEqual(self.operator("POST", f"/dead/{dead['id']}/replay").status, 404)
        self.passes()
        self.assertEqual(self.operator("POST", "/dead/replay").json, {"replayed": 1})
        self.passes()
        self.assertEqual(self.receiver.got[2:], ["c:1", "c:2"])
        self.assertEqual(self.operator("GET", "/dead").json, {"events": [], "next": ""})

    def test_wrong_questions(self) -> None:
        """Limits and ids that there are not are refused; users have no business here."""
        for path in ("/dead?limit=0", "/dead?after=x"):
            self.assertEqual(self.operator("GET", path).status, 400, path)
        self.assertEqual(self.operator("POST", "/dead/x/replay").status, 400)
        token = self.world.register("ann")["token"]
        self.assertEqual(self.world.call("GET", "/operator/webhooks/dead", token=token).status, 401)

    def test_database_away(self) -> None:
        """While the database is away a batch waits, and is kept when it is back; at a stop it goes back to the bus."""

        class Away:
            """A store that comes back."""

            def __init__(self) -> None:
                self.away = True
                self.added = 0

            async def add(self, events: object, now_ms: int) -> None:
                if self.away:
                    raise ServerBusy("away")
                self.added += 1

        events: Any = Away()
        keep = KeepStored(
            bus=self.world.bus,
            events=events,
            added=lambda: None,
            clock=self.world.clock,
            wall_clock=self.world.now_ms,
        )
        self.world.bus.consume(HOOK_MESSAGE, "another", keep._take)
        self.publish(self.stored(1))
        self.assertEqual(events.added, 0)
        events.away = False
        self.world.clock.pump([1.0] * 10)
        self.assertEqual(events.added, 1)
        events.away = True
        self.publish(self.stored(2))
        self.world.run(keep.stop())
        self.world.clock.pump([0.0] * 5)
        self.assertEqual(len(self.flushLoggedErrors(ServerBusy)), 1)
