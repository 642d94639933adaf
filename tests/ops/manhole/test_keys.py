"""Keys: the server's own, those that may come in, and files that are not as they should be."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.error import ValidPublicKey
from twisted.conch.ssh.keys import Key
from twisted.cred.credentials import SSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.audit import DONE, AuditEntry
from imd.kernel.errors import StartupError
from imd.ops.manhole.door import Door
from imd.ops.manhole.keys import authorized_keys, fingerprint, host_key
from imd.ops.manhole.trail import Trail


def new_key() -> Key:
    return Key(Ed25519PrivateKey.generate())


def public_line(key: Key, comment: str = "alice") -> str:
    return f"{key.public().toString('openssh').decode()} {comment}\n"


class KeyCase(SynchronousTestCase):
    """In a folder of its own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        # Whatever the umask is.
        self.folder.chmod(0o755)

    def file(self, text: str, *, mode: int = 0o600) -> str:
        path = self.folder / "authorized_keys"
        path.write_text(text)
        path.chmod(mode)
        return str(path)


class HostKey(KeyCase):
    """``host_key``."""

    def setUp(self) -> None:
        super().setUp()
        self.path = self.folder / "host_key"

    def refused(self) -> str:
        return str(self.assertRaises(StartupError, host_key, str(self.path)))

    def test_made_once(self) -> None:
        """It is made at first start, for its owner alone, and stays."""
        key = host_key(str(self.path))
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual((key.type(), key.isPublic()), ("Ed25519", False))
        self.assertEqual(host_key(str(self.path)), key)

    def test_refused(self) -> None:
        """One that others can read, that is none, or that cannot be made, stops the start."""
        host_key(str(self.path))
        self.path.chmod(0o640)
        self.assertIn("chmod 0600", self.refused())
        self.path.chmod(0o600)
        self.folder.chmod(0o777)
        self.assertIn("chmod go-w", self.refused())
        self.folder.chmod(0o755)
        for text in ("", "nonsense", public_line(new_key())):
            self.path.write_text(text)
            self.assertIn("manhole.host_key_file", self.refused())
        self.path = self.folder / "nowhere" / "host_key"
        self.assertIn("No such file", self.refused())


class AuthorizedKeys(KeyCase):
    """``authorized_keys``."""

    def refused(self, text: str, *, mode: int = 0o600) -> str:
        return str(self.assertRaises(ValueError, authorized_keys, self.file(text, mode=mode)))

    def test_read(self) -> None:
        """Lines and comments; an operator is called as the key says, or by its fingerprint."""
        one, two = new_key(), new_key()
        found = authorized_keys(self.file(f"# ours\n\n{public_line(one)}{public_line(two, '')}"))
        self.assertEqual([each.key for each in found], [one.public(), two.public()])
        self.assertEqual([each.operator for each in found], ["alice", fingerprint(two)])

    def test_refused(self) -> None:
        """A file that is missing, empty, loose or wrong is told, with the line and what to do."""
        good = public_line(new_key())
        self.assertIn("cannot read", str(self.assertRaises(ValueError, authorized_keys, "/nowhere")))
        self.assertIn("holds no key", self.refused("# nothing\n"))
        self.assertIn("chmod 0600", self.refused(good, mode=0o666))
        self.assertIn("line 2: is no public key", self.refused(f"{good}rubbish\n"))
        self.assertIn("without options", self.refused(f'from="10.0.0.1" {good}'))
        self.assertIn("longer than", self.refused("#" * 300_000))


class Doors(KeyCase):
    """``Door``: who is let in."""

    def setUp(self) -> None:
        super().setUp()
        self.kept: list[AuditEntry] = []
        self.full = False
        self.key = new_key()
        self.path = self.file(public_line(self.key))
        self.door = Door(
            keys_file=self.path,
            trail=Trail(self.kept.append, peer="here", redact=str),
            is_full=lambda: self.full,
            enter=lambda: "operator",
        )

    def offer(self, key: Key, *, signed_by: Key | None = None) -> Any:
        signature = None if signed_by is None else signed_by.sign(b"data")
        blob = key.public().blob()
        return self.door.login(SSHPrivateKey(b"ops", b"ssh-ed25519", blob, b"data", signature), None)

    def test_let_in(self) -> None:
        """A key of the file that is proved opens, and is recorded with the name of its owner."""
        self.failureResultOf(self.offer(self.key), ValidPublicKey)
        self.assertEqual(self.kept, [])
        self.assertEqual(self.successResultOf(self.offer(self.key, signed_by=self.key))[1], "operator")
        (entry,) = self.kept
        self.assertEqual((entry.action, entry.decision), ("manhole.login", DONE))
        self.assertIn('"operator": "alice"', entry.detail)

    def test_refused(self) -> None:
        """Another key is not even asked to be proved; a signature of another proves nothing."""
        other = new_key()
        self.failureResultOf(self.offer(other), UnauthorizedLogin)
        self.failureResultOf(self.offer(other, signed_by=other), UnauthorizedLogin)
        self.failureResultOf(self.offer(self.key, signed_by=other), UnauthorizedLogin)

    def test_full(self) -> None:
        """Where enough are in, one more is refused, and not taken for one who came in."""
        self.full = True
        failure = self.failureResultOf(self.offer(self.key, signed_by=self.key), UnauthorizedLogin)
        self.assertIn("enough sessions", failure.getErrorMessage())
        self.assertEqual(self.kept, [])

    def test_taken_back(self) -> None:
        """A key that was taken out of the file, or a file that others may write, lets nobody in any more."""
        self.file(public_line(self.key), mode=0o666)
        failure = self.failureResultOf(self.offer(self.key, signed_by=self.key), UnauthorizedLogin)
        self.assertIn("chmod 0600", failure.getErrorMessage())
        self.file(public_line(new_key()))
        self.failureResultOf(self.offer(self.key, signed_by=self.key), UnauthorizedLogin)
