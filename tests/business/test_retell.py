"""What was committed is told, whatever becomes of the process that committed it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.port import BusRefused, NoResponder
from imd.bus.subjects import AUTH_DIRECT
from imd.business.retell import LOOK_INTERVAL_S, PAGE, Retelling
from imd.business.schema import open_business
from imd.business.tables.announcements import announcements
from imd.kernel.errors import ServerBusy
from imd.kernel.ids import direct_conversation_id
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import DirectAnswer, DirectQuery
from tests.business.world import World


class Killed(SynchronousTestCase):
    """A node dies after the commit, and another one comes; both on one database."""

    def setUp(self) -> None:
        self.connect = self.shared()
        self.first = World(connect=self.connect)
        self.ann, self.bob, self.cy = (self.first.register(name) for name in ("ann", "bob", "cyn"))
        group = {"title": "Fun", "memberIds": [self.bob["userId"], self.cy["userId"]]}
        made = self.first.call("POST", "/groups", group, token=self.ann["token"])
        self.group_id = made.json["conversationId"]
        self.settle(self.first)
        self.assertEqual(self.waiting(), 0)

    def shared(self) -> Callable[[], Engine]:
        """Opens the database, for one world after the other."""
        path = Path(self.mktemp())
        return lambda: open_business(path)

    def settle(self, world: World, seconds: float = 0.0) -> None:
        world.clock.pump([0.5] * round(2 * seconds) + [0.0] * 30)

    def waiting(self) -> int:
        """How many tellings are written down."""
        database = self.first.database
        count = select(func.count()).select_from(announcements)
        return int(self.first.run(database.read(lambda c: c.execute(count).scalar_one())))

    def cut_off(self) -> None:
        """From here on the bus takes nothing from the first node."""

        async def refused(subject: str, payload: bytes) -> None:
            raise BusRefused("planted")

        self.patch(self.first.bus, "publish_durable", refused)

    def call(self, method: str, path: str, body: Any, session: Any) -> None:
        reply = self.first.call(method, path, body, token=session["token"])
        self.assertLess(reply.status, 300, reply)

    def test_told_by_another(self) -> None:
        """Who was removed, blocked or logged out is told of by the next node within two looks, and then no more."""
        self.cut_off()
        ann_id, bob_id = self.ann["userId"], self.bob["userId"]
        self.call("DELETE", f"/groups/{self.group_id}/members/{bob_id}", None, self.ann)
        self.call("POST", "/logout", {}, self.cy)
        self.call("PUT", f"/blocks/{bob_id}", None, self.ann)
        # kill -9
        self.first.run(self.first.tasks.stop())
        self.first.run(self.first.database.stop())
        second = World(connect=self.connect)
        self.settle(second, 2.5 * LOOK_INTERVAL_S)
        heard = {event.WhichOneof("what"): event for event in second.invalidations}
        self.assertEqual(heard["conversationId"].conversationId, self.group_id)
        self.assertEqual(
            (list(heard["conversationId"].removedIds), heard["conversationId"].reason),
            ([int(bob_id)], "kicked"),
        )
        self.assertEqual(heard["revoked"].revoked.userId, int(self.cy["userId"]))
        self.assertEqual(len(heard["revoked"].revoked.loginIds), 1)
        self.assertEqual(heard["sight"].sight.userId, int(ann_id))
        self.assertEqual({event.timestamp > 0 for event in heard.values()}, {True})
        second.heard.clear()
        self.settle(second, 5 * LOOK_INTERVAL_S)
        self.assertEqual(second.invalidations, [])

    def test_versions_of_pairs(self) -> None:
        """A 1:1 conversation is told of with the version that was committed."""
        ann_id, bob_id = int(self.ann["userId"]), int(self.bob["userId"])
        query = DirectQuery(userId=ann_id, peerUserId=bob_id, ticket=self.first.ticket(self.ann))
        self.first.ask(AUTH_DIRECT, query, DirectAnswer)
        self.settle(self.first)
        self.cut_off()
        self.call("PUT", f"/blocks/{bob_id}", None, self.ann)
        self.first.run(self.first.tasks.stop())
        self.first.run(self.first.database.stop())
        second = World(connect=self.connect)
        self.settle(second, 2.5 * LOOK_INTERVAL_S)
        (changed,) = [event.changed for event in second.invalidations if event.HasField("changed")]
        self.assertEqual(list(changed.conversationIds), [direct_conversation_id(ann_id, bob_id)])
        self.assertEqual(
            (list(changed.versions), sorted(changed.restrictedIds)), ([2], sorted([ann_id, bob_id]))
        )

    def test_told_once(self) -> None:
        """With the bus there a change is told at once, and nothing of it is left to be told again."""
        self.first.heard.clear()
        self.call("DELETE", f"/groups/{self.group_id}/members/{self.bob['userId']}", None, self.ann)
        self.call("PUT", f"/blocks/{self.bob['userId']}", None, self.ann)
        self.call("POST", "/logout", {}, self.cy)
        self.settle(self.first)
        told = len(self.first.invalidations)
        self.assertEqual((self.waiting(), told > 0), (0, True))
        self.settle(self.first, 4 * LOOK_INTERVAL_S)
        self.assertEqual(len(self.first.invalidations), told)

    def test_notice_by_another(self) -> None:
        """A notice that no owner took before the node died is asked for by the next one, under the same key."""
        asked: list[bytes] = []

        async def nobody(subject: str, payload: bytes, *, timeout_s: float) -> bytes:
            asked.append(payload)
            raise NoResponder(subject)

        self.patch(self.first.bus, "request", nobody)
        self.call("DELETE", f"/groups/{self.group_id}/members/{self.bob['userId']}", None, self.ann)
        self.assertEqual(self.waiting(), 1)
        self.first.run(self.first.tasks.stop())
        self.first.run(self.first.database.stop())
        second = World(connect=self.connect)
        self.settle(second, 2.5 * LOOK_INTERVAL_S)
        self.assertEqual([notice.SerializeToString() for notice in second.notices], asked[:1])
        self.assertEqual(second.notices[0].notice.event, "group.kicked")
        self.settle(second, 5 * LOOK_INTERVAL_S)
        self.assertEqual(len(second.notices), 1)

    def test_rolled_back(self) -> None:
        """What is not committed is not told."""
        self.cut_off()
        path = f"/groups/{self.group_id}/members/{self.ann['userId']}"
        self.assertEqual(self.first.call("DELETE", path, token=self.bob["token"]).status, 403)
        self.assertEqual(self.waiting(), 0)


class Looking(SynchronousTestCase):
    """The looks themselves, on a table that the test plays."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.rows: dict[str, bytes] = {}
        self.busy = False
        self.takes = True
        self.refused: set[str] = set()
        self.published: list[bytes] = []
        self.tasks = Tasks()
        retelling = Retelling(
            waiting=self, tell=self.tell, clock=self.clock, random=lambda: 0.5, tasks=self.tasks
        )
        self.successResultOf(Deferred.fromCoroutine(retelling.start()))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.tasks.stop()))

    async def some(self, *, limit: int) -> Sequence[tuple[str, bytes]]:
        if self.busy:
            raise ServerBusy("planted")
        return sorted(self.rows.items())[:limit]

    async def forget(self, abouts: Sequence[str]) -> None:
        for about in abouts:
            del self.rows[about]

    async def remember(self, about: str, payload: bytes) -> None:
        self.rows[about] = payload

    async def tell(self, about: str, payload: bytes) -> bool:
        if about in self.refused:
            return False
        if self.takes:
            self.published.append(payload)
        return self.takes

    def looks(self, count: int) -> None:
        self.clock.pump([LOOK_INTERVAL_S] * count)

    def test_not_what_is_young(self) -> None:
        """What is there at one look only is somebody else's, who is about to tell it."""
        self.rows["a"] = b"a"
        self.looks(1)
        del self.rows["a"]
        self.rows["b"] = b"b"
        self.looks(1)
        self.assertEqual(self.published, [])
        self.looks(1)
        self.assertEqual((self.published, self.rows), ([b"b"], {}))

    def test_outage(self) -> None:
        """While database or bus are away nothing gets lost; afterwards all of it is told, however much that is."""
        self.rows = {f"{number:05}": b"%d" % number for number in range(3 * PAGE)}
        self.takes = False
        self.looks(3)
        self.busy = True
        self.looks(3)
        self.busy, self.takes = False, True
        self.looks(8)
        self.assertEqual((len(self.published), self.rows), (3 * PAGE, {}))

    def test_one_that_cannot_be_told(self) -> None:
        """What comes to nothing stays, and does not hold up what is behind it."""
        self.rows = {"a": b"a", "b": b"b", "c": b"c"}
        self.refused = {"a", "b"}
        self.looks(2)
        self.assertEqual((self.published, sorted(self.rows)), ([b"c"], ["a", "b"]))
        self.refused.clear()
        self.looks(2)
        self.assertEqual(self.rows, {})
