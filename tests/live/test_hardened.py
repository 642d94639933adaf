"""`twistd im` with as little as etc/systemd and deploy/kubernetes leave it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from imd.client.load.crowd import CrowdWish
from imd.config.load import load
from imd.kernel.clocks import system_wall_clock
from imd.kernel.ids import direct_conversation_id
from imd.roles.seed import seed
from tests.live.neighbourhood import client_of
from tests.live.server import NO_LIMITS, ROOT, LiveServer

PATIENCE_S = 30.0
#: As ProtectSystem=strict and readOnlyRootFilesystem: nothing can be written but its own folder.
READ_ONLY = [
    "unshare",
    "--mount",
    "sh",
    "-euc",
    'mount --make-rprivate /; mount --bind "$0" "$0"; mount -o remount,bind,ro /; exec "$@"',
    "{folder}",
]
#: As NoNewPrivileges=yes and an empty CapabilityBoundingSet=.
POWERLESS = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1
#: As MemoryDenyWriteExecute=yes: no memory that was written becomes code.
_REFUSE_NEW_CODE = f"""
import ctypes, os, sys
if ctypes.CDLL(None).prctl({_SET_MDWE}, {_REFUSE_EXEC_GAIN}, 0, 0, 0):
    sys.exit(1)
if sys.argv[1:]:
    os.execvp(sys.argv[1], sys.argv[1:])
"""
NO_NEW_CODE = [sys.executable, "-c", _REFUSE_NEW_CODE]


class Hardened(SynchronousTestCase):
    """Two people talk, the second one comes later."""

    def talks(self, through: list[str], *, source: Path = ROOT) -> LiveServer:
        server = LiveServer(
            settings={**NO_LIMITS, "gateway": {"drain_timeout_s": 1}}, source=source, through=through
        )
        self.addCleanup(server.close)
        configuration = load(str(server.config_file), os.environ)
        crowd = seed(configuration, CrowdWish(users=2, conversations=[]), wall_clock=system_wall_clock)
        server.start()
        alice = client_of(server, crowd, 0)
        alice.send_text(str(crowd.people[1].user_id), "hello")
        alice.run_until(lambda: bool(alice.acks), timeout_s=PATIENCE_S)
        bob = client_of(server, crowd, 1)
        conversation_id = direct_conversation_id(*(person.user_id for person in crowd.people))
        bob.run_until(lambda: bob.texts(conversation_id) == ["hello"], timeout_s=PATIENCE_S)
        alice.close()
        bob.close()
        server.stop()
        self.assertNotIn("Traceback", server.log)
        return server

    def test_read_only(self) -> None:
        """Without root's powers, with nothing to write but its folder: Twisted's plugin cache is not missed."""
        if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
            raise SkipTest("only root may mount")
        source = Path(self.mktemp()).resolve()
        for name in ("imd", "tap", "twisted"):
            ignored = shutil.ignore_patterns("__pycache__", "dropin.cache")
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        self.talks([*READ_ONLY, *POWERLESS], source=source)
        self.assertEqual(list(source.rglob("*.cache")), [], "it could not be written")

    def test_no_new_code(self) -> None:
        """Nothing that it uses makes code at run time, cffi, uvloop and upb included."""
        if subprocess.run(NO_NEW_CODE, check=False).returncode:
            raise SkipTest("the kernel is older than 6.3")
        self.talks(NO_NEW_CODE)
