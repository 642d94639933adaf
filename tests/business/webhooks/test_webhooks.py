"""Events from the outbox to the operator's server: order, retries, dead letters, several nodes."""

from __future__ import annotations

import json
from collections.abc import Callable

from sqlalchemy import Engine
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.business.schema import open_business
from imd.business.webhooks.dispatch import LEASE_MARGIN_S, LEASE_POSTS, POLL_S, Dispatcher
from imd.business.webhooks.model import (
    DEAD_KEPT_MS,
    GAP_PATIENCE_MS,
    KNOWN_AFTER_MS,
    LINE_BATCH,
    LINE_KEPT_MS,
    Event,
    payload_of,
    retry_after_ms,
)
from imd.business.webhooks.outbox import Outbox
from imd.business.webhooks.sql import SqlEvents
from imd.business.webhooks.stored import event_of
from imd.hooks.breaker import FAILURES, REST_S, Breaker
from imd.hooks.post import Answer, PostFailed
from imd.kernel.tasks import Tasks
from imd.pb.message_pb2 import RECALL, SYSTEM, TEXT, Message
from imd.storage.sql import Database
from tests.business.world import START_MS, at_once
from tests.contract.driving import drive

TIMEOUT_S = 10.0
MAX_TRIES = 3
CONNECTIONS = 4
GOOD = Answer(200, b"")


class Receiver:
    """The operator's server. ``answers`` says what it makes of an event; while ``slow`` it waits for ``go_on``."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.answer: Callable[[str], Answer | Exception] = lambda _: GOOD
        self.slow = False
        self.waiting: list[Deferred[None]] = []

    async def post(self, body: bytes, headers: dict[str, str]) -> Answer:
        event_id: str = json.loads(body)["id"]
        assert headers["X-Imd-Event-Id"] == event_id
        self.got.append(event_id)
        if self.slow:
            turn: Deferred[None] = Deferred()
            self.waiting.append(turn)
            await turn
        answer = self.answer(event_id)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def go_on(self) -> None:
        waiting, self.waiting = self.waiting, []
        for turn in waiting:
            turn.callback(None)


def event(line: str, position: int, *, kind: str = "message.stored") -> Event:
    """The event of one message."""
    event_id = f"{line}:{position}"
    return Event(event_id, line, kind, payload_of(event_id, kind, START_MS, {}), position)


class WebhookCase(SynchronousTestCase):
    """An outbox, a receiver, and as many nodes as a test wants."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.database = Database(connect=self.connect, threads=at_once, clock=self.clock)
        drive(self.clock, self.database.start())
        self.outbox = Outbox(kinds=["message.stored", "review.held"])
        self.events = SqlEvents(self.database, outbox=self.outbox)
        self.receiver = Receiver()
        self.tasks: list[Tasks] = []

    def connect(self) -> Engine:
        """An empty business database."""
        return open_business(None)

    def now_ms(self) -> int:
        return START_MS + int(self.clock.seconds() * 1000)

    def node(self, owner: str = "business-1") -> Dispatcher:
        tasks = Tasks()
        self.tasks.append(tasks)
        dispatcher = Dispatcher(
            owner=owner,
            events=self.events,
            posts=self.receiver,
            wants=self.outbox.wants,
            breaker=Breaker(clock=self.clock),
            connections=CONNECTIONS,
            max_tries=MAX_TRIES,
            timeout_s=TIMEOUT_S,
            clock=self.clock,
            wall_clock=self.now_ms,
            random=lambda: 0.5,
            tasks=tasks,
        )
        drive(self.clock, dispatcher.start())
        return dispatcher

    def dies(self, number: int = 0) -> None:
        """As by kill -9: nothing is given back."""
        drive(self.clock, self.tasks[number].stop())

    def put(self, *events: Event) -> None:
        drive(self.clock, self.events.add(events, self.now_ms()))
        self.passes(POLL_S)

    def passes(self, seconds: float) -> None:
        for _ in range(int(seconds / POLL_S) + 1):
            self.clock.advance(POLL_S)

    def dead(self) -> list[str]:
        found = drive(self.clock, self.events.dead(after_id=0, limit=100))
        return [one.event.event_id for one in found]

    def tearDown(self) -> None:
        for tasks in self.tasks:
            drive(self.clock, tasks.stop())


