"""What ``imctl top`` and the alerts read, of a real ``twistd im`` process."""

from __future__ import annotations

import io
import json
import time
from contextlib import redirect_stdout

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cli import run
from imd.ctl.exits import CHECK_FAILED, OK
from imd.ctl.top.nodes import Target
from imd.ctl.top.scrape import scrape
from imd.ctl.top.watch import Watch
from imd.ops.metrics.catalogue import CATALOGUE
from imd.ops.metrics.model import IM
from tests.live.server import NO_LIMITS, LiveServer
from tests.live.standalone_client import Client, Rest
from tests.live.standalone_wire import TcpWire
from tests.ops.promql import exposed, metrics_of
from tests.ops.rules import rules

PASSWORD = "correct horse battery"
MESSAGES = 20
#: Said by a process that has something to say of them: a hook, a webhook, a backup that was made.
ON_DEMAND = ("imd_webhook_", "imd_content_hook_", "imd_backup_")
PATIENCE_S = 30.0


class Looking(SynchronousTestCase):
    """One server for a short talk."""

    def setUp(self) -> None:
        self.server = LiveServer(settings=NO_LIMITS, tls=True)
        self.addCleanup(self.server.close)
        self.server.start()
        rest = Rest(self.server.http_url)
        self.alice, self.bob = (self.person(rest, handle) for handle in ("alice", "bob"))

    def person(self, rest: Rest, handle: str) -> Client:
        login = rest.register(handle, PASSWORD, f"{handle}-phone")
        client = Client(login, lambda: TcpWire("127.0.0.1", self.server.tcp_port))
        self.addCleanup(client.close)
        client.connect()
        return client

    def test_talk(self) -> None:
        """A talk is seen in every figure; a server that was killed is down, and so says the exit code."""
        watch = Watch(
            Target("127.0.0.1", self.server.metrics_port),
            timeout_s=PATIENCE_S,
            seconds=time.monotonic,
            wall_seconds=time.time,
        )
        first = watch.look()
        self.assertEqual((first.role, first.connections, first.settings_version), ("im", 2, 0))
        for number in range(MESSAGES):
            self.alice.send_text(self.bob.login.user_id, f"hello {number}")
        self.alice.run_until(lambda: not self.alice.unacked)
        # A page is made at most every 0.2 s.
        time.sleep(0.3)
        seen = watch.look()
        for name in ("sends_per_s", "deliveries_per_s", "stored_per_s", "ack_p50_s", "ack_p99_s"):
            self.assertGreater(getattr(seen, name) or 0.0, 0.0, name)
        for name in ("write_p99_s", "reactor_lag_p99_s", "up_s", "memory_bytes"):
            self.assertGreater(getattr(seen, name) or 0.0, 0.0, name)
        self.assertEqual((seen.queued, seen.dead_letters, seen.shed_per_s), (0, 0, 0.0))
        self.assertEqual((seen.not_ready, seen.away, seen.breakers_open), ((), (), ()))
        self.assertEqual(self.picture()[0], OK)
        self.server.kill()
        code, node = self.picture()
        self.assertEqual((code, node["down"]), (CHECK_FAILED, "connection refused"))

    def picture(self) -> tuple[int, dict[str, object]]:
        """As an operator asks who has the configuration at hand."""
        with redirect_stdout(io.StringIO()) as said:
            code = run(("top", "--config", str(self.server.config_file), "--json", "--interval", "0.3"))
        (node,) = json.loads(said.getvalue())["nodes"]
        return code, node

    def test_alerts_have_what_they_read(self) -> None:
        """From the start on there is every series that a rule reads of this role: a counter that came with its first
        failure would have grown from nothing to one unseen."""
        page = scrape("127.0.0.1", self.server.metrics_port, timeout_s=PATIENCE_S, seconds=time.monotonic)
        wanted = {
            name
            for kind in ("alert", "record")
            for rule in rules(kind).values()
            for name in metrics_of(rule["expr"]) & set(exposed())
        }
        missing = {
            name
            for name in wanted
            if page.sum(name) is None and not name.startswith(ON_DEMAND) and is_of_this_role(name)
        }
        self.assertEqual(missing, set())


def is_of_this_role(name: str) -> bool:
    """Whether the catalogue says so; what it does not have is of every process."""
    metric = next(
        (CATALOGUE[base] for base in (name, name.rpartition("_")[0]) if base in CATALOGUE),
        None,
    )
    return metric is None or IM in metric.roles
