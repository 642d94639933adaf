"""Which nodes are looked at."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from imd.config.sections import AdminConfig, BusinessConfig, Config, CoreConfig
from imd.ctl.cluster.layout import Layout, write_layout
from imd.ctl.exits import USAGE, CommandFailed
from imd.ctl.top.nodes import defaults, named


class Named(SynchronousTestCase):
    """By address, by configuration, by folder."""

    def file(self, name: str, text: str) -> Path:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    def found(self, *metrics: str, configs: tuple[Path, ...] = (), cluster: Path | None = None) -> list[str]:
        return [str(each) for each in named(metrics=metrics, configs=configs, cluster=cluster)]

    def refused(self, *metrics: str, configs: tuple[Path, ...] = (), cluster: Path | None = None) -> str:
        failed: CommandFailed = self.assertRaises(
            CommandFailed, self.found, *metrics, configs=configs, cluster=cluster
        )
        self.assertEqual(failed.code, USAGE)
        return str(failed)

    def test_addresses(self) -> None:
        """Each once, in the order in which they were given."""
        self.assertEqual(
            self.found("b.example.com:9470", "[::1]:9470", "b.example.com:9470"),
            ["b.example.com:9470", "[::1]:9470"],
        )
        for text in ("9470", "host:", "host:0", "host:99999", "http://host:1/metrics", ":9470"):
            self.assertIn(f"--metrics {text}: ", self.refused(text))

    def test_defaults(self) -> None:
        """What the roles have when nobody says otherwise."""
        kinds = (CoreConfig(), BusinessConfig(), AdminConfig(), Config())
        self.assertEqual([str(each) for each in defaults()], [each.metrics.listen for each in kinds])

    def test_configuration(self) -> None:
        """Its [metrics], or the default of the role that the file is named for; all addresses are this machine."""
        for name, text, address in (
            ("im-core.toml", '[metrics]\nlisten = "10.0.0.1:7"\n', "10.0.0.1:7"),
            ("im-core.toml", '[metrics]\nlisten = "0.0.0.0:7"\n', "127.0.0.1:7"),
            ("im-core.toml", '[metrics]\nlisten = "[::]:7"\n', "[::1]:7"),
            ("im-business.toml", "", BusinessConfig().metrics.listen),
            ("core-2.toml", "node_id = 2\n", CoreConfig().metrics.listen),
            ("im.toml", "\ufeff", Config().metrics.listen),
        ):
            self.assertEqual(self.found(configs=(self.file(name, text),)), [address])

    def test_wrong_configuration(self) -> None:
        """What cannot be used is said, with what it is."""
        for text, words in (
            ("[metrics", "not TOML"),
            ('[metrics]\nlisten = ""\n', "tells its metrics to nobody"),
            ('[metrics]\nlisten = "here"\n', "has no port"),
            ('[metrics]\nlisten = "127.0.0.1:0"\n', "--metrics HOST:PORT"),
            ("[metrics]\nlisten = 9470\n", "in quotes"),
            ("metrics = 9470\n", "in quotes"),
        ):
            self.assertIn(words, self.refused(configs=(self.file("im.toml", text),)))
        self.assertIn("cannot be read", self.refused(configs=(Path(self.mktemp()),)))

    def test_cluster(self) -> None:
        """Every node of a folder of tools/cluster, those with clients first."""
        folder = Path(self.mktemp())
        folder.mkdir()
        self.assertIn("there is no cluster", self.refused(cluster=folder))
        layout = Layout(cores=2, business=1, admins=1)
        write_layout(folder, layout)
        for number, name in enumerate(layout.names(), 1):
            (folder / f"{name}.toml").write_text(f'[metrics]\nlisten = "127.0.0.1:{number}"\n')
        (core_1, *others) = named(metrics=["127.0.0.1:3"], configs=(), cluster=folder)
        self.assertEqual((core_1.name, len(others)), ("core-1", 3), "it was named twice, and is one")
        # Business was started first, then admin.
        self.assertEqual(
            self.found(cluster=folder), ["127.0.0.1:3", "127.0.0.1:4", "127.0.0.1:1", "127.0.0.1:2"]
        )
