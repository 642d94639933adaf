"""The end of an account, by its user or by operators."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, select

from imd.business.accounts import close
from imd.business.relations.sql_blocks import SqlRelations
from imd.business.tables.people import (
    blocks,
    direct_conversations,
    friend_groups,
    friend_requests,
    friends,
    logins,
    users,
)
from imd.kernel.ids import direct_conversation_id
from tests.business.relations.people import Somebody, people
from tests.business.world import PASSWORD, WorldCase


def _rows(connection: Connection, query: Select[Any]) -> list[Any]:
    return list(connection.execute(query))


class Ending(WorldCase):
    """Alice, who has friends and a group, and a conversation with Bob."""

    def setUp(self) -> None:
        self.world = self.make_world()
        self.alice, self.bob, self.carol = people(self.world, "alice", "bob", "carol")
        self.alice.befriends(self.bob)
        self.name = self.alice.opens(self.bob)

    def group(self, owner: Somebody, *others: Somebody) -> str:
        body = {"title": "Fun", "memberIds": [str(one.id) for one in others]}
        return str(owner.does("POST", "/groups", body)["conversationId"])

    def events(self, action: str) -> list[Any]:
        return list(self.world.operate("GET", f"/audit?action={action}").json["events"])

    def may_write(self, one: Somebody, other: Somebody) -> bool:
        relations = SqlRelations(self.world.database)
        return one.id not in self.world.run(relations.refused(one.id, other.id))


class Deleting(Ending):
    """By the user."""

    def delete(self, password: str = PASSWORD) -> Any:
        return self.alice.call("DELETE", "/me", {"password": password})

    def test_delete(self) -> None:
        """All logins end, nobody finds, befriends or writes to them any more, and the handle stays taken."""
        laptop = self.world.login("alice", device="laptop").json["token"]
        version = self.bob.friends()["version"]
        self.assertEqual(self.delete().status, 200)
        self.assertEqual(
            [self.world.call("GET", "/me", token=one).status for one in (self.alice.token, laptop)], [401] * 2
        )
        self.assertEqual(self.world.login("alice").status, 401)
        self.assertEqual(self.bob.refused("GET", "/users/alice")[0], 404)
        self.assertEqual(self.bob.does("GET", f"/users?ids={self.alice.id}")["users"], [])
        self.assertEqual(self.bob.does("GET", "/search/users?prefix=alice")["users"], [])
        self.assertEqual(self.bob.friends(version)["removed"], {self.alice.id})
        self.assertFalse(self.may_write(self.bob, self.alice))
        body = {"handle": "alice", "password": PASSWORD, "deviceId": "d"}
        self.assertEqual(self.world.call("POST", "/register", body).error[2], "handle")
        self.assertEqual(len(self.events("account.delete")), 1)

    def test_nothing_left(self) -> None:
        """No word of theirs is left, and no row that hangs on them but the end of friendships in others' lists."""
        self.alice.does(
            "PATCH", "/me", {"displayName": "Alice", "about": "x", "avatarUrl": "https://a.example.com/"}
        )
        self.alice.does("POST", "/friend-groups", {"name": "A"})
        self.alice.asks(self.carol)
        self.carol.blocks(self.alice)
        self.delete()
        queries = {
            "friends": select(friends.c.friend_id).where(friends.c.user_id == self.alice.id),
            "friend_groups": select(friend_groups.c.id),
            "friend_requests": select(friend_requests.c.state),
            "blocks": select(blocks.c.user_id),
            "logins": select(logins.c.login_id).where(logins.c.user_id == self.alice.id),
        }
        for name, query in queries.items():
            self.assertEqual(self.world.run(self.world.database.read(partial(_rows, query=query))), [], name)
        query = select(users.c.display_name, users.c.about, users.c.avatar_url, users.c.password_hash)
        row = self.world.run(
            self.world.database.read(lambda c: c.execute(query.where(users.c.id == self.alice.id)).one())
        )
        self.assertEqual(tuple(row), ("", "", "", "!"))

    def test_groups(self) -> None:
        """They leave their groups with a notice; a group of theirs alone ends with them."""
        shared, alone = self.group(self.bob, self.alice), self.group(self.alice)
        self.delete()
        members = self.bob.does("GET", f"/groups/{shared}/members")["members"]
        self.assertEqual([one["handle"] for one in members], ["bob"])
        left = [one for one in self.world.notices if one.conversationId == shared]
        self.assertEqual(left[-1].notice.event, "group.left")
        removed = [one for one in self.world.invalidations if one.conversationId == alone]
        self.assertEqual(list(removed[-1].removedIds), [self.alice.id])

    def test_owner(self) -> None:
        """Who owns a group of others has to give it away first; it is named, and nothing is done."""
        name = self.group(self.alice, self.bob)
        reply = self.delete()
        self.assertEqual((reply.status, reply.json["error"]["reason"]), (403, "owner"))
        self.assertIn(name, reply.json["error"]["message"])
        self.assertEqual(set(self.bob.friends()["friends"]), {self.alice.id})
        self.alice.does("POST", f"/groups/{name}/transfer", {"userId": str(self.bob.id)})
        self.assertEqual(self.delete().status, 200)

    def test_wrong_password(self) -> None:
        """A token alone does not end an account, and guessing is as slow as at the login."""
        replies = [self.delete("wrong") for _ in range(11)]
        self.assertEqual([reply.status for reply in replies], [400] * 10 + [429])
        self.assertEqual(replies[0].error[2], "password")
        self.assertEqual(self.alice.call("GET", "/me").status, 200)

    def test_many_friends(self) -> None:
        """However many friends there are, all friendships end, some at a time."""
        self.patch(close, "_FRIENDS_AT_ONCE", 1)
        self.alice.befriends(self.carol)
        self.assertEqual(self.delete().status, 200)
        self.assertEqual([self.bob.friends()["friends"], self.carol.friends()["friends"]], [{}, {}])

    def test_announced(self) -> None:
        """Core hears that the logins ended, that the conversation's rules changed, and that sight did."""
        self.world.heard.clear()
        self.delete()
        kinds = [event.WhichOneof("what") for event in self.world.invalidations]
        self.assertEqual(kinds, ["revoked", "changed", "sight"])
        revoked, changed, _ = self.world.invalidations
        self.assertEqual((revoked.revoked.reason, len(revoked.revoked.loginIds)), ("deleted", 1))
        self.assertEqual(list(changed.changed.conversationIds), [self.name])


