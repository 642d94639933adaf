"""The servers that tests and tools/cluster start: where they are, what they keep, when they end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any
from unittest import SkipTest

import pymysql
from pymongo import MongoClient
from pymongo.errors import OperationFailure
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.ctl.cluster.engines import EngineError, MariaDb, MissingProgram, Mongod, RedisServer
from imd.ctl.cluster.process import Process
from tests.live.engines import engine, fresh

ROOT = Path(__file__).resolve().parents[2]


def redis_call(server: RedisServer, *commands: str, password: str | None = None) -> list[bytes]:
    """The first line of each answer."""
    login = f"AUTH {server.password if password is None else password}"
    with socket.create_connection((server.host, server.port), 2) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in (login, *commands)).encode())
        with connection.makefile("rb") as answers:
            return [answers.readline().strip() for _ in range(len(commands) + 1)]


def mongo_client(uri: str) -> MongoClient[dict[str, Any]]:
    """A blocking client."""
    return MongoClient(uri, serverSelectionTimeoutMS=20_000)


class Everybody(TestCase):
    """What holds for every kind."""

    async def test_comes_back_where_it_was(self) -> None:
        """After kill -9, and by another object on its folder, a server has its port, passwords and data."""
        mine = await deferToThread(fresh, self, "mongo")

        def scene() -> None:
            with mongo_client(mine.uri) as client:
                client[mine.database]["kept"].insert_one({"_id": 1})
            mine.kill()
            self.assertFalse(mine.running)
            again = Mongod(folder=mine.folder)
            self.assertEqual((again.port, again.uri), (mine.port, mine.uri))
            again.start()
            self.assertTrue(mine.running)
            with mongo_client(again.uri) as client:
                self.assertEqual(client[mine.database]["kept"].count_documents({}), 1)

        await deferToThread(scene)

    async def test_pause(self) -> None:
        """A paused server takes connections and answers nothing; it goes on where it was."""
        mine = await deferToThread(fresh, self, "redis")

        def scene() -> None:
            mine.pause()
            with self.assertRaises(TimeoutError):
                redis_call(mine, "PING")
            mine.resume()
            self.assertEqual(redis_call(mine, "PING"), [b"+OK", b"+PONG"])

        await deferToThread(scene)

    async def test_stops_though_paused(self) -> None:
        """A paused server is stopped like another one."""
        mine = await deferToThread(fresh, self, "redis")
        mine.pause()
        await deferToThread(mine.stop)
        self.assertFalse(mine.running)
        self.assertIn("ready to exit", mine.processes[0].log_file.read_text())

    async def test_wipe(self) -> None:
        """A wiped server is empty, and is where it was; a running one is not wiped."""
        mine = await deferToThread(fresh, self, "mariadb")

        def scene() -> None:
            with self.assertRaisesRegex(EngineError, "stop it before"):
                mine.wipe()
            self._sql(mine, "CREATE TABLE kept (id INT)")
            mine.stop()
            mine.start()
            self.assertEqual(self._sql(mine, "SHOW TABLES"), [("kept",)])
            mine.stop()
            mine.wipe()
            mine.start()
            self.assertEqual(self._sql(mine, "SHOW TABLES"), [])

        await deferToThread(scene)

    def _sql(self, server: MariaDb, statement: str) -> list[tuple[object, ...]]:
        with pymysql.connect(
            host=server.host,
            port=server.port,
            user=server.user,
            password=server.password,
            database=server.database,
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())

    async def test_port_taken(self) -> None:
        """A server whose port is taken says so with the end of its log, and is not left behind."""
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = other.getsockname()[1]
            with self.assertRaisesRegex(EngineError, r"(?s)redis ended.*redis\.log.*Address already in use"):
                await deferToThread(fresh, self, "redis", port=port)

    async def test_passwords(self) -> None:
        """None of them lets anybody in without its password."""
        redis = await deferToThread(engine, "redis")
        mongo = await deferToThread(engine, "mongo")
        mariadb = await deferToThread(engine, "mariadb")
        nats = await deferToThread(engine, "nats")

        def scene() -> None:
            self.assertRegex(redis_call(redis, "PING", password="guess")[1], b"^-NOAUTH")
            with mongo_client(f"mongodb://{mongo.address}") as client, self.assertRaises(OperationFailure):
                client[mongo.database]["any"].find_one()
            for user in ("root", "imd", ""):
                with self.assertRaises(pymysql.OperationalError):
                    pymysql.connect(host=mariadb.host, port=mariadb.port, user=user)
            with socket.create_connection((nats.host, nats.port), 2) as connection:
                connection.sendall(b"CONNECT {}\r\nPING\r\n")
                with connection.makefile("rb") as answers:
                    self.assertIn(b"-ERR 'Authorization Violation'\r\n", list(answers))

        await deferToThread(scene)
        for server in (redis, mongo, mariadb, nats):
            for file in server.folder.glob("*"):
                if file.suffix in (".json", ".conf", ".sql") or file.name == "keyfile":
                    self.assertEqual(oct(file.stat().st_mode & 0o777), "0o600", str(file))

    async def test_shared(self) -> None:
        """Tests of one process share a server, and get it running though one has stopped it."""
        first = await deferToThread(engine, "redis")
        await deferToThread(first.stop)
        again = await deferToThread(engine, "redis")
        self.assertIs(first, again)
        self.assertEqual(await deferToThread(redis_call, again, "PING"), [b"+OK", b"+PONG"])


class Missing(SynchronousTestCase):
    """What is not installed."""

    def test_missing(self) -> None:
        """It is said what is missing and how to get it: a skip on a laptop, a failure under CI."""
        self.patch(os, "environ", {**os.environ, "PATH": "/nonexistent", "CI": "true"})
        self.patch(RedisServer, "_start", lambda self: self._program("no-such-redis-server"))
        with self.assertRaisesRegex(MissingProgram, "apt-get install redis-server"):
            fresh(self, "redis")  # type: ignore[call-overload]
        del os.environ["CI"]
        with self.assertRaisesRegex(SkipTest, "apt-get install redis-server"):
            fresh(self, "redis")  # type: ignore[call-overload]


class ReplicaSet(TestCase):
    """mongod with three members."""

    async def test_loses_its_primary(self) -> None:
        """When the primary steps down, or is killed, another one takes over and nothing is lost."""
        mine = await deferToThread(fresh, self, "mongo", members=3)

        def scene() -> None:
            with mongo_client(f"{mine.uri}&authMechanism=SCRAM-SHA-1") as client:
                kept = client[mine.database]["kept"]
                kept.insert_one({"_id": 1})
                first = mine.primary()
                second = mine.step_down()
                self.assertNotEqual(first, second)
                kept.insert_one({"_id": 2})
                mine.kill_member(second)
                self.assertNotEqual(mine.primary(), second)
                kept.insert_one({"_id": 3})
                mine.start_member(second)
                self.assertEqual(kept.count_documents({}), 3)

        await deferToThread(scene)


class Lives(TestCase):
    """How long a process lives."""

    #: Starts a server in a thread that ends, then waits to be killed.
    STARTER = textwrap.dedent("""\
        import sys, threading, time
        from pathlib import Path
        from imd.ctl.cluster.engines import RedisServer
        server = RedisServer(folder=Path(sys.argv[1]), outlives=sys.argv[2] == "outlives")
        thread = threading.Thread(target=server.start)
        thread.start()
        thread.join()
        while Path(f"/proc/self/task/{thread.native_id}").exists():
            time.sleep(0.01)
        print("started", flush=True)
        time.sleep(60)
        """)

    def _killed_starter(self, how: str) -> RedisServer:
        """The server of a process that is gone."""
        folder = Path(tempfile.mkdtemp(prefix="imd-lives-"))
        self.addCleanup(shutil.rmtree, folder)
        with subprocess.Popen(
            [sys.executable, "-c", self.STARTER, str(folder), how],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        ) as starter:
            assert starter.stdout is not None
            self.assertEqual(starter.stdout.readline(), b"started\n")
            server = RedisServer(folder=folder)
            self.addCleanup(server.kill)
            self.assertEqual(redis_call(server, "PING"), [b"+OK", b"+PONG"])
            starter.send_signal(signal.SIGKILL)
        return server

    async def test_dies_with_whoever_started_it(self) -> None:
        """kill -9 of a test run takes its servers along, though not the end of the thread that started them."""
        await deferToThread(engine, "redis")
        server = await deferToThread(self._killed_starter, "dies")

        def gone() -> bool:
            deadline_s = time.monotonic() + 10
            while server.running and time.monotonic() < deadline_s:
                time.sleep(0.02)
            return not server.running

        self.assertTrue(await deferToThread(gone))

    async def test_outlives(self) -> None:
        """One that outlives is found and stopped by the next program on the same folder."""
        await deferToThread(engine, "redis")
        server = await deferToThread(self._killed_starter, "outlives")
        self.assertEqual(await deferToThread(redis_call, server, "PING"), [b"+OK", b"+PONG"])
        with self.assertRaisesRegex(EngineError, "runs already"):
            server.start()
        await deferToThread(server.stop)
        self.assertFalse(server.running)

    def test_another_process_with_its_number(self) -> None:
        """A process that got the number of one that is gone is not taken for it, nor signalled."""
        folder = Path(tempfile.mkdtemp(prefix="imd-lives-"))
        self.addCleanup(shutil.rmtree, folder)
        process = Process(name="any", folder=folder, outlives=False)
        (folder / "any.pid").write_text(f"{os.getpid()} 1\n")
        self.assertFalse(process.running)
        process.kill()
