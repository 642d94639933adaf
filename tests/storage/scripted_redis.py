"""A Redis played by the test: it hears commands, and answers when and what the test says."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost, ConnectionRefusedError, UserError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

INFO = {"redis_version": "7.0.15", "role": "master", "loading": "0", "maxmemory_policy": "noeviction"}


def bulk(text: str) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text.encode())


def info(**changed: str) -> bytes:
    return bulk("# Server\r\n" + "".join(f"{key}:{value}\r\n" for key, value in (INFO | changed).items()))


class Side(StringTransport):
    """The server's side of one connection. Hanging up is heard one turn later, as with a real transport."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.line: Any = None
        self.open = True

    def abortConnection(self) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        if self.open:
            self.open = False
            self.clock.callLater(0, self.line.connectionLost, Failure(ConnectionLost()))

    def heard(self) -> list[list[str]]:
        """The commands since the last time."""
        lines = self.value().split(b"\r\n")
        self.clear()
        commands: list[list[str]] = []
        while len(lines) > 1:
            count = int(lines.pop(0)[1:])
            commands.append([lines[2 * n + 1].decode() for n in range(count)])
            del lines[: 2 * count]
        return commands

    def say(self, reply: bytes) -> None:
        if self.open:
            self.line.dataReceived(reply)


@implementer(IStreamClientEndpoint)
class ScriptedRedis:
    """An endpoint. ``answers`` is what it says at once; while None, it accepts and says nothing."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.refuses = False
        #: Neither accepts nor refuses.
        self.unreachable = False
        self.answers: list[bytes] | None = [info()]
        self.sides: list[Side] = []
        #: When it was tried to connect.
        self.tried_s: list[float] = []

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        self.tried_s.append(self.clock.seconds())
        if self.refuses:
            return fail(ConnectionRefusedError())
        if self.unreachable:
            # As Twisted's own endpoints do it, instead of a CancelledError.
            return Deferred(lambda connecting: connecting.errback(UserError()))
        line: Any = protocolFactory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 6379))
        side = Side(self.clock)
        side.line = line
        self.sides.append(side)
        line.makeConnection(side)
        if self.answers is not None:
            self.clock.callLater(0, side.say, b"".join(self.answers))
        return succeed(line)

    @property
    def side(self) -> Side:
        return self.sides[-1]
