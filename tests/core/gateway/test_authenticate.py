"""From Connect to the first SyncResp: who gets in."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.directory import Speaker
from imd.kernel.errors import ServerBusy
from imd.pb.connection_pb2 import AUTH_FAILED, INTERNAL_ERROR, Heartbeat, RefreshToken
from imd.pb.envelope_pb2 import Envelope
from tests.core.gateway.world import NO_RATES, World, connect, text

BEAT = Envelope(hb=Heartbeat(sentAt=7))


class LettingInTests(SynchronousTestCase):
    """From Connect to the first SyncResp."""

    def test_welcome(self) -> None:
        """A good token is answered with Connected, then SyncResp, under the request's id."""
        link = World().link()
        envelope = connect(7, "phone")
        envelope.header.requestId = 3
        link.says(envelope)
        self.assertEqual(link.heard(), ["connected", "syncResp"])
        connected = link.sent[0]
        self.assertEqual((connected.connected.userId, connected.header.requestId), (7, 3))

    def test_refused(self) -> None:
        """A bad token is told so once, and the connection ends."""
        world = World()
        link = world.link()
        link.says(connect(token="forged"))
        self.assertEqual(link.heard(), ["error"])
        self.assertEqual((link.last().error.code, link.last().error.closing), (AUTH_FAILED, True))
        self.assertTrue(link.closed)
        self.assertEqual(world.pipeline.online, [])

    def test_ticket(self) -> None:
        """A session shows the ticket that came with its token, also with what it sends; a new token brings another."""
        world = World()
        link = world.live(7, "phone")
        self.assertEqual(world.directory.speakers, [Speaker(7, b"ticket")])
        world.directory.ticket = b"another"
        link.says(text("m1"), Envelope(refreshToken=RefreshToken(token="7:phone")))
        self.assertEqual(link.heard(), ["tokenRefreshed"])
        link.says(text("m2"))
        self.assertEqual(link.live.speaker, Speaker(7, b"another"))
        self.assertEqual([send.ticket for send in world.pipeline.submitted], [b"ticket", b"another"])

    def test_heartbeat_while_the_authority_thinks(self) -> None:
        """A slow authority does not keep a client from knowing that the server is there."""
        world = World()
        world.directory.slow = True
        link = world.link()
        link.says(connect(), BEAT)
        self.assertEqual(link.heard(), ["hb"])
        world.directory.answer()
        self.assertEqual(link.heard(), ["hb", "connected", "syncResp"])

    def test_left_meanwhile(self) -> None:
        """Somebody who left before the authority answered is nobody's session."""
        world = World()
        world.directory.slow = True
        link = world.link()
        link.says(connect())
        link.leaves()
        world.directory.answer()
        self.assertEqual(link.heard(), [])
        self.assertEqual((len(world.registry), world.pipeline.online), (0, []))

    def test_a_request_before_the_answer(self) -> None:
        """Nothing is served before the connection is live, not even what follows Connect at once."""
        world = World()
        world.directory.slow = True
        link = world.link()
        link.says(connect(), text())
        self.assertEqual(link.heard(), ["error"])
        world.directory.answer()
        self.assertEqual(link.heard(), ["error"])
        self.assertEqual(world.pipeline.submitted, [])

    def test_revoked_while_it_was_checked(self) -> None:
        """A revocation that comes while the token is being checked has it checked again."""
        world = World()
        world.directory.slow = True
        link = world.link()
        link.says(connect(5, "phone"))
        world.directory.refused.add("5:phone")
        world.gateway.revoke(5, device_id="", except_device_id="", reason="logged_out", age_ms=0)
        world.directory.refused.clear()
        world.directory.answer()
        world.directory.refused.add("5:phone")
        world.directory.answer()
        self.assertEqual((link.heard(), world.directory.asked), (["error"], 2))

    def test_no_first_sync(self) -> None:
        """Who cannot be told what is missing is sent away, to try again."""
        world = World()
        world.pipeline.sync_fails = ServerBusy("later")
        link = world.link()
        link.says(connect())
        self.assertEqual(link.heard(), ["connected", "error"])
        self.assertTrue(link.sent[1].error.retryable)
        self.assertEqual(world.pipeline.online, [])

    def test_announced_first(self) -> None:
        """The first sync waits until the other nodes have heard of the session; who left meanwhile gets none."""
        for leaves, heard in ((False, ["connected", "syncResp"]), (True, ["connected"])):
            world = World()
            told: Deferred[None] = Deferred()
            world.pipeline.announcing = told
            link = world.link()
            link.says(connect())
            self.assertEqual(link.heard(), ["connected"])
            if leaves:
                link.leaves()
            told.callback(None)
            self.assertEqual(link.heard(), heard)

    def test_kicked_from_elsewhere(self) -> None:
        """Another node can end exactly the session it names."""
        world = World()
        link = world.live(7, "phone")
        session_id = link.live.session_id
        world.replies.kick_session(7, "phone", session_id + 1, "same_device")
        world.replies.kick_session(7, "laptop", session_id, "same_device")
        self.assertEqual(link.heard(), [])
        world.replies.kick_session(7, "phone", session_id, "same_device")
        self.assertEqual((link.heard(), link.last().kicked.reason), (["kicked"], "same_device"))
        self.assertEqual(world.pipeline.online, [])
        world.replies.kick_session(7, "phone", session_id, "same_device")

    def test_fault_of_ours(self) -> None:
        """An exception that nobody expects ends the connection with INTERNAL_ERROR and is logged."""
        world = World()
        world.pipeline.sync_fails = KeyError("oops")
        link = world.link()
        link.says(connect())
        self.assertEqual(link.last().error.code, INTERNAL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_full(self) -> None:
        """Above max_connections, or the strangers' share of it, a connection is dropped at once."""
        world = World(max_connections=2, max_strangers=1)
        stranger = world.link()
        self.assertIsNone(world.link().session)
        stranger.says(connect())
        self.assertIsNotNone(world.link().session)
        self.assertIsNone(world.link().session)

    def test_connects_of_an_address(self) -> None:
        """An address that connects too often is refused, another one is not."""
        world = World(rates=NO_RATES._replace(ip_connects_per_s=1))
        opened = [world.link("192.0.2.9").session is not None for _ in range(3)]
        self.assertEqual(opened, [True, True, False])
        self.assertIsNotNone(world.link("192.0.2.10").session)
