"""Operators' tokens at business: asked of im-admin, remembered for a moment, refused in doubt; roles and the audit."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.subjects import ADMIN_OPERATOR, ADMIN_REVOKED
from imd.business.operators.ask import MAX_REMEMBERED, REMEMBER_NOBODY_S
from imd.ops.operators import REMEMBER_S, TOKEN_PREFIX, token_hash
from imd.pb.bus_pb2 import OperatorCheck, OperatorRevoked, OperatorVerdict
from tests.business.world import OPERATOR_TOKEN, Reply, World

ANNA, AUD, ADA, NOBODY, ODD = (TOKEN_PREFIX + letter * 64 for letter in "abcde")


class OperatorCase(SynchronousTestCase):
    """Business, and an im-admin that knows three operators."""

    def setUp(self) -> None:
        self.world = World()
        self.asked: list[bytes] = []
        self.known = {
            token_hash(ANNA): OperatorVerdict(operatorId=2, name="anna", role="operator"),
            token_hash(AUD): OperatorVerdict(operatorId=3, name="aud", role="auditor"),
            token_hash(ADA): OperatorVerdict(operatorId=4, name="ada", role="admin"),
            token_hash(ODD): OperatorVerdict(operatorId=5, name="odd", role="wizard"),
        }
        #: Im-admin takes its time for ever.
        self.hangs = False
        #: It has looked, but its answer is on the way until ``late`` fires.
        self.answers_late = False
        self.late: Deferred[None] = Deferred()

    def admin_answers(self) -> None:
        self.world.bus.respond(ADMIN_OPERATOR, self.answer)

    async def answer(self, payload: bytes) -> bytes:
        hashed = OperatorCheck.FromString(payload).tokenHash
        self.asked.append(hashed)
        if self.hangs:
            await Deferred[None]()
        verdict = self.known.get(hashed, OperatorVerdict()).SerializeToString()
        if self.answers_late:
            await self.late
        return verdict

    def revoke(self, operator_id: int) -> None:
        self.world.bus.publish(ADMIN_REVOKED, OperatorRevoked(operatorId=operator_id).SerializeToString())
        self.world.clock.pump([0.0] * 5)

    def ask(self, token: str, method: str = "GET", path: str = "/device-bans", body: Any = None) -> Reply:
        return self.world.call(method, f"/operator{path}", body, token=token)


class Asking(OperatorCase):
    """``BusOperators``."""

    def test_remembered(self) -> None:
        """A token that was seen lately costs no question; one that was revoked is nobody's soon after."""
        self.admin_answers()
        self.assertEqual([self.ask(ANNA).status for _ in range(3)], [200] * 3)
        self.assertEqual(self.asked, [token_hash(ANNA)])
        del self.known[token_hash(ANNA)]
        self.assertEqual(self.ask(ANNA).status, 200)
        self.world.clock.advance(REMEMBER_S)
        self.assertEqual(self.ask(ANNA).status, 401)
        self.assertEqual(self.ask(ANNA).status, 401)
        self.assertEqual(len(self.asked), 2)
        self.known[token_hash(ANNA)] = OperatorVerdict(operatorId=2, name="anna", role="operator")
        self.world.clock.advance(REMEMBER_NOBODY_S)
        self.assertEqual(self.ask(ANNA).status, 200)

    def test_revoked(self) -> None:
        """A token that im-admin took back is nobody's at once, and no other is asked about again for it."""
        self.admin_answers()
        self.assertEqual([self.ask(ANNA).status, self.ask(AUD).status], [200, 200])
        del self.known[token_hash(ANNA)]
        self.revoke(2)
        self.assertEqual([self.ask(ANNA).status, self.ask(AUD).status], [401, 200])
        self.assertEqual(self.asked, [token_hash(ANNA), token_hash(AUD), token_hash(ANNA)])

    def test_revoked_meanwhile(self) -> None:
        """What was asked before a token was taken back is not remembered after that, nor does anybody wait for it."""
        self.answers_late = True
        self.admin_answers()
        before = Deferred.fromCoroutine(self.world.parts.api._operators.of(ANNA, "192.0.2.1"))
        self.world.clock.pump([0.0] * 5)
        del self.known[token_hash(ANNA)]
        self.revoke(2)
        self.answers_late = False
        self.assertEqual(self.ask(ANNA).status, 401)
        self.late.callback(None)
        self.world.clock.pump([0.0] * 5)
        self.assertEqual(self.successResultOf(before).name, "anna")
        self.assertEqual(self.ask(ANNA).status, 401)
        self.assertEqual(len(self.asked), 2)

    def test_revoked_nonsense(self) -> None:
        """What is no word of a revocation is dropped, and said."""
        self.admin_answers()
        self.assertEqual(self.ask(ANNA).status, 200)
        said: list[LogEvent] = []
        observer: ILogObserver = said.append  # type: ignore[assignment]
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.world.bus.publish(ADMIN_REVOKED, b"\xff")
        self.world.clock.pump([0.0] * 5)
        self.assertIn("not an OperatorRevoked on im.admin.revoked; dropped", map(formatEvent, said))
        self.assertEqual(self.ask(ANNA).status, 200)
        self.assertEqual(len(self.asked), 1)

    def test_not_worth_a_question(self) -> None:
        """What cannot be an operator's token is refused without asking anybody."""
        self.admin_answers()
        for token in ("", "x", TOKEN_PREFIX, TOKEN_PREFIX + "a" * 63, "A" * 68):
            self.assertEqual(self.ask(token).status, 401, token)
        self.assertEqual(self.asked, [])

    def test_admin_away(self) -> None:
        """In doubt nobody is let in but with the node's own token; the others are told to come again."""
        reply = self.ask(ANNA)
        self.assertEqual((reply.status, "retry-after" in reply.headers), (503, True))
        self.assertEqual(self.ask(OPERATOR_TOKEN).status, 200)

    def test_admin_hangs(self) -> None:
        """A question is put three times, half a second each."""
        self.hangs = True
        self.admin_answers()
        operators = Deferred.fromCoroutine(self.world.parts.api._operators.of(ANNA, "192.0.2.1"))
        for _ in range(30):
            self.world.clock.advance(0.1)
        self.failureResultOf(operators)
        self.assertEqual(len(self.asked), 3)

    def test_other_release(self) -> None:
        """A role that this release does not know lets nobody in."""
        self.admin_answers()
        self.assertEqual(self.ask(ODD).status, 503)

    def test_flood(self) -> None:
        """Who tries tokens one after the other from one address is slowed down, and fills no memory."""
        self.admin_answers()
        statuses = {self.ask(f"{TOKEN_PREFIX}{number:064x}").status for number in range(60)}
        self.assertEqual(statuses, {401, 429})
        self.assertLess(len(self.asked), 40)
        self.assertLess(len(self.world.parts.api._operators._known), MAX_REMEMBERED)

    def test_flood_beside(self) -> None:
        """Whoever tries tokens keeps no operator out who is behind the same address and was known before."""
        self.admin_answers()
        self.assertEqual(self.ask(ANNA).status, 200)
        for number in range(60):
            self.ask(f"{TOKEN_PREFIX}{number:064x}")
        self.world.clock.advance(REMEMBER_S)
        statuses = {self.ask(f"{TOKEN_PREFIX}{number:064x}").status for number in range(100, 160)}
        self.assertIn(429, statuses)
        self.assertEqual(self.ask(ANNA).status, 200)
        self.assertEqual(self.asked.count(token_hash(ANNA)), 2)
        refused = self.world.parts.api.refused_operators
        self.assertEqual((refused["token"] + refused["rate"], refused["role"]), (120, 0))
        self.assertGreater(refused["rate"], 0)


