"""Two business nodes that change what is between the same people at the same time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from imd.business.accounts.login_rules import KindRule, LoginRules, TooManyDevices
from imd.business.accounts.model import ACTIVE, Login
from imd.business.accounts.sql import SqlAccounts
from imd.business.accounts.sql_device_bans import SqlDeviceBans
from imd.business.accounts.sql_states import SqlAccountStates
from imd.business.accounts.states import Act
from imd.business.groups.sql_memberships import SqlDirects
from imd.business.relations.model import Asking, Audience
from imd.business.relations.ports import Outcome
from imd.business.relations.sql_blocks import SqlBlocks, SqlPrivacies, SqlRelations
from imd.business.relations.sql_friends import SqlFriends
from imd.business.relations.sql_requests import SqlRequests
from imd.business.relations.synced import NOWHERE
from imd.business.tables.people import users
from imd.kernel.errors import Forbidden
from imd.kernel.ids import direct_conversation_id
from tests.live.mariadb import CONNECTIONS, RacingCase

#: A race is won by chance; so often by chance alone is unlikely.
ROUNDS = 10
PEOPLE = range(1, 41)


class PeopleCase(RacingCase):
    """Forty people who do not know each other."""

    def setUp(self) -> None:
        super().setUp()
        self.requests = SqlRequests(self.database)
        self.friends = SqlFriends(self.database)
        self.blocks = SqlBlocks(self.database)
        self.privacies = SqlPrivacies(self.database)
        self.relations = SqlRelations(self.database)
        self.states = SqlAccountStates(self.database)
        self.directs = SqlDirects(self.database)
        self.accounts = SqlAccounts(self.database)

        def populate(connection: Connection) -> None:
            rows = [
                {"id": user_id, "handle": f"user{user_id}", "display_name": "", "password_hash": "old",
                 "status": ACTIVE, "token_version": 1, "created_at_ms": 0}
                for user_id in PEOPLE
            ]  # fmt: skip
            connection.execute(users.insert(), rows)

        self.run_(self.database.write(populate))

    def friends_of(self, user_id: int) -> set[int]:
        page = self.run_(self.friends.page(user_id, NOWHERE, limit=100))
        return {one.user_id for one in page.friends if not one.ended}

    def version(self, user_id: int) -> int:
        return self.run_(self.friends.page(user_id, NOWHERE, limit=100)).place.version


class Friendship(PeopleCase):
    """Requests and their answers."""

    def test_two_accepts(self) -> None:
        """Said on several devices at once, yes makes one friendship, and everybody hears the same."""
        self.run_(self.requests.ask(1, 2, "", 1))
        outcomes = self.race(*(self.requests.accept(2, 1, 2) for _ in range(CONNECTIONS)))
        self.assertEqual({one.state for one in outcomes}, {Asking.ACCEPTED})
        self.assertEqual((self.friends_of(1), self.friends_of(2)), ({2}, {1}))
        self.assertEqual((self.version(1), self.version(2)), (1, 1))

    def test_both_ask(self) -> None:
        """Who ask each other at the same moment are friends."""
        for one in range(1, 2 * ROUNDS, 2):
            outcomes = self.race(
                self.requests.ask(one, one + 1, "", 1), self.requests.ask(one + 1, one, "", 1)
            )
            self.assertEqual(sorted(each.state for each in outcomes), [Asking.PENDING, Asking.ACCEPTED])
            self.assertEqual(self.friends_of(one), {one + 1})

    def test_accept_and_cancel(self) -> None:
        """Of a yes and a taking back one comes first, and the other is refused."""
        for one in range(1, 2 * ROUNDS, 2):
            self.run_(self.requests.ask(one, one + 1, "", 1))
            yes, back = self.race(
                self.requests.accept(one + 1, one, 2), self.requests.cancel(one, one + 1, 2)
            )
            self.assertEqual(isinstance(yes, Forbidden), isinstance(back, Outcome), (yes, back))
            self.assertEqual(self.friends_of(one), {one + 1} if isinstance(yes, Outcome) else set())

    def test_accept_and_block(self) -> None:
        """Either they are friends and blocked, or blocked and no friends; they never may write."""
        for one in range(1, 2 * ROUNDS, 2):
            self.run_(self.requests.ask(one, one + 1, "", 1))
            yes, block = self.race(self.requests.accept(one + 1, one, 2), self.blocks.block(one, one + 1, 2))
            self.assertEqual(block, [])
            friends = self.friends_of(one)
            self.assertEqual(friends, {one + 1} if isinstance(yes, Outcome) else set())
            self.assertEqual(set(self.run_(self.relations.refused(one, one + 1))), {one, one + 1})

    def test_crowd(self) -> None:
        """Of many changes of one list each has a version of its own, and none is lost."""
        for other in range(2, 10):
            self.run_(self.requests.ask(other, 1, "", 1))
        outcomes = self.race(*(self.requests.accept(1, other, 2) for other in range(2, 10)))
        self.assertEqual([type(one) for one in outcomes], [Outcome] * 8, outcomes)
        self.assertEqual((self.friends_of(1), self.version(1)), (set(range(2, 10)), 8))
        self.race(*(self.friends.part(1, other, 3) for other in range(2, 6)),
                  *(self.friends.describe(1, other, remark="x", friend_group_id=None) for other in range(6, 10)))  # fmt: skip
        self.assertEqual((self.friends_of(1), self.version(1)), (set(range(6, 10)), 16))

    def test_crossing(self) -> None:
        """A ring of people who all ask and block at once is never in its own way for good."""
        ring = range(1, 9)
        outcomes = self.race(
            *(self.requests.ask(one, one % 8 + 1, "", 1) for one in ring),
            *(self.blocks.block(one % 8 + 1, (one + 1) % 8 + 1, 1) for one in ring),
        )
        bad = [one for one in outcomes if isinstance(one, Exception) and not isinstance(one, Forbidden)]
        self.assertEqual(bad, [])


class Conversations(PeopleCase):
    """What is between two, and their conversation."""

    def test_open_and_block(self) -> None:
        """A conversation that is opened while one of the two blocks is there with the block's version, or not at all."""
        for one in range(1, 2 * ROUNDS, 2):
            name = direct_conversation_id(one, one + 1)
            opened, block = self.race(
                self.directs.open(name, one, one + 1, 1), self.blocks.block(one + 1, one, 1)
            )
            if isinstance(opened, Forbidden):
                self.assertEqual(block, [])
                self.assertFalse(self.run_(self.directs.exists(name)))
            else:
                self.assertEqual([(one.conversation_id, one.version) for one in block], [(name, 2)])

    def test_versions(self) -> None:
        """Of changes of the same pair at once each has a version of its own."""
        name = direct_conversation_id(1, 2)
        self.run_(self.directs.open(name, 1, 2, 1))
        outcomes = self.race(
            self.blocks.block(1, 2, 1),
            self.blocks.block(2, 1, 1),
            self.privacies.set_privacy(1, {"message_from": Audience.FRIENDS}),
            self.privacies.set_privacy(2, {"message_from": Audience.NOBODY}),
            self.states.change(1, Act.FREEZE, reason="x", now_ms=1),
        )
        one, other, narrow, narrower, frozen = outcomes
        changed = [*one, *other, *narrow[2], *narrower[2], *frozen.changed]
        self.assertEqual(sorted(each.version for each in changed), [2, 3, 4, 5, 6], outcomes)

    def test_two_frozen(self) -> None:
        """Two who know the same people are frozen at once: each conversation has a version for each of its two."""
        for other in range(3, 23):
            for one in (1, 2):
                self.run_(self.directs.open(direct_conversation_id(one, other), one, other, 1))
        self.run_(self.directs.open(direct_conversation_id(1, 2), 1, 2, 1))
        first, second = self.race(
            self.states.change(1, Act.FREEZE, reason="x", now_ms=1),
            self.states.change(2, Act.FREEZE, reason="x", now_ms=1),
        )
        self.assertEqual((len(first.changed), len(second.changed)), (21, 21))
        shared = [one.version for one in (*first.changed, *second.changed) if set(one.user_ids) == {1, 2}]
        self.assertEqual(sorted(shared), [2, 3])


