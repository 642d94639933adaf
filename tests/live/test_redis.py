"""A real Redis that goes away, hangs, forgets its scripts and lets nobody in."""

from __future__ import annotations

from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.core.nodes.model import Node
from imd.core.nodes.redis import RedisNodeRegistry, RedisShardLeases
from imd.core.presence.redis import RedisLastSeen
from imd.core.presence.routes import Route
from imd.core.presence.routes_redis import RedisRouteTable
from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.engines import RedisServer
from imd.kernel.errors import ServerBusy, StartupError
from imd.kernel.timeouts import sleep
from imd.storage.redis import RedisStore
from imd.storage.redis_line import Login, redis_endpoint
from tests.live.certificate import write_certificate
from tests.live.engines import engine, fresh
from tests.live.redis_stage import OnRedis, reactor, store_on

#: As in production; what is above it is a busy machine.
TIMEOUT_S = 0.05
SLACK_S = 0.3
ME = Node(1, "one", True)
ROUTE = Route(5, "phone", 1, 7, "ios", 9)


def coroutine(work: Any) -> Deferred[Any]:
    return Deferred.fromCoroutine(work)


#: Of all four ports.
METHODS = 10


class Ports:
    """Every method of every port, as questions."""

    def __init__(self, store: RedisStore) -> None:
        self.registry = RedisNodeRegistry(redis=store)
        self.leases = RedisShardLeases(redis=store)
        self.routes = RedisRouteTable(redis=store)
        self.seen = RedisLastSeen(redis=store)

    def ask_all(self) -> list[Deferred[Any]]:
        return [
            coroutine(work)
            for work in (
                self.registry.beat(ME),
                self.registry.leave(ME),
                self.leases.claim(ME, {1, 2}),
                self.routes.put([ROUTE]),
                self.routes.remove([ROUTE]),
                self.routes.of_users([5]),
                self.routes.of_node(1),
                self.routes.generation(),
                self.seen.record({5: 1}),
                self.seen.of_users([5]),
            )
        ]


class AwayTests(TestCase):
    """Every method of every port, while there is no Redis to speak of."""

    async def begin(self) -> tuple[RedisServer, RedisStore, Ports]:
        server = await deferToThread(fresh, self, "redis")
        store = store_on(server, timeout_s=TIMEOUT_S)
        await store.start()
        self.addCleanup(lambda: coroutine(store.stop()))
        return server, store, Ports(store)

    async def all_busy(self, ports: Ports) -> None:
        """Each method, asked beside the others and alone, ends as ServerBusy within about the time-out."""
        began_s = monotonic()
        for asked in ports.ask_all():
            await self.assertFailure(asked, ServerBusy)
        self.assertLess(monotonic() - began_s, 2 * TIMEOUT_S + SLACK_S)

    async def soon_refused(self, ports: Ports) -> None:
        """Within the time-out at first; soon nobody waits at all."""
        for _ in range(3):
            await self.all_busy(ports)
        began_s = monotonic()
        for _ in range(20):
            for asked in ports.ask_all():
                await self.assertFailure(asked, ServerBusy)
        self.assertLess(monotonic() - began_s, SLACK_S)

    async def healed(self, store: RedisStore, ports: Ports) -> None:
        for _ in range(100):
            if store.is_up():
                break
            await sleep(0.05, clock=reactor)
        for asked in ports.ask_all():
            await asked

    async def test_killed(self) -> None:
        """Killed: refused within the time-out, soon at once; started again: used again, scripts and all."""
        server, store, ports = await self.begin()
        await self.healed(store, ports)
        await deferToThread(server.kill)
        await self.soon_refused(ports)
        await deferToThread(server.start)
        await self.healed(store, ports)

    async def test_paused(self) -> None:
        """Paused: the same, though its connections stay and new ones are accepted."""
        server, store, ports = await self.begin()
        await self.healed(store, ports)
        await deferToThread(server.pause)
        await self.soon_refused(ports)
        await deferToThread(server.resume)
        await self.healed(store, ports)

    async def test_paused_for_each(self) -> None:
        """Whichever method meets a hanging Redis first: it raises ServerBusy within about the time-out."""
        server, store, ports = await self.begin()
        for number in range(METHODS):
            await self.healed(store, ports)
            await deferToThread(server.pause)
            began_s = monotonic()
            asked = ports.ask_all()
            self.assertEqual(len(asked), METHODS)
            for other in asked[:number] + asked[number + 1 :]:
                other.addErrback(lambda failure: failure.trap(ServerBusy))
            await self.assertFailure(asked[number], ServerBusy)
            self.assertLess(monotonic() - began_s, TIMEOUT_S + SLACK_S)
            await deferToThread(server.resume)

    async def test_started_later(self) -> None:
        """A server that starts before its Redis does uses it when it comes."""
        server = await deferToThread(fresh, self, "redis")
        await deferToThread(server.kill)
        store = store_on(server, timeout_s=TIMEOUT_S)
        await store.start()
        self.addCleanup(lambda: coroutine(store.stop()))
        await self.all_busy(Ports(store))
        await deferToThread(server.start)
        await self.healed(store, Ports(store))


