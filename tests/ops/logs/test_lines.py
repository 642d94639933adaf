"""The two forms of a line."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import (
    LogEvent,
    LogLevel,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.trace_context import TraceContext, carrying
from imd.ops.logs import lines
from imd.ops.logs.redaction import Redaction


def event(form: str = "hello {who}", **more: Any) -> LogEvent:
    return {
        "log_time": 1_700_000_000.25,
        "log_level": LogLevel.warn,
        "log_namespace": "imd.core.gateway",
        "log_format": form,
        "who": "alice",
        **more,
    }


def failure(text: str) -> Failure:
    try:
        raise RuntimeError(text)
    except RuntimeError:
        return Failure()


def text_line(event: LogEvent) -> str:
    return lines.text_line(event, Redaction().text)


def json_line(event: LogEvent) -> str:
    return lines.json_line(event, Redaction().text)


class Console(SynchronousTestCase):
    """Lines for people."""

    def test_line(self) -> None:
        """Time in UTC, level, namespace, message."""
        self.assertEqual(
            text_line(event()),
            "2023-11-14T22:13:20.250Z warn     imd.core.gateway: hello alice\n",
        )

    def test_traceback(self) -> None:
        """A failure stands below, indented."""
        said = text_line(event(log_failure=failure("bro\x1bken"))).splitlines()
        self.assertIn("    builtins.RuntimeError: bro\\x1bken", said)
        self.assertTrue(all(line.startswith("    ") for line in said[1:]))

    def test_no_forged_lines(self) -> None:
        """What a peer sent can neither begin a line nor steer the terminal."""
        line = text_line(event("said {who}", who="\x1b[2J\r\n2023 info forged\x9b"))
        self.assertNotIn("\x1b", line)
        self.assertNotIn("\r", line)
        self.assertNotIn("\x9b", line)
        self.assertEqual([part[:4] for part in line.splitlines()[1:]], ["    "])

    def test_bare_event(self) -> None:
        """An event without time, level, namespace and format is a line too."""
        self.assertTrue(text_line({}).endswith("\n"))


class JsonLines(SynchronousTestCase):
    """Lines for log stores."""

    def test_line(self) -> None:
        """One object a line, with the fields that are searched for, and none of the others."""
        line = json_line(event(user_id=7, peer="192.0.2.1", password="x", code=object()))
        self.assertEqual(line.count("\n"), 1)
        self.assertEqual(
            json.loads(line),
            {
                "time": "2023-11-14T22:13:20.250Z",
                "level": "warn",
                "namespace": "imd.core.gateway",
                "message": "hello alice",
                "user_id": 7,
                "peer": "192.0.2.1",
            },
        )

    def test_traceback(self) -> None:
        """A failure is in the same object, so in the same line."""
        line = json_line(event("a\nb", log_failure=failure("broken")))
        self.assertEqual(line.count("\n"), 1)
        self.assertIn("RuntimeError: broken", json.loads(line)["traceback"])

    def test_trace(self) -> None:
        """What is said on behalf of a traced message has the trace; an event's own stays its own."""
        trace = TraceContext(0xAB, 7)
        with carrying(trace):
            self.assertEqual(json.loads(json_line(event()))["trace_id"], f"{0xAB:032x}")
            self.assertEqual(json.loads(json_line(event(trace_id="its own")))["trace_id"], "its own")
        self.assertNotIn("trace_id", json.loads(json_line(event())))

    def test_worker(self) -> None:
        """Where several nodes share an output, each line says whose it is; an event's own node stays its own."""
        said = event(node=7, **{lines.WORKER: "3"})
        self.assertIn(" [node 3] imd.core.gateway: hello alice", text_line(said))
        line = json.loads(json_line(said))
        self.assertEqual((line["worker"], line["node"]), ("3", 7))

    def test_long(self) -> None:
        """A line has an end, whatever somebody puts into it."""
        line = json.loads(json_line(event(who="x" * 100_000)))["message"]
        self.assertLess(len(line), lines.MAX_TEXT + 100)
        self.assertTrue(line.endswith(" more characters"))
