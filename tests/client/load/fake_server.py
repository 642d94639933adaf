"""A server in one page: right by default, wrong where it is told to be.

Sans-I/O for the tests; ``python -m tests.client.load.fake_server PORT`` serves it on loopback, which shows
how much the load generator itself can do. Tokens read ``user/conversation,conversation``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from imd.pb.delivery_pb2 import Ack
from imd.pb.envelope_pb2 import Envelope
from imd.pb.message_pb2 import FAILED, STORED, Message
from imd.pb.sync_pb2 import SyncResp
from imd.wire.codec import deliver_frame, encode
from imd.wire.framing import FrameDecoder


@dataclass
class Faults:
    """What goes wrong, by seq (of any conversation)."""

    #: ACKed and never delivered, though history has it.
    lose: set[int] = field(default_factory=set)
    #: Delivered twice.
    double: set[int] = field(default_factory=set)
    #: Delivered after its successor.
    swap: set[int] = field(default_factory=set)
    #: Stored under two seqs, ACKed with the first.
    store_twice: set[int] = field(default_factory=set)
    #: ACKed with the seq of the message before.
    reuse: set[int] = field(default_factory=set)
    #: Not delivered; the receivers are told with a Resync, a Hint or a heartbeat's count instead.
    drop_and_resync: set[int] = field(default_factory=set)
    hint: set[int] = field(default_factory=set)
    #: The first try of the send that would have got this seq is refused as retryable.
    refuse_once: set[int] = field(default_factory=set)


class FakeServer:
    """Conversations and who is connected."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.log: dict[str, list[bytes]] = {}
        self.stored: dict[str, Ack] = {}
        self.online: dict[str, list[FakeSession]] = {}

    def append(self, sender: FakeSession, envelope: Envelope) -> None:
        send = envelope.send
        faults = self.faults
        log = self.log.setdefault(send.conversationId, [])
        seq = len(log) + 1
        before = self.stored.get(send.clientMsgId)
        if before is not None:
            again = Envelope()
            again.ack.CopyFrom(before)
            again.ack.duplicate = True
            sender.write(encode(again))
            return
        answer = Envelope()
        ack = answer.ack
        ack.clientMsgId = send.clientMsgId
        ack.conversationId = send.conversationId
        if seq in faults.refuse_once:
            faults.refuse_once.discard(seq)
            ack.status = FAILED
            ack.error.retryable = True
            ack.error.retryAfterMs = 1
            sender.write(encode(answer))
            return
        copies = 2 if seq in faults.store_twice else 1
        for offset in range(copies):
            message = Message(
                conversationId=send.conversationId,
                seq=seq + offset,
                clientMsgId=send.clientMsgId,
                senderId=sender.user_id,
                type=send.type,
                textContent=send.textContent,
                status=STORED,
            )
            log.append(message.SerializeToString())
            self._deliver(sender, send.conversationId, seq + offset, log)
        ack.seq = seq - 1 if seq in faults.reuse else seq
        ack.status = STORED
        self.stored[send.clientMsgId] = ack
        sender.write(encode(answer))

    def _deliver(self, sender: FakeSession, conversation_id: str, seq: int, log: list[bytes]) -> None:
        faults = self.faults
        if seq in faults.lose or seq in faults.swap:
            return
        if seq in faults.drop_and_resync:
            frame = Envelope()
            frame.resync.reason = "slow"
            data = encode(frame)
        elif seq in faults.hint:
            frame = Envelope()
            frame.hint.conversationId = conversation_id
            frame.hint.lastSeq = seq
            data = encode(frame)
        else:
            data = deliver_frame(log[seq - 1]) * (2 if seq in faults.double else 1)
        if seq - 1 in faults.swap:
            data += deliver_frame(log[seq - 2])
        for session in self.online.get(conversation_id, ()):
            if session is not sender:
                session.write(data)


class FakeSession:
    """One connection."""

    def __init__(self, server: FakeServer, write: Callable[[bytes], None]) -> None:
        self._server = server
        self.write = write
        self.user_id = 0
        self._conversations: list[str] = []
        self._cutter = FrameDecoder(limit_bytes=1 << 20)

    def received(self, data: bytes) -> None:
        for body in self._cutter.feed(data):
            envelope = Envelope.FromString(body)
            kind = envelope.WhichOneof("payload")
            if kind == "send":
                self._server.append(self, envelope)
            elif kind == "connect":
                self._connect(envelope)
            elif kind == "syncReq":
                self._sync({c.conversationId: c.lastSeq for c in envelope.syncReq.cursors})
            elif kind == "historyReq":
                self._history(envelope.historyReq.conversationId, envelope.historyReq.fromSeq)

    def _connect(self, envelope: Envelope) -> None:
        user, _, conversations = envelope.connect.token.partition("/")
        self.user_id = int(user)
        self._conversations = [name for name in conversations.split(",") if name]
        answer = Envelope()
        answer.connected.userId = self.user_id
        self.write(encode(answer))
        self._sync({c.conversationId: c.lastSeq for c in envelope.connect.cursors})
        for name in self._conversations:
            self._server.online.setdefault(name, []).append(self)

    def _sync(self, cursors: dict[str, int]) -> None:
        answer = Envelope()
        answer.syncResp.CopyFrom(SyncResp())
        for name in self._conversations:
            last = len(self._server.log.get(name, ()))
            if last > cursors.get(name, 0):
                answer.syncResp.behind.add(conversationId=name, lastSeq=last)
        self.write(encode(answer))

    def _history(self, name: str, from_seq: int, limit: int = 50) -> None:
        log = self._server.log.get(name, [])
        answer = Envelope()
        page = answer.historyResp
        page.conversationId = name
        page.lastSeq = len(log)
        for body in log[from_seq - 1 : from_seq - 1 + limit]:
            page.messages.add().MergeFromString(body)
        page.more = from_seq - 1 + limit < len(log)
        self.write(encode(answer))

    def gone(self) -> None:
        for name in self._conversations:
            self._server.online[name].remove(self)


class _Connection(asyncio.Protocol):
    def __init__(self, server: FakeServer, dirty: list[_Connection]) -> None:
        self._server = server
        self._dirty = dirty
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._session = FakeSession(self._server, self._queue)

    def _queue(self, data: bytes) -> None:
        if not self._out:
            self._dirty.append(self)
        self._out.append(data)

    def flush(self) -> None:
        self.transport.write(b"".join(self._out))  # type: ignore[attr-defined]
        self._out.clear()

    def data_received(self, data: bytes) -> None:
        self._session.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._session.gone()


async def _serve(port: int) -> None:
    server = FakeServer()
    dirty: list[_Connection] = []
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: _Connection(server, dirty), "127.0.0.1", port, backlog=4096)
    while True:
        await asyncio.sleep(0.002)
        for connection in dirty:
            connection.flush()
        dirty.clear()


if __name__ == "__main__":
    import uvloop

    uvloop.run(_serve(int(sys.argv[1])))
