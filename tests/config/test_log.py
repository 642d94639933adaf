"""[log], what differs between two files, and secrets in files."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.admin.settings.model import problems
from imd.config.changes import changes
from imd.config.engines import Redis
from imd.config.log import Log, log_levels_of, of_log
from imd.config.policy import Content
from imd.config.secrets import secrets_of
from imd.config.sections import Config, CoreConfig, Gateway, Limits


class Logs(SynchronousTestCase):
    """``Log``."""

    def test_wrong(self) -> None:
        """Each level, namespace and format that is none is told with its path, and with what is near."""
        section = Log(
            level="warning", levels=["imd.core=debug", "imd.bus", "x=loud", "imd.core=info"], format="xml"
        )
        found = {path: text for path, text, _ in of_log(section)}
        self.assertEqual(
            list(found), ["log.level", "log.levels[1]", "log.levels[2]", "log.levels[3]", "log.format"]
        )
        self.assertIn("did you mean warn?", found["log.level"])
        self.assertIn("NAMESPACE=LEVEL", found["log.levels[1]"])
        self.assertIn("again", found["log.levels[3]"])

    def test_right(self) -> None:
        """The default is right, and levels are read as they are written."""
        self.assertEqual(list(of_log(Log())), [])
        self.assertEqual(log_levels_of(["imd.core = debug"]), {"imd.core": "debug"})

    def test_settings(self) -> None:
        """Settings may hold levels, and are refused with wrong ones; where lines go is not theirs to say."""
        self.assertEqual(problems({"log": {"level": "debug", "levels": ["imd.bus=warn"]}}), [])
        self.assertIn("log.level: ", problems({"log": {"level": "loud"}})[0])
        self.assertIn("log.levels[0]: ", problems({"log": {"levels": ["imd"]}})[0])
        self.assertIn("log.file: ", problems({"log": {"file": "/etc/passwd"}})[0])


class ChangesTests(SynchronousTestCase):
    """``changes``."""

    def test_split(self) -> None:
        """What may change is taken over, the rest is as it was and named."""
        old = Config(node_id=1)
        new = Config(node_id=2, limits=Limits(user_burst=7), gateway=Gateway(origins=["https://x"]))
        merged, found = changes(old, new, changeable={"limits.user_burst", "limits.logins_per_min"})
        self.assertEqual(merged, Config(node_id=1, limits=Limits(user_burst=7)))
        self.assertEqual(found, (["limits.user_burst"], ["node_id", "gateway.origins"]))
        self.assertEqual(changes(old, old, changeable=()), (old, ([], [])))


class Secrets(SynchronousTestCase):
    """``secrets_of``."""

    def test_found(self) -> None:
        """Secrets in files are found in all sections; a file that cannot be read is somebody else's to tell."""
        path = Path(self.mktemp())
        path.write_text("hunter2hunter2\n")
        path.chmod(0o600)
        config = CoreConfig(redis=Redis(password_file=str(path)))
        self.assertEqual(list(secrets_of(config)), ["hunter2hunter2"])
        self.assertEqual(list(secrets_of(CoreConfig(redis=Redis(password_file="/nowhere")))), [])

    def test_repr(self) -> None:
        """A section can be printed: a URL, which may hold a key, is not shown."""
        shown = repr(Config(content=Content(hook_url="https://x/?key=abc"), node_id=3))
        self.assertNotIn("abc", shown)
        self.assertIn("node_id=3", shown)
        self.assertIn("hook_url=[hidden]", shown)
        self.assertIn("url=''", shown)
