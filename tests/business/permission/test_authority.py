"""What core is told about tokens, conversations and who may see whom."""

from __future__ import annotations

import json
from typing import Any

from imd.bus.port import MAX_PAYLOAD_BYTES
from imd.bus.subjects import (
    AUTH_CHECK,
    AUTH_CONVERSATIONS,
    AUTH_DIRECT,
    AUTH_MEMBERS,
    AUTH_RESTRICTED,
    AUTH_TOKEN,
    AUTH_VISIBLE,
)
from imd.business.groups import sql_memberships
from imd.business.permission import authority
from imd.business.permission.answers import members_answer, restricted_answer
from imd.business.permission.model import POLICY_VERSION, Page, Restricted, Snapshot, Special
from imd.config.bounds import BOUNDS
from imd.kernel.ids import direct_conversation_id
from imd.pb.bus_pb2 import (
    CONTROL,
    MANAGE,
    MESSAGE,
    Check,
    CheckAnswer,
    CheckQuery,
    ConversationEntry,
    ConversationsAnswer,
    ConversationsQuery,
    DirectAnswer,
    DirectQuery,
    MembersAnswer,
    MembersQuery,
    RestrictedAnswer,
    RestrictedQuery,
    Right,
    TokenCheck,
    TokenVerdict,
    VisibleAnswer,
    VisibleQuery,
)
from imd.pb.connection_pb2 import ErrorCode
from imd.pb.sync_pb2 import GROUP, P2P
from imd.storage.sql_sqlite import open_sqlite
from tests.business.world import START_MS, WorldCase


