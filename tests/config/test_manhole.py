"""[manhole]."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config.manhole import Manhole, of_manhole


class Manholes(SynchronousTestCase):
    """``of_manhole``."""

    def setUp(self) -> None:
        # Whatever the umask is.
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.chmod(0o755)
        self.path = folder / "keys"
        self.path.write_text("ssh-ed25519 AAAA alice\n")
        self.path.chmod(0o600)

    def found(self, listen: str, *, shares_ports: bool = False, keys: str | None = None) -> list[str]:
        section = Manhole(listen=listen, authorized_keys_file=str(self.path) if keys is None else keys)
        return [
            f"{path}: {text}" for path, text, _ in of_manhole(section, node_id=3, shares_ports=shares_ports)
        ]

    def test_off(self) -> None:
        """It is off, and then nothing is asked of it."""
        self.assertEqual(self.found("", keys=""), [])
        self.assertEqual(Manhole().listen, "")

    def test_places(self) -> None:
        """A unix socket or a port of this machine; nothing that others can reach."""
        for listen in (
            "/run/imd/manhole",
            "./manhole-{node_id}",
            "127.0.0.1:7722",
            "[::1]:7722",
            "localhost:0",
        ):
            self.assertEqual(self.found(listen), [], listen)
        for listen in ("0.0.0.0:7722", "[::]:7722", "10.0.0.5:7722"):
            self.assertIn("can be reached by others", self.found(listen)[0])
        for listen in ("7722", "manhole", "example.com:7722"):
            self.assertIn("a path for a unix socket", self.found(listen)[0])
        self.assertIn("longer than", self.found("/" + "x" * 108)[0])

    def test_workers(self) -> None:
        """Where several nodes have one configuration, each needs a socket of its own."""
        self.assertEqual(self.found("/run/imd-{node_id}", shares_ports=True), [])
        self.assertIn("{node_id}", self.found("/run/imd", shares_ports=True)[0])
        self.assertIn("cannot share", self.found("127.0.0.1:7722", shares_ports=True)[0])

    def test_keys(self) -> None:
        """Without a file of keys that only its owner may write it does not start."""
        self.assertIn("is empty", self.found("/run/imd", keys="")[0])
        self.assertIn("cannot read", self.found("/run/imd", keys="/nowhere")[0])
        self.assertIn("is no file", self.found("/run/imd", keys="/")[0])
        self.path.chmod(0o620)
        self.assertIn("chmod 0600", self.found("/run/imd")[0])
        self.path.chmod(0o600)
        self.assertEqual(self.found("/run/imd"), [])

    def test_places_of_keys(self) -> None:
        """Nor by a link, from a pipe, or where others may put another file in its place."""
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.chmod(0o755)
        keys = folder / "keys"
        keys.symlink_to(self.path.absolute())
        self.assertIn("is a link", self.found("/run/imd", keys=str(keys))[0])
        keys.unlink()
        os.mkfifo(keys, 0o600)
        self.assertIn("is no file", self.found("/run/imd", keys=str(keys))[0])
        keys.unlink()
        keys.write_text("ssh-ed25519 AAAA alice\n")
        keys.chmod(0o600)
        folder.chmod(0o777)
        self.assertIn("chmod go-w", self.found("/run/imd", keys=str(keys))[0])
        # As /tmp is: what is there stays its owner's.
        folder.chmod(0o1777)
        self.assertEqual(self.found("/run/imd", keys=str(keys)), [])

    def test_owner_of_keys(self) -> None:
        """Nor by what is somebody else's: the file, or its folder."""
        folder = Path(self.mktemp())
        folder.mkdir()
        folder.chmod(0o755)
        keys = folder / "keys"
        keys.write_text("ssh-ed25519 AAAA alice\n")
        keys.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(keys, 4711, -1)
            self.assertIn("belongs to user 4711", self.found("/run/imd", keys=str(keys))[0])
            os.chown(keys, 0, -1)
            os.chown(folder, 4711, -1)
        else:
            # Whoever starts the server is somebody else then.
            self.patch(os, "geteuid", lambda: 4711)
        self.assertIn("belongs to user", self.found("/run/imd", keys=str(keys))[0])
