"""Snapshots of conversations: how long they are believed, and what is left of those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import (
    GROUP,
    MEMBER,
    MESSAGE,
    OWNER,
    P2P,
    Claims,
    ConversationEntry,
    Membership,
    Speaker,
)
from imd.core.permission import versions
from imd.core.permission.decide import refusal
from imd.core.permission.known import EVERYBODY, Lifetimes
from imd.core.permission.second_level import Kept, MemorySecondLevel
from imd.core.permission.snapshots import ABSENT_TTL_S, MAX_ABSENT, MembershipCache
from imd.core.permission.versions import KEEP_S, SETTLE_S
from imd.kernel.errors import ServerBusy

TTL_S = Lifetimes().normal_s


class ScriptedDirectory:
    """Answers memberships when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Deferred[Membership | None]]] = []
        #: Whether it is left alone now.
        self.spared = False

    async def membership(self, conversation_id: str, *, sparing: bool = False) -> Membership | None:
        if sparing and self.spared:
            raise ServerBusy("planted")
        answer: Deferred[Membership | None] = Deferred()
        self.asked.append((conversation_id, answer))
        return await answer

    def answer(self, membership: Membership | None) -> None:
        self.asked.pop(0)[1].callback(membership)

    async def verify(self, token: str, device_id: str) -> Claims:
        raise NotImplementedError

    async def open_direct(self, speaker: Speaker, peer_user_id: int) -> str:
        raise NotImplementedError

    async def conversations_of(self, speaker: Speaker) -> Sequence[ConversationEntry]:
        raise NotImplementedError

    async def visible(self, speaker: Speaker, target_ids: Sequence[int]) -> frozenset[int]:
        raise NotImplementedError


