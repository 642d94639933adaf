"""Nodes go down in order under load, and come back: nothing is lost, and nobody has to notice."""

from __future__ import annotations

import time
from pathlib import Path

from imd.client.load.server import ProcessMeter
from imd.ctl.cluster.node import Node
from tests.live.failing import FAULT_S, LONG, PASSWORD, FailureCase
from tests.live.standalone_client import Rest

#: What a process may have more than before all that, apart from a share of what it had.
SPARE_FILES = 30
SPARE_BYTES = 40 * 1024 * 1024


class Restarts(FailureCase):
    """One node after the other."""

    nodes_fall_apart = True

    def test_cores(self) -> None:
        """Each tells its clients to reconnect, ends by itself, and is ready again; the load goes on all the time."""
        with self.load() as load:
            for number, node in enumerate(self.ground.cores, start=1):
                stored = load.stored
                node.process.terminate()
                self.wait_end(node, load)
                self.assertIn("draining", self.ground.log(node))
                node.launch()
                self.wait_ready(node, load)
                self.assertGreater(load.stored - stored, 20)
                self.assertGreaterEqual(load.count("told_to_leave"), 10 * number)
        self.assertEqual(load.outcome["retried"], 0)

    def test_business(self) -> None:
        """Live conversations take no notice, and logins are answered by the other one."""
        ground = self.ground
        with self.load() as load:
            cut = load.count("cut")
            for node in ground.business:
                node.process.terminate()
                for core in ground.cores:
                    self.comes_in(core)
                self.wait_end(node, load)
                node.launch()
                self.wait_ready(node, load)
                person = ground.town.next()
                Rest(node.http_url).login(person.account.handle, PASSWORD, "phone")
            self.assertEqual(load.count("cut"), cut)

    def test_nothing_is_left_behind(self) -> None:
        """After every engine has been away, nodes have about as many open files and as much memory as before."""
        ground = self.ground
        watched = [*ground.cores, *ground.business]
        with self.load():
            pass
        before = [_usage(node) for node in watched]
        with self.load() as load:
            for engine in ("redis", "nats", "mongo", "mariadb"):
                for do in ("stall", "down"):
                    ground.fault(do, ground.links(engine))
                    load.run_for(FAULT_S if LONG else 1.5)
                ground.heal()
                load.run_for(1)
        time.sleep(2)
        for node, (files, size_bytes) in zip(watched, before, strict=True):
            files_now, size_now_bytes = _usage(node)
            told = f"{node.name}: {files} files, {size_bytes} bytes; now {files_now}, {size_now_bytes}"
            self.assertLessEqual(files_now, files * 1.1 + SPARE_FILES, told)
            self.assertLessEqual(size_now_bytes, size_bytes * 1.1 + SPARE_BYTES, told)


def _usage(node: Node) -> tuple[int, int]:
    """Open files, and resident bytes."""
    pid = node.process.pid
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), ProcessMeter(pid).rss_bytes()