class Roles(OperatorCase):
    """Who may what, and what is kept of it."""

    def test_matrix(self) -> None:
        """Admins do all; operators look and change, and leave the audit alone; auditors look, also into it."""
        self.admin_answers()
        user_id = self.world.register("carol")["userId"]
        freeze = ("PUT", f"/accounts/{user_id}/state", {"state": "frozen", "reason": "spam"})
        wanted: dict[str, list[int]] = {ADA: [200, 200, 200], ANNA: [200, 200, 403], AUD: [200, 403, 200]}
        for token, statuses in wanted.items():
            replies = [self.ask(token), self.ask(token, *freeze), self.ask(token, path="/audit")]
            self.assertEqual([reply.status for reply in replies], statuses, token[-1])
        self.assertEqual(self.ask(NOBODY).status, 401)

    def test_audited(self) -> None:
        """Who did what is kept by the operator's id, and so is who was refused what."""
        self.admin_answers()
        user_id = self.world.register("carol")["userId"]
        freeze = ("PUT", f"/accounts/{user_id}/state", {"state": "frozen", "reason": "spam"})
        self.ask(ANNA, *freeze)
        self.ask(AUD, *freeze)
        self.ask(ANNA, path="/audit")
        self.world.clock.pump([0.1] * 20)
        events = self.ask(AUD, path="/audit").json["events"]
        kept = [
            (event["action"], event["decision"], event["actorId"], event["subjectId"])
            for event in reversed(events)
            if event["actorId"] != "0"
        ]
        self.assertEqual(
            kept,
            [
                ("operator.setAccountState", "done", "2", user_id),
                ("rest.setAccountState", "refused", "3", user_id),
                ("rest.auditEvents", "refused", "2", "0"),
            ],
        )
