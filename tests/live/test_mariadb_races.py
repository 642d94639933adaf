"""Two business nodes that change the same thing at the same time: one after the other, or a clear no."""

from __future__ import annotations

from threading import Barrier, Event, Timer
from typing import Any

from sqlalchemy import Connection, func, select, text, update

from imd.business.accounts.login_rules import LoginRules
from imd.business.accounts.model import ACTIVE, Account, Login
from imd.business.accounts.ports import HandleTaken
from imd.business.accounts.sql import SqlAccounts
from imd.business.groups.model import ADMIN, MEMBER, OWNER, Change, Group
from imd.business.groups.sql import SqlGroups
from imd.business.groups.sql_memberships import SqlDirects
from imd.business.groups.sql_steps import Admitting
from imd.business.permission.sql import SqlStandings
from imd.business.tables.groups import group_conversations, group_members
from imd.business.tables.people import logins, users
from imd.kernel.errors import Forbidden, ServerBusy
from tests.live.mariadb import CONNECTIONS, RacingCase

#: A race is won by chance; so often by chance alone is unlikely.
ROUNDS = 10
PEOPLE = range(1, 21)


class Accounts(RacingCase):
    """Handles and logins."""

    def setUp(self) -> None:
        super().setUp()
        self.accounts = SqlAccounts(self.database)

    def add(self, user_id: int, handle: str) -> Any:
        account = Account(user_id, handle, handle, ACTIVE, 1, 0)
        return self.accounts.add(account, "old", Login(user_id, "first", f"L{user_id}", "", 0, 0))

    def test_same_handle(self) -> None:
        """Of those who take the same handle one gets it, and the others hear that it is taken."""
        for number in range(ROUNDS):
            ids = range(number * 100 + 1, number * 100 + 1 + CONNECTIONS)
            outcomes = self.race(*(self.add(user_id, f"handle{number}") for user_id in ids))
            self.assertEqual(outcomes.count(None), 1)
            self.assertEqual(sum(isinstance(one, HandleTaken) for one in outcomes), CONNECTIONS - 1)

    def test_most_logins(self) -> None:
        """However many devices log in at once, as many logins are left as may be, and all others were ended."""
        self.run_(self.add(1, "alice"))
        made = [Login(1, f"d{number}", f"M{number}", "", number, number) for number in range(CONNECTIONS)]
        outcomes = self.race(
            *(
                self.accounts.put_login(login, rules=LoginRules(3, 1 << 60), verified_hash="old")
                for login in made
            )
        )
        left = {login.login_id for login in self.run_(self.accounts.logins_of(1))}
        ended = [one.login_id for outcome in outcomes for one in outcome]
        self.assertEqual(len(left), 3)
        self.assertEqual(sorted(ended), sorted({"L1", *(login.login_id for login in made)} - left))

    def test_password_and_login(self) -> None:
        """A login with the old password either comes first and is ended by the change, or is refused."""
        self.run_(self.add(1, "alice"))
        password = "old"
        for number in range(ROUNDS):
            login = Login(1, "thief", f"T{number}", "", 0, 0)
            entered, ending = self.race(
                self.accounts.put_login(login, rules=LoginRules(5, 1 << 60), verified_hash=password),
                self.accounts.end_logins(
                    1, except_device_id="first", verified_hash=password, new_hash=f"new{number}"
                ),
            )
            password = f"new{number}"
            self.assertEqual([one.login_id for one in self.run_(self.accounts.logins_of(1))], ["L1"])
            self.assertEqual(ending.login_ids, [] if entered is None else [login.login_id])

    def test_password_twice(self) -> None:
        """Of two changes of the same password the second finds that it is not the old one any more."""
        self.run_(self.add(1, "alice"))
        changes = self.race(
            *(
                self.accounts.end_logins(1, verified_hash="old", new_hash=f"new{n}")
                for n in range(CONNECTIONS)
            )
        )
        self.assertEqual(changes.count(None), CONNECTIONS - 1)
        stored = self.run_(self.accounts.by_id(1))
        assert stored is not None
        self.assertEqual(stored.account.token_version, 2)


