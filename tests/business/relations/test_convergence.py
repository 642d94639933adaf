"""However changes and readings of a friend list interleave, every device ends up with the list as it is."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, update
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.model import ACTIVE
from imd.business.relations import sql_lists
from imd.business.relations.ports import Friend
from imd.business.relations.sql_friends import SqlFriends
from imd.business.relations.sql_requests import SqlRequests
from imd.business.relations.synced import NOWHERE, parse_place
from imd.business.schema import open_business
from imd.business.tables.people import friend_requests, friends, users
from imd.kernel.errors import Forbidden
from imd.storage.sql import Database
from tests.business.world import at_once
from tests.contract.driving import drive

OWNER = 1
OTHERS = range(2, 8)
DEVICES = 2

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("befriend"), st.sampled_from(OTHERS)),
        st.tuples(st.just("part"), st.sampled_from(OTHERS)),
        st.tuples(st.just("describe"), st.sampled_from(OTHERS)),
        st.tuples(st.just("read"), st.integers(0, DEVICES - 1)),
        st.tuples(st.just("restore"), st.just(0)),
    ),
    max_size=60,
)


class Device:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.place = ""
        self.friends: dict[int, str] = {}

    def take(self, told: Any) -> None:
        if told.full:
            self.friends.clear()
        for one in told.friends:
            self._take(one)
        self.place = str(told.place)

    def _take(self, one: Friend) -> None:
        if one.ended:
            self.friends.pop(one.user_id, None)
        else:
            self.friends[one.user_id] = one.remark


class Converging(SynchronousTestCase):
    """One list, six others, two devices that read two entries at a time."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.database = Database(connect=lambda: open_business(None), threads=at_once, clock=self.clock)
        self.run_(self.database.start())
        self.requests, self.friends = SqlRequests(self.database), SqlFriends(self.database)

    def begin(self) -> None:
        """Nobody knows anybody."""
        self.devices = [Device() for _ in range(DEVICES)]
        self.saved: tuple[Any, list[Any]] | None = None
        self.said = 0
        rows = [
            {"id": user_id, "handle": f"user{user_id}", "display_name": "", "password_hash": "",
             "status": ACTIVE, "token_version": 1, "created_at_ms": 0}
            for user_id in (OWNER, *OTHERS)
        ]  # fmt: skip

        def work(connection: Connection) -> None:
            for table in (friends, friend_requests, users):
                connection.execute(table.delete())
            connection.execute(insert(users), rows)

        self.run_(self.database.write(work))

    def run_(self, work: Any) -> Any:
        return drive(self.clock, work)

    def truth(self) -> dict[int, str]:
        place, found = NOWHERE, Device()
        while True:
            told = self.run_(self.friends.page(OWNER, place, limit=3))
            found.take(told)
            place = told.place
            if not told.more:
                return found.friends

    def befriend(self, other_id: int) -> None:
        self.run_(self.requests.ask(other_id, OWNER, "", 0))
        try:
            self.run_(self.requests.accept(OWNER, other_id, 0))
        except Forbidden:
            # They are friends.
            return

    def part(self, other_id: int) -> None:
        self.run_(self.friends.part(OWNER, other_id, 9))

    def describe(self, other_id: int) -> None:
        self.said += 1
        try:
            work = self.friends.describe(OWNER, other_id, remark=f"r{self.said}", friend_group_id=None)
            self.run_(work)
        except Forbidden:
            return

    def read(self, number: int) -> bool:
        """One page; whether there is another."""
        device = self.devices[number]
        told = self.run_(self.friends.page(OWNER, parse_place(device.place), limit=2))
        device.take(told)
        return bool(told.more)

    def restore(self, _: int) -> None:
        """The database is as it was at the last time, if there was one; then this is the next."""

        def work(connection: Connection) -> tuple[Any, list[Any]]:
            version = connection.execute(users.select().where(users.c.id == OWNER)).one()
            rows = connection.execute(friends.select().where(friends.c.user_id == OWNER)).all()
            return version, list(rows)

        def back(connection: Connection) -> None:
            assert self.saved is not None
            head, rows = self.saved
            # The epoch is the list's own, and older backups have it as well.
            names = ("friends_version", "friends_floor")
            connection.execute(
                update(users).where(users.c.id == OWNER).values({name: getattr(head, name) for name in names})
            )
            connection.execute(friends.delete().where(friends.c.user_id == OWNER))
            for row in rows:
                connection.execute(insert(friends), dict(row._mapping))

        if self.saved is not None:
            self.run_(self.database.write(back))
            # Whoever comes first and shows a version from the future makes that plain for all; before that, what was
            # changed since may have the versions of what is gone.
            for number in range(DEVICES):
                self.read(number)
        self.saved = self.run_(self.database.read(work))

    def converge(self, steps: list[tuple[str, int]]) -> None:
        self.begin()
        for step, argument in steps:
            getattr(self, step)(argument)
        for number in range(DEVICES):
            for _ in range(20):
                if not self.read(number):
                    break
            self.assertEqual(self.devices[number].friends, self.truth())
            self.assertFalse(self.read(number))


class Remembering(Converging):
    """As it is."""

    @settings(max_examples=30, deadline=None)
    @given(STEPS)
    def test_every_device(self, steps: list[tuple[str, int]]) -> None:
        """After a reading to the end each device has exactly the friends that there are, with their remarks."""
        self.converge(steps)


class Forgetting(Converging):
    """While ends of friendships are forgotten almost at once."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(sql_lists, "TOMBSTONES_MAX", 1)
        self.patch(sql_lists, "_TOMBSTONES", sql_lists._TOMBSTONES.offset(0))

    @settings(max_examples=30, deadline=None)
    @given(STEPS)
    def test_every_device(self, steps: list[tuple[str, int]]) -> None:
        """The same."""
        self.converge(steps)