class Answers(WorldCase):
    """Alice, bob and carol."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.sessions = {name: self.world.register(name) for name in ("alice", "bob", "carol")}

    def id_of(self, name: str) -> int:
        return int(self.sessions[name]["userId"])

    def ticket(self, name: str) -> bytes:
        return self.world.ticket(self.sessions[name])

    def direct(self, name: str, peer_id: int) -> DirectAnswer:
        query = DirectQuery(userId=self.id_of(name), peerUserId=peer_id, ticket=self.ticket(name))
        return self.world.ask(AUTH_DIRECT, query, DirectAnswer)

    def post(self, name: str, path: str, body: Any) -> Any:
        return self.world.call("POST", path, body, token=self.sessions[name]["token"])

    def visible(self, name: str, *targets: int) -> list[int]:
        query = VisibleQuery(userId=self.id_of(name), targetIds=targets, ticket=self.ticket(name))
        return list(self.world.ask(AUTH_VISIBLE, query, VisibleAnswer).visibleIds)

    def test_token(self) -> None:
        """A good token tells who it is, until when, and under which login."""
        session = self.sessions["alice"]
        verdict = self.world.ask(
            AUTH_TOKEN, TokenCheck(token=session["token"], deviceId="phone"), TokenVerdict
        )
        self.assertEqual(
            (verdict.failure.code, str(verdict.userId), verdict.deviceId, verdict.expiresAt),
            (ErrorCode.OK, session["userId"], "phone", session["expiresAt"]),
        )
        self.assertEqual(len(verdict.loginId), 32)

    def test_bad_token(self) -> None:
        """On another device, or forged, it is a failure in the answer; and not said why."""
        token = self.sessions["alice"]["token"]
        for check in (
            TokenCheck(token=token, deviceId="tablet"),
            TokenCheck(token=token),
            TokenCheck(token=token[:-4] + "AAAA", deviceId="phone"),
            TokenCheck(),
        ):
            verdict = self.world.ask(AUTH_TOKEN, check, TokenVerdict)
            self.assertEqual(
                (verdict.failure.code, verdict.failure.retryable), (ErrorCode.AUTH_FAILED, False)
            )
            self.assertEqual((verdict.userId, verdict.loginId), (0, ""))

    def test_garbage(self) -> None:
        """Bytes that are no query get an answer, too."""
        for subject, answer in ((AUTH_TOKEN, TokenVerdict), (AUTH_MEMBERS, MembersAnswer)):
            payload = self.world.run(self.world.bus.request(subject, b"\xff\xff\xff", timeout_s=1.0))
            self.assertEqual(answer.FromString(payload).failure.code, ErrorCode.PAYLOAD_INVALID)

    def test_database_away(self) -> None:
        """A database that fails is a retryable failure, not an exception."""
        query = VisibleQuery(userId=self.id_of("alice"), targetIds=[2], ticket=self.ticket("alice"))
        # One without any table.
        self.patch(self.world.database, "_engine", open_sqlite(None))
        answer = self.world.ask(AUTH_MEMBERS, MembersQuery(conversationId="g_1"), MembersAnswer)
        self.assertFalse(answer.found)
        failure = self.world.ask(AUTH_VISIBLE, query, VisibleAnswer).failure
        self.assertEqual((failure.code, failure.retryable), (ErrorCode.SERVER_BUSY, True))
        self.flushLoggedErrors()

    def test_direct(self) -> None:
        """Both sides get the same conversation, made once and announced once."""
        one = self.direct("alice", self.id_of("bob")).conversationId
        two = self.direct("bob", self.id_of("alice")).conversationId
        self.assertEqual({one, two}, {direct_conversation_id(self.id_of("alice"), self.id_of("bob"))})
        self.assertEqual([event.conversationId for event in self.world.invalidations], [one])
        answer = self.world.ask(AUTH_MEMBERS, MembersQuery(conversationId=one), MembersAnswer)
        self.assertEqual((answer.found, answer.kind, answer.version), (True, P2P, 1))
        self.assertEqual(set(answer.memberIds), {self.id_of("alice"), self.id_of("bob")})

    def test_no_direct(self) -> None:
        """Not with nobody, and not with oneself."""
        for peer, code in (
            (17, ErrorCode.FORBIDDEN),
            (0, ErrorCode.FORBIDDEN),
            (self.id_of("alice"), ErrorCode.PAYLOAD_INVALID),
        ):
            answer = self.direct("alice", peer)
            self.assertEqual((answer.failure.code, answer.conversationId), (code, ""))
        self.assertEqual(self.world.heard, [])

    def test_members(self) -> None:
        """A group's members come with their roles; what is no conversation is just not found."""
        group = self.post("alice", "/groups", {"title": "Fun", "memberIds": [str(self.id_of("bob"))]}).json
        answer = self.world.ask(
            AUTH_MEMBERS, MembersQuery(conversationId=group["conversationId"]), MembersAnswer
        )
        self.assertEqual((answer.kind, answer.version, answer.title), (GROUP, 1, "Fun"))
        self.assertEqual(
            dict(zip(answer.memberIds, answer.roles, strict=True)),
            {self.id_of("alice"): 2, self.id_of("bob"): 0},
        )
        for unknown in ("", "g_0", "p_0", "a'b", "$where", "x" * 65):
            answer = self.world.ask(AUTH_MEMBERS, MembersQuery(conversationId=unknown), MembersAnswer)
            self.assertEqual((answer.found, answer.failure.code), (False, 0), unknown)

    def test_conversations(self) -> None:
        """A user's conversations are told with what their list shows; nobody else's."""
        self.post("alice", "/conversations/direct", {"handle": "BOB"})
        self.post("carol", "/groups", {"title": "Fun", "memberIds": [str(self.id_of("bob"))]})
        query = ConversationsQuery(userId=self.id_of("bob"), ticket=self.ticket("bob"))
        found = self.world.ask(AUTH_CONVERSATIONS, query, ConversationsAnswer).conversations
        self.assertEqual(
            [(one.kind, one.title, one.peerUserId, one.memberCount) for one in found],
            [(GROUP, "Fun", 0, 2), (P2P, "alice", self.id_of("alice"), 2)],
        )

    def test_pages_of_conversations(self) -> None:
        """What does not fit into one answer goes on in the next, in order, each once."""
        self.patch(authority, "CONVERSATIONS_PER_PAGE", 2)
        made = [
            self.post("alice", "/groups", {"title": f"{number}"}).json["conversationId"]
            for number in range(4)
        ]
        seen: list[str] = []
        pages, query = 0, ConversationsQuery(userId=self.id_of("alice"), ticket=self.ticket("alice"))
        while not pages or query.after:
            answer = self.world.ask(AUTH_CONVERSATIONS, query, ConversationsAnswer)
            seen += [one.conversationId for one in answer.conversations]
            pages, query.after = pages + 1, answer.next
        self.assertEqual((seen, pages), (sorted(made), 2))

    def test_longest_names(self) -> None:
        """A page of the longest titles fits into an answer on the bus."""
        entry = ConversationEntry(
            conversationId="g" * 64, peerUserId=-1, title="\U00020000" * 128, memberCount=-1
        )
        answer = ConversationsAnswer(conversations=[entry] * authority.CONVERSATIONS_PER_PAGE)
        self.assertLess(answer.ByteSize(), MAX_PAYLOAD_BYTES)

    def test_visible(self) -> None:
        """One sees oneself, whom one talks to and whom one shares a small group with; not strangers."""
        alice, bob, carol = self.id_of("alice"), self.id_of("bob"), self.id_of("carol")
        self.assertEqual(self.visible("alice", alice, bob, carol, 17), [alice])
        self.post("bob", "/conversations/direct", {"userId": str(alice)})
        self.assertEqual(self.visible("alice", alice, bob, carol, 17), [alice, bob])
        self.post("carol", "/groups", {"title": "Fun", "memberIds": [str(alice)]})
        self.assertEqual(self.visible("alice", bob, carol), [bob, carol])
        self.assertEqual(self.visible("bob", carol), [])

    def test_crowd(self) -> None:
        """A group above the limit makes nobody visible."""
        self.patch(sql_memberships, "VISIBLE_GROUP_MEMBERS", 2)
        body = {"title": "Fun", "memberIds": [str(self.id_of("bob")), str(self.id_of("carol"))]}
        self.post("alice", "/groups", body)
        self.assertEqual(self.visible("alice", self.id_of("bob")), [])

    def test_too_many_targets(self) -> None:
        """A query without a bound is refused."""
        query = VisibleQuery(userId=1, targetIds=range(1, 1002))
        self.assertEqual(
            self.world.ask(AUTH_VISIBLE, query, VisibleAnswer).failure.code, ErrorCode.PAYLOAD_INVALID
        )


