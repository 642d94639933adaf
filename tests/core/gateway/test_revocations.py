"""Invalidations on their way from the bus to the cache and the gateway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imd.bus.subjects import AUTH_INVALIDATE
from imd.core.directory import GROUP, MEMBER, Membership
from imd.core.gateway import registry
from imd.core.gateway.revocations import Revocations
from imd.pb.bus_pb2 import (
    ChangedConversations,
    ChangedSight,
    Invalidation,
    RevokedSessions,
)
from imd.pb.connection_pb2 import AUTH_FAILED, RefreshToken
from imd.pb.envelope_pb2 import Envelope
from tests.core.gateway.world import World, connect


class Invalidated(NamedTuple):
    """What the cache was told."""

    conversation_id: str
    version: int
    removed_ids: Sequence[int] = ()
    restricted_ids: Sequence[int] = ()


class Consumed:
    """A bus with one consumer, and a cache that takes notes."""

    def __init__(self) -> None:
        self.handle: Callable[[str, bytes], Awaitable[None]] | None = None
        self.invalidated: list[Invalidated] = []
        self.restricted: list[tuple[str, int]] = []
        self.known: Membership | None = None
        self.sights: list[tuple[int, list[int]]] = []

    def changed(self, user_id: int, peer_ids: Sequence[int]) -> None:
        self.sights.append((user_id, list(peer_ids)))

    def peek(self, conversation_id: str) -> Membership | None:
        return self.known

    def consume(self, subject: str, name: str, subscriber: Callable[[str, bytes], Awaitable[None]]) -> None:
        assert (subject, name) == (AUTH_INVALIDATE, "core-3")
        self.handle = subscriber

    def learn(self, conversation_id: str, user_ids: Iterable[int]) -> None:
        self.restricted += [(conversation_id, user_id) for user_id in user_ids]

    def invalidate(
        self,
        conversation_id: str,
        version: int,
        *,
        removed_ids: Iterable[int] = (),
        restricted_ids: Iterable[int] = (),
    ) -> None:
        self.invalidated.append(
            Invalidated(conversation_id, version, list(removed_ids), list(restricted_ids))
        )


class RevocationsTests(SynchronousTestCase):
    """Each event goes where it belongs."""

    def setUp(self) -> None:
        self.world = World()
        self.behind = Consumed()
        behind: Any = self.behind
        stage = Revocations(
            bus=behind,
            members=behind,
            restricted=behind,
            gateway=self.world.gateway,
            sight=behind,
            node="3",
            wall_clock=self.world.wall_clock,
        )
        self.successResultOf(Deferred.fromCoroutine(stage.start()))

    def event(self, payload: bytes) -> None:
        handle: Any = self.behind.handle
        self.successResultOf(Deferred.fromCoroutine(handle(AUTH_INVALIDATE, payload)))

    def test_sight(self) -> None:
        """Whoever may not see somebody any more is looked for by presence, and nothing else happens."""
        self.event(Invalidation(sight=ChangedSight(userId=4, peerIds=[5, 6])).SerializeToString())
        self.assertEqual((self.behind.sights, self.behind.invalidated), ([(4, [5, 6])], []))

    def test_revoked(self) -> None:
        """A revoked login ends its live session, with the reason."""
        link = self.world.live(4, "phone")
        revoked = RevokedSessions(userId=4, deviceId="phone", reason="logged_out")
        event = Invalidation(revoked=revoked, timestamp=self.world.wall_clock())
        self.event(event.SerializeToString())
        self.assertEqual(link.last().kicked.reason, "logged_out")
        self.assertEqual(self.behind.invalidated, [])

    def test_revoked_by_name(self) -> None:
        """Logins that are named end whatever the clocks say, and no other of the same device."""
        event = Invalidation(
            revoked=RevokedSessions(
                userId=4, deviceId="phone", loginIds=["old", "older"], reason="logged_out"
            ),
            # By a clock that is an hour behind.
            timestamp=self.world.wall_clock() - 3600_000,
        )
        self.world.directory.login_id = "new"
        link = self.world.live(4, "phone")
        self.event(event.SerializeToString())
        self.assertEqual(link.heard(), [])
        self.world.directory.login_id = "old"
        link.says(Envelope(refreshToken=RefreshToken(token="4:phone")))
        self.assertEqual(link.last().error.code, AUTH_FAILED)
        event.revoked.loginIds[:] = ["new"]
        self.event(event.SerializeToString())
        self.assertEqual(link.last().kicked.reason, "logged_out")

    def test_login_after_refresh(self) -> None:
        """A live connection belongs to the login of its newest token."""
        link = self.world.live(4, "phone")
        self.world.directory.login_id = "new"
        link.says(Envelope(refreshToken=RefreshToken(token="4:phone")))
        revoked = RevokedSessions(userId=4, deviceId="phone", loginIds=["new"], reason="logged_out")
        self.event(Invalidation(revoked=revoked).SerializeToString())
        self.assertEqual(link.last().kicked.reason, "logged_out")

    def test_stale_authority(self) -> None:
        """Who was revoked is not let in by a business node that has not heard of it yet; bounded memory."""
        self.patch(registry, "MAX_REVOKED_LOGINS", 8)
        revoked = RevokedSessions(userId=4, loginIds=[f"login{number}" for number in range(20)])
        self.event(Invalidation(revoked=revoked).SerializeToString())
        for login_id, heard in (("login19", ["error"]), ("login0", ["connected", "syncResp"])):
            self.world.directory.login_id = login_id
            link = self.world.link()
            link.says(connect(4, "phone"))
            self.assertEqual(link.heard(), heard)

    def test_removed(self) -> None:
        """Who is out of a conversation hears it on all devices, after the cache has forgotten."""
        phone, tablet, other = (
            self.world.live(4, "phone"),
            self.world.live(4, "tablet"),
            self.world.live(5, "a"),
        )
        event = Invalidation(conversationId="g_1", version=2, removedIds=[4, 6], reason="kicked")
        self.event(event.SerializeToString())
        for link in (phone, tablet):
            left = link.last().conversationLeft
            self.assertEqual((left.conversationId, left.reason), ("g_1", "kicked"))
        self.assertEqual(other.heard(), [])
        self.assertEqual(len(self.behind.invalidated), 1)

    def test_removed_and_back(self) -> None:
        """Who has been invited again by the time the event comes is not told of having been out."""
        back, out = self.world.live(4, "phone"), self.world.live(6, "phone")
        self.behind.known = Membership("g_1", GROUP, 3, {4: MEMBER})
        event = Invalidation(conversationId="g_1", version=2, removedIds=[4, 6], reason="kicked")
        self.event(event.SerializeToString())
        self.assertEqual((back.heard(), out.heard()), ([], ["conversationLeft"]))

    def test_clock_set_back(self) -> None:
        """That the wall clock was set back since a login does not save it."""
        link = self.world.live(4, "phone")
        self.world.now_ms -= 3600_000
        revoked = RevokedSessions(userId=4, reason="logged_out")
        event = Invalidation(revoked=revoked, timestamp=self.world.wall_clock())
        self.world.now_ms -= 3600_000
        self.event(event.SerializeToString())
        self.assertEqual(link.heard(), ["kicked"])

    def test_membership(self) -> None:
        """A changed conversation goes to the cache."""
        event = Invalidation(conversationId="g_1", version=2, removedIds=[4], restrictedIds=[5, 6])
        self.event(event.SerializeToString())
        self.assertEqual(self.behind.invalidated, [Invalidated("g_1", 2, [4], [5, 6])])
        self.assertEqual(self.behind.restricted, [("g_1", 5), ("g_1", 6)])

    def test_several(self) -> None:
        """A relation that changed concerns several conversations, each at its own version."""
        changed = ChangedConversations(conversationIds=["p_1", "p_2"], versions=[3, 0], restrictedIds=[4])
        self.event(Invalidation(changed=changed).SerializeToString())
        self.assertEqual(
            self.behind.invalidated, [Invalidated("p_1", 3, [], [4]), Invalidated("p_2", 0, [], [4])]
        )
        self.assertEqual(self.behind.restricted, [("p_1", 4), ("p_2", 4)])

    def test_garbage(self) -> None:
        """What is no event is logged and dropped, so that those behind it are not held up."""
        said: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            said.append(event.get("log_format") or "")

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.event(b"\xff\xff\xff")
        self.assertEqual(self.behind.invalidated, [])
        self.assertIn("an event of {size} bytes on {subject} is no Invalidation; it is dropped", said)
