"""/api/v1/settings: what operators ask, and what they are told."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from imd.admin.settings.model import MAX_DOCUMENT_BYTES
from imd.admin.settings.publish import MAX_AHEAD
from imd.kernel.errors import ServerBusy
from imd.storage.sql import Database
from tests.admin.house import NOW_MS, AdminCase

BURST_9 = {"limits": {"user_burst": 9}}
BURST_8 = {"limits": {"user_burst": 8}, "accounts": {"registration": False}}


class Asking(AdminCase):
    """One operator, who has the bootstrap token."""

    def test_round(self) -> None:
        """What was put is got, with who, when and why, and an ETag to base the next change on."""
        put = self.put(BURST_9, based_on=0)
        self.assertEqual((put.status, put.body["version"], put.body["published"]), (200, 1, True))
        self.assertEqual(put.body["settings"], BURST_9)
        self.assertEqual(
            [put.body[each] for each in ("comment", "changedAt", "act", "author", "authorId")],
            ["why", NOW_MS, "set", "bootstrap", 1],
        )
        got = self.ask("GET", "/settings")
        self.assertEqual(got.body, put.body)
        self.assertIn('etag: "1"', got.headers)

    def test_if_match(self) -> None:
        """If-Match stands for basedOn; what does not fit is a conflict, or no number at all."""
        body = {"settings": BURST_9}
        for header, status in (('"0"', 200), ('"0"', 409), ("1", 200), ('"x"', 400), ("*", 400)):
            answered = self.ask("PUT", "/settings", body, headers=f"If-Match: {header}\r\n")
            self.assertEqual(answered.status, status, header)
        both = self.ask("PUT", "/settings", {**body, "basedOn": 2}, headers='If-Match: "1"\r\n')
        self.assertEqual(both.status, 400)

    def test_two_at_once(self) -> None:
        """Of two who looked at the same version one is told to look again, and which is current."""
        self.put(BURST_9, based_on=0)
        second = self.put(BURST_8, based_on=0)
        self.assertEqual(second.status, 409)
        self.assertIn("1 is", second.body["error"]["message"])
        self.assertEqual(self.ask("GET", "/settings").body["settings"], BURST_9)

    def test_history(self) -> None:
        """All versions, the newest first, page by page."""
        for version in range(5):
            self.put({"limits": {"user_burst": version + 1}}, based_on=version)
        page = self.ask("GET", "/settings/versions?limit=2").body
        self.assertEqual(([each["version"] for each in page["versions"]], page["next"]), ([5, 4], 4))
        rest = self.ask("GET", "/settings/versions?before=4").body
        self.assertEqual(([each["version"] for each in rest["versions"]], rest["next"]), ([3, 2, 1], 0))
        one = self.ask("GET", "/settings/versions/3").body
        self.assertEqual(one["settings"], {"limits": {"user_burst": 3}})
        for path in (
            "versions/99",
            "versions/x",
            "versions?limit=0",
            "versions?limit=51",
            "versions?before=-1",
        ):
            self.assertEqual(self.ask("GET", f"/settings/{path}").status, 400, path)

    def test_diff(self) -> None:
        """By key: what was, and what is; null where it is the file's."""
        self.put(BURST_9, based_on=0)
        self.put(BURST_8, based_on=1)
        changes = self.ask("GET", "/settings/diff?from=1&to=2").body["changes"]
        self.assertEqual(
            changes,
            [
                {"key": "accounts.registration", "from": None, "to": False},
                {"key": "limits.user_burst", "from": 9, "to": 8},
            ],
        )
        self.assertEqual(len(self.ask("GET", "/settings/diff?from=2&to=0").body["changes"]), 2)
        self.assertEqual(self.ask("GET", "/settings/diff?from=2").status, 400)

    def test_roll_back(self) -> None:
        """Going back makes a new version with the old values, also to before the first."""
        self.put(BURST_9, based_on=0)
        self.put(BURST_8, based_on=1)
        back = self.ask("POST", "/settings/rollback", {"version": 1, "basedOn": 2, "comment": "too tight"})
        self.assertEqual((back.status, back.body["version"], back.body["act"]), (200, 3, "rollback"))
        self.assertEqual((back.body["settings"], back.body["comment"]), (BURST_9, "too tight"))
        empty = self.ask("POST", "/settings/rollback", {"version": 0, "basedOn": 3})
        self.assertEqual((empty.body["version"], empty.body["settings"]), (4, {}))
        self.assertEqual([event.version for event in self.heard], [1, 2, 3, 4])
        self.assertEqual(self.ask("POST", "/settings/rollback", {"version": 9, "basedOn": 4}).status, 400)
        self.assertEqual(self.ask("POST", "/settings/rollback", {"version": 1, "basedOn": 3}).status, 409)

    def test_check(self) -> None:
        """Something can be tried out without being set."""
        self.assertEqual(self.ask("POST", "/settings/check", {"settings": BURST_9}).body, {"valid": True})
        wrong = {"limits": {"user_burts": 1}, "messages": {"hint_fanout_ms": -1}}
        answered = self.ask("POST", "/settings/check", {"settings": wrong})
        self.assertEqual((answered.status, len(answered.body["error"]["reasons"])), (400, 2))
        self.assertIn("did you mean limits.user_burst?", answered.body["error"]["reasons"][0])
        self.assertEqual(self.ask("GET", "/settings").body["version"], 0)

    def test_audited(self) -> None:
        """Every act is kept, with who did it."""
        self.put(BURST_9, based_on=0)
        self.ask("POST", "/settings/rollback", {"version": 0, "basedOn": 1})
        self.pump()
        self.assertEqual(
            [(event.action, event.actorId, event.policyVersion) for event in self.audited],
            [("settings.set", 1, 1), ("settings.rollback", 1, 2)],
        )

    def test_bad_bodies(self) -> None:
        """What is wrong with a body is said; nothing is saved."""
        for body, words in (
            (b"", "body"),
            (b"[]", "object"),
            (b"{", "body"),
            (b'{"settings": {}}', "basedOn"),
            (b'{"basedOn": -1, "settings": {}}', "basedOn"),
            (b'{"basedOn": 0, "settings": {}, "extra": 1}', "extra"),
            (b'{"basedOn": 0, "settings": [1]}', "sections"),
            (b'{"basedOn": 0, "settings": {}, "comment": "%s"}' % (b"x" * 201), "comment"),
            (b'{"basedOn": 0, "settings": {}, "comment": "a\\nb"}', "comment"),
            (b"[" * 15_000, "body"),
            (b"x" * (3 * MAX_DOCUMENT_BYTES + 1), "over"),
        ):
            answered = self.ask("PUT", "/settings", body)
            self.assertEqual(answered.status, 400, body[:50])
            self.assertIn(words, answered.body["error"]["message"])
        too_long = {"content": {"words": [f"{'x' * 60}{number}\trefuse" for number in range(300)]}}
        self.assertIn("word_files", self.put(too_long, based_on=0).body["error"]["message"])
        self.assertEqual(self.ask("GET", "/settings").body["version"], 0)

    def test_paths(self) -> None:
        """What is not there is not there, and by another method neither."""
        self.assertEqual(self.ask("GET", "/settings/nothing").status, 404)
        self.assertEqual(self.ask("GET", "/").status, 404)
        deleted = self.ask("DELETE", "/settings")
        self.assertEqual((deleted.status, "allow: get, put" in deleted.headers), (405, True))


