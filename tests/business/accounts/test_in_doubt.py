"""What of an account is told when nobody knows whether it was done."""

from __future__ import annotations

from typing import Any

from imd.business.accounts.sql_device_bans import SqlDeviceBans
from imd.business.accounts.sql_states import SqlAccountStates
from imd.business.relations.sql_blocks import SqlBlocks, SqlPrivacies, SqlRelations
from imd.business.relations.sql_friends import SqlFriends
from imd.business.relations.sql_requests import SqlRequests
from imd.config.sections import Accounts, Config, Limits
from imd.kernel.errors import OutcomeUnknown, ServerBusy
from tests.business.relations.people import Somebody, people
from tests.business.world import PASSWORD, WorldCase

CONFIG = Config(accounts=Accounts(device_failures=1), limits=Limits(logins_per_min=0))


class Doubt(WorldCase):
    """Alice, Bob, and their conversation."""

    def setUp(self) -> None:
        self.world = self.make_world(config=CONFIG)
        self.alice, self.bob = people(self.world, "alice", "bob")
        self.name = self.alice.opens(self.bob)
        self.alice.asks(self.bob)
        self.world.heard.clear()

    def fails(self, store: type, name: str, error: Exception | None = None) -> None:
        """The commit of this goes unanswered."""

        async def write(*_: Any, **__: Any) -> Any:
            raise error or OutcomeUnknown("the database failed while it was writing; ask again")

        self.patch(store, name, write)

    def told(self) -> list[tuple[str, Any]]:
        """What core hears: whose logins, which conversations at which versions, whose sight."""
        told: list[tuple[str, Any]] = []
        for event in self.world.invalidations:
            what = str(event.WhichOneof("what"))
            if what == "revoked":
                told.append(
                    (what, (event.revoked.userId, list(event.revoked.loginIds), event.revoked.reason))
                )
            elif what == "changed":
                told.append((what, (list(event.changed.conversationIds), list(event.changed.versions))))
            else:
                told.append((what, (event.sight.userId, list(event.sight.peerIds))))
        return told

    def in_doubt(self, somebody: Somebody, method: str, path: str, body: Any = None) -> None:
        self.assertEqual(somebody.call(method, path, body).status, 503)

    def test_pairs(self) -> None:
        """Whatever may be between two: their conversation counts as changed, without a version, and their sight."""
        for store, name, somebody, method, path in (
            (SqlBlocks, "block", self.alice, "PUT", f"/blocks/{self.bob.id}"),
            (SqlBlocks, "lift", self.alice, "DELETE", f"/blocks/{self.bob.id}"),
            (SqlFriends, "part", self.alice, "DELETE", f"/friends/{self.bob.id}"),
            (SqlRequests, "accept", self.bob, "POST", f"/friend-requests/{self.alice.id}/accept"),
        ):
            self.fails(store, name)
            self.world.heard.clear()
            self.in_doubt(somebody, method, path)
            other = self.alice if somebody is self.bob else self.bob
            expected = [("changed", ([self.name], [0])), ("sight", (somebody.id, [other.id]))]
            self.assertEqual(self.told(), expected, path)

    def test_privacy(self) -> None:
        """All conversations of the user, and who sees them."""
        self.fails(SqlPrivacies, "set_privacy")
        self.in_doubt(self.alice, "PATCH", "/me/privacy", {"messageFrom": "friends"})
        self.assertEqual(self.told(), [("changed", ([self.name], [0])), ("sight", (self.alice.id, []))])

    def test_freeze(self) -> None:
        """The logins that may have ended too, by their age."""
        self.fails(SqlAccountStates, "change")
        body = {"state": "frozen", "reason": "x"}
        reply = self.world.operate("PUT", f"/accounts/{self.alice.id}/state", body)
        self.assertEqual(reply.status, 503)
        expected = [
            ("revoked", (self.alice.id, [], "frozen")),
            ("changed", ([self.name], [0])),
            ("sight", (self.alice.id, [])),
        ]
        self.assertEqual(self.told(), expected)

    def test_delete(self) -> None:
        """The same, and the account can be deleted again."""
        self.fails(SqlAccountStates, "delete")
        self.in_doubt(self.alice, "DELETE", "/me", {"password": PASSWORD})
        self.assertEqual([what for what, _ in self.told()], ["revoked", "changed", "sight"])

    def test_bar(self) -> None:
        """A device that may be barred: its sessions end."""
        self.fails(SqlDeviceBans, "bar")
        body = {"oldPassword": "wrong", "newPassword": "another one"}
        self.assertEqual(self.alice.call("POST", "/password", body).status, 400)
        self.assertEqual(self.told(), [("revoked", (self.alice.id, [], "device_barred"))])

    def test_cannot_count(self) -> None:
        """While failures cannot be counted, logging in goes on as it is."""
        self.fails(SqlDeviceBans, "count", ServerBusy("down"))
        body = {"handle": "alice", "password": "wrong", "deviceId": "d"}
        self.assertEqual(self.world.call("POST", "/login", body).status, 401)
        self.assertEqual(self.world.login("alice", device="d").status, 200)

    def test_all_unknown(self) -> None:
        """If not even the conversations can be looked up, it is told whose sight changed."""
        self.fails(SqlPrivacies, "set_privacy")
        self.fails(SqlRelations, "maybe_changed", ServerBusy("down"))
        self.in_doubt(self.alice, "PATCH", "/me/privacy", {"messageFrom": "friends"})
        self.assertEqual(self.told(), [("sight", (self.alice.id, []))])
