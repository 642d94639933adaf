"""Why a NatsBus does not start, said so that an operator knows what to do; and TLS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.threads import deferToThread
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from imd.bus.nats import NatsBus
from imd.bus.nats_link import client_tls
from imd.ctl.cluster.engines import Nats
from imd.kernel.errors import StartupError
from tests.live.certificate import write_certificate
from tests.live.nats_server import OpenNats, bus_on, open_server


class FakeServer(LineReceiver):
    """Says INFO and answers PING, as a NATS server of any version would."""

    info: ClassVar[dict[str, Any]] = {"version": "2.9.10", "max_payload": 1048576, "headers": True}

    def __init__(self, said: list[bytes], gone: list[Deferred[None]]) -> None:
        self._said = said
        self._gone = gone

    def connectionMade(self) -> None:
        self.sendLine(b"INFO " + json.dumps(self.info).encode())

    def lineReceived(self, line: bytes) -> None:
        self._said.append(line)
        if line == b"PING":
            self.sendLine(b"PONG")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        for each in self._gone:
            each.callback(None)
        self._gone.clear()


class StartTests(TestCase):
    """StartupError names the cause and the remedy."""

    timeout = 30

    async def _refused(self, bus: NatsBus, *words: str) -> None:
        try:
            await bus.start()
        except StartupError as error:
            for word in words:
                self.assertIn(word, str(error))
        else:
            self.fail("it should not have started")
        self.assertFalse(bus.is_connected())

    async def test_wrong_password(self) -> None:
        """At once, not after the time to wait; the password is not in the text."""
        server = await deferToThread(open_server, self)
        bus = bus_on(server, password="guessed", start_timeout_s=3600)
        await self._refused(bus, "refuses user 'core'", "correct user and password")

    async def test_unreachable(self) -> None:
        """After the time to wait."""
        server = Nats(folder=Path(self.mktemp()))
        await self._refused(bus_on(server, start_timeout_s=0.5), server.address, "start it, or correct")

    async def test_without_jetstream(self) -> None:
        """A server that does not keep events says so by silence."""

        class Forgetful(OpenNats):
            def _config(self) -> str:
                return "\n".join(line for line in super()._config().split("\n") if "jetstream" not in line)

        server = await deferToThread(open_server, self, Forgetful)
        await self._refused(bus_on(server, start_timeout_s=0.5), "add a jetstream block")

    async def test_too_many_replicas(self) -> None:
        """Three replicas need three servers; waiting does not bring them."""
        server = await deferToThread(open_server, self)
        await self._refused(bus_on(server, replicas=3, start_timeout_s=3600), "replicas")

    async def test_old_server(self) -> None:
        """Servers with known holes are refused."""
        bus, _ = await self._fake()
        await self._refused(bus, "2.9.10 is too old", "2.14.0")

    async def test_tls_is_not_given_up(self) -> None:
        """Where TLS is configured, a server that offers none never sees the password."""
        certificate, key = Path(self.mktemp()), Path(self.mktemp())
        write_certificate(certificate, key)
        bus, said = await self._fake(tls=client_tls(ca_file=certificate), start_timeout_s=3600)
        await self._refused(bus, "it offers no TLS")
        self.assertEqual([line for line in said if b"CONNECT" in line or b"secret" in line], [])

    async def _fake(self, **how: Any) -> tuple[NatsBus, list[bytes]]:
        said: list[bytes] = []
        gone: Deferred[None] = Deferred()
        nowhere = Nats(folder=Path(self.mktemp()))
        factory: Any = Factory.forProtocol(lambda: FakeServer(said, [gone]))
        port = reactor.listenTCP(nowhere.port, factory, interface="127.0.0.1")
        self.addCleanup(lambda: gone)
        self.addCleanup(port.stopListening)
        return bus_on(nowhere, password="secret", **how), said

    async def test_tls(self) -> None:
        """With the authority that it knows the bus connects, with another one it does not."""
        certificate, key = Path(self.mktemp()), Path(self.mktemp())
        write_certificate(certificate, key)
        other, other_key = Path(self.mktemp()), Path(self.mktemp())
        write_certificate(other, other_key)

        class Secure(OpenNats):
            def _config(self) -> str:
                tls = f'tls {{ cert_file: "{certificate.resolve()}", key_file: "{key.resolve()}" }}'
                return f"{super()._config()}\n{tls}\n"

            def _answers(self) -> bool:
                # It would have to speak TLS; the log says when it listens.
                return "Server is ready" in (self.folder / "nats.log").read_text()

        server = await deferToThread(open_server, self, Secure)
        bus = bus_on(server, tls=client_tls(ca_file=certificate))
        await bus.start()
        self.assertTrue(bus.is_connected())
        await bus.stop()
        bus = bus_on(server, tls=client_tls(ca_file=other), start_timeout_s=3600)
        await self._refused(bus, "certificate verify failed")
