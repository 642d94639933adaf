"""Settings of `twistd im`, changed by an operator while people are connected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from itertools import count
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.live.server import ROOT, LiveServer


class SettingsTests(SynchronousTestCase):
    """One process, no im-admin beside it."""

    def setUp(self) -> None:
        self.numbers = count()
        self.server = LiveServer()
        self.addCleanup(self.server.close)
        self.server.start()

    def call(self, method: str, path: str, body: Any = None, *, operator: bool = True) -> tuple[int, Any]:
        token = (self.server.data_dir / "secrets" / "operator.token").read_text().strip()
        headers = {"Content-Type": "application/json"}
        if operator:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.server.http_url}/api/v1{path}"
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def assert_soon(self, status: int) -> None:
        """Registering ends so, a moment after the change at the latest."""
        deadline_s = time.monotonic() + 5
        while self.register() != status:
            self.assertLess(time.monotonic(), deadline_s, f"registering never answers {status}")

    def register(self) -> int:
        body = {
            "handle": f"person{next(self.numbers)}",
            "password": "correct horse battery",
            "deviceId": "phone",
        }
        return self.call("POST", "/register", body, operator=False)[0]

    def test_changed(self) -> None:
        """A change holds at once, and after a restart; a bad one is refused with its reasons, and changes nothing."""
        self.assert_soon(201)
        closed = {"accounts": {"registration": False}}
        status, answer = self.call("PUT", "/settings", {"basedOn": 0, "settings": closed})
        self.assertEqual((status, answer["version"], answer["published"]), (200, 1, True))
        self.assert_soon(403)
        bad = {"permission": {"matrix": ["p2p.text.timed_out=perhaps"], "snapshot_s": -1}}
        status, answer = self.call("PUT", "/settings", {"basedOn": 1, "settings": bad})
        self.assertEqual(status, 400)
        self.assertIn("permission.snapshot_s", answer["error"]["reasons"][0])
        self.server.stop()
        self.server.start()
        self.assert_soon(403)
        self.assertEqual(self.call("GET", "/settings")[1]["settings"], closed)
        status, _ = self.call("PUT", "/settings", {"basedOn": 1, "settings": {}})
        self.assertEqual(status, 200)
        self.assert_soon(201)

    def imctl(self, *arguments: str) -> str:
        """What an operator types, and is told."""
        ended = subprocess.run(
            [sys.executable, "-c", "from imd.ctl.cli import main; main()", "settings", *arguments],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "IMCTL_SERVER": self.server.http_url,
                "IMCTL_TOKEN_FILE": str(self.server.data_dir / "secrets" / "operator.token"),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return ended.stdout

    def test_command_line(self) -> None:
        """The one process is a node like any other; it goes on by what it ran last though all else is lost, and the
        next version is above that."""
        self.assertIn(
            "runs on 1 of 1 nodes", self.imctl("set", "accounts.registration=false", "-m", "closed")
        )
        self.assert_soon(403)
        self.server.kill()
        for name in ("admin.db", "bus.db"):
            for file in self.server.data_dir.glob(f"{name}*"):
                file.unlink()
        self.server.start()
        self.assert_soon(403)
        self.assertIn("version 0", self.imctl("get"))
        self.imctl("rollback", "0")
        self.assertIn("version 2", self.imctl("get"))
        self.assert_soon(201)

    def test_operators_only(self) -> None:
        """Nobody else sees or sets them."""
        self.assertEqual(self.call("GET", "/settings", operator=False)[0], 401)
        self.assertEqual(
            self.call("PUT", "/settings", {"basedOn": 0, "settings": {}}, operator=False)[0], 401
        )
