"""What is kept of who did what, and how operators read it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from imd.bus.audit import DONE, HIGH, REFUSED, AuditEntry
from imd.bus.subjects import AUDIT_LOG
from imd.business.audit.keep import KeepAudit
from imd.config.sections import Audit, Config
from imd.kernel.errors import ServerBusy
from imd.pb.bus_pb2 import AuditEvent, AuditEvents
from tests.business.world import START_MS, WorldCase

DAY_S = 24 * 3600.0


class AuditCase(WorldCase):
    """A business role that keeps its audit for ten days."""

    def setUp(self) -> None:
        self.world = self.make_world(config=Config(audit=Audit(keep_days=10)))

    def record(self, *entries: AuditEntry) -> None:
        for entry in entries:
            self.world.parts.audit.record(entry)
        self.world.clock.pump([0.0] * 6)

    def publish(self, *events: AuditEvent) -> None:
        payload = AuditEvents(events=events).SerializeToString()
        self.world.run(self.world.bus.publish_durable(AUDIT_LOG, payload))

    def read(self, query: str = "") -> Any:
        reply = self.world.operate("GET", f"/audit{query}")
        self.assertEqual(reply.status, 200, reply.raw)
        return reply.json

    def actions(self, query: str = "") -> list[str]:
        return [event["action"] for event in self.read(query)["events"]]


class KeptTests(AuditCase):
    """From the bus to the database."""

    def test_all_fields(self) -> None:
        """An event is read as it was recorded, with who told it and when."""
        self.world.clock.advance(5)
        self.record(AuditEntry("group.mute", DONE, "spam", 1, 2, "g_1", "r1", 3, HIGH, '{"for":60}'))
        (event,) = self.read()["events"]
        self.assertEqual(len(event.pop("eventId")), 18)
        self.assertEqual(
            event,
            {
                "at": START_MS + 5000,
                "node": "business-0",
                "requestId": "r1",
                "actorId": "1",
                "subjectId": "2",
                "conversationId": "g_1",
                "action": "group.mute",
                "decision": "done",
                "reason": "spam",
                "policyVersion": 3,
                "level": 3,
                "detail": '{"for":60}',
            },
        )

    def test_once(self) -> None:
        """An event that comes again, alone or among new ones, is kept once."""
        one, two = (AuditEvent(eventId=name, action=name, timestamp=1) for name in ("one", "two"))
        self.publish(one)
        self.publish(one)
        self.publish(one, two)
        self.assertEqual(sorted(self.actions()), ["one", "two"])

    def test_garbage(self) -> None:
        """What cannot be read is dropped, and holds nobody up; an event without a name is none."""
        self.world.run(self.world.bus.publish_durable(AUDIT_LOG, b"\xff\xff"))
        self.publish(AuditEvent(action="nameless"), AuditEvent(eventId="e", action="named"))
        self.assertEqual(self.actions(), ["named"])

    def test_database_away(self) -> None:
        """While the database is away events wait, as long as it takes, and come in their order."""
        calls = 0
        add = self.world.parts.keep_audit._events.add

        async def failing(events: Any) -> int:
            nonlocal calls
            calls += 1
            if calls <= 8:
                raise ServerBusy("planted")
            return await add(events)

        self.patch(self.world.parts.keep_audit._events, "add", failing)
        self.publish(AuditEvent(eventId="1", action="first", timestamp=1))
        self.publish(AuditEvent(eventId="2", action="second", timestamp=2))
        self.assertEqual(self.actions(), [])
        self.world.clock.pump([30.0] * 10)
        self.assertEqual(self.actions(), ["second", "first"])

    def test_stopped_meanwhile(self) -> None:
        """A node that stops while the database is away leaves the event to the next one."""

        class Away:
            async def add(self, events: Any) -> int:
                raise ServerBusy("planted")

        events: Any = Away()
        keep = KeepAudit(
            bus=self.world.bus,
            events=events,
            clock=self.world.clock,
            wall_clock=self.world.now_ms,
            tasks=self.world.tasks,
            keep_days=0,
        )
        taking = Deferred.fromCoroutine(keep._take(AUDIT_LOG, AuditEvents().SerializeToString()))
        self.assertNoResult(taking)
        self.world.run(keep.stop())
        self.failureResultOf(taking, ServerBusy)

    def test_retention(self) -> None:
        """Events go when they are older than was configured, and not before."""
        self.record(AuditEntry("old", DONE))
        self.world.clock.pump([DAY_S / 2] * 10)
        self.record(AuditEntry("new", DONE))
        self.world.clock.pump([DAY_S / 2] * 9)
        self.assertEqual(self.actions(), ["new", "old"])
        self.world.clock.pump([DAY_S / 2] * 2)
        self.assertEqual(self.actions(), ["new"])


class ReadTests(AuditCase):
    """The operators' question."""

    def setUp(self) -> None:
        super().setUp()
        for number in range(6):
            self.record(
                AuditEntry(
                    f"a{number}",
                    REFUSED if number % 2 else DONE,
                    actor_id=number % 3,
                    subject_id=number,
                    conversation_id=f"g_{number % 2}",
                )
            )
            self.world.clock.advance(1)

    def test_filters(self) -> None:
        """By who, to whom, where, what, how it ended and when; all that is asked for must be so."""
        for query, expected in (
            ("", "543210"),
            ("?actor=2", "52"),
            ("?subject=4", "4"),
            ("?conversation=g_1", "531"),
            ("?action=a3", "3"),
            ("?decision=refused", "531"),
            (f"?from={START_MS + 2000}", "5432"),
            (f"?to={START_MS + 2000}", "10"),
            (f"?from={START_MS + 1000}&to={START_MS + 3000}", "21"),
            ("?actor=2&conversation=g_1", "5"),
            ("?actor=17", ""),
            ("?conversation=g_17", ""),
        ):
            self.assertEqual([action[1:] for action in self.actions(query)], list(expected), query)

    def test_pages(self) -> None:
        """Pages follow one another without a gap or a repeat, also of events of one moment, while new ones come."""
        self.record(*(AuditEntry(f"b{number}", DONE) for number in range(5)))
        seen: list[str] = []
        after = ""
        while True:
            page = self.read(f"?limit=2&after={after}")
            seen += [event["action"] for event in page["events"]]
            self.record(AuditEntry("newer", DONE))
            after = page["next"]
            if not after:
                break
        self.assertEqual(seen, [f"b{n}" for n in (4, 3, 2, 1, 0)] + [f"a{n}" for n in (5, 4, 3, 2, 1, 0)])

    def test_bad_queries(self) -> None:
        """What is no id, number or place is refused by name, before anything is asked."""
        for query, field in (
            ("actor=x", "actor"),
            ("actor=-1", "actor"),
            (f"actor={1 << 63}", "actor"),
            ("subject=%EF%BC%91", "subject"),
            ("conversation=a'b", "conversation"),
            ("from=1e3", "from"),
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("after=x", "after"),
            ("after=1-", "after"),
            ("action=" + "x" * 65, "action"),
            ("who=1", "who"),
        ):
            reply = self.world.operate("GET", f"/audit?{query}")
            self.assertEqual((reply.status, reply.error[2]), (400, field), query)

    def test_for_operators_only(self) -> None:
        """No user's token, and no token at all, opens it."""
        token = self.world.register("alice")["token"]
        for wrong in (token, "", "x"):
            self.assertEqual(self.world.call("GET", "/operator/audit", token=wrong).status, 401)


