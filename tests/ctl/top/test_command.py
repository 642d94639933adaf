"""``imctl top`` as it is typed: on a terminal, and elsewhere."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from select import select

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cli import run
from imd.ctl.exits import CHECK_FAILED, OK, TARGET, USAGE
from imd.ctl.top import command
from imd.ctl.top.nodes import Target
from tests.ctl.top.nodes import core, in_turn, says, serve

ROOT = Path(__file__).resolve().parents[3]
#: A busy machine takes its time to start Python.
PATIENCE_S = 60.0


class Elsewhere(SynchronousTestCase):
    """Not on a terminal."""

    def typed(self, *arguments: str) -> tuple[int, str]:
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            try:
                code = run(("top", *arguments))
            except SystemExit as ended:
                code = int(ended.code or 0)
        return code, said.getvalue()

    def node(self, *pages: str) -> str:
        return f"127.0.0.1:{serve(self, in_turn(*pages))}"

    def test_picture(self) -> None:
        """One picture of one interval, without control characters."""
        code, said = self.typed("--metrics", self.node(core(0), core(50)), "--interval", "0.2")
        self.assertEqual(code, OK, said)
        self.assertIn("core-1", said)
        self.assertNotIn("\x1b", said)
        self.assertEqual(said.count("NODE"), 1)

    def test_json(self) -> None:
        """The same for programs; a node that is down is there, and the exit code tells."""
        code, said = self.typed(
            "--metrics",
            self.node(core(0), core(50)),
            "--metrics",
            "127.0.0.1:1",
            "--json",
            "--interval",
            "0.2",
        )
        self.assertEqual(code, CHECK_FAILED)
        up, gone = json.loads(said)["nodes"]
        self.assertEqual((up["node"], up["connections"], up["shards"]), ("core-1", 42, 256))
        self.assertGreater(up["sends_per_s"], 0)
        self.assertEqual(gone, {"address": "127.0.0.1:1", "down": "connection refused"})

    def test_nobody_there(self) -> None:
        """Where nobody answers at the default ports it says where it has looked, and what to say."""
        self.patch(command, "defaults", lambda: [Target("127.0.0.1", 1)])
        code, said = self.typed("--once")
        self.assertEqual(code, TARGET)
        self.assertIn("127.0.0.1:1", said)
        self.assertIn("--cluster", said)

    def test_default_ports(self) -> None:
        """Of the default ports those are shown at which somebody answers."""
        host, _, port = self.node(core()).partition(":")
        self.patch(command, "defaults", lambda: [Target("127.0.0.1", 1), Target(host, int(port))])
        code, said = self.typed("--once", "--interval", "0.2")
        self.assertEqual(code, OK, said)
        self.assertIn("1 of 1 nodes", said)

    def test_wrong_usage(self) -> None:
        """An interval that is none is refused."""
        for text in ("0", "nan", "-1", "1e9", "soon"):
            code, said = self.typed("--interval", text)
            self.assertEqual(code, USAGE, text)
            self.assertIn("expected seconds", said)


class OnTerminal(SynchronousTestCase):
    """On a real one, which is left as it was found."""

    def setUp(self) -> None:
        self.ours, theirs = pty.openpty()
        self.addCleanup(os.close, self.ours)
        self.addCleanup(os.close, theirs)
        self.theirs = theirs
        self.resize(150, 20)
        self.before = termios.tcgetattr(theirs)
        self.seen = ""
        port = serve(self, says(core()))
        environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from imd.ctl.cli import main; main()", "top"),
                *("--interval", "0.3", "--metrics", f"127.0.0.1:{port}"),
            ],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            cwd=ROOT,
        )
        self.addCleanup(self.end)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, holds: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while not holds():
            self.assertLess(time.monotonic(), deadline_s, self.seen[-2000:])
            if select([self.ours], [], [], 0.05)[0]:
                self.seen += os.read(self.ours, 65_536).decode()

    def is_left_whole(self, code: int) -> None:
        self.until(lambda: self.process.poll() is not None)
        self.until(lambda: self.seen.endswith("\x1b[?1049l"))
        self.assertEqual(self.process.returncode, code)
        self.assertEqual(termios.tcgetattr(self.theirs), self.before)
        for on, off in (("\x1b[?25l", "\x1b[?25h"), ("\x1b[?7l", "\x1b[?7h"), ("\x1b[?1049h", "\x1b[?1049l")):
            self.assertLess(self.seen.rindex(on), self.seen.rindex(off))

    def test_keys(self) -> None:
        """It is refreshed until q; another key, F2, and ^Z, do nothing; another size is heeded at once."""
        self.until(lambda: self.seen.count("core-1") >= 3)
        self.assertIn("SETTINGS", self.seen)
        os.write(self.ours, b"\x1bOQ")
        self.seen = ""
        self.until(lambda: self.seen.count("core-1") >= 2)
        os.write(self.ours, b"x\x1a")
        self.resize(40, 10)
        self.process.send_signal(signal.SIGWINCH)
        self.seen = ""
        self.until(lambda: self.seen.count("NODE") >= 2)
        self.assertNotIn("SETTINGS", self.seen[self.seen.rindex("NODE") :])
        self.seen = "\x1b[?25l\x1b[?7l\x1b[?1049h"
        os.write(self.ours, b"q")
        self.is_left_whole(OK)

    def test_interrupt(self) -> None:
        """^C ends it, too."""
        self.until(lambda: "core-1" in self.seen)
        os.write(self.ours, b"\x03")
        self.is_left_whole(OK)

    def test_termination(self) -> None:
        """So does SIGTERM, with its exit code."""
        self.until(lambda: "core-1" in self.seen)
        self.process.terminate()
        self.is_left_whole(128 + signal.SIGTERM)
