"""``imctl explain`` against a server that answers what it is told to."""

from __future__ import annotations

import io
import json
import threading
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cli import run
from imd.ctl.exits import TARGET, USAGE

TOKEN = "0123456789abcdef0123456789abcdef"
STORY: dict[str, Any] = {
    "got": "no",
    "reason": "offline",
    "verdict": "bob did not get it: \x1b[2Jno device",
    "advice": "nothing to do",
    "gaps": ["core-2 did not answer in time"],
    "steps": [
        {"at": 1_764_000_000_007, "where": "core-1", "what": "stored", "text": "c:1"},
        {"at": 0, "where": "", "what": "delivered", "text": "up to 0"},
    ],
}


class _Answer(BaseHTTPRequestHandler):
    """Answers everything alike, and keeps what was asked."""

    status: ClassVar[int] = 200
    body: ClassVar[bytes] = b""
    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Authorization"]))
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        """Not on the tests' output."""


class Explain(SynchronousTestCase):
    """What is printed, and the exit code."""

    def setUp(self) -> None:
        self.server = HTTPServer(("127.0.0.1", 0), _Answer)
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(thread.join)
        self.addCleanup(self.server.shutdown)
        self.token = Path(self.mktemp())
        self.token.write_text(TOKEN + "\n")
        self.token.chmod(0o600)
        _Answer.asked.clear()

    def explain(self, *arguments: str, status: int = 200, body: bytes | None = None) -> tuple[int, str]:
        """Exit code and all that was said."""
        _Answer.status = status
        _Answer.body = json.dumps(STORY).encode() if body is None else body
        said = io.StringIO()
        address = f"http://127.0.0.1:{self.server.server_address[1]}"
        with redirect_stdout(said), redirect_stderr(said):
            code = run(
                ["explain", "c:1", "bob", f"--server={address}", f"--token-file={self.token}", *arguments]
            )
        return code, said.getvalue()

    def test_story(self) -> None:
        """The verdict first, what to do, what is missing, then the timeline; nothing that moves a cursor."""
        code, said = self.explain()
        self.assertEqual(code, 1)
        self.assertEqual(
            said.splitlines(),
            [
                "bob did not get it: ?[2Jno device",
                "  what to do: nothing to do",
                "  nothing recorded here: core-2 did not answer in time",
                "",
                "2025-11-24 16:00:00.007Z  core-1     stored     c:1",
                "                          -          delivered  up to 0",
            ],
        )
        self.assertEqual(
            _Answer.asked, [("/api/v1/operator/explain?message=c%3A1&user=bob", f"Bearer {TOKEN}")]
        )

    def test_exit_codes(self) -> None:
        """0 got it, 1 did not, 2 is not known."""
        for got, expected in (("yes", 0), ("no", 1), ("unknown", 2), ("something new", 2)):
            body = json.dumps(STORY | {"got": got}).encode()
            self.assertEqual(self.explain(body=body)[0], expected, got)

    def test_json(self) -> None:
        """For programs: as it came."""
        self.assertEqual(json.loads(self.explain("--json")[1]), STORY)

    def test_refusals(self) -> None:
        """Each trouble has a line that says what to do, never the token, never a traceback."""
        error = json.dumps({"error": {"message": "nobody has this id or handle"}}).encode()
        gone = json.dumps({"error": {"message": "there is nothing at this path"}}).encode()
        for status, body, code, words in (
            (404, error, USAGE, "nobody has this id"),
            (404, gone, USAGE, "is it im-business"),
            (401, error, USAGE, "is nobody's"),
            (503, error, TARGET, "nobody has this id"),
            (200, b"<html>", TARGET, "no im-business"),
            (200, b"[]", TARGET, "no im-business"),
            (200, b"{}", TARGET, "does not answer as"),
            (502, b"", TARGET, "no im-business"),
        ):
            given, said = self.explain(status=status, body=body)
            self.assertEqual((given, said.count("\n")), (code, 1), (status, body, said))
            self.assertIn(words, said)
            self.assertNotIn(TOKEN, said)

    def test_unreachable(self) -> None:
        """No server, no token, no such scheme: told, with the option that would help."""
        for option, code, words in (
            ("--server=http://127.0.0.1:1", TARGET, "--server"),
            ("--server=ftp://127.0.0.1", USAGE, "--server"),
            ("--server=http://192.0.2.1", USAGE, "--allow-plaintext"),
            ("--server=http://127.0.0.1:x", USAGE, "--server"),
            ("--token-file=/nowhere/token", USAGE, "--token-file"),
            ("--ca-file=/nowhere/ca.pem", 1, "did not get it"),
        ):
            given, said = self.explain(option)
            self.assertEqual(given, code, (option, said))
            self.assertIn(words, said)
