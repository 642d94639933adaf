"""Spans in files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.kernel.trace_context import TraceContext
from imd.ops.span_export import SinkFailed
from imd.ops.span_files import SpanFiles
from imd.ops.tracing import Attributes, Kind, RecordedSpan, RecordingTracer

NOON_NS = 1_800_014_400_000_000_000


def write(files: SpanFiles, spans: Sequence[RecordedSpan]) -> None:
    """As the export does it."""
    files.write([files.portion(spans)])


class FilesCase(SynchronousTestCase):
    """A folder that is not there yet."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()) / "traces"
        self.spans: list[RecordedSpan] = []
        self.now_ns = NOON_NS
        self.tracer = RecordingTracer(
            keep=self.spans.append,
            random_bits=Random(1).getrandbits,
            wall_ns=lambda: self.now_ns,
            steady_ns=lambda: self.now_ns - NOON_NS + 5,
        )

    def files(self, **options: Any) -> SpanFiles:
        return SpanFiles(folder=self.folder, node="core-1", max_bytes=options.get("max_bytes", 1 << 20))

    def end(self, name: str, attributes: Attributes | None = None) -> RecordedSpan:
        span = self.tracer.start(name, TraceContext(0xAB, 0xCD), kind=Kind.SERVER)
        self.now_ns += 1_234_567
        span.end(attributes or {}, error="went wrong" if name == "bad" else "")
        return self.spans[-1]

    def lines(self, name: str = "core-1.jsonl") -> list[Any]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


class FilesTests(FilesCase):
    """One object a line."""

    def test_line(self) -> None:
        """All there is to a span; nobody but the server's own user reads it."""
        hostile: Attributes = {"im.client_msg_id": 'a"\n\x1b[31m', "im.seq": 7}
        write(self.files(), [self.end("good", hostile), self.end("bad")])
        good, bad = self.lines()
        self.assertEqual(
            good,
            {
                "time": "2027-01-15T12:00:00.000000Z",
                "trace_id": f"{0xAB:032x}",
                "span_id": f"{self.spans[0].context.span_id:016x}",
                "parent_id": f"{0xCD:016x}",
                "name": "good",
                "node": "core-1",
                "kind": "server",
                "took_ms": 1.235,
                "attributes": hostile,
            },
        )
        self.assertEqual((bad["error"], bad["time"]), ("went wrong", "2027-01-15T12:00:00.001234Z"))
        self.assertNotIn(b"\x1b", (self.folder / "core-1.jsonl").read_bytes())
        self.assertEqual((self.folder / "core-1.jsonl").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

    def test_clock_set_back(self) -> None:
        """Somebody sets the wall clock meanwhile: no span has taken less than nothing."""
        span = self.tracer.start("a", TraceContext(1, 0))
        self.now_ns -= 10**12
        span.end()
        write(self.files(), self.spans)
        self.assertGreaterEqual(self.lines()[0]["took_ms"], 0)

    def test_bounded(self) -> None:
        """A file that is full takes the place of the one before; there are never more than two."""
        files = self.files(max_bytes=1000)
        for number in range(20):
            write(files, [self.end(f"span-{number}")])
        names = [each["name"] for name in ("core-1.1.jsonl", "core-1.jsonl") for each in self.lines(name)]
        self.assertEqual(
            sorted(path.name for path in self.folder.iterdir()), ["core-1.1.jsonl", "core-1.jsonl"]
        )
        self.assertEqual(names, [f"span-{number}" for number in range(20 - len(names), 20)])
        self.assertLess(max(path.stat().st_size for path in self.folder.iterdir()), 1000)

    def test_moved_away(self) -> None:
        """Whoever rotates the files need not tell."""
        files = self.files()
        write(files, [self.end("a")])
        (self.folder / "core-1.jsonl").rename(self.folder / "old")
        write(files, [self.end("b")])
        self.assertEqual([each["name"] for each in self.lines()], ["b"])

    def test_not_writable(self) -> None:
        """A folder that is none is told by its name, and the next batch is tried."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.folder.write_text("in the way")
        files = self.files()
        error: SinkFailed = self.assertRaises(SinkFailed, write, files, [self.end("a")])
        self.assertIn(str(self.folder), str(error))
        self.folder.unlink()
        write(files, [self.end("b")])
        self.assertEqual([each["name"] for each in self.lines()], ["b"])

    def test_link_in_the_way(self) -> None:
        """A link that somebody laid there is not followed."""
        self.folder.mkdir(parents=True)
        victim = self.folder.parent / "victim"
        victim.write_text("precious")
        (self.folder / "core-1.jsonl").symlink_to(victim)
        self.assertRaises(SinkFailed, write, self.files(), [self.end("a")])
        self.assertEqual(victim.read_text(), "precious")

    def test_disk_full(self) -> None:
        """Half a line is taken back, so that the next one is whole."""
        files = self.files()
        write(files, [self.end("a")])
        real = os.write
        calls: list[int] = []

        def half(descriptor: int, data: memoryview) -> int:
            calls.append(1)
            if len(calls) == 2:
                raise OSError(28, "No space left on device")
            return real(descriptor, data[: len(data) // 2])

        self.patch(os, "write", half)
        error: SinkFailed = self.assertRaises(SinkFailed, write, files, [self.end("b")])
        self.assertIn("No space left", str(error))
        self.patch(os, "write", real)
        write(files, [self.end("c")])
        self.assertEqual([each["name"] for each in self.lines()], ["a", "c"])
