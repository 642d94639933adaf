"""A TCP proxy that fails on command: between a node and a server, or between two nodes.

proxy = await proxy_to(self, redis.port)
proxy.slow(0.2)                # 200 ms more each way
proxy.stall(Way.TO_CLIENT)     # partitioned, one way: connections stay, nothing comes back
proxy.cut(100)                 # each connection breaks after 100 bytes more
proxy.reset()                  # all connections break now; new ones work
await proxy.down()             # nobody listens
proxy.flap(on_s=5, off_s=5)    # down and up by turns
await proxy.heal()             # as if nothing had been; what was held back arrives
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any

from twisted.internet import reactor as _reactor  # noqa: TID251
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.engine import HOST, free_port

reactor: Any = _reactor

#: Held back for one connection and way; above, the sender is not read from, as on a full network.
HELD_BYTES = 1024 * 1024
CONNECT_TIMEOUT_S = 5.0


class Way(Enum):
    """Of bytes: seen from whoever connected to the proxy."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


BOTH = (Way.TO_SERVER, Way.TO_CLIENT)


class _Fault:
    """What happens to bytes that go one way."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.stalled = False
        self.cut_after: int | None = None


class FaultProxy:
    """Listens on ``port`` of 127.0.0.1 and passes on to ``target`` there, port included, until told otherwise.

    Calls apply to the connections that are there and to those that come; ``ways`` left out: both.
    """

    def __init__(self, *, target: int, clock: Any = reactor) -> None:
        self.host = HOST
        self.port = free_port()
        self.target = target
        self.clock = clock
        self.faults = {way: _Fault() for way in BOTH}
        self.links: set[_Link] = set()
        #: How many connections were taken so far.
        self.accepted = 0
        self._listening: Any = None
        self._closing: Deferred[object] | None = None
        self._flapping = 0
        self._asleep: Deferred[None] | None = None

    @property
    def address(self) -> str:
        """``host:port``, in place of the server's."""
        return f"{self.host}:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self.links)

    async def start(self) -> None:
        """Listen; may be called again."""
        if self._closing is not None:
            await self._closing
        if self._listening is None:
            factory = Factory.forProtocol(lambda: _Near(self))
            factory.noisy = False
            self._listening = reactor.listenTCP(self.port, factory, interface=self.host)

    async def stop(self) -> None:
        """End all connections, and listen no more."""
        self._end_flapping()
        await self.down()

    def slow(self, delay_s: float, *ways: Way) -> None:
        """All bytes arrive so much later, in order."""
        for way in ways or BOTH:
            self.faults[way].delay_s = delay_s

    def stall(self, *ways: Way) -> None:
        """Nothing arrives, the end of a connection neither; new connections are taken and hang as well."""
        for way in ways or BOTH:
            self.faults[way].stalled = True

    def cut(self, after_bytes: int, *ways: Way) -> None:
        """Each connection breaks when so many bytes more have passed: the last is there, what follows is lost."""
        for way in ways or BOTH:
            self.faults[way].cut_after = after_bytes
            for link in self.links:
                link.pipes[way].left = after_bytes

    def reset(self) -> None:
        """Break all connections with a RST to both ends."""
        for link in list(self.links):
            link.abort()

    async def down(self) -> None:
        """Nobody listens, and whoever was connected is reset."""
        listening, self._listening = self._listening, None
        if listening is not None:
            self._closing = listening.stopListening()
        gone = [link.gone for link in self.links]
        self.reset()
        await DeferredList(gone)
        if self._closing is not None:
            await self._closing

    def flap(self, *, on_s: float, off_s: float) -> None:
        """Down for ``off_s`` at once, then up for ``on_s``, and so on."""
        self._end_flapping()
        Deferred.fromCoroutine(self._flap(self._flapping, on_s, off_s))

    async def heal(self) -> None:
        """All faults off; what was held back arrives."""
        self._end_flapping()
        for way in BOTH:
            self.faults[way] = _Fault()
        await self.start()
        for link in list(self.links):
            link.heal()

    async def _flap(self, which: int, on_s: float, off_s: float) -> None:
        while True:
            for change, time_s in ((self.down, off_s), (self.start, on_s)):
                await change()
                if which != self._flapping:
                    return
                self._asleep = deferLater(self.clock, time_s)
                try:
                    await self._asleep
                except CancelledError:
                    return

    def _end_flapping(self) -> None:
        self._flapping += 1
        asleep, self._asleep = self._asleep, None
        if asleep is not None:
            asleep.cancel()


async def proxy_to(test: TestCase, target: int) -> FaultProxy:
    """A listening proxy that ends with the test."""
    proxy = FaultProxy(target=target)
    test.addCleanup(lambda: Deferred.fromCoroutine(proxy.stop()))
    await proxy.start()
    return proxy


