"""What each ``twistd im-...`` takes on its command line, and how it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.config.sections import AdminConfig, BusinessConfig, Config, CoreConfig
from tap import im, im_admin, im_business, im_core

ROOT = Path(__file__).resolve().parent.parent.parent


class Options(SynchronousTestCase):
    """``Options`` of the taps."""

    def setUp(self) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("IM__")}
        self.patch(os, "environ", environ)

    def parsed(self, tap: Any, *arguments: str) -> Any:
        options = tap.Options()
        options.parseOptions(list(arguments))
        return options

    def refused(self, tap: Any, *arguments: str) -> str:
        error: SystemExit = self.assertRaises(SystemExit, self.parsed, tap, *arguments)
        return str(error.code)

    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return f"--config={path}"

    def test_files(self) -> None:
        """Each reads the file of its role."""
        for tap, kind in ((im, Config), (im_core, CoreConfig), (im_admin, AdminConfig)):
            self.assertIsInstance(self.parsed(tap, self.file("node_id = 3\n")).settings, kind)
        self.assertIn("token_secret_file", self.refused(im_business, self.file("node_id = 3\n")))
        self.assertIs(im_business.Options.kind, BusinessConfig)

    def test_all_that_is_wrong(self) -> None:
        """A bad file ends the process before it has begun, with every reason."""
        said = self.refused(im_core, self.file('[sql]\nuser = "x"\n[mongo]\nhosts = []\n'))
        self.assertTrue(said.startswith("imd: 2 problems in "), said)

    def test_workers(self) -> None:
        """Workers share ports, which they must be able to, and each needs a node id."""
        options = self.parsed(im_core, "--workers=4", self.file("node_id = 1020\n"))
        self.assertTrue(options.settings.listen.reuse_port)
        self.assertFalse(self.parsed(im_core).settings.listen.reuse_port)
        self.assertIn("1024", self.refused(im_core, "--workers=5", self.file("node_id = 1020\n")))
        self.assertIn("expected 1 to", self.refused(im_core, "--workers=0"))
        self.assertIn(
            "port 0", self.refused(im_core, "--workers=2", self.file('[listen]\ntcp = "127.0.0.1:0"\n'))
        )


class Reactor(SynchronousTestCase):
    """The reactor that a role gets."""

    def test_other_reactor(self) -> None:
        """A role on the bus says at once that it cannot run on another reactor."""
        command = "from twisted.scripts.twistd import run; run()"
        arguments = ["--reactor=poll", "--nodaemon", "--pidfile=", "im-admin"]
        process = subprocess.run(
            [sys.executable, "-c", command, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        self.assertEqual(process.returncode, 1)
        self.assertIn("imd: this role needs the asyncio reactor, not PollReactor", process.stderr)
