"""A place to move to on the shared servers: databases of its own, and the configuration that names them."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymysql
from pymongo import MongoClient
from pymongo.database import Database
from sqlalchemy import Engine, create_engine
from twisted.trial.unittest import SynchronousTestCase

from tests.live.engines import engine

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120.0
_IMCTL = "from imd.ctl.cli import main; main()"
#: So that there is a middle in which it can be killed.
_SMALL_BATCHES = "from imd.ctl.migrate import messages, tables; tables.BATCH_ROWS = messages.BATCH_ROWS = 20"


class Target:
    """Empty databases on MongoDB and MariaDB; removed with the test."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.mongo_server, self.sql_server, self.redis = engine("mongo"), engine("mariadb"), engine("redis")
        self.name = f"imd_{secrets.token_hex(4)}"
        self.etc = Path(test.mktemp())
        self.etc.mkdir()
        self.client: MongoClient[dict[str, Any]] = self.mongo_server.client()
        test.addCleanup(self.client.close)
        self.mongo: Database[dict[str, Any]] = self.client[self.name]
        self.mongo.command(
            "createUser", "mover", pwd="secret", roles=["readWrite", "dbAdmin"], mechanisms=["SCRAM-SHA-1"]
        )
        test.addCleanup(self.client.drop_database, self.name)
        test.addCleanup(self.mongo.command, "dropUser", "mover")
        self._root(f"CREATE DATABASE `{self.name}` CHARACTER SET utf8mb4")
        test.addCleanup(self._root, f"DROP DATABASE `{self.name}`")
        url = self.sql_server.url.replace(f"/{self.sql_server.database}?", f"/{self.name}?")
        self.sql: Engine = create_engine(url)
        test.addCleanup(self.sql.dispose)
        self.token_key = self.etc / "token.key"
        self.configure()

    def configure(self, **mongo: object) -> None:
        """Write the files of core and business; ``mongo`` are further keys of [mongo]."""
        self._write("mongo.password", "secret")
        self._write("redis.password", self.redis.password)
        self._write("sql.password", self.sql_server.password)
        more = "".join(f"{name} = {value}\n" for name, value in mongo.items())
        self._write(
            "im-core.toml",
            f'[mongo]\nhosts = ["{self.mongo_server.address}"]\nreplica_set = "imd"\ndatabase = "{self.name}"\n'
            f'user = "mover"\npassword_file = "{self.etc}/mongo.password"\n{more}'
            f'[redis]\naddress = "{self.redis.address}"\npassword_file = "{self.etc}/redis.password"\ndatabase = 7\n',
        )
        self._write(
            "im-business.toml",
            f'token_secret_file = "{self.token_key}"\n'
            f'[sql]\naddress = "{self.sql_server.address}"\ndatabase = "{self.name}"\n'
            f'user = "{self.sql_server.user}"\npassword_file = "{self.etc}/sql.password"\n',
        )

    def configure_admin(self, database: str = "") -> None:
        """Write the file of im-admin, which shares the database of im-business unless it has another one."""
        sql = (self.etc / "im-business.toml").read_text().partition("\n")[2]
        self._write("im-admin.toml", sql.replace(self.name, database or self.name))

    def another_database(self, test: SynchronousTestCase) -> str:
        """Beside the first, and empty."""
        name = f"{self.name}_admin"
        self._root(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        test.addCleanup(self._root, f"DROP DATABASE `{name}`")
        return name

    def _write(self, name: str, text: str) -> None:
        (self.etc / name).write_text(text)
        (self.etc / name).chmod(0o600)

    def _root(self, statement: str) -> None:
        connection = pymysql.connect(
            host=self.sql_server.host,
            port=self.sql_server.port,
            user=self.sql_server.root_user,
            password=self.sql_server.root_password,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def command(self, folder: Path, *options: str) -> list[str]:
        """What an operator types."""
        return [
            sys.executable,
            "-c",
            _IMCTL,
            "migrate",
            "--from",
            str(folder),
            "--to",
            str(self.etc),
            *options,
        ]

    def migrate(self, folder: Path, *options: str) -> tuple[int, str]:
        """Exit code and all that was said."""
        done = subprocess.run(
            self.command(folder, *options),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.returncode, done.stdout

    def start(self, folder: Path, *, small_batches: bool) -> subprocess.Popen[str]:
        """The same, under way; its output is a pipe."""
        command = self.command(folder)
        if small_batches:
            command[2] = f"{_SMALL_BATCHES}; {command[2]}"
        return subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