class TlsTests(TestCase):
    """TLS, verified."""

    async def test_tls(self) -> None:
        """Our authority's certificate is trusted, another's is not, and the operator is told which way."""
        server, port, ca_file = await deferToThread(self._tls_server)
        store = self._store(server, port, ca_file)
        await store.start()
        self.addCleanup(lambda: coroutine(store.stop()))
        self.assertEqual(await store.call("ECHO", "over TLS"), b"over TLS")

        foreign = Path(self.mktemp())
        write_certificate(foreign, Path(self.mktemp()))
        stranger = self._store(server, port, foreign)
        await stranger.start()
        self.addCleanup(lambda: coroutine(stranger.stop()))
        self.assertFalse(stranger.is_up())
        self.assertIn("TLS", stranger._down)
        self.assertIn("certificate verify failed", stranger._down)

        plain = self._store(server, server.port, ca_file)
        await plain.start()
        self.addCleanup(lambda: coroutine(plain.stop()))
        self.assertFalse(plain.is_up())

    def _store(self, server: RedisServer, port: int, ca_file: Path) -> RedisStore:
        return RedisStore(
            endpoint=redis_endpoint(reactor, "localhost", port, ca_file=ca_file),
            name=f"localhost:{port}",
            login=Login(password=server.password),
            clock=reactor,
            jitter=lambda: 0.0,
            timeout_s=2.0,
        )

    def _tls_server(self) -> tuple[RedisServer, int, Path]:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        certificate, key = folder / "redis.pem", folder / "redis.key"
        write_certificate(certificate, key)
        port = free_port()

        class TlsRedis(RedisServer):
            def _config(self) -> str:
                tls = f"tls-port {port}\ntls-cert-file {certificate}\ntls-key-file {key}\n"
                return super()._config() + tls + f"tls-ca-cert-file {certificate}\ntls-auth-clients no\n"

        server = TlsRedis(folder=folder)
        self.addCleanup(deferToThread, server.kill)
        server.start()
        return server, port, certificate


class SharedTests(OnRedis):
    """On the shared server."""

    async def test_scripts_flushed(self) -> None:
        """A Redis that has forgotten its scripts learns them again, whoever asks first."""
        ports = Ports(await self.redis())
        for _ in range(2):
            for asked in ports.ask_all():
                await asked
            await self.store.call("SCRIPT", "FLUSH")

    async def test_cancelled_at_random(self) -> None:
        """Hundreds of calls of which half are given up at random times: each of the others gets its own reply,
        and whatever comes after them, too."""
        store = await self.redis()
        chance = Random(7)
        for number in range(300):
            await store.call("SET", f"key-{number}", f"value-{number}" * chance.randrange(1, 200))
        lengths = {number: await store.call("STRLEN", f"key-{number}") for number in range(300)}
        wrong, given_up = [], 0

        def check(reply: bytes, number: int) -> None:
            if not reply.startswith(b"value-%d" % number) or len(reply) != lengths[number]:
                wrong.append((number, reply[:20]))

        for _ in range(5):
            calls = []
            for number in range(300):
                call = coroutine(store.call("GET", f"key-{number}")).addCallback(check, number)
                call.addErrback(lambda failure: failure.trap(CancelledError))
                if chance.random() < 0.5:
                    reactor.callLater(chance.random() * 0.01, call.cancel)
                calls.append(call)
                if number % 20 == 0:
                    await sleep(chance.random() * 0.001, clock=reactor)
            ended = await DeferredList(calls)
            given_up += sum(1 for _, result in ended if result is not None)
        self.assertEqual(wrong, [])
        self.assertGreater(given_up, 50)

    async def test_wrong_login(self) -> None:
        """A wrong password, a wrong user, none at all, a database that is not there: told, at the start."""
        server = await deferToThread(engine, "redis")
        for login in ({"password": "guess"}, {"user": "nobody"}, {"password": ""}, {"database": 99}):
            with self.assertRaisesRegex(StartupError, r"^Redis at 127.0.0.1:\d+: .* check \[redis\]"):
                await store_on(server, **login).start()

    async def test_user(self) -> None:
        """A user of its own with only what is needed gets in; what cannot be checked does no harm."""
        admin = await self.redis()
        await admin.call(
            "ACL", "SETUSER", "imd", "on", ">secret", "~core:*", "&core:*", "+@all", "-@dangerous", "+select"
        )
        server = await deferToThread(engine, "redis")
        store = store_on(server, user="imd", password="secret", database=2)
        await store.start()
        self.addCleanup(lambda: coroutine(store.stop()))
        self.assertTrue(store.is_up())
        for asked in Ports(store).ask_all():
            await asked
        await admin.call("ACL", "DELUSER", "imd")
