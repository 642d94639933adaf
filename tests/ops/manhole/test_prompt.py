"""What is typed is run, and does no harm."""

from __future__ import annotations

from typing import Any

from twisted.conch.insults.insults import ServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from imd.ops.manhole import prompt
from imd.ops.manhole.prompt import MAX_LINE_CHARS, MAX_OUTPUT_CHARS, OneLine, Prompt


class OneLines(SynchronousTestCase):
    """``OneLine``: what is given to ssh itself."""

    def run_line(self, source: str, **namespace: object) -> tuple[str, bool]:
        return self.successResultOf(Deferred.fromCoroutine(OneLine(namespace).run(source)))

    def test_expression(self) -> None:
        """A value is shown, as is what is printed; None is not."""
        self.assertEqual(self.run_line("  answer + 1 ", answer=41), ("42\n", True))
        self.assertEqual(self.run_line("print('a\\nb')"), ("a\nb\n", True))
        self.assertEqual(self.run_line("None"), ("", True))

    def test_lines(self) -> None:
        """Several lines are run as well, and a block in one."""
        self.assertEqual(self.run_line("x = 1\nfor n in range(2):\n    print(n + x)"), ("1\n2\n", True))
        self.assertEqual(self.run_line("for n in range(2): print(n)"), ("0\n1\n", True))

    def test_awaited(self) -> None:
        """Of what takes its time the result is shown, or what went wrong."""
        answer: Deferred[int] = Deferred()

        async def ask() -> int:
            return await answer

        running = Deferred.fromCoroutine(OneLine({"ask": ask}).run("ask()"))
        self.assertNoResult(running)
        answer.callback(7)
        self.assertEqual(self.successResultOf(running), ("7\n", True))

        async def fail() -> None:
            raise ValueError("there is no such user")

        self.assertEqual(self.run_line("fail()", fail=fail), ("ValueError: there is no such user\n", False))

    def test_failures(self) -> None:
        """A failing line is shown, whatever it raises; nothing of it leaves the prompt."""
        for source in (
            "1/0",
            "raise KeyboardInterrupt",
            "raise BaseException('x')",
            "def f(): f()\nf()",
            "1 +",
            "\0",
            "raise GeneratorExit",
            "import no_such_module",
        ):
            text, well = self.run_line(source)
            self.assertFalse(well, source)
            self.assertTrue(text, source)
        for source in ("exit()", "raise SystemExit(3)"):
            self.assertEqual(self.run_line(source)[0], "", source)

    def test_endless(self) -> None:
        """A line that does not end is interrupted, however it holds on."""
        self.patch(prompt, "MAX_RUN_S", 0.05)
        for source in ("while True: pass", "while True:\n    try: 1/0\n    except Exception: pass"):
            text, well = self.run_line(source)
            self.assertFalse(well)
            self.assertIn("nobody could chat", text)

    def test_stubborn(self) -> None:
        """One that catches its interruption is interrupted again."""
        self.patch(prompt, "MAX_RUN_S", 0.05)
        self.patch(prompt, "AGAIN_S", 0.05)
        caught: list[str] = []
        source = "while len(caught) < 3:\n    try:\n        while True: sum(range(1000))\n    except BaseException as error: caught.append(str(error))\nwhile True: pass"
        text, well = self.run_line(source, caught=caught)
        self.assertEqual((len(caught), well), (3, False))
        self.assertIn("nobody could chat", text)

    def test_flood(self) -> None:
        """What is shown has an end."""
        for source in ("'x' * 10_000_000", "for n in range(100_000): print('line', n)"):
            text, _ = self.run_line(source)
            self.assertLess(len(text), MAX_OUTPUT_CHARS + 100)
            self.assertIn("cut after", text)


class Prompts(SynchronousTestCase):
    """``Prompt``: at a terminal."""

    def setUp(self) -> None:
        self.typed: list[str] = []
        self.keys = 0
        self.transport = StringTransport()
        self.server: Any = ServerProtocol(
            Prompt, {"answer": 41}, greeting="welcome", typed=self.typed.append, touched=self.touched
        )
        self.server.makeConnection(self.transport)

    def touched(self) -> None:
        self.keys += 1

    def type(self, text: str) -> str:
        """What is shown then."""
        self.transport.clear()
        self.server.dataReceived(text.encode())
        return bytes(self.transport.value()).decode().replace("\r\n", "\n")

    def test_lines(self) -> None:
        """It greets, runs what is typed, tells of each line before, and of each keystroke."""
        self.assertTrue(self.transport.value().startswith(b"welcome\r\nimd> "))
        self.assertIn("42\n", self.type("answer + 1\r"))
        self.assertEqual(self.typed, ["answer + 1"])
        self.assertEqual(self.keys, len("answer + 1\r"))

    def test_failure(self) -> None:
        """After a failing line comes a prompt."""
        shown = self.type("1/0\r")
        self.assertIn("ZeroDivisionError", shown)
        self.assertTrue(shown.endswith("imd> "))

    def test_leave(self) -> None:
        """exit() and Ctrl-D end the session, and nothing else."""
        for text in ("exit()\r", "\x04"):
            self.setUp()
            self.type(text)
            self.assertTrue(self.transport.disconnecting, text)

    def test_interrupt(self) -> None:
        """Ctrl-C takes back what was typed."""
        self.type("1/\x03")
        self.assertIn("42", self.type("answer + 1\r"))

    def test_block(self) -> None:
        """A block ends with an empty line."""
        self.assertTrue(self.type("for n in range(2):\r").endswith("...  "))
        self.assertIn("0\n1\n", self.type("  print(n)\r\r"))

    def test_too_long(self) -> None:
        """Neither a line nor a block grows without end."""
        self.type("x" * (MAX_LINE_CHARS + 1_000))
        self.type("\r")
        self.assertEqual(len(self.typed[0]), MAX_LINE_CHARS)
        self.type("if 1:\r")
        shown = "".join(self.type(" " + "y" * 4_000 + "\r") for _ in range(6))
        self.assertIn("too long; begun anew", shown)

    def test_strange_keys(self) -> None:
        """Bytes that are no keys are not taken."""
        self.type("\xe4\x00")
        self.server.dataReceived(b"\xff\x1b[99999;1H\x1bO")
        self.assertIn("42", self.type("\x03answer + 1\r"))
