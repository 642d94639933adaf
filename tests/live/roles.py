"""One node of a role on the shared engines, as an operator starts it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.configuration import Configuration
from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.engines import Engine, MariaDb, Mongod, Nats, RedisServer
from imd.ctl.cluster.layout import Settings
from imd.ctl.cluster.node import ROOT, Node
from imd.ctl.cluster.process import Process
from tests.live.engines import engine

#: For what is sure to happen; two cores are shared with other tests.
PATIENCE_S = 60.0
_POLL_S = 0.05

Answer = tuple[int, Any]


class RoleNode:
    """A process of ``im-core``, ``im-business`` or ``im-admin`` with a folder of its own.

    :param engines: the test's own, instead of the shared ones.
    :param settings: laid over what the cluster's tool would write.
    :param arguments: after ``im-ROLE``.
    """

    def __init__(
        self,
        role: str,
        *,
        number: int = 1,
        engines: Mapping[str, Engine] | None = None,
        settings: Settings | None = None,
        arguments: tuple[str, ...] = (),
        through: Mapping[str, int] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"imd-{role}-"))
        own = dict(engines or {})
        self.nats = own.get("nats") or engine("nats")
        self.mariadb = own.get("mariadb") or (engine("mariadb") if role != "core" else self._absent(MariaDb))
        self.mongo = own.get("mongo") or (engine("mongo") if role == "core" else self._absent(Mongod))
        self.redis = own.get("redis") or (engine("redis") if role == "core" else self._absent(RedisServer))
        ports = {"http": free_port(), "metrics": free_port()} | (
            {"tcp": free_port()} if role == "core" else {}
        )
        self.node = Node(
            name=f"{role}-{number}", folder=self.folder, ports=ports, outlives=False, drain_timeout_s=5
        )
        assert isinstance(self.nats, Nats) and isinstance(self.mariadb, MariaDb)
        assert isinstance(self.mongo, Mongod) and isinstance(self.redis, RedisServer)
        self.configuration = Configuration(
            folder=self.folder,
            nats=self.nats,
            mongo=self.mongo,
            redis=self.redis,
            mariadb=self.mariadb,
            settings=settings or {},
            through=through or {},
        )
        self.process: Process = self.node.process
        self._arguments = arguments

    def _absent(self, kind: type[Engine]) -> Engine:
        return kind(folder=self.folder / "absent")

    @property
    def http_url(self) -> str:
        return self.node.http_url

    @property
    def log(self) -> str:
        """Everything that it and its workers have said."""
        file = self.process.log_file
        return file.read_text(errors="replace") if file.exists() else ""

    def launch(self) -> None:
        """Start it, with what the configuration says, without waiting."""
        self.configuration.write(self.node)
        twistd = "from twisted.scripts.twistd import run; run()"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("IM__")}
        self.process.start(
            [sys.executable, "-c", twistd, "-n", "--pidfile=", f"im-{self.node.role}",
             f"--config={self.node.config_file}", *self._arguments],
            environ=environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip

    def start(self) -> None:
        """``launch``, and return when it takes traffic."""
        self.launch()
        self.process.wait_until(lambda: not self.missing())

    def wait_end(self) -> None:
        """Return when the process is gone."""
        self.wait_for(lambda: not self.process.running, "end")

    def missing(self) -> dict[str, str]:
        """What /readyz names; empty: it is ready."""
        try:
            status, body = self.ask("GET", "/readyz")
        except OSError:
            return {"node": "no answer"}
        return {} if status == 200 else dict(body["missing"])

    def wait_for(self, happened: Callable[[], bool], what: str) -> None:
        """Return when it has happened; fails with the end of the log."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not happened():
            if time.monotonic() > deadline_s:
                raise AssertionError(
                    f"no {what} within {PATIENCE_S:g} s; the log ends with:\n{self.log[-3000:]}"
                )
            time.sleep(_POLL_S)

    def ask(self, method: str, path: str, body: object = None, *, token: str = "") -> Answer:
        """Status and JSON of the answer."""
        request = urllib.request.Request(
            f"{self.http_url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {token}"} if token else {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        os.kill(self.process.pid, signal.SIGTERM)

    def close(self) -> None:
        """End it, and remove its folder."""
        self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


async def role_node(test: TestCase, role: str, **how: Any) -> RoleNode:
    """One that ends with the test, not started yet."""
    node: RoleNode = await deferToThread(lambda: RoleNode(role, **how))
    test.addCleanup(deferToThread, node.close)
    return node
