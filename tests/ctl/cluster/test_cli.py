"""What ``tools/cluster`` says, short of starting anything."""

from __future__ import annotations

import fcntl
import io
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cluster.cli import EXIT_FAILED, EXIT_NOT_READY, main
from imd.ctl.cluster.cluster import LOCK
from imd.ctl.cluster.layout import Layout, read_layout, write_layout


class Command(SynchronousTestCase):
    """``main`` on a folder whose cluster is down."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.said, self.complained = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.said)
        self.patch(sys, "stderr", self.complained)

    def run_command(self, *arguments: str) -> int:
        return main(["--folder", str(self.folder), *arguments])

    def make(self) -> None:
        self.folder.mkdir()
        write_layout(self.folder, Layout(base_port=0).with_ports())

    def test_nothing_there(self) -> None:
        """Without a cluster it is said how to make one."""
        for command in ("status", "down", "logs"):
            self.assertEqual(self.run_command(command), EXIT_FAILED)
            self.assertIn(f"no cluster in {self.folder}; tools/cluster up", self.complained.getvalue())

    def test_no_folder(self) -> None:
        """A folder that cannot be made is named, in one line."""
        self.folder.write_text("a file")
        self.folder = self.folder / "below"
        self.assertEqual(self.run_command("up"), EXIT_FAILED)
        self.assertRegex(self.complained.getvalue(), f"^tools/cluster: .*{self.folder}.*--folder .*\n$")

    def test_status(self) -> None:
        """Every process has a line with its address and what it lacks, and the exit code says so, too."""
        self.make()
        self.assertEqual(self.run_command("status"), EXIT_NOT_READY)
        lines = self.said.getvalue().splitlines()
        names = [
            "nats",
            "redis",
            "mariadb",
            "mongo",
            "business-1",
            "business-2",
            "admin-1",
            "core-1",
            "core-2",
        ]
        self.assertEqual([line.split()[0] for line in lines[1:]], names)
        for line in lines[1:]:
            self.assertRegex(line, r" 127\.0\.0\.1:\d+ .* - +does not run$")

    def test_other_logs(self) -> None:
        """An unknown name is answered with the known ones."""
        self.make()
        self.assertEqual(self.run_command("logs", "core-7"), EXIT_FAILED)
        self.assertRegex(self.complained.getvalue(), "nothing is named core-7; there are nats,.*core-2")

    def test_wipe(self) -> None:
        """down --wipe deletes the folder of a cluster."""
        self.make()
        self.assertEqual(self.run_command("down", "--wipe"), 0)
        self.assertFalse(self.folder.exists())

    def test_foreign_folder(self) -> None:
        """A folder with something else in it is neither taken nor deleted."""
        self.folder.mkdir()
        (self.folder / "thesis.txt").write_text("years of work")
        self.assertEqual(self.run_command("up", "--base-port", "0"), EXIT_FAILED)
        self.assertIn("holds something else", self.complained.getvalue())
        self.assertEqual(self.run_command("down", "--wipe"), EXIT_FAILED)
        self.assertTrue((self.folder / "thesis.txt").exists())

    def test_other_layout(self) -> None:
        """What cannot be changed in place says what to do."""
        self.make()
        self.assertEqual(self.run_command("up", "--mongo-members", "3"), EXIT_FAILED)
        self.assertIn("down --wipe", self.complained.getvalue())

    def test_two_at_once(self) -> None:
        """A second command that changes the cluster is refused while the first is at work."""
        self.make()
        with (self.folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.assertEqual(self.run_command("down"), EXIT_FAILED)
        self.assertIn("another tools/cluster is at work", self.complained.getvalue())

    def test_wrong_setting(self) -> None:
        """A setting with a wrong value is refused before anything is started, and not remembered."""
        arguments = ("up", "--base-port", "0", "--set", "limits.user_burst=-3", "--set", "node.zone=east")
        self.assertEqual(self.run_command(*arguments), EXIT_FAILED)
        self.assertIn("limits.user_burst: -3 is out of range", self.complained.getvalue())
        layout = read_layout(self.folder)
        assert layout is not None
        self.assertEqual(layout.settings, {})
        self.assertEqual(self.said.getvalue(), "")

    def test_setting_without_a_section(self) -> None:
        """What is no SECTION.KEY=VALUE is a usage error."""
        for text in ("limits=3", "limits.user_burst"):
            with self.assertRaises(SystemExit):
                self.run_command("up", "--set", text)
            self.assertIn("limits.user_text_per_min=0", self.complained.getvalue())
