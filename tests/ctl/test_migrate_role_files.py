"""The configuration that a move reads, and the token secret that goes along."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.exits import TARGET, USAGE, CommandFailed
from imd.ctl.migrate.role_files import copy_secret, read_role_files, told_secret
from tests.ctl.folder import TOKEN_KEY


class Files(SynchronousTestCase):
    """A folder with the files of core and business."""

    def setUp(self) -> None:
        self.etc = Path(self.mktemp())
        self.etc.mkdir()
        self.key = self.etc / "source.key"
        self.key.write_text(TOKEN_KEY)
        self.key.chmod(0o600)
        self.wanted = self.etc / "token.key"
        self.core('[mongo]\ndatabase = "chat"\n')
        self.business(f'token_secret_file = "{self.wanted}"\n[sql]\ndatabase = "people"\n')

    def core(self, text: str) -> None:
        (self.etc / "im-core.toml").write_text(text)

    def business(self, text: str) -> None:
        (self.etc / "im-business.toml").write_text(text)

    def refused(self, *words: str, environ: dict[str, str] | None = None) -> None:
        error: CommandFailed = self.assertRaises(
            CommandFailed, read_role_files, self.etc, token_key=self.key, environ=environ or {}
        )
        self.assertEqual(error.code, USAGE)
        for word in words:
            self.assertIn(word, str(error))

    def test_read(self) -> None:
        """Both files, though the token secret is not where it will be."""
        files = read_role_files(self.etc, token_key=self.key, environ={})
        self.assertEqual((files.core.mongo.database, files.business.sql.database), ("chat", "people"))
        self.assertEqual(files.token_secret_file, self.wanted)

    def test_environment(self) -> None:
        """Variables count as for the role that knows them."""
        elsewhere = self.etc / "elsewhere.key"
        environ = {
            "IM__MONGO__DATABASE": "m",
            "IM__SQL__DATABASE": "s",
            "IM__TOKEN_SECRET_FILE": str(elsewhere),
            "IM__LISTEN__TCP": "127.0.0.1:1",
        }
        files = read_role_files(self.etc, token_key=self.key, environ=environ)
        self.assertEqual((files.core.mongo.database, files.business.sql.database), ("m", "s"))
        self.assertEqual(files.token_secret_file, elsewhere)
        self.assertEqual(files.core.listen.tcp, "127.0.0.1:1")

    def test_admin(self) -> None:
        """The file of im-admin may be there or not; variables count for it, too."""
        self.assertIsNone(read_role_files(self.etc, token_key=self.key, environ={}).admin)
        file = self.etc / "im-admin.toml"
        file.write_text('[sql]\ndatabase = "settings"\n')
        admin = read_role_files(self.etc, token_key=self.key, environ={"IM__SQL__USER": "mover"}).admin
        assert admin is not None
        self.assertEqual((admin.sql.database, admin.sql.user), ("settings", "mover"))
        file.write_text("[sql]\nport = 1\n")
        self.refused("im-admin.toml", "sql.port")
        files = read_role_files(self.etc, token_key=self.key, environ={}, with_admin=False)
        self.assertIsNone(files.admin)

    def test_wrong(self) -> None:
        """What is wrong with them is said with the name of the file."""
        self.core("[mongo]\npool_size = 0\n")
        self.refused("im-core.toml", "mongo.pool_size")
        self.core("[mongo\n")
        self.refused("im-core.toml", "TOML")
        self.core("")
        self.business("[sql]\n")
        self.refused("im-business.toml", "token_secret_file is empty")
        (self.etc / "im-business.toml").unlink()
        self.refused("im-business.toml is not there")


class Secret(SynchronousTestCase):
    """The token secret."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.source, self.target = folder / "source", folder / "target"
        self.source.write_text(TOKEN_KEY + "\n")

    def test_copied(self) -> None:
        """Where there is none it is made, for its owner alone; the second time it is the folder's."""
        self.assertIn("copied to", copy_secret(self.source, self.target))
        self.assertEqual(self.target.read_text(), TOKEN_KEY)
        self.assertEqual(self.target.stat().st_mode & 0o777, 0o600)
        self.assertNotIn("WARNING", copy_secret(self.source, self.target))

    def test_another(self) -> None:
        """Another one is left alone, and what that means is said."""
        self.target.write_text("another")
        for told in (copy_secret(self.source, self.target), told_secret(self.source, self.target)):
            self.assertIn("WARNING", told)
            self.assertIn("log in again", told)
        self.assertEqual(self.target.read_text(), "another")

    def test_no_folder(self) -> None:
        """Where it cannot be written, the reason is told."""
        target = self.target / "missing" / "token.key"
        error: CommandFailed = self.assertRaises(CommandFailed, copy_secret, self.source, target)
        self.assertEqual(error.code, TARGET)
        self.assertIn("No such file", str(error))
