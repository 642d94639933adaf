"""Nodes that answer, that do not, and that do something else."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.top.nodes import Target
from imd.ctl.top.scrape import MAX_BYTES, NoAnswer, scrape
from imd.ctl.top.watch import Watch
from tests.ctl.top.nodes import core, in_turn, says, serve


class Scraping(SynchronousTestCase):
    """Over real HTTP."""

    def why_not(self, port: int, timeout_s: float = 5.0) -> str:
        failure = self.assertRaises(
            NoAnswer, scrape, "127.0.0.1", port, timeout_s=timeout_s, seconds=time.monotonic
        )
        return str(failure)

    def test_answer(self) -> None:
        """What the node says, and when it was asked."""
        port = serve(self, says(core(12)))
        samples = scrape("127.0.0.1", port, timeout_s=5.0, seconds=iter((50.0, 51.0, 52.0, 53.0)).__next__)
        self.assertEqual(samples.at_s, 50.0)
        self.assertEqual(samples.sum("imd_inbound_frames_total", type="send"), 12.0)

    def test_nobody(self) -> None:
        """Nobody listens there."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        self.assertEqual(self.why_not(port), "connection refused")

    def test_silence(self) -> None:
        """A process that is stopped takes the connection and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.assertEqual(self.why_not(listening.getsockname()[1], 0.2), "no answer in 0.2 s")

    def test_drip(self) -> None:
        """Whoever sends a byte now and then is not waited for longer than anybody else."""

        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(100):
                handler.wfile.write(b"#")
                handler.wfile.flush()
                time.sleep(0.05)

        port = serve(self, quietly(drip))
        before_s = time.monotonic()
        self.assertEqual(self.why_not(port, 0.3), "no whole answer in 0.3 s")
        self.assertLess(time.monotonic() - before_s, 4.0)

    def test_too_much(self) -> None:
        """What never ends is not read to its end."""

        def flood(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            while True:
                handler.wfile.write(b"# " + b"x" * 65_000 + b"\n")

        self.assertEqual(
            self.why_not(serve(self, quietly(flood)), 60.0), f"says more than {MAX_BYTES >> 20} MiB"
        )

    def test_others(self) -> None:
        """Another server's port is told from a node's."""
        self.assertIn("HTTP 404", self.why_not(serve(self, says("no such page", 404))))
        self.assertEqual(self.why_not(serve(self, says("<html>hello there</html>"))), "says no metrics")
        self.assertEqual(self.why_not(serve(self, says(b"\xff\xfe\x00"))), "says no metrics")
        self.assertEqual(self.why_not(serve(self, says("# nothing yet\n"))), "says no metrics")

        def ssh(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"SSH-2.0-x\r\n")

        self.assertIn("does not speak HTTP", self.why_not(serve(self, ssh)))


class Watching(SynchronousTestCase):
    """One node, looked at again and again."""

    def test_down_and_back(self) -> None:
        """While it is down it says why; over that time there is no rate."""
        port = serve(self, in_turn(core(100), core(300), "", core(10), core(30)))
        seconds_s = iter(range(0, 1000, 1)).__next__
        watch = Watch(
            Target("127.0.0.1", port),
            timeout_s=500.0,
            seconds=lambda: float(seconds_s()),
            wall_seconds=lambda: 1060.0,
        )
        first, second, gone, back, again = (watch.look() for _ in range(5))
        self.assertEqual((first.connections, first.sends_per_s, first.up_s), (42, None, 60.0))
        assert second.sends_per_s is not None
        self.assertGreater(second.sends_per_s, 10.0)
        self.assertIn("503", gone.down)
        self.assertEqual(gone.node, "core-1", "what it was called is remembered")
        self.assertEqual((back.down, back.sends_per_s), ("", None))
        self.assertIsNotNone(again.sends_per_s)


def quietly(
    respond: Callable[[BaseHTTPRequestHandler], None],
) -> Callable[[BaseHTTPRequestHandler], None]:
    """Whoever asked has gone, as it should."""

    def quiet(handler: BaseHTTPRequestHandler) -> None:
        try:
            respond(handler)
        except OSError:
            handler.close_connection = True

    return quiet
