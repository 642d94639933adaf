"""Passwords that others know, can guess, or share."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.doctor import secrets
from imd.ctl.doctor.finding import Level
from imd.ctl.doctor.secrets import Secret
from imd.ctl.doctor.targets import Target, targets_of


class Strength(SynchronousTestCase):
    """One secret."""

    def level(self, value: str, user: str = "") -> Level:
        return secrets.strength(Secret("redis.password_file", Path("x"), value, user)).level

    def test_well_known(self) -> None:
        """Those of samples and tutorials, in any case, and the name of the user."""
        for value in ("changeme", "CHANGE_ME", "password", "..."):
            self.assertEqual(self.level(value), Level.FAIL, value)
        self.assertEqual(self.level("Core-7", "core-7"), Level.FAIL)

    def test_guessable(self) -> None:
        """Short, or of few different characters."""
        for value in ("hunter22", "Tr0ub4dor&3", "a" * 64, "abababababababababababababababab", ""):
            self.assertEqual(self.level(value), Level.WARN, value)
        for value in (token_hex(16), "correct horse battery staple"):
            self.assertEqual(self.level(value), Level.OK, value)

    def test_never_shown(self) -> None:
        """No finding and no repr holds the secret itself."""
        secret = Secret("a", Path("x"), "hunter2hunter2")
        self.assertNotIn("hunter2", repr(secret))
        self.assertNotIn("hunter2", repr(secrets.strength(secret)))


class Reuse(SynchronousTestCase):
    """Two of them."""

    def test_shared(self) -> None:
        """One secret for two purposes, or for two users, is told; copies for several nodes, or one file, are not."""
        value = token_hex(16)
        a, b = Path("a"), Path("b")
        for pair, level in (
            ([Secret("redis.password_file", a, value), Secret("mongo.password_file", b, value)], Level.WARN),
            ([Secret("nats.password_file", a, value, "core"), Secret("nats.password_file", b, value, "admin")], Level.WARN),
            ([Secret("nats.password_file", a, value, "core"), Secret("nats.password_file", b, value, "core")], Level.OK),
        ):  # fmt: skip
            (found,) = secrets.reuse(pair)
            self.assertEqual(found.level, level, pair)
            self.assertNotIn(value, repr(found))


class OfTargets(SynchronousTestCase):
    """Which are looked at."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "secrets").mkdir(parents=True)

    def secret(self, name: str, value: str) -> Path:
        file = self.folder / name
        file.touch(mode=0o600)
        file.write_text(value + "\n")
        return file

    def target(self, role: str, text: str) -> Target:
        file = self.folder / "role.toml"
        file.write_text(text)
        (target,) = targets_of([f"{role}={file}"], {})
        return target

    def test_keys(self) -> None:
        """Every file that a key names, with the user beside it."""
        password = self.secret("p", "changeme")
        target = self.target("im-core", f'[nats]\nuser = "core"\npassword_file = "{password}"\n')
        (found,) = secrets.secrets_of(target)
        self.assertEqual((found.purpose, found.user, found.value), ("nats.password_file", "core", "changeme"))
        self.assertEqual([each.level for each in secrets.secrets([target])], [Level.FAIL, Level.OK])

    def test_folder(self) -> None:
        """What `twistd im` made in its data folder."""
        self.secret("secrets/token.key", token_hex(32))
        target = self.target("im", f'data_dir = "{self.folder}"\n')
        self.assertEqual([each.purpose for each in secrets.secrets_of(target)], ["token.key"])
