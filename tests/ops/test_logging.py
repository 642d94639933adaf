"""The two forms of the log, and the bridge from the standard library's."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

from twisted.logger import (
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from imd.ops import logging as ours

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"


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


@contextmanager
def recorded() -> Iterator[list[LogEvent]]:
    """Everything that reaches twisted.logger meanwhile."""
    events: list[LogEvent] = []

    @implementer(ILogObserver)
    def record(event: LogEvent) -> None:
        events.append(event)

    globalLogPublisher.addObserver(record)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(record)


class Console(SynchronousTestCase):
    """Lines for people."""

    def test_line(self) -> None:
        """Time in UTC, level, namespace, message."""
        self.assertEqual(
            ours.console_line(event()),
            "2023-11-14T22:13:20.250Z warn     imd.core.gateway: hello alice\n",
        )

    def test_traceback(self) -> None:
        """A failure stands below, indented."""
        lines = ours.console_line(event(log_failure=failure("broken"))).splitlines()
        self.assertIn("    builtins.RuntimeError: broken", lines)
        self.assertTrue(all(line.startswith("    ") for line in lines[1:]))

    def test_no_forged_lines(self) -> None:
        """What a peer sent can neither begin a line nor steer the terminal."""
        line = ours.console_line(event("said {who}", who="\x1b[2J\r\n2023 info forged\x9b"))
        self.assertNotIn("\x1b", line)
        self.assertNotIn("\r", line)
        self.assertNotIn("\x9b", line)
        self.assertEqual([part[:4] for part in line.splitlines()[1:]], ["    "])

    def test_bare_event(self) -> None:
        """An event without time, level, namespace and format is a line too."""
        self.assertTrue(ours.console_line({}).endswith("\n"))


class JsonLines(SynchronousTestCase):
    """Lines for log stores."""

    def test_line(self) -> None:
        """One object a line, with the fields that are searched for, and none of the others."""
        line = ours.json_line(event(user_id=7, peer="192.0.2.1", password="x", code=object()))
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
        line = ours.json_line(event("a\nb", log_failure=failure("broken")))
        self.assertEqual(line.count("\n"), 1)
        self.assertIn("RuntimeError: broken", json.loads(line)["traceback"])


class Secrets(SynchronousTestCase):
    """What must not be in a log."""

    def test_hidden(self) -> None:
        """Tokens, hashes and passwords are hidden in messages, fields and tracebacks of both forms."""
        for text, secret in (
            (f"token {JWT} refused", "c2lnbmF0dXJl"),
            ("Authorization: Bearer abc.def", "abc.def"),
            ("stored $argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", "aGFzaA"),
            ("GET /ws?token=abcdef&x=1", "abcdef"),
            ("Password=hunter2", "hunter2"),
            ('{"password": "hunter2"}', "hunter2"),
        ):
            said = event("{text}", text=text, peer=text, log_failure=failure(text))
            for line in (ours.console_line(said), ours.json_line(said)):
                self.assertNotIn(secret, line)
                self.assertIn("[hidden]", line)


class Bridge(SynchronousTestCase):
    """From ``logging`` to twisted.logger."""

    def handle(self, level: int, text: str, *args: object, exc_info: Any = None) -> LogEvent:
        with recorded() as events:
            ours.StdlibBridge().handle(
                logging.LogRecord("pymongo.pool", level, __file__, 1, text, args, exc_info)
            )
        (only,) = events
        return only

    def test_levels(self) -> None:
        """Level, name and text survive."""
        for theirs, mapped in (
            (logging.DEBUG, LogLevel.debug),
            (logging.INFO, LogLevel.info),
            (logging.WARNING, LogLevel.warn),
            (logging.ERROR, LogLevel.error),
            (logging.CRITICAL, LogLevel.critical),
        ):
            said = self.handle(theirs, "pool of %s {braces}", "one")
            self.assertEqual((said["log_level"], said["log_namespace"]), (mapped, "pymongo.pool"))
            self.assertIn("pool of one {braces}", ours.console_line(said))

    def test_exception(self) -> None:
        """An exception comes with its traceback."""
        try:
            raise KeyError("k")
        except KeyError as error:
            said = self.handle(logging.ERROR, "no", exc_info=(KeyError, error, error.__traceback__))
        self.assertIn("KeyError: 'k'", ours.console_line(said))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_once(self) -> None:
        """However often it is asked for, a record is written once."""
        root = logging.getLogger()
        handlers, level = list(root.handlers), root.level
        self.addCleanup(setattr, root, "handlers", handlers)
        self.addCleanup(root.setLevel, level)
        ours.bridge_stdlib()
        ours.bridge_stdlib()
        self.assertEqual(sum(isinstance(handler, ours.StdlibBridge) for handler in root.handlers), 1)


class Observers(SynchronousTestCase):
    """What ``twistd --logger`` is given."""

    def observe(self, level: str | None, line: Any) -> str:
        root = logging.getLogger()
        self.addCleanup(setattr, root, "handlers", list(root.handlers))
        self.addCleanup(root.setLevel, root.level)
        out = StringIO()
        observer = ours._observer(out, line, level)
        self.assertTrue(ILogObserver.providedBy(observer))
        log = Logger(namespace="t", observer=observer)
        log.debug("quiet")
        log.info("loud")
        return out.getvalue()

    def test_level(self) -> None:
        """Debug lines are left out unless they are asked for; an unknown level is info."""
        self.assertEqual(self.observe(None, ours.json_line).count("\n"), 1)
        self.assertEqual(self.observe("DEBUG", ours.console_line).count("\n"), 2)
        self.assertEqual(self.observe("shout", ours.console_line).count("\n"), 1)

    def test_worker(self) -> None:
        """Where several nodes share an output, each line says whose it is; an event's own node stays its own."""
        self.patch(os, "environ", {"IM_LOG_NODE": "3"})
        out = StringIO()
        self.patch(sys, "stdout", out)
        ours.console()(event(node=7))
        ours.json_lines()(event(node=7))
        console, line = out.getvalue().splitlines()
        self.assertIn(" [node 3] imd.core.gateway: hello alice", console)
        self.assertEqual((json.loads(line)["worker"], json.loads(line)["node"]), ("3", 7))

    def test_factories(self) -> None:
        """Both names are factories without arguments, as twistd calls them."""
        root = logging.getLogger()
        self.addCleanup(setattr, root, "handlers", list(root.handlers))
        self.addCleanup(root.setLevel, root.level)
        for factory in (ours.console, ours.json_lines):
            self.assertTrue(ILogObserver.providedBy(factory()))