class SlowSecondLevel(MemorySecondLevel):
    """Answers when the test says so."""

    def __init__(self, *, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.answers: Deferred[None] = Deferred()

    async def get(self, conversation_id: str) -> Kept | None:
        await self.answers
        return await super().get(conversation_id)


def group(version: int, *user_ids: int, conversation_id: str = "g_1") -> Membership:
    return Membership(conversation_id, GROUP, version, dict.fromkeys(user_ids or (1,), MEMBER))


class SnapshotCase(SynchronousTestCase):
    """A cache, and a directory that answers when the test says so."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.directory = ScriptedDirectory()
        self.cache = self.make()
        self.changed: list[str] = []
        self.cache.on_changed(self.changed.append)

    def make(self, **limits: Any) -> MembershipCache:
        return MembershipCache(directory=self.directory, clock=self.clock, random=lambda: 0.5, **limits)

    def get(self, conversation_id: str = "g_1", *, sparing: bool = False) -> Deferred[Membership | None]:
        return Deferred.fromCoroutine(self.cache.get(conversation_id, sparing=sparing))

    def know(self, membership: Membership) -> None:
        got = self.get(membership.conversation_id)
        self.directory.answer(membership)
        self.successResultOf(got)


class MembershipCacheTests(SnapshotCase):
    """Who is in a conversation, without asking twice and without believing what is no longer true."""

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

    def test_spared(self) -> None:
        """While the authority is left alone, who can do without it learns that at once, and shares what others ask."""
        self.directory.spared = True
        self.failureResultOf(self.get(sparing=True), ServerBusy)
        waiting = [self.get(), self.get(sparing=True)]
        self.directory.answer(group(1))
        for got in waiting:
            self.assertEqual(self.successResultOf(got), group(1))

    def test_spared_by_one_only(self) -> None:
        """A reader who joins a question that is not put yet has it put."""
        self.directory.spared = True
        second = SlowSecondLevel(clock=self.clock)
        self.cache = self.make(second=second)
        self.clock.advance(SETTLE_S)
        waiting = [self.get(sparing=True), self.get()]
        second.answers.callback(None)
        self.directory.answer(group(1))
        for got in waiting:
            self.assertEqual(self.successResultOf(got), group(1))

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


class Doubts(SnapshotCase):
    """Others may know more than this node of some conversations."""

    def doubt(self) -> None:
        self.cache.doubt(lambda conversation_id: conversation_id == "g_1")

    def test_asked_anew(self) -> None:
        """What is in doubt is asked about before it is next used, the rest is not; nobody is told of a change yet."""
        self.know(group(1))
        self.know(group(1, conversation_id="g_2"))
        self.doubt()
        self.assertIsNone(self.cache.peek("g_1"))
        self.assertIsNotNone(self.cache.peek("g_2"))
        self.assertEqual(self.changed, [])
        got = self.get()
        self.directory.answer(group(2, 1, 3))
        self.assertEqual(self.successResultOf(got), group(2, 1, 3))
        self.assertEqual(self.changed, ["g_1"])

    def test_unchanged(self) -> None:
        """What proves true is the same object again, and nothing that was derived from it is lost."""
        self.know(group(1))
        before = self.cache.peek("g_1")
        self.doubt()
        self.know(group(1))
        self.assertIs(self.cache.peek("g_1"), before)
        self.assertEqual(self.changed, [])

    def test_under_way(self) -> None:
        """An answer to a question from before the doubt does not dispel it."""
        got = self.get()
        self.doubt()
        self.directory.answer(group(1))
        self.assertNoResult(got)
        self.directory.answer(group(2))
        self.assertEqual(self.successResultOf(got), group(2))

    def test_last_known(self) -> None:
        """Where nobody answers it is what was known last."""
        self.know(group(1))
        self.doubt()
        self.assertEqual(self.cache.last_known("g_1"), group(1))


class Lives(SnapshotCase):
    """How long a snapshot is believed: by how much it matters, and how often it is asked for."""

    def test_sensitive(self) -> None:
        """A sensitive conversation is asked about anew each minute, however busy it is."""
        self.know(group(1)._replace(sensitive=True))
        for _ in range(600):
            self.cache.peek("g_1")
        self.clock.advance(59.9)
        self.assertIsNotNone(self.cache.peek("g_1"))
        self.clock.advance(0.1)
        self.assertIsNone(self.cache.peek("g_1"))

    def test_hot(self) -> None:
        """One that is asked for once a second and more is believed for twice as long, and no longer."""
        self.know(group(1))
        for _ in range(300):
            self.cache.peek("g_1")
            self.clock.advance(1)
        self.assertIsNotNone(self.cache.peek("g_1"))
        self.clock.advance(299)
        for _ in range(600):
            self.assertIsNotNone(self.cache.peek("g_1"))
        self.clock.advance(1)
        self.assertIsNone(self.cache.peek("g_1"))

    def test_hot_and_invalidated(self) -> None:
        """Being asked for often saves nothing that is known to be out of date."""
        self.know(group(1))
        for _ in range(1000):
            self.cache.peek("g_1")
        self.cache.invalidate("g_1", 2)
        self.assertIsNone(self.cache.peek("g_1"))

    def test_other_lifetimes(self) -> None:
        """Lifetimes that are set while the server runs hold for whatever is learned from then on."""
        self.know(group(1))
        self.cache.lifetimes = Lifetimes(normal_s=10, hot_s=20, sensitive_s=5)
        self.know(group(1, conversation_id="g_2"))
        self.clock.advance(10)
        self.assertIsNone(self.cache.peek("g_2"))
        self.assertIsNotNone(self.cache.peek("g_1"))


class LastKnown(SnapshotCase):
    """What is left of a snapshot that is not believed any more, for when nobody can be asked."""

    def test_old(self) -> None:
        """What was true until its time was over is still known."""
        self.assertIsNone(self.cache.last_known("g_1"))
        self.know(group(1, 1, 2))
        self.assertEqual(self.cache.last_known("g_1"), group(1, 1, 2))
        self.clock.advance(TTL_S + 1)
        self.assertIsNone(self.cache.peek("g_1"))
        self.assertEqual(self.cache.last_known("g_1"), group(1, 1, 2))

    def test_less(self) -> None:
        """Who was removed since is out, and who was restricted since may not write; the rest is as it was."""
        self.know(group(1, 1, 2, 3, 4))
        self.cache.invalidate("g_1", 2, removed_ids=[2], restricted_ids=[3])
        self.cache.invalidate("g_1", 3, removed_ids=[4])
        known = self.cache.last_known("g_1")
        assert known is not None
        reasons = []
        for user_id in (1, 2, 3, 4):
            refused = refusal(known, user_id, MESSAGE, 1 << 60)
            reasons.append("" if refused is None else refused.reason)
        self.assertEqual(reasons, ["", "not_member", "muted", "not_member"])
        self.assertIs(self.cache.last_known("g_1"), known)

    def test_less_for_all(self) -> None:
        """Where all were muted since, plain members may not write, and whoever runs the group may."""
        self.know(group(1, 1, 2)._replace(roles={1: OWNER, 2: MEMBER}))
        self.cache.invalidate("g_1", 2, restricted_ids=[EVERYBODY])
        known = self.cache.last_known("g_1")
        self.assertIsNone(refusal(known, 1, MESSAGE, 1 << 60))
        refused = refusal(known, 2, MESSAGE, 1 << 60)
        assert refused is not None
        self.assertEqual(refused.reason, "all_muted")

    def test_less_in_1_to_1(self) -> None:
        """In a 1:1 conversation who was restricted is not told more than that it is not accepted."""
        self.know(Membership("p_1", P2P, 1, {1: MEMBER, 2: MEMBER}))
        self.cache.invalidate("p_1", 2, restricted_ids=[2])
        refused = refusal(self.cache.last_known("p_1"), 2, MESSAGE, 0)
        assert refused is not None
        self.assertEqual(refused.reason, "not_accepted")

    def test_learned_anew(self) -> None:
        """A new answer is the whole truth again; that there is none is, too."""
        self.know(group(1, 1, 2))
        self.cache.invalidate("g_1", 2, removed_ids=[2])
        self.know(group(3, 1, 2))
        self.assertEqual(self.cache.last_known("g_1"), group(3, 1, 2))
        self.cache.invalidate("g_1", 4)
        got = self.get()
        self.directory.answer(None)
        self.successResultOf(got)
        self.assertIsNone(self.cache.last_known("g_1"))

    def test_told_once(self) -> None:
        """Those who derive something hear of a change once, not again when the new answer comes."""
        self.know(group(1))
        self.cache.invalidate("g_1", 2)
        self.know(group(2, 1, 2))
        self.assertEqual(self.changed, ["g_1"])


class Versions(SnapshotCase):
    """A conversation never goes back to what it was."""

    def test_known_stays_newer(self) -> None:
        """An answer older than what is known, though that is too old to be believed, is not believed either."""
        self.know(group(5))
        self.clock.advance(TTL_S)
        got = self.get()
        self.directory.answer(group(4))
        self.assertNoResult(got)
        self.directory.answer(group(5))
        self.assertEqual(self.successResultOf(got), group(5))

    def test_heard_before(self) -> None:
        """Also of a conversation of which only a change was heard, older answers are not believed."""
        self.cache.invalidate("g_1", 5)
        got = self.get()
        self.directory.answer(group(4))
        self.assertNoResult(got)
        self.directory.answer(group(5))
        self.assertEqual(self.successResultOf(got), group(5))

    def test_business_went_back(self) -> None:
        """When business has an older state for good, as from a backup, that is believed after a while."""
        self.know(group(5))
        self.cache.invalidate("g_1", 6)
        self.clock.advance(KEEP_S)
        self.know(group(1))
        self.assertEqual(self.cache.peek("g_1"), group(1))


class SharedSnapshots(SnapshotCase):
    """Two nodes that share a second level: what one was told the other need not ask for."""

    def setUp(self) -> None:
        super().setUp()
        self.second = MemorySecondLevel(clock=self.clock)
        self.cache = self.make(second=self.second)
        self.other = self.make(second=self.second)
        self.clock.advance(SETTLE_S)

    def ask_other(self) -> Deferred[Membership | None]:
        return Deferred.fromCoroutine(self.other.get("g_1"))

    def test_shared(self) -> None:
        """A second node takes what the first was told, and believes it no longer than that one."""
        self.know(group(1))
        self.clock.advance(200)
        self.assertEqual(self.successResultOf(self.ask_other()), group(1))
        self.assertEqual(self.directory.asked, [])
        self.clock.advance(100)
        self.assertIsNone(self.other.peek("g_1"))

    def test_outdated_by_others(self) -> None:
        """What one node heard to be outdated no node gets from there."""
        self.know(group(1))
        self.cache.invalidate("g_1", 2)
        got = self.ask_other()
        self.assertNoResult(got)
        self.directory.answer(group(2))
        self.assertEqual(self.successResultOf(got), group(2))
        self.assertEqual(self.successResultOf(self.get()), group(2))

    def test_heard_and_not_written(self) -> None:
        """A node never takes from there what is older than it has heard, whoever failed to write that down."""
        self.know(group(1))
        self.other.invalidate("g_1", 2)
        self.second.lose()
        self.second.put(group(1), 300)
        got = self.ask_other()
        self.assertNoResult(got)
        self.directory.answer(group(2))
        self.assertEqual(self.successResultOf(got), group(2))

    def test_heard_meanwhile(self) -> None:
        """A change that is heard while the second level is being asked wins."""
        gate: Deferred[Kept | None] = Deferred()

        async def slow(_: str) -> Kept | None:
            return await gate

        self.patch(self.second, "get", slow)
        got = self.ask_other()
        self.other.invalidate("g_1", 2)
        gate.callback(Kept(group(1), 300.0))
        self.assertNoResult(got)
        self.directory.answer(group(2))
        self.assertEqual(self.successResultOf(got), group(2))

    def test_just_started(self) -> None:
        """A node that has just started, or missed events, asks business itself: it has not heard of all changes."""
        self.know(group(1))
        late = self.make(second=self.second)
        got = Deferred.fromCoroutine(late.get("g_1"))
        self.assertNoResult(got)
        self.directory.answer(group(1))
        self.successResultOf(got)
        self.other.missed()
        got = self.ask_other()
        self.assertNoResult(got)
        self.directory.answer(group(1))
        self.successResultOf(got)

    def test_heard_of_too_many(self) -> None:
        """When so much changes that a node cannot remember it all, it asks business itself for a while."""
        self.patch(versions, "MAX_HEARD", 2)
        self.know(group(1))
        for number in range(3):
            self.other.invalidate(f"g_{number + 5}", 2)
        got = self.ask_other()
        self.assertNoResult(got)
        self.directory.answer(group(1))
        self.successResultOf(got)

    def test_absence_is_not_shared(self) -> None:
        """That a conversation does not exist each node finds out by itself."""
        got = self.get()
        self.directory.answer(None)
        self.assertIsNone(self.successResultOf(got))
        got = self.ask_other()
        self.assertNoResult(got)
        self.directory.answer(None)
        self.assertIsNone(self.successResultOf(got))