class _Pipe:
    """One way of one connection: bytes, each piece with the time at which it is due, then the end."""

    def __init__(self, link: _Link, way: Way) -> None:
        self._link = link
        self._way = way
        self._pieces: deque[tuple[float, bytes]] = deque()
        self.held = 0
        self._ended = False
        self._full = False
        self._timer: Any = None
        #: How many bytes may still pass.
        self.left = link.proxy.faults[way].cut_after
        #: Where bytes come from, and go to; the second is there once the server is connected.
        self.source: Any = None
        self.sink: Any = None

    def push(self, data: bytes) -> None:
        due_s = self._link.proxy.clock.seconds() + self._link.proxy.faults[self._way].delay_s
        self._pieces.append((due_s, data))
        self.held += len(data)
        self.flush()
        if self.held > HELD_BYTES:
            self.source.pauseProducing()

    def end(self) -> None:
        """The source has no more."""
        self._ended = True
        self.flush()

    def flush(self) -> None:
        """Pass on what is due, as far as faults and the sink allow."""
        self.close()
        if self.sink is None or self._full or self._link.proxy.faults[self._way].stalled:
            return
        now_s = self._link.proxy.clock.seconds()
        while self._pieces and not self._full:
            due_s, data = self._pieces[0]
            if due_s > now_s:
                self._timer = self._link.proxy.clock.callLater(due_s - now_s, self._due)
                return
            self._pieces.popleft()
            self.held -= len(data)
            if not self._pass(data):
                return
        if self.held <= HELD_BYTES and not self._ended and self.source is not None:
            self.source.resumeProducing()
        if self._ended and not self._pieces:
            self._end_sink()

    def _due(self) -> None:
        self._timer = None
        self.flush()

    def _pass(self, data: bytes) -> bool:
        """Whether the connection lives on."""
        if self.left is not None:
            self.left -= len(data)
            if self.left <= 0:
                self.sink.write(data[: len(data) + self.left])
                self._end_sink()
                self.source.abortConnection()
                return False
        self.sink.write(data)
        return True

    def _end_sink(self) -> None:
        # With a producer, which may be paused, the transport would wait for more.
        self.sink.unregisterProducer()
        self.sink.loseConnection()

    def close(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # A push producer, to the sink.

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        self.flush()

    def stopProducing(self) -> None:
        self._full = True


class _Link:
    """A client's connection and ours to the server."""

    def __init__(self, proxy: FaultProxy, near: Any) -> None:
        self.proxy = proxy
        self.gone: Deferred[None] = Deferred()
        self.pipes = {way: _Pipe(self, way) for way in BOTH}
        self._ends: list[Any] = [near]
        #: One end broke off, and the other may not know yet.
        self._broken = False
        self.pipes[Way.TO_SERVER].source = near
        self._join(self.pipes[Way.TO_CLIENT], near)
        proxy.links.add(self)
        proxy.accepted += 1
        endpoint = TCP4ClientEndpoint(reactor, HOST, proxy.target, timeout=CONNECT_TIMEOUT_S)
        self._connecting = connectProtocol(endpoint, _Far(self))
        self._connecting.addErrback(lambda _: self.abort())

    def connected(self, far: Any) -> None:
        self._ends.append(far)
        self.pipes[Way.TO_CLIENT].source = far
        self._join(self.pipes[Way.TO_SERVER], far)
        self.pipes[Way.TO_SERVER].flush()

    def _join(self, pipe: _Pipe, sink: Any) -> None:
        sink.setTcpNoDelay(True)
        sink.registerProducer(pipe, True)
        pipe.sink = sink

    def abort(self) -> None:
        """RST to both ends."""
        self._connecting.cancel()
        for end in list(self._ends):
            end.abortConnection()

    def lost(self, end: Any, way: Way, reason: Failure) -> None:
        """One end is gone; ``way`` is where its bytes went."""
        self._ends.remove(end)
        self.pipes[Way.TO_CLIENT if way is Way.TO_SERVER else Way.TO_SERVER].sink = None
        if not self._ends:
            self._connecting.cancel()
            for pipe in self.pipes.values():
                pipe.close()
            self.proxy.links.discard(self)
            if not self.gone.called:
                self.gone.callback(None)
        elif reason.check(ConnectionDone):
            self.pipes[way].end()
        elif not reason.check(ConnectionAborted):
            self._broken = True
            if not self.proxy.faults[way].stalled:
                self.abort()

    def heal(self) -> None:
        """The faults are off."""
        if self._broken:
            self.abort()
        for pipe in self.pipes.values():
            pipe.left = None
            pipe.flush()


class _Near(Protocol):
    """The client's connection."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._link: _Link | None = None

    def connectionMade(self) -> None:
        self._link = _Link(self._proxy, self.transport)

    def dataReceived(self, data: bytes) -> None:
        assert self._link is not None
        self._link.pipes[Way.TO_SERVER].push(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self._link is not None
        self._link.lost(self.transport, Way.TO_SERVER, reason)


class _Far(Protocol):
    """Our connection to the server."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    def connectionMade(self) -> None:
        self._link.connected(self.transport)

    def dataReceived(self, data: bytes) -> None:
        self._link.pipes[Way.TO_CLIENT].push(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._link.lost(self.transport, Way.TO_CLIENT, reason)
