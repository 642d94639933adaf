"""``tools/cluster`` with everything that it starts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.cluster import Cluster
from tests.live.engines import engine

ROOT = Path(__file__).resolve().parents[2]
NODES = ("business-1", "business-2", "admin-1", "core-1", "core-2")
ENGINES = ("nats", "redis", "mariadb", "mongo")
#: Of one command; two cores are shared with other tests.
TIMEOUT_S = 150


class Tool(TestCase):
    """Its commands, one after the other."""

    timeout = 400

    async def test_from_nothing_to_nothing(self) -> None:
        """Up, up again, up after a crash, down, up on the same data, down with the data deleted."""
        await deferToThread(self._need_engines)
        self.folder = Path(tempfile.mkdtemp(prefix="imd-tool-"))
        self.addCleanup(deferToThread, self._end)
        await deferToThread(self._scene)

    def _need_engines(self) -> None:
        engine("nats")
        engine("redis")
        engine("mariadb")
        engine("mongo")

    def _end(self) -> None:
        if self.folder.exists():
            cluster = Cluster(folder=self.folder)
            cluster.kill()
            if cluster.made:
                cluster.wipe()

    def tool(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "imd.ctl.cluster.cli", "--folder", str(self.folder), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def _states(self, *, code: int) -> dict[str, tuple[int, str]]:
        """Process number and state of each, as ``status`` says."""
        lines = [line.split(maxsplit=3) for line in self.tool("status", code=code).splitlines()[1:]]
        return {name: (int(pid.replace("-", "0")), state) for name, _, pid, state in lines}

    def _scene(self) -> None:
        said = self.tool("up", "--base-port", "0", "--set", "accounts.password_min_length=9")
        for name in (*ENGINES, *NODES):
            self.assertIn(f"{name} is ready\n", said)
        states = self._states(code=0)
        self.assertEqual({state for _, state in states.values()}, {"ready"})
        cluster = Cluster(folder=self.folder)
        for node in cluster.of_role("core"):
            self.assertIn(node.tcp_url, said)
            self.assertIn(node.ws_url, said)
        first, second = cluster.of_role("business")
        self.assertIn(f"imc --as alice register --server {first.http_url}", said)
        self.assertEqual(self._post(first.http_url, "register", "eight888"), 400)
        self.assertEqual(self._post(first.http_url, "register", "nine99999"), 201)

        self.assertIn("core-1 runs already\n", self.tool("up"))
        self.assertEqual(self._states(code=0), states)

        cluster.nodes["core-2"].kill()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", cluster.nodes["core-2"].ports["tcp"]))
            other.listen()
            self.assertEqual(self._states(code=1)["core-2"], (0, "does not run"))
            self.assertIn("native clients of core-2, is in use by another program", self.tool("up", code=3))
        said = self.tool("up")
        self.assertIn("core-1 runs already\n", said)
        self.assertIn("core-2 is ready\n", said)
        self.assertIn("im-core node 2 is ready", self.tool("logs", "-n", "100", "core-2"))

        said = self.tool("down")
        ended = [line.split()[0] for line in said.splitlines() if line.endswith(" has ended")]
        self.assertEqual(ended[:2], ["core-1", "core-2"])
        self.assertEqual(set(ended[-len(ENGINES) :]), set(ENGINES))
        self.assertEqual({state for _, state in self._states(code=1).values()}, {"does not run"})

        self.tool("up")
        self.assertEqual(self._post(second.http_url, "login", "nine99999"), 200)
        self.assertIn("is deleted", self.tool("down", "--wipe"))
        self.assertFalse(self.folder.exists())
        for pid, _ in states.values():
            with self.assertRaises(ProcessLookupError):
                os.kill(pid, 0)

    def _post(self, url: str, what: str, password: str) -> int:
        """The status of registering, or logging in, as alice."""
        body = {"handle": "alice", "password": password, "deviceId": "laptop", "platform": "linux"}
        request = urllib.request.Request(
            f"{url}/api/v1/{what}",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
