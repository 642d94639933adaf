"""What the client asks about people, against a scripted resource; the server's side is in tests/business."""

from __future__ import annotations

from typing import Any

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.client.people import Friend, FriendGroup, Profile
from imd.client.rest import RestClient
from tests.client.scripted import run
from tests.client.test_rest import LOGIN, Scripted

BOB = {"userId": "5", "handle": "bob", "displayName": "Bob"}
FRIEND = {**BOB, "avatarUrl": "", "remark": "B.", "friendGroupId": "9", "since": 7}
CAROL = {**FRIEND, "userId": "6", "handle": "carol"}


def page(version: str, *friends: Any, full: bool = False, more: bool = False, **more_fields: Any) -> Any:
    answer = {"version": version, "full": full, "friends": list(friends), "removed": [], "more": more}
    return 200, {**answer, "groups": None, **more_fields}


class PeopleTests(SynchronousTestCase):
    """One call at a time."""

    def rest(self, *answers: tuple[int, Any]) -> RestClient:
        self.resource = Scripted(*answers)
        self.agent = RequestTraversalAgent(self.resource)
        return RestClient(server="http://s:1/", reactor=Clock(), token="t", agent=self.agent)

    def result(self, call: Any) -> Any:
        running: Deferred[Any] = run(call)
        self.agent.flush()
        return self.successResultOf(running)

    def asked(self) -> list[tuple[str, str]]:
        return [(method, uri.removeprefix("/api/v1")) for method, uri, _, _ in self.resource.asked]

    def test_friend_list(self) -> None:
        """All pages are taken, then only what changed; who is gone is gone, and groups stay until they change."""
        rest = self.rest(
            page("1-5-6-3", FRIEND, full=True, more=True, groups=[{"friendGroupId": "9", "name": "Work"}]),
            page("1-8", CAROL),
            page("1-9", {**FRIEND, "remark": ""}, removed=["6", "77"]),
        )
        kept = rest.people.friend_list()
        self.result(kept.sync())
        self.assertEqual((set(kept.friends), kept.version), ({5, 6}, "1-8"))
        self.result(kept.sync())
        self.assertEqual(kept.friends, {5: Friend(5, "bob", "Bob", "", "", 9, 7)})
        self.assertEqual(kept.groups, [FriendGroup(9, "Work")])
        self.assertEqual(
            [path for _, path in self.asked()], ["/friends", "/friends?since=1-5-6-3", "/friends?since=1-8"]
        )

    def test_kept_list(self) -> None:
        """A list that was kept goes on where it was; a version without its list counts for nothing."""
        rest = self.rest(page("1-9", FRIEND, full=True), page("1-9"))
        kept = rest.people.friend_list(version="1-2", friends={6: Friend(6, "carol", "C", "", "", 0, 1)})
        self.result(kept.sync())
        self.assertEqual(set(kept.friends), {5})
        self.result(rest.people.friend_list(version="1-2").sync())
        self.assertEqual([path for _, path in self.asked()], ["/friends?since=1-2", "/friends"])

    def test_pages(self) -> None:
        """Lists are read to their end."""
        request = {"user": BOB, "state": "pending", "message": "hi"}
        rest = self.rest(
            (200, {"requests": [request], "next": "5"}), (200, {"requests": [request], "next": ""}),
            (200, {"blocks": [BOB], "next": ""}),
        )  # fmt: skip
        people = rest.people
        self.assertEqual(len(self.result(people.friend_requests(own=True))), 2)
        self.assertEqual(self.result(people.blocks()), [Profile(5, "bob", "Bob")])
        self.assertEqual(
            [path for _, path in self.asked()],
            ["/friend-requests?direction=out", "/friend-requests?direction=out&after=5", "/blocks"],
        )

    def test_many_ids(self) -> None:
        """More ids than the server takes at once go in several requests."""
        rest = self.rest((200, {"users": [BOB]}), (200, {"users": []}))
        self.assertEqual(len(self.result(rest.people.users(range(1, 151)))), 1)
        self.assertEqual([path.count("%2C") + path.count(",") for _, path in self.asked()], [99, 49])

    def test_what_is_not_given(self) -> None:
        """What is not given is not said, and so stays."""
        rest = self.rest((200, {"ok": True}), (200, {"ok": True}))
        people = rest.people
        self.result(people.describe_friend(5, group_id=0))
        self.result(people.change_friend_group(9, position=0))
        self.assertEqual(
            [body for _, _, body, _ in self.resource.asked], [{"friendGroupId": "0"}, {"position": 0}]
        )

    def test_new_token(self) -> None:
        """The token that comes with the end of all other logins is the one that counts from then on."""
        rest = self.rest((200, LOGIN), (200, {"devices": []}))
        people = rest.people
        self.assertEqual(self.result(rest.sign_out_others()).token, "fresh")
        self.result(people.devices())
        self.assertEqual(self.resource.asked[1][3], "Bearer fresh")
        self.assertEqual(self.asked(), [("DELETE", "/devices"), ("GET", "/devices")])
