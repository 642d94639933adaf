"""What the authority knows of conversations, and that core judges by it as it judges itself."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.model import ACTIVE
from imd.business.groups.model import ADMIN, MANAGED, MEMBER, NORMAL, OFFICIAL, OWNER, PUBLIC
from imd.business.permission import check, sql_restricted
from imd.business.permission.answers import members_answer
from imd.business.permission.check import CheckRights, Verdict
from imd.business.permission.model import Facts, Restricted, Special
from imd.business.permission.sql import SqlStandings
from imd.business.schema import open_business
from imd.business.tables.groups import group_blacklist, group_conversations, group_members
from imd.business.tables.people import blocks, direct_conversations, friends, users
from imd.core.permission.codec import decode_membership
from imd.core.permission.decide import not_member, refusal
from imd.kernel.errors import ImError, PayloadInvalid, ServerBusy
from imd.kernel.ids import direct_conversation_id
from imd.kernel.tasks import Tasks
from imd.pb.bus_pb2 import MembersAnswer
from imd.storage.sql import Database
from tests.business.world import at_once
from tests.contract.driving import drive

T = TypeVar("T")

NOW_MS = 1_000_000
PEOPLE = range(1, 9)
FROZEN = 2
#: Before, at and after now, and never.
TIMES = st.sampled_from((0, 1, NOW_MS - 1, NOW_MS, NOW_MS + 1, NOW_MS + 10**12))
KINDS = st.sampled_from((NORMAL, MANAGED, PUBLIC, OFFICIAL))
ROLES = st.sampled_from((MEMBER, MEMBER, MEMBER, ADMIN, OWNER))
SEQS = st.sampled_from((0, 1, 2, 10**15))
MEMBERS = st.dictionaries(st.sampled_from(PEOPLE), st.tuples(ROLES, TIMES, SEQS), min_size=1)
PAIR = st.lists(st.sampled_from(PEOPLE), min_size=2, max_size=2, unique=True)
RIGHTS = st.integers(0, 127)
#: tests/live runs them on another one.
ON_ANY_DATABASE = settings(suppress_health_check=[HealthCheck.differing_executors])


class StandingsCase(SynchronousTestCase):
    """A business database in memory, with eight people in it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.database = Database(connect=self.connect, threads=at_once, clock=self.clock)
        self.run_(self.database.start())
        self.standings = SqlStandings(self.database)
        self.tasks = Tasks()
        self.check = CheckRights(standings=self.standings, wall_clock=lambda: NOW_MS, tasks=self.tasks)
        self.insert(users, *(self.person(user_id) for user_id in PEOPLE))

    def connect(self) -> Engine:
        return open_business(None)

    def run_(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        return drive(self.clock, work)

    def write(self, work: Callable[[Connection], Any]) -> None:
        self.run_(self.database.write(work))

    def insert(self, table: Any, *rows: dict[str, Any]) -> None:
        if rows:
            self.write(lambda connection: connection.execute(table.insert(), list(rows)))

    def person(self, user_id: int) -> dict[str, Any]:
        return {
            "id": user_id, "handle": f"u{user_id}", "display_name": "", "password_hash": "", "status": ACTIVE,
            "token_version": 1, "created_at_ms": 0,
        }  # fmt: skip

    def group(self, name: str, members: dict[int, tuple[int, int, int]], **changes: Any) -> None:
        row = {
            "id": name, "title": "Fun", "version": 7, "member_count": len(members), "created_at_ms": 0,
            "dissolved_at_ms": 0,
        }  # fmt: skip
        self.insert(group_conversations, row | changes)
        rows = [
            {
                "group_id": name, "user_id": user_id, "role": role, "joined_at_ms": 0,
                "muted_until_ms": muted, "visible_from_seq": visible,
            }
            for user_id, (role, muted, visible) in members.items()
        ]  # fmt: skip
        self.insert(group_members, *rows)

    def direct(self, one: int, other: int, *, version: int = 3) -> str:
        name = direct_conversation_id(one, other)
        low, high = sorted((one, other))
        row = {"id": name, "user_low": low, "user_high": high, "created_at_ms": 0, "version": version}
        self.insert(direct_conversations, row)
        return name

    def befriend(self, one: int, other: int, *, ended_at_ms: int = 0) -> None:
        common = {
            "remark": "", "friend_group_id": 0, "created_at_ms": 0, "ended_at_ms": ended_at_ms, "version": 1
        }  # fmt: skip
        self.insert(
            friends,
            {"user_id": one, "friend_id": other} | common,
            {"user_id": other, "friend_id": one} | common,
        )

    def block(self, one: int, other: int) -> None:
        self.insert(blocks, {"user_id": one, "blocked_id": other, "created_at_ms": 0})

    def change(self, user_id: int, **values: Any) -> None:
        self.write(lambda c: c.execute(users.update().where(users.c.id == user_id).values(**values)))


def told(error: ImError | None) -> tuple[Any, ...]:
    """All that a client learns of a decision."""
    return (None,) if error is None else (error.code, error.reason, error.message, error.retry_after_ms)


class AgreementTests(StandingsCase):
    """Core, by the snapshot, and the authority, by what is true now, say the same of the same facts."""

    def setUp(self) -> None:
        super().setUp()
        self.names = (f"g_{number}" for number in count())

    def agree(self, name: str, asked: Sequence[tuple[int, int]]) -> None:
        snapshot = self.run_(self.standings.snapshot(name))
        membership = None
        if snapshot is not None:
            answer = MembersAnswer.FromString(members_answer(snapshot).SerializeToString())
            membership = decode_membership(name, answer)
        verdicts = self.run_(self.check([(name, user_id, right) for user_id, right in asked]))
        for (user_id, right), verdict in zip(asked, verdicts, strict=True):
            core = refusal(membership, user_id, right, NOW_MS)
            self.assertEqual(told(verdict.refusal), told(core), (user_id, right))
            is_in = membership is not None and user_id in membership.roles
            self.assertEqual(verdict.version, membership.version if membership is not None and is_in else 0)

    @ON_ANY_DATABASE
    @given(
        MEMBERS,
        st.fixed_dictionaries(
            {
                "kind": KINDS,
                "members_invite": st.integers(0, 1),
                "sensitive": st.integers(0, 1),
                "all_muted_until_ms": TIMES,
                "dissolved_at_ms": st.sampled_from((0, 0, 0, 1)),
            }
        ),
        st.lists(st.tuples(st.sampled_from((*PEOPLE, 17, 0, -1)), RIGHTS), min_size=1, max_size=12),
    )
    def test_groups(
        self, members: dict[int, tuple[int, int, int]], rules: dict[str, Any], asked: list[tuple[int, int]]
    ) -> None:
        """In whatever group, for whomever and whatever they want."""
        name = next(self.names)
        self.group(name, members, **rules)
        self.agree(name, asked)

    @ON_ANY_DATABASE
    @given(
        PAIR,
        st.tuples(st.sampled_from((ACTIVE, ACTIVE, FROZEN, 3)), st.sampled_from((ACTIVE, ACTIVE, FROZEN))),
        st.tuples(st.integers(0, 3), st.integers(0, 3)),
        st.tuples(st.booleans(), st.booleans()),
        st.sampled_from((None, 0, 1)),
    )
    def test_directs(
        self,
        pair: list[int],
        statuses: tuple[int, int],
        audiences: tuple[int, int],
        blocking: tuple[bool, bool],
        friendship: int | None,
    ) -> None:
        """Between whatever two, however they stand to each other."""
        one, other = pair
        for table in (blocks, friends, direct_conversations):
            self.write(lambda connection, table=table: connection.execute(table.delete()))  # type: ignore[misc]
        for user_id, status, audience in zip(pair, statuses, audiences, strict=True):
            self.change(user_id, status=status, message_from=audience)
        for blocks_, (who, whom) in zip(blocking, ((one, other), (other, one)), strict=True):
            if blocks_:
                self.block(who, whom)
        if friendship is not None:
            self.befriend(one, other, ended_at_ms=friendship)
        name = self.direct(one, other)
        self.agree(name, [(user_id, right) for user_id in (*pair, 17) for right in (0, 1, 2, 4, 5, 8, 64)])

    def test_nothing_there(self) -> None:
        """Of what does not exist both know that nobody is in it."""
        for name in ("g_none", direct_conversation_id(1, 2), "x", "p_", "p_" + "0" * 32):
            self.agree(name, [(1, 0), (1, 1)])
        self.assertEqual(self.run_(self.check([("g_none", 1, 0)]))[0].refusal.reason, not_member().reason)  # type: ignore[union-attr]


class SnapshotTests(StandingsCase):
    """What core is given."""

    def test_group(self) -> None:
        """Ordinary members are numbers; those for whom something is different come with what it is."""
        members = {
            1: (OWNER, 0, 0),
            2: (MEMBER, 0, 0),
            3: (MEMBER, 99, 0),
            4: (MEMBER, 0, 5),
            5: (MEMBER, 0, 0),
        }
        self.group("g_1", members, kind=PUBLIC, all_muted_until_ms=8)
        snapshot = self.run_(self.standings.snapshot("g_1"))
        assert snapshot is not None
        self.assertEqual(sorted(snapshot.member_ids), [2, 5])
        self.assertEqual(
            sorted(snapshot.specials),
            [Special(1, OWNER, 0, 0), Special(3, MEMBER, 99, 0), Special(4, MEMBER, 0, 5)],
        )
        self.assertEqual((snapshot.version, snapshot.title, snapshot.group_kind), (7, "Fun", PUBLIC))
        self.assertEqual((snapshot.sensitive, snapshot.all_muted_until_ms), (True, 8))
        answer = members_answer(snapshot)
        self.assertEqual(
            dict(zip(answer.memberIds, answer.roles, strict=True)),
            {1: OWNER, 2: MEMBER, 3: MEMBER, 4: MEMBER, 5: MEMBER},
        )
        self.assertEqual({one.userId for one in answer.restrictions}, {3, 4})

    def test_version_of_a_pair(self) -> None:
        """A 1:1 conversation has a version of its own, as everything that core caches."""
        name = self.direct(1, 2, version=12)
        snapshot = self.run_(self.standings.snapshot(name))
        assert snapshot is not None
        self.assertEqual((snapshot.version, sorted(snapshot.member_ids)), (12, [1, 2]))


class CheckTests(StandingsCase):
    """Many questions at once."""

    def setUp(self) -> None:
        super().setUp()
        self.reads: list[int] = []
        self.group("g_1", {1: (OWNER, 0, 0), 2: (MEMBER, 0, 0)})
        facts = self.standings.facts

        async def counted(asked: Sequence[tuple[str, int]]) -> Sequence[Facts | None]:
            self.reads.append(len(asked))
            await Deferred.fromCoroutine(self.turn())
            return await facts(asked)

        self.patch(self.standings, "facts", counted)

    async def turn(self) -> None:
        later: Deferred[None] = Deferred()
        self.clock.callLater(0, later.callback, None)
        await later

    def ask(self, *checks: tuple[str, int, int]) -> Deferred[list[Verdict]]:
        return Deferred.fromCoroutine(self.check(checks))

    def test_one_read(self) -> None:
        """The checks of one question, and of all that come while one is read, go into one read each."""
        first = self.ask(("g_1", 1, 1), ("g_1", 2, 64), ("g_1", 3, 0))
        more = gatherResults([self.ask(("g_1", 1, right)) for right in range(40)])
        self.clock.pump([0.0] * 4)
        self.assertEqual(self.reads, [3, 1])
        verdicts = self.successResultOf(first)
        self.assertEqual(
            ["" if one.refusal is None else one.refusal.reason for one in verdicts],
            ["", "no_right", "not_member"],
        )
        self.assertEqual(len(self.successResultOf(more)), 40)

    def test_bounded_reads(self) -> None:
        """However much is asked, a read has its limit."""
        self.patch(check, "BATCH", 10)
        asked = self.ask(*((f"g_{number}", 1, 0) for number in range(25)))
        self.clock.pump([0.0] * 8)
        self.assertEqual(self.reads, [10, 10, 5])
        self.assertEqual(len(self.successResultOf(asked)), 25)

    def test_database_away(self) -> None:
        """A read that fails fails those who waited for it, and nobody else."""

        async def away(asked: Sequence[tuple[str, int]]) -> Sequence[Facts | None]:
            raise ServerBusy("planted")

        facts = self.standings.facts
        self.patch(self.standings, "facts", away)
        self.failureResultOf(self.ask(("g_1", 1, 0), ("g_1", 2, 0)), ServerBusy)
        self.patch(self.standings, "facts", facts)
        again = self.ask(("g_1", 1, 0))
        self.clock.pump([0.0] * 4)
        self.assertEqual(self.successResultOf(again), [Verdict(None, 7)])

    def test_nothing(self) -> None:
        """Who asks nothing gets no verdict, at once."""
        self.assertEqual(self.successResultOf(self.ask()), [])


class RestrictedTests(StandingsCase):
    """Everybody for whom core must look closer."""

    def all_of_them(self, *, limit: int) -> set[Restricted]:
        found: set[Restricted] = set()
        after = ""
        for _ in range(1000):
            page = self.run_(self.standings.restricted(after, now_ms=NOW_MS, limit=limit))
            self.assertLessEqual(len(page.restricted), 2 * limit)
            found.update(page.restricted)
            after = page.next
            if not after:
                return found
        raise AssertionError("the pages do not end")

    def populate(self) -> set[Restricted]:
        """Of every kind some, and who they are."""
        later = NOW_MS + 1
        self.group(
            "g_1", {1: (OWNER, 0, 0), 2: (MEMBER, later, 0), 3: (MEMBER, NOW_MS, 0), 4: (ADMIN, later, 0)}
        )
        self.group("g_2", {1: (OWNER, 0, 0), 2: (MEMBER, later, 0)})
        self.insert(
            group_blacklist,
            *(
                {"group_id": "g_2", "user_id": user_id, "by_user": 1, "reason": "", "created_at_ms": 0}
                for user_id in (5, 6)
            ),
        )
        self.block(1, 3)
        self.block(4, 1)
        self.change(7, status=FROZEN)
        self.change(8, message_from=1)
        pairs = {(1, 3), (4, 1)}
        for pair in ((1, 2), (1, 7), (7, 8), (2, 8), (1, 3)):
            self.direct(*pair)
            if {7, 8} & set(pair):
                pairs.add(pair)
        named = {("g_1", 2), ("g_1", 4), ("g_2", 2), ("g_2", 5), ("g_2", 6)}
        named |= {(direct_conversation_id(*pair), user_id) for pair in pairs for user_id in pair}
        return {Restricted(*one) for one in named}

    def test_everybody(self) -> None:
        """Muted, kept out, blocked, frozen, reserved: all are named, and nobody for whom nothing is different."""
        expected = self.populate()
        for limit in (1, 2, 3, 1000):
            self.assertEqual(self.all_of_them(limit=limit), expected, limit)

    def test_nobody_is_missed(self) -> None:
        """Whoever is refused a word in a conversation of theirs for good reason is among them."""
        self.populate()
        found = self.all_of_them(limit=2)
        conversations = [
            "g_1",
            "g_2",
            *(direct_conversation_id(*pair) for pair in ((1, 2), (1, 7), (7, 8), (2, 8), (1, 3))),
        ]
        asked = [(name, user_id, 1) for name in conversations for user_id in PEOPLE]
        for (name, user_id, _), verdict in zip(asked, self.run_(self.check(asked)), strict=True):
            if verdict.refusal is not None and verdict.refusal.reason in ("muted", "not_accepted"):
                self.assertIn(Restricted(name, user_id), found)

    def test_bad_place(self) -> None:
        """What is no place in the pages is refused before it comes near a query."""
        for after in (
            "x",
            "0",
            "0:g",
            "9:a:1",
            "-1:a:1",
            "2:x:1",
            "0:g:x",
            "1:g:1:2",
            "0:" + "g" * 300 + ":1",
        ):
            with self.assertRaises(PayloadInvalid):
                self.run_(self.standings.restricted(after, now_ms=NOW_MS, limit=10))
        self.assertEqual(len(sql_restricted._SOURCES), 5)
