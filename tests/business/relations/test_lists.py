"""The friend list, as devices keep it."""

from __future__ import annotations

from sqlalchemy import update

from imd.business.relations import sql_groups, sql_lists
from imd.business.tables.people import users
from tests.business.relations.people import people
from tests.business.world import WorldCase


class Lists(WorldCase):
    """What a device is told of what it does not know."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob, self.carol, self.dora, self.eve = people(
            self.world, "alice", "bob", "carol", "dora", "eve"
        )
        for other in (self.bob, self.carol, self.dora):
            other.befriends(self.alice)

    def test_everything(self) -> None:
        """A device that knows nothing gets all, in pages, and is told to forget what it had."""
        told = self.alice.friends()
        self.assertTrue(told["full"])
        self.assertEqual(set(told["friends"]), {self.bob.id, self.carol.id, self.dora.id})
        self.assertEqual((told["removed"], told["groups"]), (set(), []))
        bob = told["friends"][self.bob.id]
        self.assertEqual((bob["handle"], bob["remark"], bob["friendGroupId"]), ("bob", "", "0"))

    def test_nothing_new(self) -> None:
        """A device that knows all is told nothing."""
        version = self.alice.friends()["version"]
        told = self.alice.friends(version)
        self.assertEqual(
            (told["full"], told["friends"], told["removed"], told["groups"]), (False, {}, set(), None)
        )
        self.assertEqual(told["version"], version)

    def test_changes(self) -> None:
        """What came, what is different and who is gone since then, each once, as it is now."""
        version = self.alice.friends()["version"]
        self.alice.does("DELETE", f"/friends/{self.bob.id}")
        self.alice.does("PATCH", f"/friends/{self.carol.id}", {"remark": "C."})
        self.eve.befriends(self.alice)
        self.alice.does("PATCH", f"/friends/{self.eve.id}", {"remark": "E."})
        told = self.alice.friends(version)
        self.assertFalse(told["full"])
        self.assertEqual(told["removed"], {self.bob.id})
        remarks = {friend_id: one["remark"] for friend_id, one in told["friends"].items()}
        self.assertEqual(remarks, {self.carol.id: "C.", self.eve.id: "E."})
        bobs = self.bob.friends()
        self.assertEqual((bobs["friends"], bobs["removed"]), ({}, set()))

    def test_back_again(self) -> None:
        """Who was removed and is back is a friend, and no remark is left of before."""
        self.alice.does("PATCH", f"/friends/{self.bob.id}", {"remark": "B."})
        version = self.alice.friends()["version"]
        self.alice.does("DELETE", f"/friends/{self.bob.id}")
        self.bob.befriends(self.alice)
        told = self.alice.friends(version)
        self.assertEqual((told["removed"], told["friends"][self.bob.id]["remark"]), (set(), ""))

    def test_removed_while_reading(self) -> None:
        """Who goes between two pages of the whole list is told as gone on the next."""
        page = self.alice.does("GET", "/friends?limit=1")
        self.assertTrue(page["full"] and page["more"])
        first = int(page["friends"][0]["userId"])
        self.alice.does("DELETE", f"/friends/{first}")
        told = self.alice.friends(page["version"])
        self.assertFalse(told["full"])
        self.assertEqual((told["removed"], len(told["friends"])), ({first}, 2))

    def test_forgotten_ends(self) -> None:
        """When too many ends were forgotten since then, all is told anew; a reading that goes on is not disturbed."""
        self.patch(sql_lists, "TOMBSTONES_MAX", 0)
        self.patch(sql_lists, "_TOMBSTONES", sql_lists._TOMBSTONES.offset(0))
        version = self.alice.friends()["version"]
        self.alice.does("DELETE", f"/friends/{self.bob.id}")
        told = self.alice.friends(version)
        self.assertEqual((told["full"], set(told["friends"])), (True, {self.carol.id, self.dora.id}))
        self.assertEqual(self.alice.friends(told["version"])["friends"], {})

    def test_database_went_back(self) -> None:
        """A version that was never given begins a new epoch: then every device reads all."""
        version = self.alice.friends()["version"]
        back = (
            update(users)
            .where(users.c.id == self.alice.id)
            .values(friends_version=users.c.friends_version - 1)
        )
        self.world.run(self.world.database.write(lambda c: c.execute(back).rowcount))
        other_device = self.alice.does("GET", "/friends?limit=1")["version"]
        self.assertTrue(self.alice.friends(version)["full"])
        self.assertTrue(self.alice.friends(other_device)["full"])
        self.assertFalse(self.alice.friends(self.alice.friends()["version"])["full"])

    def test_somebody_elses(self) -> None:
        """The version of another user's list is worth nothing."""
        self.assertTrue(self.alice.friends(self.bob.friends()["version"])["full"])

    def test_part_twice(self) -> None:
        """Who is no friend can be removed all the same, also somebody who never was anybody."""
        for user_id in (self.bob.id, self.bob.id, 12345):
            self.alice.does("DELETE", f"/friends/{user_id}")
        self.assertEqual(self.alice.refused("DELETE", f"/friends/{self.alice.id}"), (400, "", "userId"))

    def test_describe(self) -> None:
        """Only friends have a remark, only the user sees it, and it is a line of text."""
        self.alice.does("PATCH", f"/friends/{self.bob.id}", {"remark": " my boss "})
        self.assertEqual(self.alice.friends()["friends"][self.bob.id]["remark"], "my boss")
        self.assertEqual(self.bob.friends()["friends"][self.alice.id]["remark"], "")
        for user_id in (self.eve.id, 12345):
            self.assertEqual(
                self.alice.refused("PATCH", f"/friends/{user_id}", {"remark": "x"}), (403, "", "userId")
            )
        for remark in ("x" * 65, "a\u202eb"):
            self.assertEqual(
                self.alice.refused("PATCH", f"/friends/{self.bob.id}", {"remark": remark}),
                (400, "", "remark"),
            )


