"""A client of one core node that asks one thing at a time, and waits for the answer."""

from __future__ import annotations

import socket
import time

from imd.ctl.cluster.node import Node
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from imd.wire.framing import FrameDecoder
from tests.matrix.ground import DEVICE, SILENT, greeting, is_answer

#: What is certain to be answered; two cores are shared with other tests.
PATIENCE_S = 20.0
#: A refusal of what is not answered otherwise comes sooner.
SILENCE_S = 0.2


class SocketLine:
    """See ``tests.matrix.ground.Line``; over TCP."""

    def __init__(self, node: Node, token: str, *, device_id: str = DEVICE) -> None:
        self._socket = socket.create_connection(("127.0.0.1", node.ports["tcp"]), timeout=PATIENCE_S)
        self._frames = FrameDecoder(limit_bytes=1 << 22)
        self._heard: list[Envelope] = []
        self._asked = 0
        self._socket.sendall(encode(greeting(token, device_id)))
        first = self._next(PATIENCE_S)
        assert first is not None, "no greeting"
        self.refused = first if first.WhichOneof("payload") == "error" else None

    def ask(self, envelope: Envelope) -> Envelope | None:
        self._asked += 1
        envelope.header.requestId = self._asked
        self._socket.sendall(encode(envelope))
        is_silent = envelope.WhichOneof("payload") in SILENT
        deadline_s = time.monotonic() + (SILENCE_S if is_silent else PATIENCE_S)
        while (left_s := deadline_s - time.monotonic()) > 0:
            one = self._next(left_s)
            if one is not None and is_answer(one, envelope):
                return one
        assert is_silent, f"no answer to {envelope}"
        return None

    def _next(self, patience_s: float) -> Envelope | None:
        while not self._heard:
            self._socket.settimeout(patience_s)
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                return None
            assert data, "the server closed the connection"
            self._heard += [Envelope.FromString(frame) for frame in self._frames.feed(data)]
        return self._heard.pop(0)

    def close(self) -> None:
        self._socket.close()