class SendingTests(WebhookCase):
    """What goes out, and in which order."""

    def test_in_order(self) -> None:
        """The events of a conversation go out by seq, however they came in, and each once."""
        self.node()
        self.put(event("c", 3), event("c", 1), event("c", 2))
        self.put(event("c", 2), event("c", 4))
        self.assertEqual(self.receiver.got, ["c:1", "c:2", "c:3", "c:4"])

    def test_more_than_a_go(self) -> None:
        """A long line is sent to its end."""
        self.node()
        self.put(*[event("c", seq) for seq in range(1, 3 * LINE_BATCH)])
        self.assertEqual(self.receiver.got, [f"c:{seq}" for seq in range(1, 3 * LINE_BATCH)])

    def test_side_by_side(self) -> None:
        """So many conversations at a time as there are connections; within one, the next waits for the answer."""
        self.receiver.slow = True
        self.node()
        self.put(*[event(line, seq) for line in "abcdef" for seq in (1, 2)])
        self.assertEqual(sorted(self.receiver.got), ["a:1", "b:1", "c:1", "d:1"])
        for _ in range(10):
            self.receiver.go_on()
            self.passes(POLL_S)
        self.assertEqual(len(self.receiver.got), 12)
        for line in "abcdef":
            mine = [one for one in self.receiver.got if one[0] == line]
            self.assertEqual(mine, [f"{line}:1", f"{line}:2"])

    def test_missing(self) -> None:
        """One that is missing is waited for, but not for ever; late is better than never."""
        self.node()
        self.put(event("c", 1), event("c", 3))
        self.assertEqual(self.receiver.got, ["c:1"])
        self.put(event("c", 2))
        self.assertEqual(self.receiver.got, ["c:1", "c:2", "c:3"])
        self.put(event("c", 5))
        self.passes(GAP_PATIENCE_MS / 1000)
        self.put(event("c", 4))
        self.assertEqual(self.receiver.got[3:], ["c:5", "c:4"])

    def test_not_wanted(self) -> None:
        """What the operator does not want to hear of is not sent, and nobody waits for it."""
        self.node()
        self.put(event("c", 1), event("c", 2, kind="system.stored"), event("c", 3))
        self.assertEqual(self.receiver.got, ["c:1", "c:3"])
        self.put(event("d", 0, kind="review.decided"))
        self.assertEqual(self.receiver.got, ["c:1", "c:3"])

    def test_nothing_is_kept(self) -> None:
        """Without events that are told, nothing is kept."""
        self.outbox = Outbox(kinds=())
        self.events = SqlEvents(self.database, outbox=self.outbox)
        self.put(event("c", 1))
        self.assertEqual(drive(self.clock, self.events.claim("x", self.now_ms(), until_ms=0, limit=9)), [])

    def test_as_they_come(self) -> None:
        """Events without positions go out as they came in."""
        self.node()
        self.put(*[Event(name, "r", "review.held", json.dumps({"id": name})) for name in "zyx"])
        self.assertEqual(self.receiver.got, list("zyx"))


class FailureTests(WebhookCase):
    """What is not taken."""

    def test_again(self) -> None:
        """What is not taken is sent again, later each time, and holds up only its own conversation."""
        refused = {"c:1"}
        self.receiver.answer = lambda one: Answer(500, b"") if one in refused else GOOD
        self.node()
        self.put(event("c", 1), event("c", 2), event("d", 1))
        self.assertEqual(self.receiver.got, ["c:1", "d:1"])
        self.passes(2)
        self.assertEqual(self.receiver.got.count("c:1"), 2)
        refused.clear()
        self.passes(4)
        self.assertEqual(self.receiver.got[-2:], ["c:1", "c:2"])
        self.assertEqual(self.dead(), [])

    def test_dead(self) -> None:
        """After so many tries an event is put aside, with the reason, and the line goes on without it."""
        self.receiver.answer = lambda one: PostFailed("not reachable") if one == "c:1" else GOOD
        self.node()
        self.put(event("c", 1), event("c", 2))
        self.passes(20)
        self.assertEqual(self.receiver.got, ["c:1"] * MAX_TRIES + ["c:2"])
        (dead,) = drive(self.clock, self.events.dead(after_id=0, limit=9))
        self.assertEqual((dead.event.event_id, dead.tries, dead.error), ("c:1", MAX_TRIES, "not reachable"))

    def test_replay(self) -> None:
        """Dead events are sent again when somebody says so: one, or all."""
        self.receiver.answer = lambda _: Answer(400, b"")
        self.node()
        self.put(event("c", 1), event("d", 1))
        self.passes(200)
        self.assertEqual(self.dead(), ["c:1", "d:1"])
        self.receiver.answer = lambda _: GOOD
        self.receiver.got.clear()
        (first, _) = drive(self.clock, self.events.dead(after_id=0, limit=9))
        self.assertEqual(drive(self.clock, self.events.replay([first.row_id], self.now_ms())), 1)
        self.assertEqual(drive(self.clock, self.events.replay([first.row_id], self.now_ms())), 0)
        self.passes(REST_S)
        self.assertEqual((self.receiver.got, self.dead()), (["c:1"], ["d:1"]))
        self.assertEqual(drive(self.clock, self.events.replay(None, self.now_ms())), 1)
        self.passes(POLL_S)
        self.assertEqual((self.receiver.got, self.dead()), (["c:1", "d:1"], []))

    def test_away(self) -> None:
        """A receiver that is away is asked now and then, by one event; when it is back all go on, and none is lost."""
        self.receiver.answer = lambda _: PostFailed("not reachable")
        self.node()
        lines = [f"c{number}" for number in range(3 * FAILURES)]
        self.put(*[event(line, seq) for line in lines for seq in (1, 2)])
        asked = len(self.receiver.got)
        self.assertLess(asked, len(lines))
        self.passes(3 * REST_S)
        self.assertLessEqual(len(self.receiver.got), asked + 4)
        self.receiver.answer = lambda _: GOOD
        self.receiver.got.clear()
        self.passes(2 * REST_S)
        self.assertEqual(self.dead(), [])
        self.assertEqual(
            sorted(self.receiver.got), sorted(f"{line}:{seq}" for line in lines for seq in (1, 2))
        )

    def test_retry_times(self) -> None:
        """Twice as long each time, up to an hour, and never all at once."""
        self.assertEqual([retry_after_ms(tries, lambda: 0.5) for tries in (1, 2, 3)], [2000, 4000, 8000])
        self.assertEqual(retry_after_ms(50, lambda: 0.5), 3600_000)
        self.assertEqual(retry_after_ms(1, lambda: 0.0), 1600)
        self.assertEqual(retry_after_ms(1, lambda: 1.0), 2400)