class Groups(WorldCase):
    """Friend groups."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob = people(self.world, "alice", "bob")
        self.alice.befriends(self.bob)
        self.ids = [
            self.alice.does("POST", "/friend-groups", {"name": name})["friendGroupId"]
            for name in ("A", "B", "C")
        ]

    def test_order(self) -> None:
        """They are in the order of coming until they are moved, and a device hears of it."""
        version = self.alice.friends()["version"]
        self.alice.does("PATCH", f"/friend-groups/{self.ids[2]}", {"position": 0})
        self.assertEqual(self.alice.friends(version)["groups"], ["C", "A", "B"])
        self.alice.does("PATCH", f"/friend-groups/{self.ids[2]}", {"position": 99, "name": "D"})
        self.assertEqual(self.alice.friends(version)["groups"], ["A", "B", "D"])

    def test_remove(self) -> None:
        """Whoever was in a group that is removed is in none, and a device hears of both."""
        self.alice.does("PATCH", f"/friends/{self.bob.id}", {"friendGroupId": self.ids[1]})
        version = self.alice.friends()["version"]
        self.assertEqual(self.alice.friends()["friends"][self.bob.id]["friendGroupId"], self.ids[1])
        self.alice.does("DELETE", f"/friend-groups/{self.ids[1]}")
        told = self.alice.friends(version)
        self.assertEqual((told["groups"], told["friends"][self.bob.id]["friendGroupId"]), (["A", "C"], "0"))

    def test_foreign(self) -> None:
        """Somebody else's group is as unknown as one that never was."""
        for group_id in (self.ids[0], "7"):
            self.assertEqual(
                self.bob.refused("DELETE", f"/friend-groups/{group_id}"), (403, "", "friendGroupId")
            )
            self.assertEqual(
                self.bob.refused("PATCH", f"/friend-groups/{group_id}", {"name": "X"}),
                (403, "", "friendGroupId"),
            )
            self.assertEqual(
                self.bob.refused("PATCH", f"/friends/{self.alice.id}", {"friendGroupId": group_id}),
                (403, "", "friendGroupId"),
            )

    def test_bounds(self) -> None:
        """Names are lines of text, and groups are few."""
        for name in ("", "  ", "x" * 65, "a\nb"):
            self.assertEqual(
                self.alice.refused("POST", "/friend-groups", {"name": name}), (400, "", "name"), name
            )
        self.patch(sql_groups, "FRIEND_GROUPS_MAX", 3)
        self.assertEqual(self.alice.refused("POST", "/friend-groups", {"name": "D"}), (403, "too_many", ""))
