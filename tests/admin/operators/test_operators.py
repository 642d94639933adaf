"""Operators: made, listed, revoked; what each role may; and whose a token is, for others on the bus."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from imd.bus.subjects import ADMIN_OPERATOR, ADMIN_REVOKED
from imd.kernel.errors import ServerBusy
from imd.ops.logs.sampling import KIND
from imd.ops.operator_guesses import BURST, RATE_PER_S
from imd.ops.operators import token_hash
from imd.pb.bus_pb2 import OperatorCheck, OperatorRevoked, OperatorVerdict
from imd.storage.sql import Database
from tests.admin.house import NOW_MS, TOKEN, AdminCase


class OperatorsCase(AdminCase):
    """With the bootstrap token others are made."""

    def add(self, name: str, role: str) -> dict[str, Any]:
        added = self.ask("POST", "/operators", {"name": name, "role": role})
        self.assertEqual(added.status, 201, added.body)
        return dict(added.body)

    def listen(self) -> list[LogEvent]:
        """What is logged from here on."""
        said: list[LogEvent] = []
        observer: Any = said.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return said

    def verdict(self, hashed: bytes) -> OperatorVerdict:
        asking = self.bus.request(
            ADMIN_OPERATOR, OperatorCheck(tokenHash=hashed).SerializeToString(), timeout_s=1
        )
        return OperatorVerdict.FromString(self.run_(asking))


class Managing(OperatorsCase):
    """Who they are."""

    def test_life(self) -> None:
        """An operator is made with a token that is shown once, is listed without it, and is nobody when revoked."""
        anna = self.add("anna", "operator")
        self.assertEqual((anna["id"], anna["createdBy"]), (2, "bootstrap"))
        me = self.ask("GET", "/operators/me", token=anna["token"])
        self.assertEqual(me.body, {"id": 2, "name": "anna", "role": "operator"})
        listed = self.ask("GET", "/operators")
        self.assertNotIn(anna["token"], str(listed.body))
        self.assertEqual([each["name"] for each in listed.body["operators"]], ["anna"])
        revoked = self.ask("DELETE", "/operators/2").body
        self.assertEqual((revoked["revokedAt"], revoked["revokedBy"]), (NOW_MS, "bootstrap"))
        self.assertEqual(self.ask("GET", "/settings", token=anna["token"]).status, 401)
        self.assertEqual(self.ask("DELETE", "/operators/2").body, revoked)

    def test_revoked_is_told(self) -> None:
        """Nodes that remember whose a token was hear that it was taken back; if none can, the operator does."""
        told: list[int] = []

        async def hear(_: str, payload: bytes) -> None:
            told.append(OperatorRevoked.FromString(payload).operatorId)

        self.bus.subscribe(ADMIN_REVOKED, hear)
        anna, bob = self.add("anna", "operator"), self.add("bob", "operator")
        self.ask("DELETE", f"/operators/{anna['id']}")
        self.assertEqual(told, [anna["id"]])
        said = self.listen()
        self.bus.is_cut_off = True
        self.assertEqual(self.ask("DELETE", f"/operators/{bob['id']}").status, 200)
        self.assertEqual(self.ask("GET", "/settings", token=bob["token"]).status, 401)
        self.assertEqual(told, [anna["id"]])
        self.assertIn(
            "no node can be told that bob is revoked; each that has just asked takes the token for up to 10 s more",
            map(formatEvent, said),
        )

    def test_names(self) -> None:
        """A name is one operator's while that one is not revoked; ids are never given twice."""
        self.add("anna", "auditor")
        self.assertEqual(self.ask("POST", "/operators", {"name": "anna", "role": "admin"}).status, 409)
        self.ask("DELETE", "/operators/2")
        self.assertEqual(self.add("anna", "admin")["id"], 3)

    def test_wrong(self) -> None:
        """What cannot be made or revoked is said."""
        for name, role in (
            ("", "admin"),
            ("A", "admin"),
            ("a b", "admin"),
            ("bootstrap", "admin"),
            ("x", "god"),
        ):
            self.assertEqual(self.ask("POST", "/operators", {"name": name, "role": role}).status, 400, name)
        for operator in ("1", "99", "x", "-1"):
            self.assertEqual(self.ask("DELETE", f"/operators/{operator}").status, 400, operator)

    def test_tokens_are_hashed(self) -> None:
        """The store holds nothing by which anybody could come in."""
        token = self.add("anna", "admin")["token"]
        kept = self.run_(self.database.read(_dump))
        self.assertNotIn(token, kept)
        self.assertIn(token_hash(token).hex(), kept)

    def test_audited(self) -> None:
        """Who made and revoked whom is kept, and so is who was refused."""
        anna = self.add("anna", "operator")
        self.ask("POST", "/operators", {"name": "eve", "role": "admin"}, token=anna["token"])
        self.ask("DELETE", "/operators/2")
        self.pump()
        self.assertEqual(
            [(event.action, event.decision, event.actorId, event.subjectId) for event in self.audited],
            [
                ("operators.add", "done", 1, 2),
                ("operators.manage", "refused", 2, 0),
                ("operators.revoke", "done", 1, 2),
            ],
        )


