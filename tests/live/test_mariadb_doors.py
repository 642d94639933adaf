"""Two business nodes, and many people at the door of a group at the same time."""

from __future__ import annotations

from typing import Any

from imd.business.groups.joining import ApplicationInput, JoinPolicy
from imd.business.groups.model import ADMIN, FOR_GOOD_MS, Change, Wishes
from imd.business.groups.sql_admissions import SqlAdmissions
from imd.business.groups.sql_details import SqlDetails
from imd.business.groups.sql_restrictions import SqlRestrictions
from imd.business.groups.sql_steps import Admitting
from imd.kernel.errors import Forbidden
from tests.live.test_mariadb_races import ROUNDS, GroupCase


class Doors(GroupCase):
    """Who comes in, who is kept out, who is mute: at the same time."""

    def setUp(self) -> None:
        super().setUp()
        admitting = Admitting(max_members=6, groups_per_user=3)
        self.admissions = SqlAdmissions(self.database, admitting=admitting)
        self.restrictions = SqlRestrictions(self.database)
        self.details = SqlDetails(self.database)

    def make_open(self, name: str, policy: JoinPolicy = JoinPolicy.OPEN) -> None:
        self.make(name, 1, 2)
        self.run_(
            self.groups.change(
                name, 1, lambda group: group._replace(rules=group.rules._replace(join_policy=policy))
            )
        )

    def join(self, name: str, user_id: int) -> Any:
        return self.admissions.join(name, user_id, sealed_answer="", message="", now_ms=9, visible_from=0)

    def decide(self, name: str, user_id: int, happens: ApplicationInput) -> Any:
        return self.admissions.decide(name, 1, user_id, happens, now_ms=9, visible_from=0)

    def members(self, name: str) -> set[int]:
        return {user_id for user_id, _ in self.check(name)[1]}

    def end(self, name: str) -> None:
        self.run_(self.groups.dissolve(name, 1, 9))

    def test_crowd_at_the_door(self) -> None:
        """Of a crowd that joins at once as many come in as fit, and the count is right."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make_open(name)
            outcomes = self.race(*(self.join(name, user_id) for user_id in range(3, 11)))
            self.assertEqual(sum(isinstance(one, Change) for one in outcomes), 4, outcomes)
            self.assertEqual(len(self.members(name)), 6)
            self.end(name)

    def test_joined_twice(self) -> None:
        """Who joins from two devices at once is in it once."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make_open(name)
            outcomes = self.race(self.join(name, 3), self.join(name, 3), self.groups.add(name, 1, [3], 9))
            self.assertEqual(sum(bool(one.user_ids) for one in outcomes), 1, outcomes)
            self.assertEqual(self.members(name), {1, 2, 3})
            self.end(name)

    def test_kept_out_while_joining(self) -> None:
        """Who is kept out while they join is out in the end, whatever came first."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make_open(name)
            self.race(self.join(name, 3), self.restrictions.bar(name, 1, [3], "", 9))
            self.assertEqual(self.members(name), {1, 2})
            self.assertIsInstance(self.race(self.join(name, 3))[0], Forbidden)
            self.end(name)

    def test_approved_and_cancelled(self) -> None:
        """Of a yes, a no and a second thought about one application one counts, and membership follows it."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make_open(name, JoinPolicy.APPROVAL)
            self.run_(self.join(name, 3))
            outcomes = self.race(
                self.decide(name, 3, ApplicationInput.APPROVE),
                self.decide(name, 3, ApplicationInput.REFUSE),
                self.admissions.cancel(name, 3, 9),
            )
            self.assertEqual(sum(isinstance(one, Forbidden) for one in outcomes), 2, outcomes)
            self.assertEqual(3 in self.members(name), isinstance(outcomes[0], Change))
            self.end(name)

    def test_mute_while_leaving(self) -> None:
        """Who leaves while they are muted either comes back mute, or was not mute."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make_open(name)
            muted, _ = self.race(
                self.restrictions.mute(name, 1, [2], FOR_GOOD_MS, 9), self.groups.leave(name, 2, 9)
            )
            back = self.run_(self.join(name, 2))
            self.assertEqual(list(back.restricted_ids), [2] if isinstance(muted, Change) else [])
            self.end(name)

    def test_wishes_while_kicked(self) -> None:
        """Who wishes for something while they are kicked is in nobody's way."""
        for number in range(ROUNDS):
            name = f"g_{number}"
            self.make_open(name)
            outcomes = self.race(
                self.details.wish(name, 2, Wishes(nickname="Bee")), self.groups.remove(name, 1, [2], 9)
            )
            self.assertIsInstance(outcomes[1], Change)
            self.assertEqual(self.members(name), {1})
            self.end(name)

    def test_many_changes(self) -> None:
        """Changes of every sort at once all take effect, each with a version of its own."""
        self.make_open("g_1")
        changes = self.race(
            self.restrictions.mute("g_1", 1, [2], FOR_GOOD_MS, 9),
            self.restrictions.mute_all("g_1", 1, FOR_GOOD_MS, 9),
            self.details.set_title("g_1", 1, 2, "Chef"),
            self.details.announce("g_1", 1, "Read this", 9),
            self.rename("g_1", "More"),
            self.join("g_1", 3),
            self.groups.add("g_1", 1, [4], 9),
            self.groups.set_role("g_1", 1, 2, ADMIN),
        )
        # A mute of somebody who was made admin before is as good: the owner stands above.
        self.assertEqual(sorted(change.group.version for change in changes), list(range(3, 11)))
