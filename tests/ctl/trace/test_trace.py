"""``imctl trace`` on files as nodes write them."""

from __future__ import annotations

import contextlib
import io
import json
from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cli import run
from imd.kernel.trace_context import TraceContext
from imd.ops.span_files import SpanFiles
from imd.ops.tracing import Attributes, RecordedSpan, RecordingTracer

NOON_NS = 1_800_014_400_000_000_000
TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736


class TraceCase(SynchronousTestCase):
    """A folder that two nodes write into."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.now_ns = NOON_NS
        self.ids = count(1)

    def node(self, name: str) -> RecordingTracer:
        files = SpanFiles(folder=self.folder, node=name, max_bytes=1 << 20)

        def keep(span: RecordedSpan) -> None:
            files.write([files.portion([span])])

        return RecordingTracer(
            keep=keep,
            random_bits=lambda _: next(self.ids),
            wall_ns=lambda: self.now_ns,
            steady_ns=lambda: self.now_ns,
        )

    def message(self, trace_id: int, client_msg_id: str, *, took_ms: int = 2, error: str = "") -> None:
        """From one node to the other."""
        here, there = self.node("core-1"), self.node("core-2")
        attributes: Attributes = {
            "im.client_msg_id": client_msg_id,
            "im.server_msg_id": trace_id,
            "im.conversation_id": "g_1",
        }
        whole = here.start("gateway.receive", TraceContext(trace_id, 0), attributes=attributes)
        hop = here.start("bus.forward", whole.context)
        self.now_ns += 500_000
        append = there.start("message.append", hop.context)
        self.now_ns += took_ms * 1_000_000
        append.end(error=error)
        hop.end()
        whole.end({"im.status": "FAILED" if error else "STORED"}, error=error)

    def imctl(self, *arguments: str) -> tuple[int, list[str]]:
        """Exit code, and what was said."""
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = run(["trace", "--folder", str(self.folder), *arguments])
        return code, said.getvalue().splitlines()


class TraceTests(TraceCase):
    """What an operator asks."""

    def test_drawn(self) -> None:
        """Asked for by trace, message or conversation, a trace is drawn over the files of all nodes."""
        self.message(TRACE, "m1")
        self.message(7, "m2")
        for what in (f"{TRACE:032x}", "4BF92F", "m1", str(TRACE)):
            code, lines = self.imctl(what)
            self.assertEqual(code, 0, what)
            self.assertEqual(
                lines,
                [
                    "trace 4bf92f3577b34da6a3ce929d0e0e4736, 2027-01-15T12:00:00.000000Z",
                    f"    client_msg_id=m1 server_msg_id={TRACE} conversation_id=g_1 status=STORED",
                    "  1     +0.000 ms      2.500 ms  core-1      gateway.receive",
                    "  2     +0.000 ms      2.500 ms  core-1        bus.forward",
                    "  3     +0.500 ms      2.000 ms  core-2          message.append",
                ],
            )
        code, lines = self.imctl("g_1")
        self.assertEqual((code, len([line for line in lines if line.startswith("trace ")])), (0, 2))

    def test_listed(self) -> None:
        """Without a name the newest are listed, the newest last; or the slowest, or what failed."""
        for number in range(1, 31):
            self.message(number, f"m{number}", took_ms=31 - number, error="no room" if number == 3 else "")
        code, lines = self.imctl()
        self.assertEqual((code, len(lines)), (0, 20))
        self.assertIn(f"{30:032x}", lines[-1])
        self.assertTrue(lines[-1].endswith("1.500 ms   3 hops core-1,core-2 g_1 STORED"), lines[-1])
        _, lines = self.imctl("--slowest", "--count", "2")
        self.assertEqual(
            [f"{number:032x}" in line for number, line in zip((2, 1), lines, strict=True)], [True] * 2
        )
        _, lines = self.imctl("--failed")
        self.assertEqual(len(lines), 1)
        self.assertTrue(lines[0].endswith("FAILED: no room"))

    def test_none(self) -> None:
        """That there is none like that, or no folder, is said with what to do."""
        self.message(1, "m1")
        code, lines = self.imctl("other")
        self.assertEqual((code, "sample_ratio" in lines[0]), (1, True))
        self.folder = self.folder / "elsewhere"
        code, lines = self.imctl()
        self.assertEqual((code, "--folder" in lines[0]), (3, True))

    def test_damaged(self) -> None:
        """Lines that are none are counted; a trace whose middle is lost is drawn all the same, once."""
        self.message(TRACE, "m1")
        file = self.folder / "core-1.jsonl"
        kept = [line for line in file.read_text().splitlines() if "bus.forward" not in line]
        evil = kept[0].replace("gateway.receive", "\\u001b[31mred").replace('"span_id":"', '"span_id":"x')
        file.write_bytes("\n".join([*kept, evil, "{", "[]", '{"time": 7}']).encode() + b"\n\xff\xfe\n")
        code, lines = self.imctl("4bf92f")
        self.assertEqual(code, 0)
        self.assertIn("4 lines are damaged, and left out", lines)
        self.assertEqual(sum("message.append" in line for line in lines), 1)
        self.assertNotIn("\x1b", "".join(lines))

    def test_forged(self) -> None:
        """Spans that are each other's parents, or there twice, are drawn once."""
        self.message(TRACE, "m1")
        file = self.folder / "core-1.jsonl"
        hop, whole = (json.loads(line) for line in file.read_text().splitlines())
        whole["parent_id"] = hop["span_id"]
        file.write_text("".join(f"{json.dumps(span)}\n" for span in (hop, whole, hop)))
        code, lines = self.imctl("4bf92f")
        self.assertEqual(code, 0)
        for name in ("gateway.receive", "bus.forward", "message.append"):
            self.assertEqual(sum(name in line for line in lines), 1, name)
