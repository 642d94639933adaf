"""What a server must be like, and what the operator is told if it is not."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine
from twisted.trial.unittest import SynchronousTestCase

from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.engines import MariaDb
from imd.kernel.errors import StartupError
from imd.storage import sql_mysql
from imd.storage.sql import READ, WRITE
from imd.storage.sql_mysql import MysqlServer, open_mysql
from tests.live.certificate import write_certificate
from tests.live.engines import engine
from tests.live.mariadb import as_root, new_database, place_of


class _Encrypted(MariaDb):
    """One that has TLS."""

    def __init__(self, *, folder: Path, certificate: Path, key: Path) -> None:
        super().__init__(folder=folder)
        self._tls = [f"--ssl-cert={certificate}", f"--ssl-key={key}"]

    def _options(self) -> list[str]:
        return [*super()._options(), *self._tls]


class Starting(SynchronousTestCase):
    """A database that is good, and ways in which it might not be."""

    def setUp(self) -> None:
        self.server = new_database(self)

    def refuse(self, server: MysqlServer, *expected: str) -> None:
        with self.assertRaises(StartupError) as caught:
            open_mysql(server, connections=1)
        said = str(caught.exception)
        for part in expected:
            self.assertIn(part, said)
        self.assertNotIn(server.password, said)

    def open(self, *, connections: int = 1) -> Engine:
        opened = open_mysql(self.server, connections=connections)
        self.addCleanup(opened.dispose)
        return opened

    def test_good(self) -> None:
        """A good one is used with at most so many connections, over all of Unicode, strictly, and durably."""
        opened = self.open(connections=2)
        with opened.connect().execution_options(imd_begin=READ) as connection:
            found = connection.exec_driver_sql(
                "SELECT @@character_set_client, @@sql_mode LIKE '%%STRICT_ALL%%', @@innodb_lock_wait_timeout, "
                "@@autocommit"
            ).one()
        self.assertEqual(tuple(found), ("utf8mb4", 1, 1, 1))
        pool = opened.pool
        self.assertEqual((getattr(pool, "_max_overflow", None), getattr(pool, "_pre_ping", None)), (0, True))

    def test_nothing_is_left_open(self) -> None:
        """Whoever gets a connection next is not in somebody else's transaction."""
        opened = self.open()
        connection = opened.connect().execution_options(imd_begin=WRITE)
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        connection.exec_driver_sql("START TRANSACTION")
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        raw = connection.connection
        raw.close()
        with opened.connect() as again:
            self.assertEqual(again.exec_driver_sql("SELECT count(*) FROM t").scalar_one(), 0)

    def test_wrong_password(self) -> None:
        """The user is named, the password not."""
        self.refuse(self.server._replace(password="wrong-ü-密"), "check user and password", "as imd")

    def test_no_database(self) -> None:
        """A database that is not there, or not for this user, is named."""
        self.refuse(self.server._replace(database="imd_nowhere"), "CREATE DATABASE", "imd_nowhere")
        self.refuse(self.server._replace(database="mysql"), "GRANT ALL")

    def test_unreachable(self) -> None:
        """Nobody there."""
        port = free_port()
        self.refuse(self.server._replace(port=port), f"127.0.0.1:{port}", "check that it runs")

    def test_no_utf8(self) -> None:
        """A database that could not hold what people write."""
        self.refuse(new_database(self, charset="latin1"), "latin1", "ALTER DATABASE")

    def test_forgetful(self) -> None:
        """A server that does not sync each commit."""
        setting = "SET GLOBAL innodb_flush_log_at_trx_commit = {}"
        self.addCleanup(as_root, engine("mariadb"), setting.format(1))
        as_root(engine("mariadb"), setting.format(2))
        self.refuse(self.server, "may forget commits", "to 1")

    def test_replica(self) -> None:
        """A server that takes no writes."""
        self.addCleanup(as_root, engine("mariadb"), "SET GLOBAL read_only = 0")
        as_root(engine("mariadb"), "SET GLOBAL read_only = 1")
        self.refuse(self.server, "read-only", "primary")

    def test_old(self) -> None:
        """A server that is too old."""
        self.patch(sql_mysql, "_MARIADB_FLOOR", (99, 1))
        self.refuse(self.server, "MariaDB 99.1 or newer is needed")

    def test_tls(self) -> None:
        """Where a CA is given, nothing goes out without TLS; a CA that is none is told."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        certificate = folder / "ca.pem"
        write_certificate(certificate, folder / "key.pem")
        self.refuse(self.server._replace(ca_file=certificate), "check that the server has TLS")
        write_certificate(folder / "server.pem", folder / "server.key")
        encrypted = _Encrypted(
            folder=folder / "server", certificate=folder / "server.pem", key=folder / "server.key"
        )
        self.addCleanup(encrypted.kill)
        encrypted.start()
        place = place_of(encrypted)
        opened = open_mysql(place._replace(ca_file=folder / "server.pem"), connections=1)
        self.addCleanup(opened.dispose)
        with opened.connect().execution_options(imd_begin=READ) as connection:
            cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1]
        self.assertTrue(cipher)
        self.refuse(place._replace(ca_file=certificate), "signed by that CA")
        self.refuse(self.server._replace(ca_file=folder / "key.pem"), "must be a PEM file")
        self.refuse(self.server._replace(ca_file=folder / "none.pem"), "none.pem")

    def test_repr(self) -> None:
        """What is logged of a server shows no password."""
        self.assertNotIn(self.server.password, repr(self.server) + str(self.server))