class Roles(OperatorsCase):
    """Who may what."""

    def test_matrix(self) -> None:
        """Admins do all; operators look and change; auditors look; nobody else does anything."""
        tokens = {role: self.add(role, role)["token"] for role in ("admin", "operator", "auditor")}
        tokens["nobody"] = "imo_" + "0" * 64
        requests: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("GET", "/settings", {}),
            ("GET", "/settings/nodes", {}),
            ("PUT", "/settings", {"settings": {}, "basedOn": 99}),
            ("POST", "/settings/rollback", {"version": 0, "basedOn": 99}),
            ("PUT", "/settings/gray", {"settings": {}, "basedOn": 99}),
            ("GET", "/operators", {}),
            ("DELETE", "/operators/99", {}),
            ("GET", "/operators/me", {}),
        )
        # 409 and 400: the role was no obstacle.
        expected = {
            "admin": [200, 200, 409, 409, 409, 200, 400, 200],
            "operator": [200, 200, 409, 409, 409, 403, 403, 200],
            "auditor": [200, 200, 403, 403, 403, 403, 403, 200],
            "nobody": [401] * 8,
        }
        for role, statuses in expected.items():
            answered = [
                self.ask(method, path, body if method != "GET" else b"", token=tokens[role]).status
                for method, path, body in requests
            ]
            self.assertEqual(answered, statuses, role)

    def test_no_token(self) -> None:
        """Without the right token nothing is told, not even what there is."""
        for authorization in ("", "Bearer x", TOKEN, f"Basic {TOKEN}", "Bearer "):
            for path in ("/settings", "/nothing"):
                answered = self.ask("GET", path, authorization=authorization)
                self.assertEqual((answered.status, "www-authenticate" in answered.headers), (401, True))

    def test_store_away(self) -> None:
        """While operators cannot be looked up only the bootstrap token is known; others are told to come again."""

        async def busy(*_: object) -> None:
            raise ServerBusy("the database is not available")

        anna = self.add("anna", "admin")
        self.patch(Database, "read", busy)
        self.assertEqual(self.ask("GET", "/operators/me", token=anna["token"]).status, 503)
        self.assertEqual(self.ask("GET", "/operators/me").status, 200)


class OnTheBus(OperatorsCase):
    """``im.admin.operator``."""

    def test_answers(self) -> None:
        """Whoever shows a token's hash is told whose it is."""
        anna = self.add("anna", "auditor")
        verdict = self.verdict(token_hash(anna["token"]))
        self.assertEqual((verdict.operatorId, verdict.name, verdict.role), (2, "anna", "auditor"))
        self.assertEqual(self.verdict(token_hash(TOKEN)).name, "bootstrap")
        self.assertEqual(self.verdict(token_hash("x")).operatorId, 0)
        self.ask("DELETE", "/operators/2")
        self.assertEqual(self.verdict(token_hash(anna["token"])).operatorId, 0)

    def test_garbage(self) -> None:
        """What is no hash is refused."""
        self.assertNotEqual(self.verdict(b"x").failure.code, 0)


def _dump(connection: Any) -> str:
    return "\n".join(connection.connection.driver_connection.iterdump())


class Refused(OperatorsCase):
    """Who tries tokens."""

    def test_flood(self) -> None:
        """One address is slowed down before the store is asked; operators behind the same address notice nothing."""
        anna = self.add("anna", "operator")["token"]
        self.assertEqual(self.ask("GET", "/operators/me", token=anna).status, 200)
        looks = 0
        read = self.database.read

        async def counted(work: Any) -> Any:
            nonlocal looks
            looks += 1
            return await read(work)

        self.patch(self.database, "read", counted)
        statuses = [self.ask("GET", "/settings", token=f"imo_{guess:064x}").status for guess in range(100)]
        # The operator's own token was unknown once, too.
        left = int(BURST) - 1
        self.assertEqual(statuses, [401] * left + [429] * (100 - left))
        self.assertEqual(looks, left)
        slowed = self.ask("GET", "/settings", token="x")
        self.assertIn("retry-after: 1", slowed.headers)
        self.assertEqual(self.ask("GET", "/operators/me", token=anna).status, 200)
        self.assertEqual(self.ask("GET", "/operators/me").status, 200)
        self.clock.advance(1 / RATE_PER_S)
        self.assertEqual(self.ask("GET", "/settings", token="x").status, 401)

    def test_revoked(self) -> None:
        """A token that was good is one of the unknown ones once it is revoked."""
        anna = self.add("anna", "operator")["token"]
        self.assertEqual(self.ask("GET", "/operators/me", token=anna).status, 200)
        self.ask("DELETE", "/operators/2")
        statuses = [self.ask("GET", "/operators/me", token=anna).status for _ in range(40)]
        self.assertEqual((statuses[0], statuses[-1]), (401, 429))

    def test_told(self) -> None:
        """Who is refused leaves a line without the token, a sample of many, and is counted by why."""
        auditor = self.add("aud", "auditor")["token"]
        said = self.listen()
        self.ask("PUT", "/settings", {}, token=auditor)
        for _ in range(int(BURST) + 9):
            self.ask("BREW", "/secret", token="imo_guess")
        lines = [str(formatEvent(event)) for event in said]
        self.assertTrue(
            lines[0].startswith("an operator's request is refused: 1003 aud is auditor"), lines[0]
        )
        self.assertIn("from 192.168.1.1", lines[1])
        self.assertNotIn("guess", "".join(lines))
        self.assertNotIn("secret", "".join(lines))
        self.assertEqual(len({event[KIND] for event in said}), 3)
        readings = {
            reading.labels[0]: reading.value
            for source in self.admin.sources
            for reading in source()
            if reading.name == "imd_operators_refused_total"
        }
        # The auditor's own token was unknown once, too.
        self.assertEqual(readings, {"token": BURST - 1, "rate": 10, "role": 1})