class Freezing(Ending):
    """By operators."""

    def put(self, state: str, reason: str = "spam", user_id: int = 0) -> Any:
        body = {"state": state, "reason": reason}
        return self.world.operate("PUT", f"/accounts/{user_id or self.alice.id}/state", body)

    def test_freeze_and_thaw(self) -> None:
        """Logins end at once and come back only after it is thawed; friends and groups stay."""
        frozen = self.put("frozen").json
        self.assertEqual((frozen["state"], frozen["reason"], frozen["handle"]), ("frozen", "spam", "alice"))
        self.assertEqual(self.alice.call("GET", "/me").status, 401)
        self.assertEqual(self.world.login("alice").json["error"]["reason"], "frozen")
        self.assertFalse(self.may_write(self.bob, self.alice))
        self.assertFalse(self.may_write(self.alice, self.bob))
        self.world.clock.advance(9)
        thawed = self.put("active", "a mistake").json
        self.assertEqual((thawed["state"], thawed["reason"]), ("active", "a mistake"))
        self.assertEqual(thawed["since"] - frozen["since"], 9000)
        self.alice.token = self.world.login("alice").json["token"]
        self.assertEqual(set(self.alice.friends()["friends"]), {self.bob.id})
        self.assertTrue(self.may_write(self.bob, self.alice))

    def test_versions(self) -> None:
        """Each change is a new version of the user's conversations; the same again is none."""
        for state in ("frozen", "frozen", "active", "active"):
            self.assertEqual(self.put(state).status, 200)
        changed = [one.changed for one in self.world.invalidations if one.WhichOneof("what") == "changed"]
        self.assertEqual([list(one.conversationIds) for one in changed], [[self.name]] * 2)
        self.assertEqual([list(one.versions) for one in changed], [[2], [3]])

    def test_written_down(self) -> None:
        """Who looks later finds what was done and why."""
        self.put("frozen", "sold pills")
        self.put("active", "")
        (freeze,) = self.events("account.freeze")
        self.assertEqual((freeze["subjectId"], freeze["reason"]), (str(self.alice.id), "sold pills"))
        self.assertEqual(len(self.events("account.thaw")), 1)

    def test_wrong_input(self) -> None:
        """No reason, no such user, no such state, no id; and a deleted account stays so."""
        self.assertEqual(self.put("frozen", " ").error[2], "reason")
        self.assertEqual(self.put("frozen", "x" * 201).error[2], "reason")
        self.assertEqual(self.put("deleted").error[2], "state")
        self.assertEqual(self.put("frozen", user_id=12345).status, 404)
        self.assertEqual(self.world.operate("GET", "/accounts/12345/state").status, 404)
        self.assertEqual(self.world.operate("GET", "/accounts/x/state").status, 400)
        self.alice.does("DELETE", "/me", {"password": PASSWORD})
        self.assertEqual(self.put("active").json["error"]["reason"], "deleted")
        self.assertEqual(
            self.world.operate("GET", f"/accounts/{self.alice.id}/state").json["state"], "deleted"
        )

    def test_operators_only(self) -> None:
        """No user freezes anybody."""
        path = f"/operator/accounts/{self.bob.id}/state"
        self.assertEqual(self.alice.call("PUT", path, {"state": "frozen", "reason": "x"}).status, 401)
        self.assertEqual(self.alice.call("GET", path).status, 401)

    def test_many_conversations(self) -> None:
        """What hangs on somebody who knows many is told in a few events, each conversation once."""
        count = 250
        now = self.world.now_ms()
        others = range(1000, 1000 + count)
        rows = [
            {"id": other_id, "handle": f"u{other_id}", "display_name": "", "password_hash": "", "status": 1,
             "token_version": 1, "created_at_ms": now}
            for other_id in others
        ]  # fmt: skip
        pairs = [
            {"id": direct_conversation_id(other_id, self.carol.id), "user_low": other_id,
             "user_high": self.carol.id, "created_at_ms": now}
            for other_id in others
        ]  # fmt: skip

        def populate(connection: Any) -> None:
            connection.execute(users.insert(), rows)
            connection.execute(direct_conversations.insert(), pairs)

        self.world.run(self.world.database.write(populate))
        self.put("frozen", user_id=self.carol.id)
        changed = [one.changed for one in self.world.invalidations if one.WhichOneof("what") == "changed"]
        self.assertEqual([len(one.conversationIds) for one in changed], [100, 100, 50])
        self.assertEqual(
            {name for one in changed for name in one.conversationIds}, {one["id"] for one in pairs}
        )
        self.assertEqual({version for one in changed for version in one.versions}, {2})
