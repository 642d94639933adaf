"""The proxy that fails on command does to connections what it says."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.live.fault_proxy import HELD_BYTES, FaultProxy, Way, proxy_to

reactor: Any = _reactor

#: Long enough for bytes on loopback to arrive; what must not arrive is waited for as long.
SOON_S = 0.15


def after(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds)


class End(Protocol):
    """Keeps what it got and how it ended; the server's end sends everything back."""

    def __init__(self, *, echo: bool = False) -> None:
        self.got = bytearray()
        self.reason: Failure | None = None
        self.echo = echo
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._end: Deferred[Failure] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        if self.echo:
            self.transport.write(data)  # type: ignore[union-attr]
        for wanted, deferred in self._waiting[:]:
            if len(self.got) >= wanted:
                self._waiting.remove((wanted, deferred))
                deferred.callback(None)

    def send(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def received(self, count: int) -> Deferred[None]:
        """When so many bytes in all are there."""
        deferred: Deferred[None] = Deferred()
        if len(self.got) >= count:
            deferred.callback(None)
        else:
            self._waiting.append((count, deferred))
        return deferred.addTimeout(5, reactor)

    def ended(self) -> Deferred[Failure]:
        """Why, as soon as it has."""
        return self._end.addTimeout(5, reactor)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.reason = reason
        if not self._end.called:
            # Not the failure itself: that would be an error of the test.
            self._end.callback([reason.type])  # type: ignore[arg-type]


class ProxyCase(TestCase):
    """An echo server, a proxy, clients."""

    async def stage(self) -> FaultProxy:
        self.server_ends: list[End] = []

        def build() -> End:
            self.server_ends.append(End(echo=True))
            return self.server_ends[-1]

        listening = reactor.listenTCP(0, Factory.forProtocol(build), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        return await proxy_to(self, listening.getHost().port)

    async def client(self, proxy: FaultProxy) -> End:
        endpoint = TCP4ClientEndpoint(reactor, proxy.host, proxy.port, timeout=5)
        end: End = await connectProtocol(endpoint, End())

        def close() -> object:
            if end.reason is not None:
                return None
            end.transport.abortConnection()  # type: ignore[union-attr]
            return end.ended()

        self.addCleanup(close)
        return end


class Passing(ProxyCase):
    """Nothing is wrong."""

    async def test_passes(self) -> None:
        """Bytes go both ways, more than are held back too, and the end of a connection arrives behind them."""
        proxy = await self.stage()
        client = await self.client(proxy)
        data = bytes(range(256)) * (4 * HELD_BYTES // 256)
        client.send(data)
        await client.received(len(data))
        self.assertEqual(client.got, data)
        self.assertEqual(proxy.connections, 1)
        client.transport.loseConnection()  # type: ignore[union-attr]
        self.assertEqual(await self.server_ends[0].ended(), [ConnectionDone])
        await after(SOON_S)
        self.assertEqual(proxy.connections, 0)

    async def test_server_down(self) -> None:
        """A connection that the server does not take is reset."""
        proxy = await self.stage()
        proxy.target = proxy.port + 1
        client = await self.client(proxy)
        self.assertEqual(await client.ended(), [ConnectionLost])


class Failing(ProxyCase):
    """What can be wrong."""

    async def test_slow(self) -> None:
        """Bytes come later, in their order; each way by its own delay."""
        proxy = await self.stage()
        client = await self.client(proxy)
        proxy.slow(SOON_S, Way.TO_SERVER)
        proxy.slow(SOON_S, Way.TO_CLIENT)
        started_s = reactor.seconds()
        for letter in b"abcdef":
            client.send(bytes([letter]))
            await after(0.01)
        await client.received(6)
        self.assertEqual(client.got, b"abcdef")
        self.assertGreater(reactor.seconds() - started_s, 2 * SOON_S)

    async def test_stalls(self) -> None:
        """A partition holds everything back, of new connections too, and healed delivers it all."""
        proxy = await self.stage()
        client = await self.client(proxy)
        proxy.stall()
        client.send(b"old")
        newcomer = await self.client(proxy)
        newcomer.send(b"new")
        await after(SOON_S)
        self.assertEqual([end.got for end in self.server_ends if end.got], [])
        self.assertIsNone(client.reason)
        await proxy.heal()
        await client.received(3)
        await newcomer.received(3)
        self.assertEqual((client.got, newcomer.got), (b"old", b"new"))

    async def test_stalls_one_way(self) -> None:
        """What goes the other way arrives."""
        proxy = await self.stage()
        client = await self.client(proxy)
        proxy.stall(Way.TO_CLIENT)
        client.send(b"ask")
        await after(SOON_S)
        self.assertEqual((self.server_ends[0].got, client.got), (b"ask", b""))
        await proxy.heal()
        await client.received(3)

    async def test_end_does_not_pass_a_stall(self) -> None:
        """While partitioned the server does not learn that the client is gone; healed it does."""
        proxy = await self.stage()
        for leave in ("loseConnection", "abortConnection"):
            client = await self.client(proxy)
            client.send(b"hello")
            await client.received(5)
            proxy.stall()
            getattr(client.transport, leave)()
            await after(SOON_S)
            self.assertIsNone(self.server_ends[-1].reason)
            await proxy.heal()
            await self.server_ends[-1].ended()

    async def test_stall_is_bounded(self) -> None:
        """A sender that goes on is held up by TCP; the proxy does not take it all in."""
        proxy = await self.stage()
        client = await self.client(proxy)
        proxy.stall(Way.TO_SERVER)
        client.send(b"x" * (32 * HELD_BYTES))
        await after(SOON_S)
        (link,) = proxy.links
        self.assertLess(link.pipes[Way.TO_SERVER].held, 2 * HELD_BYTES)
        await proxy.heal()
        await client.received(32 * HELD_BYTES)

    async def test_cuts(self) -> None:
        """A connection breaks in the middle of what was sent; healed, the next one does not."""
        proxy = await self.stage()
        client = await self.client(proxy)
        client.send(b"hello")
        await client.received(5)
        proxy.cut(3, Way.TO_SERVER)
        client.send(b"there")
        self.assertEqual(await client.ended(), [ConnectionLost])
        await self.server_ends[0].ended()
        self.assertEqual(self.server_ends[0].got, b"hellothe")
        await proxy.heal()
        again = await self.client(proxy)
        again.send(b"hello")
        await again.received(5)

    async def test_resets(self) -> None:
        """All connections break at both ends; new ones work."""
        proxy = await self.stage()
        client = await self.client(proxy)
        client.send(b"hello")
        await client.received(5)
        proxy.reset()
        self.assertEqual(await client.ended(), [ConnectionLost])
        self.assertEqual(await self.server_ends[0].ended(), [ConnectionLost])
        again = await self.client(proxy)
        again.send(b"hello")
        await again.received(5)

    async def test_down(self) -> None:
        """Nobody listens, until healed on the same port."""
        proxy = await self.stage()
        client = await self.client(proxy)
        await proxy.down()
        self.assertEqual(await client.ended(), [ConnectionLost])
        with self.assertRaises(ConnectionRefusedError):
            await self.client(proxy)
        await proxy.heal()
        again = await self.client(proxy)
        again.send(b"hello")
        await again.received(5)

    async def test_flaps(self) -> None:
        """Down and up by turns, until healed."""
        proxy = await self.stage()
        proxy.flap(on_s=0.05, off_s=0.05)
        seen = set()
        for _ in range(40):
            try:
                await self.client(proxy)
            except ConnectError:
                seen.add("down")
            else:
                seen.add("up")
            await after(0.01)
        self.assertEqual(seen, {"down", "up"})
        await proxy.heal()
        await after(SOON_S)
        client = await self.client(proxy)
        client.send(b"hello")
        await client.received(5)
