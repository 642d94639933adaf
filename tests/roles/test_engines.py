"""What the sections of the engines become: secrets read from their files, and whom to trust."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.config.engines import Mongo, Nats, Redis, Sql
from imd.config.sections import BusinessConfig, CoreConfig, Node
from imd.core.message.recent_redis import RecentCachedLog
from imd.kernel.errors import StartupError
from imd.roles.bus import nats_bus, nats_tls
from imd.roles.business_stores import cluster_business
from imd.roles.cluster import cluster_stores
from imd.roles.sql import mysql_server
from tests.live.certificate import write_certificate


class EnginesCase(SynchronousTestCase):
    """Files to name."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.certificate, self.key = self.folder / "certificate.pem", self.folder / "key.pem"
        write_certificate(self.certificate, self.key)

    def file(self, text: str) -> str:
        path = self.folder / f"{len(list(self.folder.iterdir()))}"
        path.write_text(text)
        path.chmod(0o600)
        return str(path)


class NatsTests(EnginesCase):
    """``nats_bus``."""

    def test_in_the_clear(self) -> None:
        """Without an authority and with nats:// nothing is encrypted."""
        self.assertIsNone(nats_tls(Nats()))

    def test_authority(self) -> None:
        """With an authority nobody else is trusted, and names are checked."""
        context = nats_tls(Nats(ca_file=str(self.certificate)))
        assert context is not None
        self.assertEqual(len(context.get_ca_certs()), 1)
        self.assertEqual((context.verify_mode, context.check_hostname), (ssl.CERT_REQUIRED, True))

    def test_own_certificate(self) -> None:
        """A certificate of our own goes with either kind of trust; one that is none is told."""
        certificate, key = str(self.certificate), str(self.key)
        for ca_file, server in ((certificate, "nats://a:1"), ("", "tls://a:1")):
            nats = Nats(servers=[server], ca_file=ca_file, certificate_file=certificate, private_key_file=key)
            self.assertIsNotNone(nats_tls(nats))
        bad = Nats(ca_file=self.file("no PEM"))
        self.assertIn("[nats]", str(self.assertRaises(StartupError, nats_tls, bad)))

    def test_secret_that_went(self) -> None:
        """A password file that was there when the configuration was read, and is not now, is told."""
        nats = Nats(user="core", password_file=str(self.folder / "gone"))
        reactor: Any = Clock()
        error = self.assertRaises(StartupError, nats_bus, nats, name="core-1", reactor=reactor)
        self.assertIn("gone", str(error))


class StoresTests(EnginesCase):
    """MySQL, MongoDB and Redis."""

    def test_mysql(self) -> None:
        """Everything of [sql] arrives, the password without its line end; it is never shown."""
        server = mysql_server(
            Sql(
                address="db.example.com:3307",
                user="u",
                password_file=self.file("hunter2\n"),
                database="d",
                ca_file=str(self.certificate),
            )
        )
        self.assertEqual(tuple(server), ("db.example.com", 3307, "u", "hunter2", "d", self.certificate))
        self.assertNotIn("hunter2", repr(server))
        self.assertIsNone(mysql_server(Sql()).ca_file)

    def test_business(self) -> None:
        """Among nodes the secret is given and not made, and threads are as many as connections."""
        stores = cluster_business(
            BusinessConfig(token_secret_file=str(self.folder / "token.key"), sql=Sql(pool_size=3))
        )
        self.assertEqual((stores.sql_threads, stores.shared), (3, True))
        self.assertFalse((self.folder / "token.key").exists())

    def test_core(self) -> None:
        """Nodes share what they must, and no start is mistaken for another."""
        reactor: Any = Clock()
        config = CoreConfig(mongo=Mongo(message_collections=3))
        one, other = (cluster_stores(config, reactor=reactor) for _ in range(2))
        self.assertEqual(one.stores.partitions, 3)
        self.assertNotEqual(one.cluster.incarnation, other.cluster.incarnation)
        self.assertNotEqual(one.cluster.first_forward_id, other.cluster.first_forward_id)
        self.assertFalse(one.is_usable())
        self.assertIsInstance(one.stores.log, RecentCachedLog)

    def test_routes_settle(self) -> None:
        """A route table that has lost its memory is not believed before every node has had time to look."""
        reactor: Any = Clock()
        for interval_s, settle_s in ((8.0, 16), (5.0, 10), (0.5, 10)):
            config = CoreConfig(node=Node(heartbeat_interval_s=interval_s))
            routes: Any = cluster_stores(config, reactor=reactor).cluster.routes
            self.assertEqual(routes._settle_us, settle_s * 1_000_000)

    def test_bad_authorities(self) -> None:
        """A file that is no certificate is named with its section."""
        bad = self.file("no PEM")
        reactor: Any = Clock()
        for section, config in (
            ("mongo", CoreConfig(mongo=Mongo(ca_file=bad))),
            ("redis", CoreConfig(redis=Redis(ca_file=bad))),
        ):
            error = self.assertRaises(StartupError, cluster_stores, config, reactor=reactor)
            self.assertIn(f"[{section}] ca_file", str(error))
