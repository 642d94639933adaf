"""Nodes that say what a test wants them to, over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from twisted.trial.unittest import SynchronousTestCase

CORE = """\
imd_build_info{{node="core-1",role="im-core",version="0",python="3"}} 1.0
imd_ready 1.0
imd_part_ready{{part="bus"}} 1.0
imd_settings_version 7.0
process_start_time_seconds 1000.0
process_cpu_seconds_total {cpu}
process_resident_memory_bytes 1.048576e+08
imd_connections{{state="live"}} 40.0
imd_connections{{state="stranger"}} 2.0
imd_inbound_frames_total{{type="send"}} {sends}
imd_inbound_frames_total{{type="hb"}} 9000.0
imd_fanout_deliveries_total {deliveries}
imd_ack_seconds_bucket{{le="0.01"}} {fast}
imd_ack_seconds_bucket{{le="0.1"}} {sends}
imd_ack_seconds_bucket{{le="+Inf"}} {sends}
imd_shards_owned 256.0
imd_sends_unsettled 3.0
"""


def core(sends: float = 0, *, fast: float = 0, cpu: float = 0) -> str:
    """What a core node says after so many sends, ``fast`` of which took at most 10 ms; each went to five."""
    return CORE.format(sends=sends, fast=fast, cpu=cpu, deliveries=5 * sends)


def serve(test: SynchronousTestCase, respond: Callable[[BaseHTTPRequestHandler], None]) -> int:
    """The port of a server that does this with every GET; it ends with the test."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    # In this order, read from the end.
    test.addCleanup(thread.join)
    test.addCleanup(server.server_close)
    test.addCleanup(server.shutdown)
    return server.server_port


def in_turn(*pages: str) -> Callable[[BaseHTTPRequestHandler], None]:
    """One after the other, the last one for good; an empty one is a node that is not well."""
    left = list(pages)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        page = left.pop(0) if len(left) > 1 else left[0]
        says(page, 200 if page else 503)(handler)

    return respond


def says(text: str | bytes, status: int = 200) -> Callable[[BaseHTTPRequestHandler], None]:
    """A page."""
    body = text.encode() if isinstance(text, str) else text

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return respond
