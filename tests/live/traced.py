"""What the live tests of traces need: clients that name their traces, and the spans that servers wrote."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from imd.kernel.ids import direct_conversation_id
from imd.pb.delivery_pb2 import DeliverAck
from imd.pb.envelope_pb2 import Envelope, Header
from imd.pb.message_pb2 import TEXT, SendMessageReq
from imd.wire.codec import encode
from imd.wire.framing import FrameDecoder
from tests.matrix.ground import DEVICE, greeting
from tests.ops.spans import Seen

#: For what is sure to happen; two cores are shared with other tests.
PATIENCE_S = 60.0
_POLL_S = 0.05


class Phone:
    """Somebody's device on a node, over TCP."""

    def __init__(self, port: int, user_id: int, token: str) -> None:
        self.user_id = user_id
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._frames = FrameDecoder(limit_bytes=1 << 22)
        self._heard: list[Envelope] = []
        self._socket.sendall(encode(greeting(token, DEVICE)))
        self.hear("connected", 1)

    def send(self, peer: Phone, name: str, trace_id: str = "") -> None:
        """A text in the conversation of the two; does not wait."""
        request = SendMessageReq(
            conversationId=direct_conversation_id(self.user_id, peer.user_id),
            peerUserId=peer.user_id,
            clientMsgId=name,
            type=TEXT,
            textContent="for their eyes only",
        )
        self._socket.sendall(encode(Envelope(header=Header(traceId=trace_id), send=request)))

    def acknowledge(self, delivered: Iterable[Envelope]) -> None:
        """Say that these have come."""
        for envelope in delivered:
            message = envelope.deliver.message
            ack = DeliverAck(conversationId=message.conversationId, seq=message.seq)
            self._socket.sendall(encode(Envelope(deliverAck=ack)))

    def hear(self, payload: str, count: int) -> list[Envelope]:
        """So many of these; whatever else comes is passed over."""
        found: list[Envelope] = []
        deadline_s = time.monotonic() + PATIENCE_S
        while len(found) < count:
            while not self._heard:
                self._socket.settimeout(max(0.01, deadline_s - time.monotonic()))
                data = self._socket.recv(1 << 16)
                assert data, "the server closed the connection"
                self._heard += [Envelope.FromString(frame) for frame in self._frames.feed(data)]
            envelope = self._heard.pop(0)
            assert envelope.WhichOneof("payload") != "error", envelope
            if envelope.WhichOneof("payload") == payload:
                found.append(envelope)
        return found

    def close(self) -> None:
        self._socket.close()


def read_spans(folder: Path) -> list[Seen]:
    """All that the nodes have written."""
    return [
        Seen(
            line["trace_id"],
            line["span_id"],
            line["parent_id"],
            line["name"],
            line["node"],
            line["time"],
            line["attributes"],
            line.get("error", ""),
        )
        for file in sorted(folder.glob("*.jsonl"))
        # The last line may be half written.
        for line in map(json.loads, file.read_text().rpartition("\n")[0].splitlines())
    ]


def wait_for(happened: Callable[[], bool], what: str | Callable[[], str]) -> None:
    """Return when it has happened; fails by saying what has not."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() > deadline_s:
            missing = what if isinstance(what, str) else what()
            raise AssertionError(f"no {missing} within {PATIENCE_S:g} s")
        time.sleep(_POLL_S)
