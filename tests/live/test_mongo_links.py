"""Connections to a real MongoDB: cancelled calls, and TLS."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor  # noqa: TID251 -- a real server, on real time
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.ssl import Certificate, DefaultOpenSSLContextFactory, optionsForClientTLS
from twisted.internet.threads import deferToThread
from twisted.protocols.portforward import ProxyFactory

from imd.core.message.mongo import MongoMessageLog
from imd.kernel.errors import StartupError
from imd.storage.mongo import MongoDatabase
from imd.storage.mongo_pool import MAX_IN_FLIGHT
from imd.storage.mongo_primary import tcp_endpoints
from tests.contract.bus import scenario
from tests.contract.message_log import message
from tests.live.certificate import write_certificate
from tests.live.engines import engine
from tests.live.mongo import MongoCase, database_of
from tests.live.mongo_load import pause

CALLS = 1000
SEEDS = (1, 2)


class LinkLiveTests(MongoCase):
    """Scenarios on the shared server."""

    collections = 2

    def drive(self, work: Any) -> Deferred[None]:
        return Deferred.fromCoroutine(work)

    @scenario
    async def test_cancelled(self) -> None:
        """Of 1,000 calls a third is cancelled at any moment: each of the others gets its own answer (S12)."""
        log = await self.log_on(await self.opened())
        await log.append([message(seq) for seq in range(1, 101)])
        for seed in SEEDS:
            await self.cancel_some(log, Random(seed))

    async def cancel_some(self, log: MongoMessageLog, chance: Random) -> None:
        running: list[tuple[int, Deferred[bytes | None]]] = []
        cancelled = 0
        for number in range(CALLS):
            seq = 1 + number % 100
            call = Deferred.fromCoroutine(log.read_one("c1", seq))
            running.append((seq, call))
            if chance.random() < 0.34:
                reactor.callLater(chance.random() * 0.004, call.cancel)
            if number % 20 == 19:
                await pause(chance.random() * 0.01)
            # A busy machine must not have more calls under way than there may be.
            while sum(not call.called for _, call in running) > MAX_IN_FLIGHT // 2:
                await pause(0.01)
        for seq, call in running:
            try:
                self.assertEqual(await call, f"c1/{seq}".encode())
            except CancelledError:
                cancelled += 1
        self.assertGreater(cancelled, 50)
        self.assertLess(cancelled, CALLS // 2)

    @scenario
    async def test_tls(self) -> None:
        """TLS is spoken where it is asked for, and only with a server whose certificate has the host's name."""
        mongod = await deferToThread(engine, "mongo")
        certificate, key = Path(self.mktemp()), Path(self.mktemp())
        write_certificate(certificate, key)
        port = reactor.listenSSL(  # type: ignore[attr-defined]
            0,
            ProxyFactory(mongod.host, mongod.port),
            DefaultOpenSSLContextFactory(str(key), str(certificate)),
            interface="127.0.0.1",
        )
        self.addCleanup(port.stopListening)
        trusted = await deferToThread(lambda: Certificate.loadPEM(certificate.read_bytes()))

        def database(name: str) -> MongoDatabase:
            """Of a server of which this is said to be the name."""
            options = optionsForClientTLS(name, trustRoot=trusted)
            return database_of(
                mongod,
                hosts=[f"localhost:{port.getHost().port}"],
                endpoint_for=tcp_endpoints(reactor, tls_for=lambda _host: options),
                start_patience_s=0.5,
            )

        good = database("localhost")
        await good.start()
        await good.stop()
        with self.assertRaises(StartupError) as caught:
            await database("elsewhere.example").start()
        self.assertIn("VerificationError", str(caught.exception))