class Logins(PeopleCase):
    """What ends a login, and the login that comes at the same time."""

    def login(self, number: int, platform: str = "") -> Login:
        return Login(1, f"d{number}", f"L{number}", platform, number, number)

    def put(self, number: int, rules: LoginRules, platform: str = "") -> Any:
        return self.accounts.put_login(self.login(number, platform), rules=rules, verified_hash="old")

    def left(self) -> set[str]:
        return {one.login_id for one in self.run_(self.accounts.logins_of(1))}

    def test_freeze_and_login(self) -> None:
        """A login that comes with the freezing is ended by it, or never was: none is left."""
        rules = LoginRules(9, 1 << 60)
        for number in range(ROUNDS):
            entered, frozen = self.race(
                self.put(number, rules), self.states.change(1, Act.FREEZE, reason="x", now_ms=1)
            )
            self.assertEqual(list(frozen.login_ids), [] if entered is None else [f"L{number}"])
            self.assertEqual(self.left(), set())
            self.run_(self.states.change(1, Act.THAW, reason="", now_ms=1))

    def test_kick(self) -> None:
        """However many phones log in at once, one is left, and all others were told to go."""
        rules = LoginRules(9, 1 << 60, {"mobile": KindRule(1, False)})
        outcomes = self.race(*(self.put(number, rules, "ios") for number in range(CONNECTIONS)))
        ended = {one.login_id for outcome in outcomes for one in outcome}
        self.assertEqual(len(self.left()), 1)
        self.assertEqual(ended | self.left(), {f"L{number}" for number in range(CONNECTIONS)})

    def test_refuse(self) -> None:
        """However many web pages log in at once, two get in."""
        rules = LoginRules(9, 1 << 60, {"web": KindRule(2, True)})
        outcomes = self.race(*(self.put(number, rules, "web") for number in range(CONNECTIONS)))
        self.assertEqual(sum(isinstance(one, TooManyDevices) for one in outcomes), CONNECTIONS - 2, outcomes)
        self.assertEqual(len(self.left()), 2)

    def test_delete_and_befriend(self) -> None:
        """Who is befriended while they go either is no friend of anybody, or is still there to go once more."""
        for one in range(1, 2 * ROUNDS, 2):
            self.run_(self.requests.ask(one + 1, one, "", 1))
            gone, yes = self.race(
                self.states.delete(one, verified_hash="old", now_ms=2), self.requests.accept(one, one + 1, 2)
            )
            self.assertEqual(gone is None, isinstance(yes, Outcome), (gone, yes))
            self.assertEqual(self.friends_of(one + 1), {one} if gone is None else set())

    def test_failures(self) -> None:
        """Failures that come at once are all counted, and none is in the way of another."""
        bans = SqlDeviceBans(self.database)
        for number in range(ROUNDS):
            device = f"d{number}"
            outcomes = self.race(
                *(bans.count(device, "192.0.2.1", 5, window_ms=10) for _ in range(CONNECTIONS))
            )
            self.assertEqual({*outcomes}, {*range(1, CONNECTIONS + 1)})
        self.assert_no_deadlock()
