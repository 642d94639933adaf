"""What a default start opens, against docs/ports.rst and what imctl doctor sees."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.config.address import Address, parse_address
from imd.config.load import PREFIX, variable_of
from imd.ctl.cluster.engine import free_port
from imd.ctl.doctor.sockets import listening
from tests.config.test_listeners import documented
from tests.live.roles import RoleNode, role_node

ROOT = Path(__file__).resolve().parents[2]
PROC = Path("/proc")
PATIENCE_S = 60.0
_TWISTD = "from twisted.scripts.twistd import run; run()"


def opened_by_default(role: str) -> dict[str, Address]:
    """What docs/ports.rst says that a role opens: key and address."""
    return {
        row["key"]: parse_address(row["default"])
        for row in documented()
        if row["role"] == role and row["default"] != "off"
    }


class Ports(TestCase):
    """Real processes, and /proc."""

    timeout = 180

    async def test_in_one_process(self) -> None:
        """`twistd im` with nothing but other port numbers opens what is documented, and no unix socket."""
        await deferToThread(self._in_one_process)

    def _in_one_process(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="imd-ports-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        wanted = {key: Address(default.host, free_port()) for key, default in opened_by_default("im").items()}
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        # Another server may run on this machine: the numbers are others, and nothing else is.
        environ |= {variable_of(key): str(address) for key, address in wanted.items()}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", _TWISTD, "-n", "--pidfile=", "im"],
                cwd=folder,
                env=environ | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )
        self.addCleanup(process.wait, 30)
        self.addCleanup(process.send_signal, signal.SIGKILL)
        deadline_s = time.monotonic() + PATIENCE_S
        while "is ready" not in (said := (folder / "log").read_text(errors="replace")):
            self.assertIsNone(process.poll(), said)
            self.assertLess(time.monotonic(), deadline_s, said)
            time.sleep(0.05)
        self.assertEqual(listening(PROC, process.pid), (set(wanted.values()), set()))

    async def test_roles(self) -> None:
        """Each role of the cluster opens what is documented for it, and nothing else."""
        for role in ("business", "admin", "core"):
            opened = opened_by_default(f"im-{role}")
            node: RoleNode = await role_node(self, role)
            await deferToThread(node.start)
            addresses, paths = listening(PROC, node.process.pid)
            self.assertEqual(paths, set(), role)
            self.assertEqual(
                addresses, {Address("127.0.0.1", port) for port in node.node.ports.values()}, role
            )
            self.assertEqual(len(addresses), len(opened), role)
            node.process.kill()