class GroupCase(RacingCase):
    """People who may be in groups."""

    def setUp(self) -> None:
        super().setUp()
        self.groups = SqlGroups(self.database, admitting=Admitting(max_members=6, groups_per_user=3))
        self.directs = SqlDirects(self.database)
        self.standings = SqlStandings(self.database)

        def populate(connection: Connection) -> None:
            rows = [
                {
                    "id": user_id,
                    "handle": f"user{user_id}",
                    "display_name": "",
                    "password_hash": "",
                    "status": ACTIVE,
                    "token_version": 1,
                    "created_at_ms": 0,
                }
                for user_id in PEOPLE
            ]
            connection.execute(users.insert(), rows)

        self.run_(self.database.write(populate))

    def make(self, name: str, owner: int, *members: int) -> None:
        self.run_(self.groups.create(Group(name, "", 1, 1, 0), owner, members))

    async def rename(self, name: str, title: str) -> Change:
        change, _ = await self.groups.change(name, 1, lambda group: group._replace(title=title))
        return change

    def check(self, name: str) -> tuple[int, list[tuple[int, int]]]:
        """The group's version and roles; what it says of itself is true."""

        def work(connection: Connection) -> tuple[Any, int]:
            group = connection.execute(
                select(group_conversations).where(group_conversations.c.id == name)
            ).one()
            count = select(func.count()).where(group_members.c.group_id == name)
            return group, connection.execute(count).scalar_one()

        group, members = self.run_(self.database.read(work))
        self.assertEqual(group.member_count, members)
        self.assertEqual(group.dissolved_at_ms > 0, members == 0)
        snapshot = self.run_(self.standings.snapshot(name))
        roles: list[tuple[int, int]] = []
        if snapshot is not None:
            roles = [(user_id, MEMBER) for user_id in snapshot.member_ids]
            roles += [(special.user_id, special.role) for special in snapshot.specials]
        self.assertEqual(sum(role == OWNER for _, role in roles), 1 if members else 0)
        return group.version, roles


class Conversations(GroupCase):
    """Groups and 1:1 conversations."""

    def test_same_pair(self) -> None:
        """Of those who open the same 1:1 conversation one makes it, and all have it."""
        for number in range(ROUNDS):
            outcomes = self.race(
                *(self.directs.open(f"p_{number}", 1, number + 2, 0) for _ in range(CONNECTIONS))
            )
            self.assertEqual(sorted(outcomes), [False] * (CONNECTIONS - 1) + [True])

    def test_last_place(self) -> None:
        """Of those who bring in somebody for the last place one does, and the others hear that it is full."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make(name, 1, 2, 3, 4, 5)
            self.run_(self.groups.set_role(name, 1, 2, ADMIN))
            outcomes = self.race(
                *(self.groups.add(name, 1 + user_id % 2, [user_id], 0) for user_id in range(6, 14))
            )
            self.assertEqual(sum(isinstance(one, Change) for one in outcomes), 1, outcomes)
            self.assertEqual(sum(isinstance(one, Forbidden) for one in outcomes), len(outcomes) - 1)
            self.assertEqual(len(self.check(name)[1]), 6)
            self.run_(self.groups.dissolve(name, 1, 9))

    def test_versions(self) -> None:
        """Every change has a version of its own, and none is lost."""
        self.make("g_1", 1, 2, 3)
        works: list[Any] = [self.rename("g_1", f"title {number}") for number in range(4)]
        works += [self.groups.add("g_1", 1, [user_id], 0) for user_id in (4, 5, 6)]
        works += [self.groups.leave("g_1", user_id, 9) for user_id in (2, 3)]
        changes = self.race(*works)
        self.assertEqual(sorted(change.group.version for change in changes), list(range(2, 11)))
        version, roles = self.check("g_1")
        self.assertEqual((version, sorted(user_id for user_id, _ in roles)), (10, [1, 4, 5, 6]))

    def test_leave_and_transfer(self) -> None:
        """While the owner makes somebody owner, that one leaves: one of them hears no, and there is an owner."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make(name, 1, 2, 3)
            outcomes = self.race(self.groups.transfer(name, 1, 2), self.groups.leave(name, 2, 9))
            self.assertEqual(sum(isinstance(one, Forbidden) for one in outcomes), 1, outcomes)
            self.check(name)
            self.run_(self.groups.dissolve(name, 2 if isinstance(outcomes[0], Change) else 1, 9))

    def test_all_leave(self) -> None:
        """When all leave at once, the last one takes the group along, or the owner has to stay."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make(name, 1, 2)
            self.race(self.groups.leave(name, 1, 9), self.groups.leave(name, 2, 9))
            _, roles = self.check(name)
            self.assertIn(roles, ([], [(1, OWNER)]))
            self.race(self.groups.leave(name, 1, 9))

    def test_most_groups(self) -> None:
        """Nobody is put into more groups than the limit by several people at once."""
        for owner in range(1, 7):
            self.make(f"g_{owner}", owner)
        outcomes = self.race(*(self.groups.add(f"g_{owner}", owner, [10], 0) for owner in range(1, 7)))
        self.assertEqual(sum(isinstance(one, Change) for one in outcomes), 3, outcomes)
        self.assertEqual(sum(isinstance(one, Forbidden) for one in outcomes), 3)

    def test_crowds_that_meet(self) -> None:
        """Who brings the same people into different groups, named in any order, is never in another's way for good."""
        for number in range(3):
            self.make(f"g_{number}", number + 1)
        crowd = [10, 11, 12, 13, 14]
        outcomes = self.race(
            *(
                self.groups.add(f"g_{number}", number + 1, crowd[:: 1 - 2 * (number % 2)], 0)
                for number in range(3)
            )
        )
        self.assertEqual([isinstance(one, Change) for one in outcomes], [True] * 3, outcomes)


