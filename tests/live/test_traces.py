"""Traces of `twistd im`: many messages at once, what clients ask for, and a collector that is well, fails or hangs."""

from __future__ import annotations

import shutil
import socket
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from twisted.trial.unittest import SynchronousTestCase

from imd.pb.message_pb2 import STORED
from tests.dialogue.house import ServerHouse
from tests.live.server import NO_LIMITS
from tests.live.traced import Phone, read_spans, wait_for
from tests.ops.spans import Seen, by_trace, drawn

MESSAGES = 50
HOPS = [
    "gateway.receive @im",
    "  message.append @im",
    "    permission.check @im",
    "    store.append @im",
    "    message.fanout @im",
    "      message.deliver @im",
    "        client.ack @im",
]
FORCED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector:
    """An OTLP/HTTP collector that keeps what it is told; ``status`` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[ExportTraceServiceRequest] = []
        self.headers: list[dict[str, str]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.status == 200:
                    collector.headers.append(dict(self.headers))
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.status)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing is said."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/traces"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def spans(self) -> list[Seen]:
        return [
            Seen(
                span.trace_id.hex(),
                span.span_id.hex(),
                span.parent_span_id.hex(),
                span.name,
                next(
                    each.value.string_value
                    for each in of.resource.attributes
                    if each.key == "service.instance.id"
                ),
                span.start_time_unix_nano,
                {each.key: each.value for each in span.attributes},
            )
            for request in self.requests
            for of in request.resource_spans
            for scope in of.scope_spans
            for span in scope.spans
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class TracesCase(SynchronousTestCase):
    """A server of the test's own."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="imd-traces-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def start(self, **tracing: object) -> None:
        keys = {"enabled": True, "folder": str(self.folder), "interval_s": 0.1, **tracing}
        house = ServerHouse({**NO_LIMITS, "tracing": keys, "gateway": {"drain_timeout_s": 0}})
        self.server, self.town = house.server, house.town
        self.addCleanup(self.server.close)
        self.server.start()

    def phone(self) -> Phone:
        one = self.town.next()
        phone = Phone(self.server.tcp_port, one.account.user_id, self.town.token(one, "phone"))
        self.addCleanup(phone.close)
        return phone

    def talk(self, ann: Phone, bob: Phone, name: str, trace_id: str = "") -> None:
        """One message, there and acknowledged."""
        ann.send(bob, name, trace_id)
        (ack,) = ann.hear("ack", 1)
        self.assertEqual(ack.ack.status, STORED)
        bob.acknowledge(bob.hear("deliver", 1))


class OneProcess(TracesCase):
    """Into files."""

    def test_many_at_once(self) -> None:
        """Fifty at once: each has a trace of its own, whole, in order, with the right parents; none has words in it."""
        self.start(sample_ratio=1.0)
        anns, bobs = [self.phone() for _ in range(5)], [self.phone() for _ in range(5)]
        for ann, bob in zip(anns, bobs, strict=True):
            self.talk(ann, bob, "opens")
        for number in range(MESSAGES):
            anns[number % 5].send(bobs[number % 5], f"m{number}")
        for bob in bobs:
            bob.acknowledge(bob.hear("deliver", MESSAGES // 5))

        def whole() -> dict[str, list[Seen]]:
            traces = by_trace(read_spans(self.folder))
            return {trace_id: spans for trace_id, spans in traces.items() if len(spans) == len(HOPS)}

        wait_for(lambda: len(whole()) >= MESSAGES, "fifty whole traces")
        of = {}
        for spans in whole().values():
            self.assertEqual(drawn(spans), HOPS)
            (first,) = (span for span in spans if span.name == "gateway.receive")
            of[first.attributes["im.client_msg_id"]] = spans
        for number in range(MESSAGES):
            spans = of[f"m{number}"]
            self.assertEqual(
                len({span.attributes["im.seq"] for span in spans if "im.seq" in span.attributes}), 1
            )
        self.assertNotIn("for their eyes only", (self.folder / "im.jsonl").read_text())

    def test_asked_for(self) -> None:
        """A client may ask for a trace below a span of its own, now and then, where hardly anything is sampled; what
        is left when the server stops is written."""
        self.start(sample_ratio=0.0, chosen_per_s=0.1, interval_s=60.0)
        ann, bob = self.phone(), self.phone()
        for number in range(10):
            self.talk(ann, bob, f"m{number}", FORCED)
        self.server.stop()
        spans = read_spans(self.folder)
        roots = [span for span in spans if span.name == "gateway.receive"]
        self.assertEqual([span.attributes["im.client_msg_id"] for span in roots], ["m0"])
        self.assertEqual({span.trace_id for span in spans}, {FORCED.split("-")[1]})
        self.assertEqual(roots[0].parent_id, FORCED.split("-")[2])

    def test_folder_in_the_way(self) -> None:
        """Where spans cannot be written the log says so, once, and messages go on."""
        (self.folder / "im.jsonl").mkdir()
        self.start(sample_ratio=1.0)
        ann, bob = self.phone(), self.phone()
        for number in range(20):
            self.talk(ann, bob, f"m{number}")
        wait_for(lambda: "spans were lost" in self.server.log, "word of lost spans")
        self.assertEqual(self.server.log.count("spans were lost"), 1)
        self.assertIn("Is a directory", self.server.log)


class ToCollector(TracesCase):
    """By OTLP."""

    def test_collector(self) -> None:
        """A collector has the same spans, with the name of the server."""
        collector = Collector()
        self.addCleanup(collector.close)
        self.start(sample_ratio=1.0, exporter="otlp", endpoint=collector.url)
        ann, bob = self.phone(), self.phone()
        self.talk(ann, bob, "opens")
        self.talk(ann, bob, "m", "4bf92f3577b34da6a3ce929d0e0e4736")

        def found() -> list[Seen]:
            return by_trace(collector.spans()).get("4bf92f3577b34da6a3ce929d0e0e4736", [])

        wait_for(lambda: len(found()) == len(HOPS), "the whole trace")
        self.assertEqual(drawn(found()), HOPS)
        (store,) = (span for span in found() if span.name == "store.append")
        self.assertEqual(store.attributes["im.seq"].int_value, 2)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_collector_fails(self) -> None:
        """One that refuses, and is well again: told once each way, with its reason; messages go on meanwhile."""
        collector = Collector()
        self.addCleanup(collector.close)
        collector.status = 400
        self.start(sample_ratio=1.0, exporter="otlp", endpoint=collector.url)
        ann, bob = self.phone(), self.phone()
        for number in range(10):
            self.talk(ann, bob, f"m{number}")
        wait_for(lambda: "spans were lost" in self.server.log, "word of lost spans")
        collector.status = 200
        for number in range(10):
            self.talk(ann, bob, f"n{number}")
        wait_for(lambda: "are taken by" in self.server.log, "word that it is well")
        self.assertEqual(self.server.log.count("spans were lost"), 1)
        self.assertIn("400", self.server.log)
        self.assertTrue(collector.requests)

    def test_collector_hangs(self) -> None:
        """One that takes connections and never answers keeps neither messages nor the end of the server waiting."""
        hanging = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(hanging.close)
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}/v1/traces"
        self.start(
            sample_ratio=1.0, exporter="otlp", endpoint=url, queue_spans=50, batch_spans=10, timeout_s=60.0
        )
        ann, bob = self.phone(), self.phone()
        for number in range(20):
            self.talk(ann, bob, f"m{number}")
        wait_for(lambda: hanging.accept() is not None, "a connection")
        self.server.stop()
        self.assertIn("spans were not taken", self.server.log)
