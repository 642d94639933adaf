"""deploy/backup: the scripts as an operator runs them, the MySQL half on a real server."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import time
from pathlib import Path
from threading import Event, Thread
from unittest import SkipTest

import pymysql
from sqlalchemy import insert
from twisted.trial.unittest import SynchronousTestCase

from imd.business.schema import open_business_on
from imd.business.tables.people import users
from imd.storage.sql_mysql import MysqlServer
from tests.live.mariadb import new_database
from tests.live.server import ROOT

SCRIPTS = ROOT / "deploy" / "backup"
TIMEOUT_S = 120
PEOPLE = 500
#: Stands in for a program that no package brings: it writes down how it was called, and something for --archive.
MONGODUMP = """#!/bin/sh
echo "$@" >>"$0.calls"
for word; do case "$word" in --archive=*) echo messages | gzip >"${word#--archive=}";; esac; done
"""


def needs(program: str) -> str:
    """The program, or no test on a laptop without it."""
    found = shutil.which(program)
    if found is None:
        if os.environ.get("CI"):
            raise AssertionError(f"{program} is not installed; tools/servers does it")
        raise SkipTest(f"{program} is not installed; tools/servers does it")
    return found


class Scripts(SynchronousTestCase):
    """Two databases, the first with people in it."""

    def setUp(self) -> None:
        needs("mariadb-dump")
        self.folder = Path(self.mktemp()).resolve()
        self.folder.mkdir()
        self.programs = self.folder / "bin"
        self.programs.mkdir()
        self.server, self.empty = new_database(self), new_database(self)
        engine = open_business_on(self.server, connections=1)
        with engine.begin() as connection:
            connection.execute(
                insert(users),
                [
                    {"id": n, "handle": f"user{n}", "display_name": f"Ü {n} 😀 \\ ' \n", "password_hash": "x",
                     "status": 0, "token_version": n, "created_at_ms": 1 << 60}
                    for n in range(1, PEOPLE + 1)
                ],
            )  # fmt: skip
        engine.dispose()

    def runs(self, script: str, *arguments: str | Path, server: MysqlServer | None = None) -> tuple[int, str]:
        """Exit code and all that was said."""
        server = server or self.server
        defaults, mongodb = self.folder / "mysql.cnf", self.folder / "mongodb.yaml"
        defaults.write_text(
            f"[client]\nhost={server.host}\nport={server.port}\nuser={server.user}\npassword={server.password}\n"
        )
        mongodb.write_text("uri: mongodb://backup@localhost\npassword: secret\n")
        done = subprocess.run(
            [SCRIPTS / script, *arguments],
            env={
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "IMD_MYSQL_DEFAULTS": str(defaults),
                "IMD_MYSQL_DATABASE": server.database,
                "IMD_MONGODB_CONFIG": str(mongodb),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.returncode, done.stdout

    def rows(self, server: MysqlServer) -> dict[str, object]:
        """A checksum of each table."""
        connection = pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute("SHOW TABLES")
            tables = [name for (name,) in cursor.fetchall()]
            cursor.execute(f"CHECKSUM TABLE {', '.join(tables)}")
            return {str(name).partition(".")[2]: checksum for name, checksum in cursor.fetchall()}

    def test_there_and_back(self) -> None:
        """What is dumped while somebody writes is one moment, and comes back row for row, ready for a node."""
        dump = self.folder / "mysql.sql.gz"
        before = self.rows(self.server)
        code, said = self.runs("mysql-backup", dump)
        self.assertEqual(code, 0, said)
        self.assertEqual(dump.stat().st_mode & 0o777, 0o600)
        code, said = self.runs("mysql-restore", dump, server=self.empty)
        self.assertEqual(code, 0, said)
        self.assertIn(f"{len(before)} tables are back", said)
        self.assertEqual(self.rows(self.empty), before)
        open_business_on(self.empty, connections=1).dispose()
        code, said = self.runs("mysql-restore", dump, server=self.empty)
        self.assertEqual(code, 1)
        self.assertIn(f"has {len(before)} tables", said)

    def test_one_moment(self) -> None:
        """Two tables that always have as many rows have so in the dump, too, whatever is written meanwhile."""
        with self.connected() as connection, connection.cursor() as cursor:
            for table in ("aaa", "zzz"):
                cursor.execute(f"CREATE TABLE {table} (id INT AUTO_INCREMENT PRIMARY KEY, padding CHAR(200))")
        ended = Event()
        writer = Thread(target=self.write_both, args=(ended,))
        writer.start()
        try:
            for number in range(3):
                code, said = self.runs("mysql-backup", self.folder / f"{number}.sql.gz")
                self.assertEqual(code, 0, said)
        finally:
            ended.set()
            writer.join()
        for number in range(3):
            text = gzip.decompress((self.folder / f"{number}.sql.gz").read_bytes()).decode()
            self.assertEqual(self.rows_in(text, "aaa"), self.rows_in(text, "zzz"))
        self.assertGreater(self.rows_in(text, "aaa"), 0)

    def rows_in(self, text: str, table: str) -> int:
        _, found, rest = text.partition(f"INSERT INTO `{table}` VALUES")
        return rest.partition(";\n")[0].count("NULL)") if found else 0

    def connected(self) -> pymysql.Connection:
        server = self.server
        return pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
        )

    def write_both(self, ended: Event) -> None:
        with self.connected() as connection, connection.cursor() as cursor:
            while not ended.is_set():
                cursor.execute("INSERT INTO aaa (padding) VALUES (NULL)")
                cursor.execute("INSERT INTO zzz (padding) VALUES (NULL)")
                connection.commit()

    def test_refused(self) -> None:
        """Nothing is written over; a dump that fails, and one that is damaged or cut off, is none."""
        dump = self.folder / "mysql.sql.gz"
        wrong = self.server._replace(password="wrong")
        code, said = self.runs("mysql-backup", dump, server=wrong)
        self.assertNotEqual(code, 0)
        self.assertIn("Access denied", said)
        self.assertEqual([path.name for path in self.folder.glob("mysql.sql*")], [])
        self.assertEqual(self.runs("mysql-backup", dump)[0], 0)
        code, said = self.runs("mysql-backup", dump)
        self.assertEqual((code, "never overwrites" in said), (1, True), said)
        content = dump.read_bytes()
        dump.write_bytes(content[: len(content) // 2])
        self.assertIn("damaged", self.runs("mysql-restore", dump, server=self.empty)[1])
        dump.write_bytes(gzip.compress(gzip.decompress(content)[:-100]))
        self.assertIn("cut off", self.runs("mysql-restore", dump, server=self.empty)[1])

    def test_cluster(self) -> None:
        """MySQL first, then MongoDB with its oplog; both in one folder, with checksums; half of it is nothing."""
        backups = self.folder / "backups"
        backups.mkdir()
        code, said = self.runs("cluster-backup", backups)
        self.assertEqual((code, "install mongodb-database-tools" in said), (1, True), said)
        self.assertEqual([path.name for path in backups.iterdir()], [".imd-backup.lock"])
        mongodump = self.programs / "mongodump"
        mongodump.write_text(MONGODUMP)
        mongodump.chmod(0o755)
        code, said = self.runs("cluster-backup", backups)
        self.assertEqual(code, 0, said)
        (made,) = backups.glob("cluster-*")
        names = {"mysql.sql.gz", "mongodb.archive.gz", "SHA256SUMS"}
        self.assertEqual({path.name for path in made.iterdir()}, names)
        self.assertEqual(made.stat().st_mode & 0o777, 0o700)
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=made, check=True)
        called = mongodump.with_name("mongodump.calls").read_text()
        self.assertIn("--oplog --gzip", called)
        self.assertNotIn("secret", called)
        mysql, mongodb = (made / name for name in ("mysql.sql.gz", "mongodb.archive.gz"))
        self.assertLessEqual(mysql.stat().st_mtime_ns, mongodb.stat().st_mtime_ns)
        self.keeps_two(backups, made)

    def keeps_two(self, backups: Path, made: Path) -> None:
        """Of four the oldest go, the new one stays whatever its name; its age is told to whoever collects it."""
        for name in ("cluster-20240101T000000Z", "cluster-29990101T000000Z"):
            shutil.copytree(made, backups / name)
        (backups / "cluster-20230101T000000Z").mkdir()
        told = self.folder / "imd.prom"
        self.assertEqual(self.runs("cluster-backup", "--keep", "0", backups)[0], 2)
        made.rename(backups / "cluster-20250101T000000Z")
        code, said = self.runs("cluster-backup", "--keep", "2", "--textfile", told, backups)
        self.assertEqual((code, said.count("deleted")), (0, 2), said)
        half_made, new, ahead = sorted(path.name for path in backups.glob("cluster-*"))
        self.assertEqual((half_made, ahead), ("cluster-20230101T000000Z", "cluster-29990101T000000Z"))
        self.assertIn(f"/{new}\n", said)
        name, value = told.read_text().split()
        self.assertEqual(name, "imd_backup_timestamp_seconds")
        self.assertLess(abs(time.time() - int(value)), TIMEOUT_S)
        self.assertEqual(told.stat().st_mode & 0o777, 0o644)

    def test_shellcheck(self) -> None:
        """Nothing is left unquoted."""
        needs("shellcheck")
        done = subprocess.run(
            ["shellcheck", *SCRIPTS.iterdir()], stdout=subprocess.PIPE, text=True, check=False
        )
        self.assertEqual(done.stdout, "")
