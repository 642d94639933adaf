"""The directory over the bus, and the cache of memberships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus import subjects
from imd.bus.local import LocalBus
from imd.core.directory import ADMIN, GROUP, MEMBER, P2P, Claims, ConversationEntry, Directory, Membership
from imd.core.directory_bus import ABSENT_TTL_S, MAX_ABSENT, TTL_S, BusDirectory, MembershipCache
from imd.kernel.errors import AuthFailed, Forbidden, InternalError, ServerBusy
from imd.pb.bus_pb2 import ConversationEntry as EntryPayload
from imd.pb.bus_pb2 import (
    ConversationsAnswer,
    ConversationsQuery,
    DirectAnswer,
    DirectQuery,
    Failure,
    Invalidation,
    MembersAnswer,
    RevokedSessions,
    TokenCheck,
    TokenVerdict,
    VisibleAnswer,
    VisibleQuery,
)
from tests.contract.driving import drive


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
        verdict = TokenVerdict(userId=7, deviceId="phone", expiresAt=99, scopes=["a", "b"], loginId="L")
        self.answer(subjects.AUTH_TOKEN, verdict)
        claims = drive(self.clock, self.directory.verify("secret", "phone"))
        self.assertEqual(claims, Claims(7, "phone", 99, frozenset({"a", "b"}), "L"))
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
        self.assertEqual(drive(self.clock, self.directory.open_direct(1, 2)), "p_12")
        self.assertEqual(DirectQuery.FromString(self.asked[0]), DirectQuery(userId=1, peerUserId=2))

    def test_conversations_of(self) -> None:
        """A user's conversations come in the order of the answer."""
        entries = [
            EntryPayload(conversationId="p_12", kind="P2P", peerUserId=2, title="Bo", memberCount=2),
            EntryPayload(conversationId="g_1", kind="GROUP", title="All", memberCount=9),
        ]
        self.answer(subjects.AUTH_CONVERSATIONS, ConversationsAnswer(conversations=entries))
        found = drive(self.clock, self.directory.conversations_of(1))
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
        found = drive(self.clock, self.directory.conversations_of(1))
        self.assertEqual([entry.conversation_id for entry in found], ["a", "b"])

    def test_visible(self) -> None:
        """Those whom the user may see."""
        self.answer(subjects.AUTH_VISIBLE, VisibleAnswer(visibleIds=[2]))
        self.assertEqual(drive(self.clock, self.directory.visible(1, [2, 3])), frozenset({2}))
        self.assertEqual(VisibleQuery.FromString(self.asked[0]), VisibleQuery(userId=1, targetIds=[2, 3]))

    def test_considered_no(self) -> None:
        """A failure in the answer is raised as what it is, with its message."""
        refused = Failure(code="AUTH_FAILED", message="revoked")
        self.answer(subjects.AUTH_TOKEN, TokenVerdict(failure=refused, userId=7))
        self.assertEqual(self.fails(self.directory.verify("t", "d"), AuthFailed).message, "revoked")
        self.answer(subjects.AUTH_DIRECT, DirectAnswer(failure=Failure(code="FORBIDDEN")))
        self.fails(self.directory.open_direct(1, 2), Forbidden)
        unknown: Any = 1998
        self.answer(subjects.AUTH_VISIBLE, VisibleAnswer(failure=Failure(code=unknown)))
        self.fails(self.directory.visible(1, [2]), InternalError)

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

    def test_broken(self) -> None:
        """A business role that raises, or answers nonsense, makes the directory busy."""
        self.answer(subjects.AUTH_TOKEN, RuntimeError("planted"))
        self.fails(self.directory.verify("t", "d"), ServerBusy)
        self.answer(subjects.AUTH_VISIBLE, b"\xff\xff")
        self.fails(self.directory.visible(1, [2]), ServerBusy)
        self.assertEqual(len(self.flushLoggedErrors()), 2)


