"""The directory over the bus."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus import subjects
from imd.bus.local import LocalBus
from imd.core.directory import (
    ADMIN,
    GROUP,
    MEMBER,
    P2P,
    Claims,
    ConversationEntry,
    Directory,
    Membership,
    Speaker,
)
from imd.core.directory_bus import BusDirectory
from imd.core.permission.asking import Asking
from imd.core.permission.channel import Channel
from imd.core.permission.restricted import RestrictedPage
from imd.core.permission.values import ChannelValues
from imd.kernel.errors import AuthFailed, Forbidden, InternalError, ServerBusy
from imd.pb.bus_pb2 import ConversationEntry as EntryPayload
from imd.pb.bus_pb2 import (
    ConversationsAnswer,
    ConversationsQuery,
    DirectAnswer,
    DirectQuery,
    Failure,
    MembersAnswer,
    RestrictedAnswer,
    RestrictedQuery,
    TokenCheck,
    TokenVerdict,
    VisibleAnswer,
    VisibleQuery,
)
from tests.contract.driving import drive

ONE = Speaker(1, b"ticket")


class BusDirectoryTests(SynchronousTestCase):
    """Each question reaches its subject, each answer comes back as a plain record."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = LocalBus(clock=self.clock)
        self.directory: Directory = BusDirectory(bus=self.bus)
        self.asked: list[bytes] = []

    def answer(self, subject: str, answer: Message | bytes | Exception) -> None:
        async def respond(payload: bytes) -> bytes:
            self.asked.append(payload)
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, bytes) else answer.SerializeToString()

        self.bus.respond(subject, respond)

    def fails(self, work: Any, error: type[Exception]) -> Any:
        return self.assertRaises(error, drive, self.clock, work)

    def test_verify(self) -> None:
        """A good token becomes claims."""
        verdict = TokenVerdict(
            userId=7, deviceId="phone", expiresAt=99, scopes=["a", "b"], loginId="L", ticket=b"T"
        )
        self.answer(subjects.AUTH_TOKEN, verdict)
        claims = drive(self.clock, self.directory.verify("secret", "phone"))
        self.assertEqual(claims, Claims(7, "phone", 99, frozenset({"a", "b"}), "L", b"T"))
        self.assertEqual(TokenCheck.FromString(self.asked[0]), TokenCheck(token="secret", deviceId="phone"))

    def test_membership(self) -> None:
        """Members come with their roles."""
        answer = MembersAnswer(
            found=True, kind="GROUP", version=3, memberIds=[1, 2], roles=["MEMBER", "ADMIN"]
        )
        self.answer(subjects.AUTH_MEMBERS, answer)
        membership = drive(self.clock, self.directory.membership("g_1"))
        self.assertEqual(membership, Membership("g_1", GROUP, 3, {1: MEMBER, 2: ADMIN}))

    def test_no_such_conversation(self) -> None:
        """A conversation that does not exist is None, not an error."""
        self.answer(subjects.AUTH_MEMBERS, MembersAnswer())
        self.assertIsNone(drive(self.clock, self.directory.membership("g_1")))

    def test_open_direct(self) -> None:
        """The 1:1 conversation of two users has an id."""
        self.answer(subjects.AUTH_DIRECT, DirectAnswer(conversationId="p_12"))
        self.assertEqual(drive(self.clock, self.directory.open_direct(ONE, 2)), "p_12")
        self.assertEqual(
            DirectQuery.FromString(self.asked[0]), DirectQuery(userId=1, peerUserId=2, ticket=b"ticket")
        )

    def test_conversations_of(self) -> None:
        """A user's conversations come in the order of the answer."""
        entries = [
            EntryPayload(conversationId="p_12", kind="P2P", peerUserId=2, title="Bo", memberCount=2),
            EntryPayload(conversationId="g_1", kind="GROUP", title="All", memberCount=9),
        ]
        self.answer(subjects.AUTH_CONVERSATIONS, ConversationsAnswer(conversations=entries))
        found = drive(self.clock, self.directory.conversations_of(ONE))
        expected = [ConversationEntry("p_12", P2P, 2, "Bo", 2), ConversationEntry("g_1", GROUP, 0, "All", 9)]
        self.assertEqual(found, expected)

    def test_pages_of_conversations(self) -> None:
        """As long as an answer names a next page, that is asked for too."""
        pages = {
            "": ConversationsAnswer(conversations=[EntryPayload(conversationId="a")], next="a"),
            "a": ConversationsAnswer(conversations=[EntryPayload(conversationId="b")]),
        }

        async def page(payload: bytes) -> bytes:
            return pages[ConversationsQuery.FromString(payload).after].SerializeToString()

        self.bus.respond(subjects.AUTH_CONVERSATIONS, page)
        found = drive(self.clock, self.directory.conversations_of(ONE))
        self.assertEqual([entry.conversation_id for entry in found], ["a", "b"])

    def test_visible(self) -> None:
        """Those whom the user may see."""
        self.answer(subjects.AUTH_VISIBLE, VisibleAnswer(visibleIds=[2]))
        self.assertEqual(drive(self.clock, self.directory.visible(ONE, [2, 3])), frozenset({2}))
        self.assertEqual(
            VisibleQuery.FromString(self.asked[0]), VisibleQuery(userId=1, targetIds=[2, 3], ticket=b"ticket")
        )

    def test_restricted(self) -> None:
        """A page of those who are restricted, and where the next begins."""
        answer = RestrictedAnswer(conversationIds=["g_1", ""], userIds=[2, 3], next="x")
        self.answer(subjects.AUTH_RESTRICTED, answer)
        page = drive(self.clock, BusDirectory(bus=self.bus).restricted("w"))
        self.assertEqual(page, RestrictedPage([("g_1", 2), ("", 3)], "x"))
        self.assertEqual(RestrictedQuery.FromString(self.asked[0]), RestrictedQuery(after="w"))

    def test_considered_no(self) -> None:
        """A failure in the answer is raised as what it is, with its message."""
        refused = Failure(code="AUTH_FAILED", message="revoked")
        self.answer(subjects.AUTH_TOKEN, TokenVerdict(failure=refused, userId=7))
        self.assertEqual(self.fails(self.directory.verify("t", "d"), AuthFailed).message, "revoked")
        self.answer(subjects.AUTH_DIRECT, DirectAnswer(failure=Failure(code="FORBIDDEN")))
        self.fails(self.directory.open_direct(ONE, 2), Forbidden)
        unknown: Any = 1998
        self.answer(subjects.AUTH_VISIBLE, VisibleAnswer(failure=Failure(code=unknown)))
        self.fails(self.directory.visible(ONE, [2]), InternalError)

    def test_nobody_there(self) -> None:
        """Without a business role the directory is busy, at once."""
        self.fails(self.directory.verify("t", "d"), ServerBusy)
        self.assertEqual(self.clock.seconds(), 0)

    def test_slow(self) -> None:
        """A membership is waited for 300 ms, other answers 2 s; then the directory is busy."""

        async def never(_: bytes) -> bytes:
            return await Deferred()

        self.bus.respond(subjects.AUTH_MEMBERS, never)
        self.bus.respond(subjects.AUTH_TOKEN, never)
        self.fails(self.directory.membership("g_1"), ServerBusy)
        self.assertAlmostEqual(self.clock.seconds(), 0.3)
        self.fails(self.directory.verify("t", "d"), ServerBusy)
        self.assertAlmostEqual(self.clock.seconds(), 2.3)

    def test_spared(self) -> None:
        """While the breaker is open no question is put for a message; members are asked for on behalf of readers."""
        channel = Channel(ChannelValues(), now_s=0.0)
        for _ in range(10):
            channel.timed_out(0.0)
        directory = BusDirectory(bus=self.bus, asking=Asking(channel=channel, clock=self.clock))
        self.answer(subjects.AUTH_MEMBERS, MembersAnswer())
        self.answer(subjects.AUTH_DIRECT, DirectAnswer(conversationId="p_1"))
        self.fails(directory.membership("g_1", sparing=True), ServerBusy)
        self.fails(directory.open_direct(ONE, 2), ServerBusy)
        self.assertEqual(self.asked, [])
        self.assertIsNone(drive(self.clock, directory.membership("g_1")))

    def test_broken(self) -> None:
        """A business role that raises, or answers nonsense, makes the directory busy."""
        self.answer(subjects.AUTH_TOKEN, RuntimeError("planted"))
        self.fails(self.directory.verify("t", "d"), ServerBusy)
        self.answer(subjects.AUTH_VISIBLE, b"\xff\xff")
        self.fails(self.directory.visible(ONE, [2]), ServerBusy)
        self.assertEqual(len(self.flushLoggedErrors()), 2)
