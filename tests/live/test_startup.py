"""A server that cannot start says in one message why, ends with exit code 1, and has harmed nothing."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.live.server import ROOT, LiveServer

_TWISTD = "from twisted.scripts.twistd import run; run()"


def ended(server: LiveServer, **environment: str) -> subprocess.CompletedProcess[str]:
    """Start ``twistd im`` and wait for its end, which must come soon."""
    return subprocess.run(
        [sys.executable, "-c", _TWISTD, "--nodaemon", "--pidfile=", "im", f"--config={server.config_file}"],
        cwd=server.folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


class StartupTests(SynchronousTestCase):
    """Each thing that can be wrong."""

    def setUp(self) -> None:
        self.server = LiveServer()
        self.addCleanup(self.server.close)

    def refused(self, *words: str, **environment: str) -> str:
        """The message, after the exit code, its place and its form were looked at."""
        process = ended(self.server, **environment)
        self.assertEqual(process.returncode, 1, process.stdout + process.stderr)
        self.assertFalse("Traceback" in process.stdout + process.stderr, process.stdout + process.stderr)
        self.assertTrue(process.stderr.startswith("imd: "), process.stderr)
        self.assertEqual(process.stderr.count("imd: "), 1, process.stderr)
        for word in words:
            self.assertIn(word, process.stderr)
        return process.stderr

    def configure(self, text: str) -> None:
        self.server.config_file.write_text(text)

    def test_used_port(self) -> None:
        """A used port is named, with the section where to choose another."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.server.tcp_port))
            taken.listen()
            self.refused(f"127.0.0.1:{self.server.tcp_port}", "[listen]")

    def test_second_process(self) -> None:
        """A second process on a data folder ends; the first one goes on."""
        self.server.start()
        self.refused("another imd process", str(self.server.pid))
        self.assertTrue(self.server._ready())

    def test_all_errors_of_the_configuration(self) -> None:
        """Every problem of the file is told at once."""
        self.configure('surprise = 1\n[listen]\ntcp = "nonsense"\n[gateway]\nmax_connections = "many"\n')
        self.refused("surprise", "listen.tcp", "gateway.max_connections", "3 problems")

    def test_not_toml(self) -> None:
        """A file that is no TOML is told with its place."""
        self.configure("[listen\n")
        self.refused("line 1")

    def test_no_file(self) -> None:
        """A file that is not there is named."""
        self.server.config_file.unlink()
        self.refused("im.toml")

    def test_bad_environment(self) -> None:
        """What the environment sets is checked like the file."""
        self.refused("auth_timeout_s", IM__GATEWAY__AUTH_TIMEOUT_S="soon")

    def test_data_folder_is_a_file(self) -> None:
        """A data folder that cannot be one is named."""
        self.server.data_dir.write_text("not a folder")
        self.refused(str(self.server.data_dir))

    def test_corrupted_database(self) -> None:
        """A database that is none is named and left as it is."""
        self.server.start()
        self.server.stop()
        for database in sorted(self.server.data_dir.glob("*.db")):
            kept = database.read_bytes()
            for rest in self.server.data_dir.glob(database.name + "-*"):
                rest.unlink()
            database.write_bytes(b"this is no database, but long enough to look at it" * 100)
            self.refused(database.name)
            self.assertTrue(database.read_bytes().startswith(b"this is no database"))
            database.write_bytes(kept)

    def test_newer_database(self) -> None:
        """A database of a later version is refused, and not touched."""
        self.server.start()
        self.server.stop()
        database = self.server.data_dir / "messages.db"
        connection = sqlite3.connect(database)
        connection.execute("PRAGMA user_version = 9999")
        connection.commit()
        connection.close()
        self.refused("messages.db", "9999")

    def test_tls_without_a_key(self) -> None:
        """TLS without a key, with none that is one, or with somebody else's, says so."""
        listen = (
            f'data_dir = "{self.server.data_dir}"\n[listen]\ntls = "127.0.0.1:{self.server.tls_port}"\n'
            f'tcp = "127.0.0.1:{self.server.tcp_port}"\nhttp = "127.0.0.1:{self.server.http_port}"\n'
        )
        self.configure(listen)
        self.refused("tls")
        self.configure(
            f'{listen}[tls]\ncertificate_file = "/nowhere/a.pem"\nprivate_key_file = "/nowhere/b.pem"\n'
        )
        self.refused("/nowhere/")

    def test_it_starts_afterwards(self) -> None:
        """What failed for another's sake starts when the other is gone."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.server.http_port))
            taken.listen()
            self.refused(str(self.server.http_port))
        self.server.start()
