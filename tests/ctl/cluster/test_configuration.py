"""What the nodes of a cluster are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.config.load import load
from imd.config.sections import AdminConfig, BusinessConfig, CoreConfig
from imd.ctl.cluster.cluster import Cluster
from imd.ctl.cluster.layout import Layout
from imd.ctl.cluster.process import EngineError


class ConfigurationCase(SynchronousTestCase):
    """A cluster that is not started."""

    def cluster(self, **how: Any) -> Cluster:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        return Cluster(folder=folder, layout=Layout(base_port=0, mongo_members=3), **how)


class Files(ConfigurationCase):
    """The TOML of each node."""

    def test_nodes_find_the_engines(self) -> None:
        """Each role's file loads, and names the engines' addresses, users and passwords."""
        cluster = self.cluster()
        for node in cluster.nodes.values():
            cluster.configuration.write(node)
        core = load(str(cluster.nodes["core-2"].config_file), {}, CoreConfig)
        self.assertEqual(core.node_id, 2)
        self.assertEqual(core.nats.servers, [f"nats://{cluster.nats.address}"])
        self.assertEqual(Path(core.nats.password_file).read_text().strip(), cluster.nats.passwords["core"])
        self.assertEqual(core.mongo.hosts, cluster.mongo.addresses)
        self.assertEqual(len(core.mongo.hosts), 3)
        self.assertEqual(Path(core.mongo.password_file).read_text().strip(), cluster.mongo.password)
        self.assertEqual(core.redis.address, cluster.redis.address)
        self.assertEqual(Path(core.redis.password_file).read_text().strip(), cluster.redis.password)
        business = load(str(cluster.nodes["business-1"].config_file), {}, BusinessConfig)
        self.assertEqual(business.nats.user, "business")
        self.assertEqual(business.sql.address, cluster.mariadb.address)
        self.assertEqual(Path(business.sql.password_file).read_text().strip(), cluster.mariadb.password)
        admin = load(str(cluster.nodes["admin-1"].config_file), {}, AdminConfig)
        self.assertEqual(admin.bootstrap_token_file, str(cluster.configuration.operator_token_file))

    def test_one_token_secret(self) -> None:
        """All im-business sign with one secret, which stays when the files are written again."""
        cluster = self.cluster()
        seen = set()
        for name in ("business-1", "business-2", "business-1"):
            cluster.configuration.write(cluster.nodes[name])
            config = load(str(cluster.nodes[name].config_file), {}, BusinessConfig)
            seen.add(Path(config.token_secret_file).read_text())
        self.assertEqual(len(seen), 1)

    def test_nobody_else_reads_them(self) -> None:
        """Files and secrets are for this user only, and no password stands in a TOML."""
        cluster = self.cluster()
        passwords = [*cluster.nats.passwords.values(), cluster.redis.password, cluster.mongo.password]
        for node in cluster.nodes.values():
            cluster.configuration.write(node)
            text = node.config_file.read_text()
            self.assertFalse([password for password in passwords if password in text])
        files = [*cluster.folder.glob("*.toml"), *(cluster.folder / "secrets").iterdir()]
        self.assertEqual({oct(file.stat().st_mode & 0o777) for file in files}, {"0o600"})


class Wishes(ConfigurationCase):
    """Settings and proxies."""

    def test_settings(self) -> None:
        """A setting goes to the roles that know it."""
        cluster = self.cluster(settings={"limits": {"user_text_per_min": 0, "logins_per_min": 0}})
        cluster.configuration.check()
        for name in ("core-1", "business-1", "admin-1"):
            cluster.configuration.write(cluster.nodes[name])
        core = load(str(cluster.nodes["core-1"].config_file), {}, CoreConfig)
        business = load(str(cluster.nodes["business-1"].config_file), {}, BusinessConfig)
        self.assertEqual((core.limits.user_text_per_min, business.limits.logins_per_min), (0, 0))

    def test_unknown_setting(self) -> None:
        """A setting that nobody knows is refused before anything is started, and so is a wrong value."""
        with self.assertRaisesRegex(EngineError, r"no role knows limits\.user_texts"):
            self.cluster(settings={"limits": {"user_texts": 0}}).up()
        with self.assertRaisesRegex(EngineError, r"limits\.user_burst: -3 is out of range"):
            self.cluster(settings={"limits": {"user_burst": -3}}).up()

    def test_through_proxies(self) -> None:
        """Nodes reach an engine through a proxy's port: all of them, or one."""
        cluster = self.cluster()
        cluster.through.update({"redis": 2001, "core-1/nats": 2002, "mongo": 2003})
        for node in cluster.nodes.values():
            cluster.configuration.write(node)
        first = load(str(cluster.nodes["core-1"].config_file), {}, CoreConfig)
        second = load(str(cluster.nodes["core-2"].config_file), {}, CoreConfig)
        self.assertEqual((first.redis.address, second.redis.address), ("127.0.0.1:2001",) * 2)
        self.assertEqual(first.nats.servers, ["nats://127.0.0.1:2002"])
        self.assertEqual(second.nats.servers, [f"nats://{cluster.nats.address}"])
        self.assertEqual(first.mongo.hosts, ["127.0.0.1:2003"])
