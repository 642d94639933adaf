"""``twistd im-core --workers 2``: two nodes on one port, and somebody who looks after them."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import urllib.request
from pathlib import Path
from typing import NamedTuple

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.ctl.cluster.engine import free_port
from tests.live.engines import fresh
from tests.live.roles import RoleNode, role_node
from tests.live.standalone_client import Login, Rest
from tests.live.standalone_wire import ConnectionLost, TcpWire

#: Connections; all are at one of two workers once in 30,000 runs.
DEVICES = 16
PASSWORD = "correct horse battery"


class Entered(NamedTuple):
    """A device that is connected."""

    server_id: str
    wire: TcpWire


class Workers(TestCase):
    """The life of a supervisor."""

    async def setUp(self) -> None:  # type: ignore[override]
        # Their own: a node of another test might hold the same ids there.
        engines = {
            "nats": await deferToThread(fresh, self, "nats"),
            "redis": await deferToThread(fresh, self, "redis"),
        }
        self.metrics_port = _two_free_ports()
        self.core = await role_node(
            self,
            "core",
            engines=engines,
            number=4,
            arguments=("--workers", "2"),
            settings={
                "gateway": {"max_devices_per_user": DEVICES, "drain_timeout_s": 5},
                "metrics": {"listen": f"127.0.0.1:{self.metrics_port}"},
            },
        )
        self.business = await role_node(
            self,
            "business",
            engines=engines,
            settings={
                "gateway": {"max_devices_per_user": DEVICES},
                "limits": {"logins_per_min": 1000, "user_requests_per_s": 1000},
            },
        )

    def worker_pids(self) -> set[int]:
        """The children of the supervisor, which runs."""
        pid = self.core.process.pid
        self.assertTrue(pid, "there is no supervisor")
        return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def ready_count(self) -> int:
        """How often a worker has become ready."""
        return self.core.log.count("info     imd.roles.workers._Watched: node ")

    async def test_life(self) -> None:
        """Connections come to both; one that is killed comes back while the other goes on; both drain."""
        await deferToThread(self.business.start)
        await deferToThread(self.core.start)
        await deferToThread(self.core.wait_for, lambda: self.ready_count() == 2, "second worker")
        devices = await deferToThread(_devices, self.core, self.business)
        self.assertEqual({device.server_id for device in devices}, {"core-4", "core-5"})
        counted = await deferToThread(_metrics, self.metrics_port)
        self.assertEqual([node for node, _ in counted], ["core-4", "core-5"])
        self.assertEqual(sum(connections for _, connections in counted), DEVICES)
        before = self.worker_pids()
        os.kill(self.core.process.pid, signal.SIGHUP)
        reloaded = "SIGHUP: the log is opened anew"
        await deferToThread(
            self.core.wait_for, lambda: self.core.log.count(reloaded) == 3, "all have reloaded"
        )
        self.assertEqual(len(before), 2)

        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        await deferToThread(self.core.wait_for, lambda: self.ready_count() == 3, "restart")
        after = self.worker_pids()
        self.assertEqual((len(after), len(after & before)), (2, 1))
        self.assertIn("killed by signal 9", self.core.log)
        living = await deferToThread(lambda: [each for each in devices if _answers(each.wire)])
        self.assertEqual(len({device.server_id for device in living}), 1)

        self.core.terminate()
        told = await deferToThread(lambda: [set(each.wire.receive(5) or ()) - {"header"} for each in living])
        self.assertEqual(told, [{"reconnect"}] * len(living))
        for device in devices:
            device.wire.close()
        await deferToThread(self.core.wait_end)
        self.assertFalse(any(map(_exists, after)))
        self.assertEqual(self.core.log.count("Server Shut Down"), 3)

    async def test_cannot_start(self) -> None:
        """A worker that cannot start ends the whole, which says which worker it was; the reason stands above."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.core.node.ports["tcp"]))
            taken.listen()
            await deferToThread(self.core.launch)
            await deferToThread(self.core.wait_end)
        self.assertRegex(self.core.log, r"imd: worker node [45] could not start: exit code 1")
        self.assertIn(f"cannot listen on 127.0.0.1:{self.core.node.ports['tcp']}", self.core.log)
        self.assertFalse("Traceback" in self.core.log, self.core.log)

    async def test_orphans(self) -> None:
        """Workers whose supervisor was killed do not stay: the port is free for the next one."""
        await deferToThread(self.core.start)
        await deferToThread(self.core.wait_for, lambda: self.ready_count() == 2, "second worker")
        orphans = self.worker_pids()
        await deferToThread(self.core.process.kill)
        await deferToThread(
            self.core.wait_for,
            lambda: not any(map(_exists, orphans)),
            "end of the workers",
        )


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _devices(core: RoleNode, business: RoleNode) -> list[Entered]:
    """One person on many devices."""
    rest = Rest(business.http_url)
    handle = f"workers_{os.getpid()}"
    account = {"handle": handle, "password": PASSWORD, "deviceId": "d0"}
    first = rest.call("POST", "/register", account)
    others = [
        rest.call("POST", "/login", {**account, "deviceId": f"d{index}"}) for index in range(1, DEVICES)
    ]
    return [
        _enter(core, Login(session["userId"], session["deviceId"], session["token"]))
        for session in (first, *others)
    ]


def _enter(core: RoleNode, login: Login) -> Entered:
    wire = TcpWire("127.0.0.1", core.node.ports["tcp"])
    wire.send({"connect": {"token": login.token, "deviceId": login.device_id, "platform": "bot"}})
    answer = wire.receive(10)
    assert answer is not None and "connected" in answer, answer
    wire.receive(10)
    return Entered(answer["connected"]["serverId"], wire)


def _two_free_ports() -> int:
    """The first of two that follow each other."""
    while True:
        port = free_port()
        # Not "from contextlib import suppress": trial takes a name of a test module for its own.
        with socket.socket() as next_one, contextlib.suppress(OSError):
            next_one.bind(("127.0.0.1", port + 1))
            return port


def _metrics(port: int) -> list[tuple[str, int]]:
    """Which node tells its metrics at the port of the configuration, and which at the next, and who is connected."""
    told = []
    for index in (0, 1):
        url = f"http://127.0.0.1:{port + index}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            page = answer.read().decode()
        node = re.search(r'imd_build_info\{node="([^"]+)"', page)
        live = re.search(r'imd_connections\{state="live"\} (\d+)', page)
        assert node is not None and live is not None, page
        told.append((node[1], int(live[1])))
    return told


def _answers(wire: TcpWire) -> bool:
    try:
        wire.send({"hb": {"sentAt": 1}})
        return wire.receive(5) is not None
    except (ConnectionLost, OSError):
        return False