class NodeTests(WebhookCase):
    """Several nodes, and their deaths."""

    def test_one_node_a_line(self) -> None:
        """Two nodes never work on one conversation at a time, and together send each event once."""
        self.receiver.slow = True
        self.node("business-1")
        self.node("business-2")
        self.put(*[event(line, seq) for line in "abcdef" for seq in (1, 2, 3)])
        for _ in range(30):
            count = len(self.receiver.got)
            going = [one[0] for one in self.receiver.got[count - len(self.receiver.waiting) :]]
            self.assertEqual(len(going), len(set(going)))
            self.receiver.go_on()
            self.passes(POLL_S)
        self.assertEqual(
            sorted(self.receiver.got), [f"{line}:{seq}" for line in "abcdef" for seq in (1, 2, 3)]
        )

    def test_dead_node(self) -> None:
        """What a node was sending when it died is sent by another, when its lease is over, in order."""
        self.receiver.slow = True
        self.node("business-1")
        self.put(event("c", 1), event("c", 2))
        self.dies()
        self.receiver.slow = False
        self.receiver.waiting.clear()
        self.node("business-2")
        self.passes(LEASE_POSTS * TIMEOUT_S)
        self.assertEqual(self.receiver.got, ["c:1"])
        self.passes(2 * LEASE_MARGIN_S)
        self.assertEqual(self.receiver.got, ["c:1", "c:1", "c:2"])

    def test_back_again(self) -> None:
        """A node that comes back goes on at once with what it had."""
        self.receiver.slow = True
        self.node("business-1")
        self.put(event("c", 1))
        self.dies()
        self.receiver.slow = False
        self.receiver.waiting.clear()
        self.node("business-1")
        self.passes(POLL_S)
        self.assertEqual(self.receiver.got, ["c:1", "c:1"])

    def test_slow_receiver(self) -> None:
        """Whoever cannot be done before the lease is over stops in time; nobody else sends the same meanwhile."""
        self.receiver.slow = True
        self.node("business-1")
        self.node("business-2")
        self.put(*[event("c", seq) for seq in range(1, 11)])
        for _ in range(40):
            self.passes(TIMEOUT_S - 1)
            self.receiver.go_on()
        self.assertEqual(self.receiver.got, [f"c:{seq}" for seq in range(1, 11)])

    def test_forgotten(self) -> None:
        """Sent events are known for an hour, dead ones for a month, idle lines for a week."""
        self.receiver.answer = lambda one: Answer(400, b"") if one == "d:1" else GOOD
        self.node()
        self.put(event("c", 1), event("d", 1))
        self.passes(20)
        self.put(event("c", 1))
        self.assertEqual(self.receiver.got.count("c:1"), 1)
        for ms, dead in ((KNOWN_AFTER_MS, 1), (LINE_KEPT_MS, 1), (DEAD_KEPT_MS, 0)):
            self.clock.advance(ms / 1000)
            self.passes(70)
            self.assertEqual(len(self.dead()), dead)
        self.put(event("c", 1))
        self.assertEqual(self.receiver.got.count("c:1"), 2)


class EventTests(SynchronousTestCase):
    """Messages as events."""

    def test_kinds(self) -> None:
        """Texts, recalls and notices are events of different kinds, named by conversation and seq."""
        for kind, name in (
            (TEXT, "message.stored"),
            (RECALL, "message.recalled"),
            (SYSTEM, "system.stored"),
        ):
            message = Message(conversationId="c", seq=5, type=kind, serverTime=9, serverMsgId=1 << 60)
            made = event_of(message)
            self.assertEqual((made.event_id, made.order_key, made.position, made.kind), ("c:5", "c", 5, name))
            body = json.loads(made.payload)
            self.assertEqual((body["id"], body["event"], body["timestamp"]), ("c:5", name, "9"))
            self.assertEqual(body["message"]["serverMsgId"], str(1 << 60))