class RefusedTests(WorldCase):
    """What REST refuses to somebody who is logged in is kept, whoever it is and whatever it was."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.sessions = {name: self.world.register(name) for name in ("alice", "bob", "eve")}
        body = {"title": "Fun", "memberIds": [self.sessions["bob"]["userId"]]}
        self.group = self.call("alice", "POST", "/groups", body).json["conversationId"]

    def call(self, name: str, method: str, path: str, body: Any = None) -> Any:
        return self.world.call(method, path, body, token=self.sessions[name]["token"])

    def refusals(self) -> list[tuple[str, str, str, str, str]]:
        events = self.world.operate("GET", "/audit?decision=refused").json["events"]
        return [
            (one["actorId"], one["action"], one["reason"], one["subjectId"], one["conversationId"])
            for one in reversed(events)
        ]

    def test_refused(self) -> None:
        """Who may not, and who is not even in, are kept with what they wanted of whom, and where."""
        bob, eve, alice = (self.sessions[name]["userId"] for name in ("bob", "eve", "alice"))
        self.assertEqual(self.call("bob", "GET", f"/groups/{self.group}/applications").status, 403)
        self.assertEqual(self.call("eve", "GET", f"/groups/{self.group}").status, 403)
        self.assertEqual(self.call("eve", "POST", f"/friend-requests/{alice}/accept").status, 403)
        self.assertEqual(
            self.refusals(),
            [
                (bob, "rest.applications", "no_right", "0", self.group),
                (eve, "rest.group", "forbidden", "0", self.group),
                (eve, "rest.acceptFriend", "no_request", alice, ""),
            ],
        )

    def test_once(self) -> None:
        """What a use case has had kept in its own words is not kept again."""
        bob, alice = (self.sessions[name]["userId"] for name in ("bob", "alice"))
        self.assertEqual(self.call("bob", "DELETE", f"/groups/{self.group}/members/{alice}").status, 403)
        self.assertEqual(self.refusals(), [(bob, "group.kick", "no_right", "0", self.group)])

    def test_nonsense(self) -> None:
        """What is in place of an id and is none is not written down."""
        self.assertEqual(self.call("eve", "GET", "/groups/a%20b").status, 403)
        ((_, action, _, subject, conversation),) = self.refusals()
        self.assertEqual((action, subject, conversation), ("rest.group", "0", ""))

    def test_not_refused(self) -> None:
        """What is done, wrong or comes from nobody is no refusal of a right."""
        self.call("bob", "GET", f"/groups/{self.group}")
        self.call("bob", "PATCH", f"/groups/{self.group}", {"title": ""})
        self.world.call("GET", f"/groups/{self.group}")
        self.world.call("GET", "/operator/audit", token=self.sessions["eve"]["token"])
        self.assertEqual(self.refusals(), [])
