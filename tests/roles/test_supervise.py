"""How workers are started, and how they know that they are ones."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from imd.roles.supervise import LOG_NODE, MARK, Leash, Start, metrics_of


class Starts(SynchronousTestCase):
    """``Start.worker``."""

    def start(self, **given: str) -> Start:
        return Start(
            **{
                "python": "python",
                "config": "",
                "logger": "",
                "log_file": "",
                "environ": {"PATH": "/bin", "IM__NODE_ID": "1"},
                **given,  # type: ignore[arg-type]
            }
        )

    def test_environment(self) -> None:
        """A worker is told which node it is, above all that the file and the environment say."""
        environment = self.start().worker(7, metrics="127.0.0.1:9477").environment
        own = {"IM__NODE_ID": "7", "IM__METRICS__LISTEN": "127.0.0.1:9477", MARK: "1", LOG_NODE: "7"}
        self.assertEqual(environment, {"PATH": "/bin", **own})

    def test_metrics(self) -> None:
        """Each worker tells its metrics at a port of its own; nowhere stays nowhere, and any free one any."""
        self.assertEqual(metrics_of("127.0.0.1:9470", 0), "127.0.0.1:9470")
        self.assertEqual(metrics_of("[::1]:9470", 3), "[::1]:9473")
        self.assertEqual(metrics_of("127.0.0.1:0", 3), "127.0.0.1:0")
        self.assertEqual(metrics_of("", 3), "")

    def test_command(self) -> None:
        """It stays in the foreground, reads the same file, and is no supervisor itself."""
        command = list(self.start(config="/etc/im-core.toml").worker(7, metrics="").command)
        self.assertEqual(command[0], "python")
        self.assertEqual(command[-2:], ["im-core", "--config=/etc/im-core.toml"])
        self.assertTrue({"--nodaemon", "--pidfile="} <= set(command))
        self.assertFalse(any("workers" in each for each in command))

    def test_log(self) -> None:
        """All write to where twistd was told to; a logger that is not ours is handed on."""
        self.assertIn("--logfile=-", self.start().worker(7, metrics="").command)
        self.assertIn(
            "--logfile=/var/log/im.log", self.start(log_file="/var/log/im.log").worker(7, metrics="").command
        )
        self.assertIn(
            "--logger=my.own", self.start(logger="my.own", log_file="/l").worker(7, metrics="").command
        )


class Leashes(SynchronousTestCase):
    """``Leash``."""

    def test_cut(self) -> None:
        """Without its supervisor a worker ends in order."""
        stopped: list[str] = []
        leash = Leash(reactor=None, stop=lambda: stopped.append("now"))
        transport: Any = StringTransport()
        leash.makeConnection(transport)
        self.assertEqual(stopped, [])
        leash.connectionLost()
        self.assertEqual(stopped, ["now"])
