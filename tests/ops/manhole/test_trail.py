"""What is kept of what operators type."""

from __future__ import annotations

import json
from typing import Any

from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.audit import DONE, MAX_DETAIL_LENGTH, REFUSED, AuditEntry
from imd.ops.logs.redaction import Redaction
from imd.ops.manhole.prompt import MAX_LINE_CHARS
from imd.ops.manhole.trail import Trail

#: A secret of the configuration, one that can be told by its looks, and one by its name.
CANARIES = ("canary-of-the-file", "eyJhbGciOiJI.eyJzdWIiOiJj.c2lnbmF0dXJl", "canary-that-is-named")


class Typed(SynchronousTestCase):
    """``Trail.typed``, of an operator with a long name."""

    def setUp(self) -> None:
        self.kept: list[AuditEntry] = []
        self.logged: list[LogEvent] = []
        observer: Any = self.logged.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.trail = Trail(self.kept.append, peer="here", redact=Redaction([CANARIES[0]]).text)
        self.trail.let_in("ops", "alice" * 100, "SHA256:x")
        self.kept.clear()
        self.logged.clear()

    def in_audit(self) -> str:
        return "".join(json.loads(entry.detail)["line"] for entry in self.kept)

    def in_log(self) -> str:
        return "".join(event["line"] for event in self.logged)

    def test_short(self) -> None:
        """One entry each, with who typed it."""
        self.trail.typed("sessions()")
        (entry,) = self.kept
        about = json.loads(entry.detail)
        self.assertEqual((entry.action, entry.decision), ("manhole.line", DONE))
        self.assertEqual((about["line"], about["peer"], "part" in about), ("sessions()", "here", False))
        self.assertTrue(about["operator"].startswith("alicealice"))
        self.assertEqual(self.in_log(), "sessions()")

    def test_long(self) -> None:
        """All of a line is kept, whatever stands at its end, and each entry fits where it is kept."""
        for filler in (" ", "\\", "\x01", "\N{GRINNING FACE}"):
            self.kept.clear()
            self.logged.clear()
            line = f"1 or {filler * (MAX_LINE_CHARS - 20)} open('evil')"[:MAX_LINE_CHARS]
            self.trail.typed(line)
            self.assertEqual((self.in_audit(), self.in_log()), (line, line))
            self.assertLessEqual(max(len(entry.detail) for entry in self.kept), MAX_DETAIL_LENGTH)
            parts = [json.loads(entry.detail)["part"] for entry in self.kept]
            self.assertEqual(parts, [f"{n} of {len(parts)}" for n in range(1, len(parts) + 1)])

    def test_secrets(self) -> None:
        """None of it travels, wherever in the line it stands."""
        for before in (0, 1_480):
            for canary in (CANARIES[0], CANARIES[1], f"password={CANARIES[2]}"):
                self.trail.typed(f"{' ' * before}try_it('{canary}')")
        for canary in CANARIES:
            self.assertNotIn(canary, self.in_audit())
            self.assertNotIn(canary[:12], self.in_log())
        self.assertIn("try_it('password=[hidden]')", self.in_audit())

    def test_too_long(self) -> None:
        """What is not run is told, by its length."""
        self.trail.too_long("x" * 70_000, MAX_LINE_CHARS)
        (entry,) = self.kept
        self.assertEqual(entry.decision, REFUSED)
        self.assertIn("70000 characters", entry.reason)