class ScriptedDirectory:
    """Answers memberships when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[Membership | None]]] = []

    async def membership(self, conversation_id: str) -> Membership | None:
        answer: Deferred[Membership | None] = Deferred()
        self.asked.append((conversation_id, answer))
        return await answer

    def answer(self, membership: Membership | None) -> None:
        self.asked.pop(0)[1].callback(membership)

    async def verify(self, token: str, device_id: str) -> Claims:
        raise NotImplementedError

    async def open_direct(self, user_id: int, peer_user_id: int) -> str:
        raise NotImplementedError

    async def conversations_of(self, user_id: int) -> Sequence[ConversationEntry]:
        raise NotImplementedError

    async def visible(self, user_id: int, target_ids: Sequence[int]) -> frozenset[int]:
        raise NotImplementedError


def group(version: int, *user_ids: int, conversation_id: str = "g_1") -> Membership:
    return Membership(conversation_id, GROUP, version, dict.fromkeys(user_ids or (1,), MEMBER))


class MembershipCacheTests(SynchronousTestCase):
    """Who is in a conversation, without asking twice and without believing what is no longer true."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = ScriptedDirectory()
        self.cache = self.make()
        self.changed: list[str] = []
        self.cache.on_changed(self.changed.append)

    def make(self, **limits: Any) -> MembershipCache:
        return MembershipCache(directory=self.directory, clock=self.clock, random=lambda: 0.5, **limits)

    def get(self, conversation_id: str = "g_1") -> Deferred[Membership | None]:
        return Deferred.fromCoroutine(self.cache.get(conversation_id))

    def know(self, membership: Membership) -> None:
        got = self.get(membership.conversation_id)
        self.directory.answer(membership)
        self.successResultOf(got)

    def test_asks_once(self) -> None:
        """What is known is not asked for again, and is the same object each time."""
        self.assertIsNone(self.cache.peek("g_1"))
        membership = group(1)
        self.know(membership)
        self.assertIs(self.cache.peek("g_1"), membership)
        self.assertIs(self.successResultOf(self.get()), membership)
        self.assertEqual(self.directory.asked, [])

    def test_joined_misses(self) -> None:
        """Those who ask while the question is under way share its answer, or its failure."""
        waiting = [self.get() for _ in range(3)]
        self.assertEqual(len(self.directory.asked), 1)
        self.directory.answer(group(1))
        for got in waiting:
            self.assertEqual(self.successResultOf(got), group(1))
        waiting = [self.get("g_2") for _ in range(2)]
        self.directory.asked.pop()[1].errback(ServerBusy("planted"))
        for got in waiting:
            self.failureResultOf(got, ServerBusy)
        self.assertNoResult(self.get("g_2"))
        self.assertEqual(len(self.directory.asked), 1)

    def test_who_gives_up(self) -> None:
        """A caller that does not wait any longer takes nobody along."""
        impatient, patient = self.get(), self.get()
        impatient.addErrback(lambda _: None)
        impatient.cancel()
        self.directory.answer(group(1))
        self.assertEqual(self.successResultOf(patient), group(1))

    def test_expiry(self) -> None:
        """After the time to live it is asked anew; if nothing has changed the object is the same."""
        known = group(1)
        self.know(known)
        self.clock.advance(TTL_S - 0.001)
        self.assertIs(self.cache.peek("g_1"), known)
        self.clock.advance(0.001)
        self.assertIsNone(self.cache.peek("g_1"))
        self.know(group(1))
        self.assertIs(self.cache.peek("g_1"), known)
        self.assertEqual(self.changed, [])

    def test_lost_invalidation(self) -> None:
        """A change that is noticed only by asking anew is told like any other."""
        self.know(group(1))
        self.clock.advance(TTL_S)
        self.know(group(2, 1, 2))
        self.assertEqual(self.changed, ["g_1"])

    def test_jitter(self) -> None:
        """The time to live varies by a tenth either way."""
        for random, ttl_s in ((0.0, 0.9 * TTL_S), (1.0, 1.1 * TTL_S)):
            self.cache = MembershipCache(
                directory=self.directory, clock=self.clock, random=iter([random]).__next__
            )
            self.know(group(1))
            self.clock.advance(ttl_s - 0.01)
            self.assertIsNotNone(self.cache.peek("g_1"))
            self.clock.advance(0.02)
            self.assertIsNone(self.cache.peek("g_1"))

    def test_invalidation(self) -> None:
        """What has a newer version, or an unknown one, is forgotten and told; the rest stays."""
        self.know(group(5))
        self.cache.invalidate("g_1", 5)
        self.assertIsNotNone(self.cache.peek("g_1"))
        self.assertEqual(self.changed, [])
        self.cache.invalidate("g_1", 6)
        self.assertIsNone(self.cache.peek("g_1"))
        self.know(group(6))
        self.cache.invalidate("g_1", 0)
        self.assertIsNone(self.cache.peek("g_1"))
        self.assertEqual(self.changed, ["g_1", "g_1"])

    def test_invalidation_wins(self) -> None:
        """An answer older than an invalidation that came meanwhile is neither kept nor given."""
        got = self.get()
        self.cache.invalidate("g_1", 2)
        self.directory.answer(group(1))
        self.assertNoResult(got)
        self.assertIsNone(self.cache.peek("g_1"))
        self.directory.answer(group(2))
        self.assertEqual(self.successResultOf(got), group(2))
        self.assertEqual(self.cache.peek("g_1"), group(2))

    def test_answer_that_knows_already(self) -> None:
        """An answer as new as the invalidation needs no second question."""
        got = self.get()
        self.cache.invalidate("g_1", 2)
        self.directory.answer(group(2))
        self.assertEqual(self.successResultOf(got), group(2))

    def test_invalidation_without_version_wins(self) -> None:
        """When it cannot be known which is newer, it is asked once more."""
        got = self.get()
        self.cache.invalidate("g_1", 0)
        self.directory.answer(group(7))
        self.assertNoResult(got)
        self.directory.answer(group(7))
        self.successResultOf(got)

    def test_created_meanwhile(self) -> None:
        """That there is none is not believed when an invalidation came meanwhile."""
        got = self.get()
        self.cache.invalidate("g_1", 1)
        self.directory.answer(None)
        self.assertNoResult(got)
        self.directory.answer(group(1))
        self.assertEqual(self.successResultOf(got), group(1))

    def test_never_settles(self) -> None:
        """When each answer is out of date as it comes, the directory is busy; nobody gets a stale one."""
        got = self.get()
        for version in range(2, 12):
            self.assertNoResult(got)
            self.cache.invalidate("g_1", version)
            self.directory.answer(group(1))
        self.failureResultOf(got, ServerBusy)

    def test_absent(self) -> None:
        """That a conversation does not exist is remembered for a few seconds, and until it is made."""
        got = self.get()
        self.directory.answer(None)
        self.assertIsNone(self.successResultOf(got))
        self.assertIsNone(self.successResultOf(self.get()))
        self.clock.advance(ABSENT_TTL_S)
        self.know(group(1))
        self.cache.invalidate("g_1", 2)
        got = self.get()
        self.directory.answer(None)
        self.cache.invalidate("g_1", 3)
        self.know(group(3))
        self.assertIsNotNone(self.cache.peek("g_1"))

    def test_forget(self) -> None:
        """Whoever knows better can have it asked anew."""
        got = self.get()
        self.directory.answer(None)
        self.successResultOf(got)
        self.cache.forget("g_1")
        self.know(group(1))

    def test_bounded_absence(self) -> None:
        """Guessing ids does not fill the memory: the oldest guess is forgotten."""
        for number in range(MAX_ABSENT + 1):
            got = self.get(f"g_{number}")
            self.directory.answer(None)
            self.successResultOf(got)
        self.assertIsNone(self.successResultOf(self.get("g_1")))
        self.assertNoResult(self.get("g_0"))

    def test_least_recently_used(self) -> None:
        """Above the limit of conversations, the one not used for longest goes."""
        self.cache = self.make(max_conversations=2)
        for name in ("a", "b"):
            self.know(group(1, conversation_id=name))
        self.cache.peek("a")
        self.know(group(1, conversation_id="c"))
        self.assertEqual([self.cache.peek(name) is not None for name in "abc"], [True, False, True])

    def test_members_are_bounded(self) -> None:
        """Large groups count by their members."""
        self.cache = self.make(max_members=5)
        self.know(group(1, 1, 2, 3, conversation_id="a"))
        self.know(group(1, 1, 2, conversation_id="b"))
        self.assertEqual(len(self.cache), 2)
        self.know(group(1, 1, 2, 3, 4, conversation_id="c"))
        self.assertEqual([self.cache.peek(name) is not None for name in "abc"], [False, False, True])

    def test_over_the_bus(self) -> None:
        """Invalidations come as durable events; those about sessions, and noise, change nothing."""
        drive(self.clock, self.over_the_bus())
        self.assertEqual(self.changed, ["g_1"])
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    async def over_the_bus(self) -> None:
        bus = LocalBus(clock=self.clock)
        bus.consume(subjects.AUTH_INVALIDATE, "core-0-members", self.cache.invalidated)
        await bus.start()
        for event in (
            Invalidation(revoked=RevokedSessions(userId=1)).SerializeToString(),
            b"\xff\xff",
            Invalidation(conversationId="g_1", version=1).SerializeToString(),
        ):
            await bus.publish_durable(subjects.AUTH_INVALIDATE, event)
        await bus.stop()
