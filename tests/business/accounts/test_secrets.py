"""The server's secrets on disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.business.accounts.secrets import MIN_BYTES, SecretFile, load_or_make
from imd.kernel.errors import StartupError


class Secrets(SynchronousTestCase):
    """Made once, kept private, refused when weak."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.path = self.folder / "secrets" / "token.key"

    def start(self) -> SecretFile:
        secret = SecretFile(self.path)
        self.successResultOf(Deferred.fromCoroutine(secret.start()))
        return secret

    def refuse(self, expected: str) -> None:
        with self.assertRaises(StartupError) as caught:
            load_or_make(self.path)
        self.assertIn(expected, str(caught.exception))
        self.assertIn(str(self.path), str(caught.exception))

    def test_first_start(self) -> None:
        """The first start makes a secret that only the owner can reach; the next one finds the same."""
        first = self.start()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.path.parent.stat().st_mode), 0o700)
        self.assertGreaterEqual(len(first.value()), MIN_BYTES)
        self.assertEqual(first.value(), self.start().value())

    def test_umask(self) -> None:
        """A generous umask does not make it readable."""
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        self.start()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_random(self) -> None:
        """Two servers never have the same one."""
        one = self.start().value()
        self.path = self.path.with_name("other.key")
        self.assertNotEqual(one, self.start().value())

    def test_weak(self) -> None:
        """Short, empty and regular secrets are refused."""
        self.start()
        for weak in (b"", b"secret", b"a" * 64, b"abab" * 16, b"0123456789abcdef0123456789abcde"):
            self.path.write_bytes(weak)
            self.refuse("shorter than 32 bytes or too regular")

    def test_open(self) -> None:
        """A secret or folder that group or world can read is refused, with the command that repairs it."""
        self.start()
        for mode in (0o640, 0o604, 0o660, 0o666):
            self.path.chmod(mode)
            self.refuse("chmod 0600")
        self.path.chmod(0o600)
        self.path.parent.chmod(0o755)
        failed = self.failureResultOf(Deferred.fromCoroutine(SecretFile(self.path).start()), StartupError)
        self.assertIn("chmod 0700", str(failed.value))

    def test_given(self) -> None:
        """A secret that all nodes share is never made by one of them; what is wrong with it is told."""
        self.folder.mkdir()
        given = self.folder / "shared.key"

        def start() -> SecretFile:
            secret = SecretFile(given, given=True)
            self.successResultOf(Deferred.fromCoroutine(secret.start()))
            return secret

        def refused() -> str:
            failed = Deferred.fromCoroutine(SecretFile(given, given=True).start())
            return str(self.failureResultOf(failed, StartupError).value)

        self.assertIn(f"there is no secret in {given}", refused())
        self.assertIn(f"openssl rand -hex 32 > {given}", refused())
        self.assertFalse(given.exists())
        given.write_text("0123456789abcdef" * 4)
        for mode in (0o644, 0o604, 0o460, 0o450):
            given.chmod(mode)
            self.assertIn("chmod 0600", refused())
        # As systemd and Kubernetes hand it over: readable for a group.
        for mode in (0o440, 0o400):
            given.chmod(mode)
            self.assertEqual(start().value(), b"0123456789abcdef" * 4)
        given.chmod(0o600)
        given.write_text("too short")
        self.assertIn("give the same to all nodes", refused())
        given.unlink()
        given.mkdir()
        self.assertIn("cannot read the secret", refused())

    def test_no_place(self) -> None:
        """Where no folder can be made, the message says so."""
        self.folder.write_text("a file")
        failed = self.failureResultOf(Deferred.fromCoroutine(SecretFile(self.path).start()), StartupError)
        self.assertIn("cannot use the folder", str(failed.value))

    def test_not_started(self) -> None:
        """Nothing is ever signed with an empty key."""
        self.assertRaises(RuntimeError, SecretFile(self.path).value)

    def test_repr(self) -> None:
        """The object shows its path and not its value."""
        secret = self.start()
        self.assertNotIn(secret.value().decode(), repr(secret))
