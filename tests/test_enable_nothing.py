"""tools/enable-nothing: what packages enable does not start with the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

TOOL = Path(__file__).resolve().parent.parent / "tools" / "enable-nothing"
UNIT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


class EnableNothing(SynchronousTestCase):
    """With the systemctl of this machine, on the units of a folder."""

    def setUp(self) -> None:
        systemctl = shutil.which("systemctl")
        if systemctl is None:
            if os.environ.get("CI"):
                self.fail("systemctl is not installed; tools/servers does it")
            raise SkipTest("systemctl is not installed; tools/servers does it")
        folder = Path(self.mktemp()).resolve()
        self.units = folder / "root/usr/lib/systemd/system"
        self.units.mkdir(parents=True)
        for name in ("own", "proxy", "exporter"):
            (self.units / f"{name}.service").write_text(UNIT)
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.program("systemctl", f'exec {systemctl} --root={folder}/root "$@"')
        self.enabled = folder / "root/etc/systemd/system/multi-user.target.wants"
        self.call("systemctl", "enable", "--quiet", "own.service")

    def program(self, name: str, *lines: str) -> None:
        path = self.programs / name
        path.write_text("\n".join(("#!/bin/sh", *lines, "")))
        path.chmod(0o755)

    def call(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        path = f"{self.programs}:{os.environ['PATH']}"
        return subprocess.run(
            command, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False
        )

    def left(self) -> list[str]:
        """What starts with the machine."""
        return sorted(path.name for path in self.enabled.iterdir())

    def test_installed(self) -> None:
        """Whatever the command enabled is disabled; what was enabled before stays."""
        self.program("install", 'systemctl enable proxy.service exporter.service && echo "$@"')
        ended = self.call(TOOL, "install", "two words")
        self.assertEqual((ended.returncode, ended.stdout), (0, "two words\n"), ended.stderr)
        self.assertIn("proxy.service does not start with the machine", ended.stderr)
        self.assertEqual(self.left(), ["own.service"])

    def test_failed(self) -> None:
        """Also if the command fails half-way, and that is told."""
        self.program("install", "systemctl enable proxy.service", "exit 100")
        self.assertEqual(self.call(TOOL, "install").returncode, 100)
        self.assertEqual(self.left(), ["own.service"])

    def test_nothing(self) -> None:
        """A command that enables nothing changes nothing."""
        ended = self.call(TOOL, "true")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertEqual(self.left(), ["own.service"])

    def test_cannot_list(self) -> None:
        """Where nobody says what was enabled, nothing is disabled, and the command is run all the same."""
        self.program("systemctl", "exit 1")
        ended = self.call(TOOL, "echo", "ran")
        self.assertEqual((ended.returncode, ended.stdout), (0, "ran\n"))
        self.assertIn("systemctl list-unit-files", ended.stderr)

    def test_cannot_disable(self) -> None:
        """What stays enabled is told; it was installed nevertheless, which is what was wanted."""
        real = (self.programs / "systemctl").read_text().splitlines()[1]
        self.program("systemctl", '[ "$1" != disable ] || exit 1', real)
        self.program("install", "systemctl enable proxy.service")
        ended = self.call(TOOL, "install")
        self.assertEqual(ended.returncode, 0)
        self.assertIn("proxy.service starts with the machine, and cannot be disabled", ended.stderr)

    def test_used(self) -> None:
        """What tests need is installed by way of it."""
        self.assertIn('/enable-nothing" apt-get install', TOOL.with_name("servers").read_text())