class WithoutWhatItNeeds(AdminCase):
    """A dependency is gone."""

    def test_bus_away(self) -> None:
        """The operator is told that nobody runs it yet; it is out once the bus is back."""
        self.bus.refuses = True
        put = self.put(BURST_9, based_on=0)
        self.assertEqual((put.status, put.body["version"], put.body["published"]), (200, 1, False))
        self.bus.refuses = False
        self.clock.pump([5.0, 0, 0, 0])
        self.assertEqual([event.version for event in self.heard], [1])
        self.assertTrue(self.ask("GET", "/settings").body["published"])

    def test_store_away(self) -> None:
        """A database that is away is a reason to come back, and an accident of ours shows no details."""

        async def busy(*_: object) -> None:
            raise ServerBusy("the database is not available")

        async def broken(*_: object) -> None:
            raise RuntimeError("secret detail")

        self.patch(Database, "read", busy)
        self.assertEqual(self.ask("GET", "/settings").status, 503)
        self.patch(Database, "read", broken)
        answered = self.ask("GET", "/settings")
        self.assertEqual(answered.status, 500)
        self.assertNotIn("secret", str(answered.body))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_gone(self) -> None:
        """Whoever hung up is not answered, and nobody minds."""
        pending: Deferred[list[object]] = Deferred()

        async def slow(*_: object) -> list[object]:
            return await pending

        self.patch(Database, "read", slow)
        channel = self.site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        channel.dataReceived(
            b"GET /api/v1/settings HTTP/1.0\r\nAuthorization: Bearer " + b"t" * 64 + b"\r\n\r\n"
        )
        channel.connectionLost(Failure(ConnectionError()))
        pending.callback([])


