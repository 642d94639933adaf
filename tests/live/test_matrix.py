"""The whole matrix on a cluster: MariaDB, MongoDB, Redis and NATS, two im-core and two im-business."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from itertools import count
from typing import Any

from imd.ctl.cluster.node import Node
from imd.pb.envelope_pb2 import Envelope
from imd.wire.codec import encode
from imd.wire.framing import FrameDecoder
from tests.live.cluster import new_cluster, town_of
from tests.live.server import Settings
from tests.matrix.ground import (
    DEVICE,
    MANY_GROUPS,
    NO_RATES,
    SILENT,
    Ground,
    Line,
    Person,
    Reply,
    greeting,
    is_answer,
)
from tests.matrix.rows import MatrixCase, with_rows

SETTINGS: Settings = {
    "limits": {**NO_RATES},
    "accounts": {"groups_per_user": MANY_GROUPS, "token_ttl_s": 7200, "refresh_below_s": 3600},
    "messages": {"recall_window_s": 3600},
}
#: More than the matrix has cells; most of them need a few.
INHABITANTS = 5_000
#: What is certain to be answered; two cores are shared with other tests.
PATIENCE_S = 20.0
#: A refusal of what is not answered otherwise comes sooner.
SILENCE_S = 0.2
#: An invalidation reaches all nodes sooner.
HEARD_S = 0.1


class ClusterGround:
    """See ``Ground``: each request goes to another business node than the one before, each line to another core."""

    def __init__(self) -> None:
        self.cluster = new_cluster(SETTINGS)
        self._town = town_of(self.cluster, inhabitants=INHABITANTS)
        self._turns = count()
        self.operator_token = self.cluster.configuration.operator_token_file.read_text().strip()

    def person(self) -> Person:
        one = self._town.next()
        return Person(one.account.user_id, one.account.handle, self._town.token(one, DEVICE))

    def call(self, method: str, path: str, body: Any = None, *, token: str = "") -> Reply:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(
            f"{self._next('business').http_url}/api/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers=headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return Reply(answer.status, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read())

    def line(self, token: str) -> Line:
        return _Socket(self._next("core"), token)

    def settle(self) -> None:
        time.sleep(HEARD_S)

    def _next(self, role: str) -> Node:
        nodes = self.cluster.of_role(role)
        return nodes[next(self._turns) % len(nodes)]


class _Socket:
    """See ``Line``."""

    def __init__(self, node: Node, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", node.ports["tcp"]), timeout=PATIENCE_S)
        self._frames = FrameDecoder(limit_bytes=1 << 22)
        self._heard: list[Envelope] = []
        self._asked = 0
        self._socket.sendall(encode(greeting(token)))
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


@with_rows
class OnCluster(MatrixCase):
    """Whichever node is asked."""

    def make_ground(self) -> Ground:
        return ClusterGround()
