"""The log of a real server: a full disk, rotation, reloading, a flood."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.server import NO_LIMITS, LiveServer
from tests.live.standalone_client import Refused, Rest
from tests.live.standalone_wire import TcpWire

PATIENCE_S = 60.0
#: Wrong passwords in a row.
FLOOD = 30


class LogCase(SynchronousTestCase):
    """A server whose log goes to a file that the test names."""

    timeout = 240

    def serve(self, file: str, **values: object) -> LiveServer:
        self.file = file
        self.server = LiveServer(settings={**NO_LIMITS, "log": {"file": file, **values}})
        self.addCleanup(self.server.close)
        self.server.start()
        return self.server

    def until(self, happened: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not happened():
            self.assertLess(time.monotonic(), deadline_s, what)
            time.sleep(0.05)

    def rewrite(self, old: str, new: str) -> None:
        """Change the configuration file, and hang up."""
        text = self.server.config_file.read_text()
        self.assertIn(old, text)
        self.server.config_file.write_text(text.replace(old, new))
        self.hang_up()

    def hang_up(self) -> None:
        os.kill(self.server.pid, signal.SIGHUP)


class FullDisk(LogCase):
    """Where no line can be written."""

    def test_chat_goes_on(self) -> None:
        """Nobody notices but the operator, who is told on the standard error, by a metric, and in the log once it works."""
        server = self.serve("/dev/full")
        login = Rest(server.http_url).register("carol", "correct horse battery", "phone")
        wire = TcpWire("127.0.0.1", server.tcp_port)
        self.addCleanup(wire.close)
        wire.send({"connect": {"token": login.token, "deviceId": login.device_id, "platform": "ios"}})
        answer = wire.receive(PATIENCE_S)
        self.assertIn("connected", answer or {})
        self.assertEqual(
            server.log.count("the log cannot be written to /dev/full: No space left on device"), 1
        )
        with urllib.request.urlopen(server.metrics_url, timeout=PATIENCE_S) as page:
            lost = re.search(r"^imd_log_lost_total (\S+)", page.read().decode(), re.MULTILINE)
        assert lost is not None
        self.assertGreater(float(lost[1]), 0)
        there = server.folder / "there.log"
        self.rewrite('file = "/dev/full"', f'file = "{there}"')
        self.until(
            lambda: there.exists() and "lines before this one were lost: No space" in there.read_text(),
            "line",
        )
        wire.send({"hb": {}})
        self.until(lambda: "hb" in (wire.receive(1) or {}), "heartbeat")


class HangUp(LogCase):
    """SIGHUP."""

    def test_life(self) -> None:
        """The file may be moved; what may change does so, the rest is named, and a wrong file changes nothing."""
        path = Path(self.mktemp()).absolute()
        server = self.serve(str(path), level="info")
        self.assertEqual(server.log, "")
        moved = path.rename(path.with_suffix(".1"))
        size_bytes = moved.stat().st_size
        self.rewrite('level = "info"', 'level = "debug"\nformat = "json"')
        self.until(lambda: path.exists() and "log.level" in path.read_text(), "reload")
        self.assertEqual(moved.stat().st_size, size_bytes)
        self.assertIn('"namespace": "imd.', path.read_text())
        self.rewrite('level = "debug"', 'level = "loud"\nlines_per_s = -1')
        self.until(lambda: "SIGHUP: nothing is changed" in path.read_text(), "refusal")
        for reason in ("log.level: 'loud' is none of", "log.lines_per_s: -1 is out of range"):
            self.assertIn(reason, path.read_text())
        with server.config_file.open("a") as file:
            file.write("\n[gateway]\nmax_connections = 7\n")
        self.rewrite('level = "loud"\nlines_per_s = -1', 'level = "warn"')
        # At warn, which is all that is still said.
        self.until(
            lambda: "restart brings into force: gateway.max_connections" in path.read_text(), "second reload"
        )

    def test_flood(self) -> None:
        """Of a flood of wrong passwords some lines stand in the log, and how many more there were."""
        path = Path(self.mktemp()).absolute()
        server = self.serve(str(path), lines_per_s=0.1)
        rest = Rest(server.http_url)
        began_s = time.monotonic()
        for number in range(FLOOD):
            self.assertRaises(Refused, rest.login, f"nobody{number}", "wrong password", f"phone{number}")
        took_s = time.monotonic() - began_s
        server.stop()
        lines = [line for line in path.read_text().splitlines() if "login is refused: 1001" in line]
        told = [int(found[1]) for line in lines if (found := re.search(r"(\d+) more like it", line))]
        # Once a minute, and at the end.
        self.assertLessEqual(len(told), 1 + took_s // 60)
        self.assertLessEqual(len(lines) - len(told), 1 + 0.1 * took_s)
        self.assertEqual(len(lines) - len(told) + sum(told), FLOOD)
