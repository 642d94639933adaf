"""A node that is not ready takes nobody new, and port sharing."""

from __future__ import annotations

import socket

from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.core.gateway.gateway import NOT_READY_RETRY_MS
from imd.core.gateway.tcp import SparingPort
from imd.pb.connection_pb2 import SERVER_BUSY, Heartbeat
from imd.pb.envelope_pb2 import Envelope
from tests.core.gateway.world import World, connect


class NotReadyTests(SynchronousTestCase):
    """``Gateway.takes_sessions``."""

    def test_newcomer(self) -> None:
        """Whoever wants in is told when to try again, and closed; nobody is asked about the token."""
        world = World()
        world.gateway.takes_sessions = lambda: False
        link = world.link()
        link.says(connect(1, "phone"))
        error = link.last().error
        self.assertEqual(
            (error.code, error.retryable, error.retryAfterMs, error.closing),
            (SERVER_BUSY, True, NOT_READY_RETRY_MS, True),
        )
        self.assertEqual(len(world.registry.of_user(1)), 0)

    def test_residents(self) -> None:
        """Whoever is in stays, and is served as far as that goes."""
        world = World()
        link = world.live(1, "phone")
        world.gateway.takes_sessions = lambda: False
        link.says(Envelope(hb=Heartbeat(sentAt=7)))
        self.assertEqual(link.heard()[-1], "hb")

    def test_back(self) -> None:
        """What is missing comes back, and so do they."""
        world = World()
        world.gateway.takes_sessions = lambda: False
        world.link().says(connect(1, "phone"))
        world.gateway.takes_sessions = lambda: True
        world.live(1, "phone")
        self.assertEqual(len(world.registry.of_user(1)), 1)


class SharedPortTests(SynchronousTestCase):
    """``SparingPort.shared``."""

    def test_shared(self) -> None:
        """Only whoever asks for it shares a port: another program on it is a mistake otherwise."""
        for shared in (False, True):
            port = SparingPort(0, ServerFactory(), reactor=Clock())
            port.shared = shared
            created = port.createInternetSocket()
            self.addCleanup(created.close)
            self.assertEqual(bool(created.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)), shared)
