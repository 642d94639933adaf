"""The whole matrix on a cluster: MariaDB, MongoDB, Redis and NATS, two im-core and two im-business."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from itertools import count
from typing import Any

from imd.ctl.cluster.node import Node
from tests.live.cluster import new_cluster, town_of
from tests.live.lines import PATIENCE_S, SocketLine
from tests.live.server import Settings
from tests.matrix.ground import (
    DEVICE,
    MANY_GROUPS,
    NO_RATES,
    Ground,
    Line,
    Person,
    Reply,
)
from tests.matrix.rows import MatrixCase, with_rows

SETTINGS: Settings = {
    "limits": {**NO_RATES},
    "accounts": {"groups_per_user": MANY_GROUPS, "token_ttl_s": 7200, "refresh_below_s": 3600},
    "messages": {"recall_window_s": 3600},
}
#: More than the matrix has cells; most of them need a few.
INHABITANTS = 5_000
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
        return SocketLine(self._next("core"), token)

    def settle(self) -> None:
        time.sleep(HEARD_S)

    def _next(self, role: str) -> Node:
        nodes = self.cluster.of_role(role)
        return nodes[next(self._turns) % len(nodes)]


@with_rows
class OnCluster(MatrixCase):
    """Whichever node is asked."""

    def make_ground(self) -> Ground:
        return ClusterGround()