class InTheWay(RacingCase):
    """What InnoDB undoes for another's sake is done all the same."""

    def setUp(self) -> None:
        super().setUp()
        accounts = SqlAccounts(self.database)
        for user_id in (1, 2):
            account = Account(user_id, f"user{user_id}", "", ACTIVE, 1, 0)
            self.run_(accounts.add(account, "", Login(user_id, "d", "L", "", 0, 0)))

    def bump(self, connection: Connection, user_id: int) -> None:
        more = update(users).where(users.c.id == user_id).values(token_version=users.c.token_version + 1)
        connection.execute(more)

    def versions(self) -> list[int]:
        query = select(users.c.token_version).order_by(users.c.id)
        return self.run_(self.database.read(lambda c: list(c.execute(query).scalars())))

    def test_deadlock(self) -> None:
        """Two that lock the same rows in opposite order are both done, each once."""
        both_hold_one = Barrier(2)
        runs: list[int] = []

        def work(connection: Connection, first: int, second: int) -> None:
            runs.append(first)
            self.bump(connection, first)
            if len(runs) <= 2:
                both_hold_one.wait(timeout=10)
            self.bump(connection, second)

        outcomes = self.race(
            self.database.write(lambda c: work(c, 1, 2)), self.database.write(lambda c: work(c, 2, 1))
        )
        self.assertEqual((outcomes, self.versions()), ([None, None], [3, 3]))
        self.assertEqual(len(runs), 3)

    def test_lock_is_held(self) -> None:
        """Who holds a lock for longer than one waits for it only delays; for good, the answer is busy."""
        held, over = Event(), Event()

        def hold(connection: Connection) -> None:
            self.bump(connection, 1)
            held.set()
            over.wait(timeout=30)

        def want(connection: Connection) -> None:
            held.wait(timeout=10)
            self.bump(connection, 1)

        Timer(1.5, over.set).start()
        outcomes = self.race(self.database.write(hold), self.database.write(want))
        self.assertEqual((outcomes, self.versions()), ([None, None], [3, 1]))

    def test_lock_is_never_given_up(self) -> None:
        """A lock that is not given up makes the store busy, and nothing was done."""
        held, over = Event(), Event()

        def hold(connection: Connection) -> None:
            self.bump(connection, 1)
            held.set()
            over.wait(timeout=30)

        def want(connection: Connection) -> None:
            held.wait(timeout=10)
            connection.execute(text("SET SESSION innodb_lock_wait_timeout = 0"))
            self.bump(connection, 2)
            try:
                self.bump(connection, 1)
            finally:
                connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))

        async def wanted() -> None:
            try:
                await self.database.write(want)
            finally:
                over.set()

        outcomes = self.race(self.database.write(hold), wanted())
        self.assertIsInstance(outcomes[1], ServerBusy)
        self.assertEqual(self.versions(), [2, 1])

    def test_snapshot(self) -> None:
        """A read sees one moment, whatever is committed between its statements; and it cannot write."""

        def read(connection: Connection) -> list[int]:
            count = select(func.count()).select_from(logins)
            before = connection.execute(count).scalar_one()
            with self.engine.begin() as other:
                other.execute(logins.delete())
            return [before, connection.execute(count).scalar_one()]

        self.assertEqual(self.run_(self.database.read(read)), [2, 2])
        with self.assertRaises(ServerBusy):
            self.run_(self.database.read(lambda c: self.bump(c, 1)))