class Checks(WorldCase):
    """``im.auth.check``: a group of alice's with bob and carol, who is muted; dan is a stranger."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.sessions = {name: self.world.register(name) for name in ("alice", "bob", "carol", "dan")}
        ids = [self.sessions[name]["userId"] for name in ("bob", "carol")]
        self.group = self.post("alice", "/groups", {"title": "Fun", "memberIds": ids}).json["conversationId"]
        muted = self.post("alice", f"/conv/{self.group}/mute", {"userIds": ids[1:], "seconds": 60})
        self.assertEqual(muted.status, 200, muted.raw)
        self.tickets = {name: self.world.ticket(session) for name, session in self.sessions.items()}

    def post(self, name: str, path: str, body: Any) -> Any:
        return self.world.call("POST", path, body, token=self.sessions[name]["token"])

    def check_of(self, name: str, right: Right, *, ticket: str = "", conversation: str = "") -> Check:
        return Check(
            requestId=f"{name}-{right}",
            ticket=self.tickets[ticket or name],
            userId=int(self.sessions[name]["userId"]),
            conversationId=conversation or self.group,
            right=right,
        )

    def ask(self, *checks: Check) -> CheckAnswer:
        return self.world.ask(AUTH_CHECK, CheckQuery(checks=checks), CheckAnswer)

    def reasons(self, *checks: Check) -> list[str]:
        return [
            "allowed" if verdict.allowed else verdict.refusal.reason for verdict in self.ask(*checks).verdicts
        ]

    def test_batch(self) -> None:
        """Each check of a batch gets its own verdict, in order, with its name and the version that was looked at."""
        answer = self.ask(
            self.check_of("alice", MANAGE),
            self.check_of("bob", MANAGE),
            self.check_of("bob", MESSAGE),
            self.check_of("carol", MESSAGE),
            self.check_of("carol", CONTROL),
            self.check_of("dan", MESSAGE),
            self.check_of("dan", MESSAGE, conversation="g_unknown"),
            self.check_of("dan", MESSAGE, conversation="a'b"),
        )
        self.assertEqual(
            [(one.requestId, one.allowed, one.refusal.reason, one.version) for one in answer.verdicts],
            [
                ("alice-64", True, "", 2),
                ("bob-64", False, "no_right", 2),
                ("bob-1", True, "", 2),
                ("carol-1", False, "muted", 2),
                ("carol-4", True, "", 2),
                ("dan-1", False, "not_member", 0),
                ("dan-1", False, "not_member", 0),
                ("dan-1", False, "not_member", 0),
            ],
        )
        self.assertEqual(answer.policyVersion, POLICY_VERSION)
        foreign, unknown, none = (one.refusal for one in answer.verdicts[-3:])
        self.assertEqual((foreign, foreign), (unknown, none))

    def test_forged(self) -> None:
        """A check without its user's ticket is refused and kept; the others of its batch are answered."""
        theirs = self.check_of("alice", MESSAGE, ticket="dan")
        answer = self.ask(theirs, self.check_of("bob", MESSAGE))
        self.assertEqual(
            [(one.allowed, one.refusal.code, one.version) for one in answer.verdicts],
            [(False, ErrorCode.AUTH_FAILED, 0), (True, 0, 2)],
        )
        (event,) = self.world.operate("GET", "/audit?action=auth.check").json["events"]
        self.assertEqual(
            (event["actorId"], event["conversationId"], event["reason"], event["level"]),
            (self.sessions["alice"]["userId"], self.group, "anothers_ticket", 3),
        )
        self.assertEqual(json.loads(event["detail"]), {"holder": self.sessions["dan"]["userId"]})

    def test_scope(self) -> None:
        """A session that is not for sending may not send, whatever its user may."""
        token = self.sessions["bob"]["token"]
        check = TokenCheck(token=token, deviceId="phone")
        self.patch(authority, "SEND_SCOPE", "message:other")
        self.assertEqual(self.world.ask(AUTH_TOKEN, check, TokenVerdict).failure.code, 0)
        self.assertEqual(self.reasons(self.check_of("bob", MESSAGE)), ["no_scope"])

    def test_what_is_true_now(self) -> None:
        """A verdict knows all that was committed before it was asked for."""
        self.world.clock.advance(61)
        self.assertEqual(self.reasons(self.check_of("carol", MESSAGE)), ["allowed"])
        self.assertEqual(self.reasons(self.check_of("bob", MESSAGE)), ["allowed"])
        path = f"/groups/{self.group}/members/{self.sessions['bob']['userId']}"
        self.world.call("DELETE", path, token=self.sessions["alice"]["token"])
        self.assertEqual(self.reasons(self.check_of("bob", MESSAGE)), ["not_member"])

    def test_too_many(self) -> None:
        """A batch has its limit, and up to that all are answered."""
        one = self.check_of("alice", MESSAGE)
        self.assertEqual(
            self.ask(*[one] * (authority.MAX_CHECKS + 1)).failure.code, ErrorCode.PAYLOAD_INVALID
        )
        self.assertEqual(self.reasons(*[one] * authority.MAX_CHECKS), ["allowed"] * authority.MAX_CHECKS)
        self.assertEqual(self.reasons(), [])

    def test_restricted(self) -> None:
        """Filters are told page by page who must be looked at closer, and of when that is."""
        found: list[tuple[str, int]] = []
        query = RestrictedQuery()
        while True:
            answer = self.world.ask(AUTH_RESTRICTED, query, RestrictedAnswer)
            self.assertEqual(answer.timestamp, self.world.now_ms())
            found += zip(answer.conversationIds, answer.userIds, strict=True)
            query.after = answer.next
            if not query.after:
                break
        self.assertEqual(found, [(self.group, int(self.sessions["carol"]["userId"]))])
        bad = self.world.ask(AUTH_RESTRICTED, RestrictedQuery(after="x"), RestrictedAnswer)
        self.assertEqual(bad.failure.code, ErrorCode.PAYLOAD_INVALID)

    def test_fits_the_bus(self) -> None:
        """A full page of the restricted fits into an answer on the bus."""
        page = Page(
            [Restricted("p_" + "0" * 38, (1 << 63) - 1)] * 2 * authority.RESTRICTED_PER_PAGE, "0" * 200
        )
        self.assertLess(restricted_answer(page, now_ms=START_MS).ByteSize(), MAX_PAYLOAD_BYTES)
        most = BOUNDS["accounts.group_max_members"].high
        crowd = range((1 << 62), (1 << 62) + int(most))
        specials = [Special(user_id, 0, START_MS * 2, 1 << 62) for user_id in crowd]
        snapshot = Snapshot(GROUP, 1, "", (1, 2, 3), [], specials)
        self.assertLess(members_answer(snapshot).ByteSize(), MAX_PAYLOAD_BYTES)