class Nodes(AdminCase):
    """Which node runs what."""

    def nodes(self) -> dict[str, dict[str, object]]:
        return {each["node"]: each for each in self.ask("GET", "/settings/nodes").body["nodes"]}

    def test_took(self) -> None:
        """How long a node took is measured here, from the publishing until it says that it runs the version."""
        self.report(node="core-2", version=0)
        self.put(BURST_9, based_on=0)
        self.assertEqual(self.nodes()["core-2"]["isCurrent"], False)
        self.clock.advance(0.12)
        self.report(node="core-2", version=1, appliedAt=NOW_MS)
        self.clock.advance(4)
        self.report(node="core-2", version=1, appliedAt=NOW_MS)
        # It was not here before: who knows when it began.
        self.report(node="business-1", version=1)
        node = self.nodes()["core-2"]
        self.assertEqual((node["tookMs"], node["isCurrent"], node["appliedAt"]), (120, True, NOW_MS))
        self.assertIsNone(self.nodes()["business-1"]["tookMs"])

    def test_refused(self) -> None:
        """A node that refused says why."""
        self.put(BURST_9, based_on=0)
        self.report(node="core-1", version=0, refusedVersion=1, reasons=["limits.user_burst: is odd"])
        self.assertEqual(
            self.nodes()["core-1"]["refused"], {"version": 1, "reasons": ["limits.user_burst: is odd"]}
        )

    def test_silent(self) -> None:
        """A node that falls silent is shown as such for an hour; one that says goodbye is gone."""
        self.report(node="core-1")
        self.report(node="core-10")
        self.report(node="core-2")
        self.assertEqual(list(self.nodes()), ["core-1", "core-2", "core-10"])
        self.report(node="core-2", leaving=True)
        self.clock.advance(16)
        self.report(node="core-10")
        self.assertEqual(
            {name: node["isSilent"] for name, node in self.nodes().items()},
            {"core-1": True, "core-10": False},
        )
        self.clock.advance(3600)
        self.assertEqual(list(self.nodes()), ["core-10"])

    def test_behind(self) -> None:
        """A node that missed an event is told again, but not one that refused it."""
        self.put(BURST_9, based_on=0)
        self.report(node="core-1", version=0, refusedVersion=1, reasons=["no"])
        for _ in range(8):
            self.clock.pump([5.0, 0, 0, 0])
            self.report(node="core-1", version=0, refusedVersion=1, reasons=["no"])
        self.assertEqual(len(self.heard), 1)
        for _ in range(3):
            self.clock.pump([5.0, 0, 0, 0])
            self.report(node="core-2", version=0)
        self.assertEqual([event.version for event in self.heard], [1, 1])

    def test_ahead(self) -> None:
        """After the store was restored to yesterday, the next version is above whatever a node runs."""
        self.report(node="core-1", version=7)
        put = self.put(BURST_9, based_on=0)
        self.assertEqual(put.body["version"], 8)
        self.assertEqual(self.put(BURST_8, based_on=8).body["version"], 9)
        # No word of a node brings the numbers to their end.
        self.report(node="core-666", version=(1 << 63) - 1)
        self.assertEqual(self.put(BURST_9, based_on=9).body["version"], 9 + MAX_AHEAD + 1)

    def test_complete(self) -> None:
        """Until each node has had time to speak, it is said that some may be missing."""
        self.assertFalse(self.ask("GET", "/settings/nodes").body["isComplete"])
        self.clock.advance(6.5)
        self.assertTrue(self.ask("GET", "/settings/nodes").body["isComplete"])

    def test_garbage(self) -> None:
        """What is no report is said in the log."""
        self.bus.publish("im.admin.monitor", b"\xff\xff")
        self.pump()
        self.assertEqual(self.nodes(), {})
