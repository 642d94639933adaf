"""Tails that a first sync could not see yet, and that no other node could tell of yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import GROUP, ConversationEntry
from imd.kernel.errors import ServerBusy
from imd.pb.connection_pb2 import ConversationCursor
from imd.pb.sync_pb2 import ConversationState, SyncResp
from tests.core.gateway.world import FakeLink, World, connect


class Tails:
    """The log, as far as the newest seqs go."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.asked: list[list[str]] = []
        self.busy = False

    async def last_seqs(self, conversation_ids: Sequence[str]) -> Mapping[str, int]:
        self.asked.append(list(conversation_ids))
        if self.busy:
            raise ServerBusy("planted")
        return {each: self.newest[each] for each in conversation_ids if each in self.newest}


class SecondLookTests(SynchronousTestCase):
    """What happens about a second after somebody came."""

    def setUp(self) -> None:
        self.log = Tails()
        log: Any = self.log
        self.world = World(log=log, max_connections=1000, max_strangers=1000)
        self.knows("a", "b", "c")

    def knows(self, *conversation_ids: str) -> None:
        self.world.directory.conversations = [
            ConversationEntry(each, GROUP, 0, "", 3) for each in conversation_ids
        ]

    def comes(self, user_id: int = 1, **held: int) -> FakeLink:
        link = self.world.link()
        envelope = connect(user_id)
        for conversation_id, last_seq in held.items():
            envelope.connect.cursors.append(
                ConversationCursor(conversationId=conversation_id, lastSeq=last_seq)
            )
        link.says(envelope)
        link.heard()
        link.sent.clear()
        return link

    def passes(self, seconds: float = 2.0) -> None:
        for _ in range(round(seconds * 10)):
            self.world.clock.advance(0.1)

    def hints(self, link: FakeLink) -> dict[str, int]:
        link.heard()
        return {each.hint.conversationId: each.hint.lastSeq for each in link.sent if each.HasField("hint")}

    def test_moved(self) -> None:
        """Whoever was told less than there is now gets a hint for it; what has not moved is not mentioned."""
        self.world.pipeline.synced = SyncResp(behind=[ConversationState(conversationId="b", lastSeq=5)])
        link = self.comes(a=3, b=1)
        self.log.newest = {"a": 3, "b": 6, "c": 1}
        self.passes()
        self.assertEqual(self.hints(link), {"b": 6, "c": 1})
        link.sent.clear()
        self.passes(5)
        self.assertEqual((self.hints(link), len(self.log.asked)), ({}, 1))

    def test_one_question(self) -> None:
        """All who came within a second share questions of at most 500 conversations."""
        self.knows(*(f"c{number}" for number in range(600)))
        links = [self.comes(user_id) for user_id in range(1, 30)]
        self.log.newest = {"c7": 1}
        self.passes()
        self.assertEqual([len(asked) for asked in self.log.asked], [500, 100])
        self.assertEqual([self.hints(link) for link in links], [{"c7": 1}] * 29)

    def test_not_too_soon(self) -> None:
        """Also the last of them has had a second."""
        self.comes()
        self.passes(0.9)
        link = self.comes(2)
        self.passes(0.9)
        self.log.newest = {"a": 1}
        self.passes(0.3)
        self.assertEqual(self.hints(link), {"a": 1})

    def test_next_page(self) -> None:
        """What is on a later page of the sync is not looked up: the client asks for that itself."""
        self.world.pipeline.synced = SyncResp(
            behind=[ConversationState(conversationId="b", lastSeq=5)], nextPageToken="b"
        )
        self.comes()
        self.passes()
        self.assertEqual(self.log.asked, [["a", "b"]])

    def test_left(self) -> None:
        """Who has left is not looked for."""
        self.comes().leaves()
        self.passes()
        self.assertEqual(self.log.asked, [])

    def test_store_down(self) -> None:
        """A store that does not answer leaves it to the tail sweep, and the next newcomers are looked at again."""
        self.log.busy = True
        self.comes()
        self.passes()
        self.log.busy = False
        link = self.comes(2)
        self.log.newest = {"a": 1}
        self.passes()
        self.assertEqual(self.hints(link), {"a": 1})

    def test_alone(self) -> None:
        """A node alone does not look twice."""
        world = World()
        world.live()
        self.assertEqual(len(world.tasks), 0)


class NobodyWaits(SynchronousTestCase):
    """The first sync is not held up by it."""

    def test_at_once(self) -> None:
        """The answer to Connect goes out whatever the second look does."""
        log: Any = Tails()
        world = World(log=log)
        world.directory.conversations = [ConversationEntry("a", GROUP, 0, "", 3)]
        link = world.link()
        link.says(connect())
        self.assertEqual(link.heard(), ["connected", "syncResp"])
        self.successResultOf(Deferred.fromCoroutine(world.tasks.stop()))
