"""The client's calls about groups, against the business role itself."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource

from imd.client import rest as rest_module
from imd.client.rest import RestClient
from imd.kernel.errors import Forbidden
from tests.business.groups.town import Town

T = TypeVar("T")


class Calls(Town):
    """Everybody has a client."""

    def setUp(self) -> None:
        super().setUp()
        root = Resource()
        root.putChild(b"api", self.world.parts.api)
        self.agent = RequestTraversalAgent(root)
        self.clients = {
            name: RestClient(
                server="http://chat.example.com",
                reactor=self.world.clock,
                token=person.token,
                agent=self.agent,
            )
            for name, person in self.people.items()
        }

    def ended(self, work: Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
        """All requests that it makes are answered."""
        running = Deferred.fromCoroutine(work)
        for _ in range(20):
            self.agent.flush()
            self.world.clock.advance(0)
        return running

    def run_(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """What it returns, or raises."""
        return self.successResultOf(self.ended(work))

    def refuse(self, work: Coroutine[Deferred[Any], Any, Any]) -> str:
        """The reason why it is refused."""
        return str(self.failureResultOf(self.ended(work), Forbidden).value.reason)

    def test_doors(self) -> None:
        """Looking, applying, being let in, taking back."""
        owner, stranger = self.clients["owner"].groups, self.clients["stranger"].groups
        self.run_(owner.change(self.group, joinPolicy="approval"))
        door = self.run_(stranger.door(self.group))
        self.assertEqual((door.title, door.policy, door.member_count), ("Fun", "approval", 5))
        self.assertFalse(self.run_(stranger.join(self.group, message="Please")))
        self.run_(stranger.cancel(self.group))
        self.run_(stranger.join(self.group, message="Please!"))
        (waiting,) = self.run_(owner.applications(self.group))
        self.assertEqual((waiting.handle, waiting.message), ("stranger", "Please!"))
        self.run_(owner.refuse(self.group, waiting.user_id))
        self.assertEqual([one.state for one in self.run_(stranger.my_applications())], ["refused"])
        self.run_(stranger.join(self.group))
        self.run_(owner.approve(self.group, waiting.user_id))
        self.assertTrue(self.run_(stranger.join(self.group)))

    def test_question(self) -> None:
        """The right answer opens, a wrong one is told in a word for programs."""
        owner, stranger = self.clients["owner"].groups, self.clients["stranger"].groups
        self.run_(owner.change(self.group, joinPolicy="question", question="Who?", answer="me"))
        self.assertEqual(self.refuse(stranger.join(self.group, answer="you")), "wrong_answer")
        self.assertTrue(self.run_(stranger.join(self.group, answer="ME")))

    def test_invitations(self) -> None:
        """Asking, declining, accepting."""
        admin, stranger = self.clients["admin"].groups, self.clients["stranger"].groups
        me = self.id_of("stranger")
        self.assertEqual(self.run_(admin.ask_in(self.group, [me], message="Come")), [me])
        (asked,) = self.run_(stranger.my_invitations())
        self.assertEqual((asked.by_user_id, asked.message), (self.id_of("admin"), "Come"))
        self.run_(stranger.decline(self.group))
        self.run_(admin.ask_in(self.group, [me]))
        self.assertTrue(self.run_(stranger.accept(self.group)))

    def test_order(self) -> None:
        """Mutes of one and all, the blacklist, and what one may do."""
        owner, member = self.clients["owner"].groups, self.clients["member"].groups
        me = self.id_of("member")
        self.run_(owner.mute(self.group, [me], seconds=60))
        self.run_(owner.mute_all(self.group))
        mine = self.run_(member.role(self.group))
        self.assertEqual((mine.role, mine.rights), ("member", {"message", "media", "control"}))
        self.assertEqual(mine.muted_until_ms, self.world.now_ms() + 60_000)
        self.assertGreater(mine.all_muted_until_ms, mine.muted_until_ms)
        self.run_(owner.mute(self.group, [me], seconds=0))
        self.assertEqual(self.run_(member.role(self.group)).muted_until_ms, 0)
        self.assertEqual(self.run_(owner.keep_out(self.group, [me], reason="Noise")), [me])
        self.assertEqual(self.run_(owner.kept_out(self.group)), [me])
        self.run_(owner.keep_out_no_more(self.group, me))
        self.assertEqual(self.run_(owner.kept_out(self.group)), [])

    def test_details(self) -> None:
        """Titles, announcements, wishes."""
        owner, member = self.clients["owner"].groups, self.clients["member"].groups
        self.run_(owner.set_title(self.group, self.id_of("member"), "Chef"))
        for text in ("Read this", ""):
            self.run_(owner.announce(self.group, text))
        self.run_(member.wish(self.group, nickname="Bee", pinned=True))
        mine = self.run_(member.own(self.group))
        self.assertEqual((mine.nickname, mine.title, mine.pinned), ("Bee", "Chef", True))
        self.assertEqual((mine.do_not_disturb, mine.visible_from), (False, 0))

    def test_large(self) -> None:
        """A group of more people than one request takes is made piece by piece."""
        self.patch(rest_module, "MEMBERS_PER_REQUEST", 2)
        names = ("admin", "other-admin", "member", "other-member", "stranger")
        group = self.run_(self.clients["owner"].create_group("All", [self.id_of(name) for name in names]))
        found = self.run_(self.clients["stranger"].members(group.conversation_id))
        self.assertEqual(len(found), 6)
