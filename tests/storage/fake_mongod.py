"""Servers that answer what a test wants, on simulated time: for what a real one does too rarely."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bson
from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from txmongo.protocol import MongoDecoder, Msg
from zope.interface import implementer

from imd.storage.mongo import MongoDatabase

NOW_MS = 1_800_000_000_000
LATENCY_S = 0.001

Document = dict[str, Any]
#: None: no answer, ever. Bytes: these, as they are.
Answer = Document | bytes | None


class FakeMongod:
    """One server; ``answers`` are used up first, then ``answer`` decides.

    :param hello: what it says of itself, apart from what it has in common with others.
    """

    def __init__(self, clock: Clock, **hello: Any) -> None:
        self.clock = clock
        self.up = True
        self.hello: Document = {
            "ok": 1.0,
            "setName": "imd",
            "isWritablePrimary": True,
            "maxWireVersion": 17,
            "localTime": DatetimeMS(NOW_MS),
            **hello,
        }
        self.answers: list[Answer] = []
        self.answer: Callable[[Document], Answer] = lambda command: {"ok": 1.0, "n": 1}
        #: Apart from hello.
        self.commands: list[Document] = []
        self.wires: list[_Wire] = []

    def reply(self, command: Document) -> Answer:
        """What is said to a command."""
        if "hello" in command:
            return self.hello
        self.commands.append(command)
        return self.answers.pop(0) if self.answers else self.answer(command)

    def cut(self) -> None:
        """All connections break."""
        for wire in list(self.wires):
            wire.abortConnection()


class _Wire:
    """A transport whose other end is the server."""

    def __init__(self, server: FakeMongod, client: Any) -> None:
        self._server = server
        self._client = client
        server.wires.append(self)
        client.makeConnection(self)

    def write(self, data: bytes) -> None:
        message = MongoDecoder.decode(data)
        self._server.clock.callLater(LATENCY_S, self._answer, message)

    def _answer(self, message: Msg) -> None:
        if self not in self._server.wires or not self._server.up:
            return
        answer = self._server.reply(message.to_dict())
        if isinstance(answer, bytes):
            self._client.dataReceived(answer)
        elif answer is not None:
            reply = Msg(response_to=message.request_id, body=bson.encode(answer))
            self.late = reply.encode(1)
            self._client.dataReceived(self.late)

    def abortConnection(self) -> None:
        if self in self._server.wires:
            self._server.wires.remove(self)
            self._server.clock.callLater(0, self._client.connectionLost, Failure(ConnectionDone()))

    loseConnection = abortConnection


@implementer(IStreamClientEndpoint)
class _Endpoint:
    def __init__(self, server: FakeMongod | None) -> None:
        self._server = server

    def connect(self, factory: IProtocolFactory) -> Deferred[Any]:
        if self._server is None or not self._server.up:
            return fail(ConnectionRefusedError())
        client: Any = factory.buildProtocol(None)  # type: ignore[arg-type]
        _Wire(self._server, client)
        return succeed(client)


def client_of(clock: Clock, servers: dict[str, FakeMongod], **other: Any) -> MongoDatabase:
    """A client of these, not started; names are those of the hosts, the first is the one it is told."""
    settings: dict[str, Any] = {
        "hosts": list(servers)[:1],
        "replica_set": "imd",
        "database": "imd",
        "endpoint_for": lambda host: _Endpoint(servers.get(str(host))),
        "clock": clock,
        "wall_clock": lambda: NOW_MS,
    }
    return MongoDatabase(**{**settings, **other})


def election(number: int) -> ObjectId:
    """The id of the so-manieth election of a set."""
    return ObjectId(f"7fffffff{number:016x}")
