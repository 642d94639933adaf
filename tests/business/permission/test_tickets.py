"""Tickets: nobody asks in another's name, whatever node they broke into."""

from __future__ import annotations

from typing import TypeVar

from imd.bus.subjects import AUTH_CONVERSATIONS, AUTH_DIRECT, AUTH_VISIBLE
from imd.business.accounts.model import Caller
from imd.business.accounts.sessions import SessionCache
from imd.business.accounts.sql import SqlAccounts
from imd.business.permission import tickets
from imd.business.permission.tickets import (
    ANOTHERS,
    ENDED,
    EXPIRED,
    FORGED,
    GRACE_MS,
    NO_TICKET,
    TicketRefused,
    Tickets,
)
from imd.pb.bus_pb2 import (
    ConversationsAnswer,
    ConversationsQuery,
    DirectAnswer,
    DirectQuery,
    VisibleAnswer,
    VisibleQuery,
)
from imd.pb.connection_pb2 import ErrorCode
from tests.business.world import PASSWORD, SECRET, WorldCase

T = TypeVar("T")

HOUR_S = 3600


class TicketTests(WorldCase):
    """Alice and bob are logged in; mallory has a core node."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob = self.world.register("alice"), self.world.register("bob")
        self.alice_id, self.bob_id = int(self.alice["userId"]), int(self.bob["userId"])
        self.ticket = self.world.ticket(self.alice)
        self.tickets = Tickets(
            secret=lambda: SECRET, sessions=self.world.parts.sessions, wall_clock=self.world.now_ms
        )

    def why(self, ticket: bytes, user_id: int = 0) -> str:
        """Why the ticket is refused; empty: it is good."""
        try:
            self.world.run(self.tickets.holder(ticket, user_id or self.alice_id))
        except TicketRefused as refused:
            return refused.why
        return ""

    def audited(self) -> list[tuple[str, str, str, str]]:
        events = self.world.operate("GET", "/audit").json["events"]
        return [(one["action"], one["decision"], one["reason"], one["actorId"]) for one in reversed(events)]

    def test_good(self) -> None:
        """A ticket tells whose it is and of which login, as long as its token lives and the grace after it."""
        holder = self.world.run(self.tickets.holder(self.ticket, self.alice_id))
        self.assertEqual((holder.user_id, holder.device_id), (self.alice_id, "phone"))
        self.assertEqual(holder.expires_at_ms, self.alice["expiresAt"])
        self.world.clock.advance(HOUR_S + GRACE_MS / 1000 - 1)
        self.assertEqual(self.why(self.ticket), "")
        self.world.clock.advance(1)
        self.assertEqual(self.why(self.ticket), EXPIRED)

    def test_forged(self) -> None:
        """A ticket that was touched anywhere, cut, lengthened or made with another key is none."""
        for at in range(len(self.ticket)):
            touched = bytearray(self.ticket)
            touched[at] ^= 1
            self.assertEqual(self.why(bytes(touched)), FORGED, at)
        for forged in (self.ticket[:-1], self.ticket + b"\x00", self.ticket[:32], b"\x00" * 5000, b"x"):
            self.assertEqual(self.why(forged), FORGED, forged)
        self.assertEqual(self.why(b""), NO_TICKET)
        stranger = Tickets(
            secret=lambda: SECRET[::-1], sessions=self.world.parts.sessions, wall_clock=self.world.now_ms
        )
        holder = self.world.run(self.tickets.holder(self.ticket, self.alice_id))
        self.assertEqual(self.why(stranger.make(holder)), FORGED)

    def test_made_elsewhere(self) -> None:
        """A ticket of a login that another node has just made is good here at once, whatever was known of the user."""
        sessions = SessionCache(
            accounts=SqlAccounts(self.world.database), clock=self.world.clock, tasks=self.world.tasks
        )
        self.tickets = Tickets(secret=lambda: SECRET, sessions=sessions, wall_clock=self.world.now_ms)
        self.assertEqual(self.why(self.ticket), "")
        self.ticket = self.world.ticket(self.world.login("alice", device="laptop").json)
        self.assertEqual(self.why(self.ticket), "")

    def test_token_is_no_ticket(self) -> None:
        """Tokens and tickets have keys of their own: neither serves as the other."""
        self.assertEqual(self.why(self.alice["token"].encode()), FORGED)
        reply = self.world.call("GET", "/me", token=self.ticket.hex())
        self.assertEqual(reply.status, 401)

    def test_of_another(self) -> None:
        """A good ticket is good for its own user only."""
        self.assertEqual(self.why(self.ticket, self.bob_id), ANOTHERS)
        self.assertEqual(self.why(self.ticket, -1), ANOTHERS)

    def test_login_ended(self) -> None:
        """With its login a ticket ends; a login that is made anew on the device does not revive it."""
        self.world.call("POST", "/logout", token=self.alice["token"])
        self.assertEqual(self.why(self.ticket), ENDED)
        again = self.world.login("alice").json
        self.assertEqual((self.why(self.ticket), self.why(self.world.ticket(again))), (ENDED, ""))

    def test_password_changed(self) -> None:
        """Who changes the password on one device keeps that device's ticket; all others end."""
        laptop = self.world.ticket(self.world.login("alice", device="laptop").json)
        body = {"oldPassword": PASSWORD, "newPassword": "another one"}
        self.assertEqual(self.world.call("POST", "/password", body, token=self.alice["token"]).status, 200)
        self.assertEqual((self.why(self.ticket), self.why(laptop)), ("", ENDED))

    def test_unreadable(self) -> None:
        """Whatever length the fields have, a ticket of ours stays below its limit."""
        longest = Caller((1 << 63) - 1, "d" * 64, "l" * 64, ("s" * 32,) * 8, (1 << 63) - 1)
        self.assertLess(len(self.tickets.make(longest)), tickets.MAX_TICKET_BYTES)

    def test_forging_node(self) -> None:
        """A raw client on the bus that asks in alice's name gets AUTH_FAILED, and nothing else happens; it is kept."""
        self.world.heard.clear()
        theirs = self.world.ticket(self.bob)
        for ticket in (b"", theirs, self.ticket[:-1] + b"!", self.ticket[1:]):
            direct = DirectQuery(userId=self.alice_id, peerUserId=self.bob_id, ticket=ticket)
            answer = self.world.ask(AUTH_DIRECT, direct, DirectAnswer)
            self.assertEqual((answer.failure.code, answer.conversationId), (ErrorCode.AUTH_FAILED, ""))
            listed = self.world.ask(
                AUTH_CONVERSATIONS,
                ConversationsQuery(userId=self.alice_id, ticket=ticket),
                ConversationsAnswer,
            )
            self.assertEqual((listed.failure.code, len(listed.conversations)), (ErrorCode.AUTH_FAILED, 0))
            seen = VisibleQuery(userId=self.alice_id, targetIds=[self.alice_id], ticket=ticket)
            visible = self.world.ask(AUTH_VISIBLE, seen, VisibleAnswer)
            self.assertEqual((visible.failure.code, list(visible.visibleIds)), (ErrorCode.AUTH_FAILED, []))
        # Nobody is told which it was.
        self.assertEqual({answer.failure.reason, listed.failure.reason, visible.failure.reason}, {""})
        self.assertEqual(self.world.heard, [])
        self.assertEqual(
            self.world.call("GET", "/conversations", token=self.alice["token"]).json["conversations"], []
        )
        who = str(self.alice_id)
        expected = [
            (action, "refused", why, who)
            for why in (NO_TICKET, ANOTHERS, FORGED, FORGED)
            for action in ("auth.direct", "auth.conversations", "auth.visible")
        ]
        self.assertEqual(self.audited(), expected)
