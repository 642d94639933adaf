"""imctl doctor on real servers: quiet where all is well, and each planted fault is found."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from imd.bus.nats_streams import DEAD_LETTERS, STREAMS
from imd.business.schema import MIGRATIONS
from imd.config.engines import Mongo, Nats, Redis, Sql
from imd.config.load import load
from imd.config.section import Section
from imd.config.sections import AdminConfig, BusinessConfig, CoreConfig
from imd.ctl.cluster.cluster import Cluster
from imd.ctl.cluster.engine import free_port
from imd.ctl.cluster.engines import MariaDb, RedisServer
from imd.ctl.doctor import mongo, mysql, nats, redis
from imd.ctl.doctor.finding import Finding, Level
from imd.ctl.doctor.nats_line import line_to, password_of
from imd.ctl.doctor.world import World
from imd.kernel.clocks import system_wall_clock
from tests.live.certificate import write_certificate
from tests.live.cluster import new_cluster
from tests.live.engines import fresh_of
from tests.live.mariadb import as_root
from tests.live.nats_server import OpenNats
from tests.live.server import LiveServer, running_server

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 100
#: As many connections as this machine's limit of open files allows, whatever it is.
FEW: dict[str, dict[str, object]] = {"gateway": {"max_connections": 200}}
WORLD = World(os.environ, system_wall_clock, time.monotonic, Path("/proc"))
_IMCTL = "from imd.ctl.cli import main; main()"


def doctor(*arguments: str) -> tuple[int, str]:
    """Exit code and what is said, as an operator runs it."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("IM__")}
    done = subprocess.run(
        [sys.executable, "-c", _IMCTL, "doctor", *arguments],
        env=environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    return done.returncode, done.stdout or done.stderr


def bad(findings: Iterable[Finding]) -> dict[str, Level]:
    return {each.check: each.level for each in findings if each.level > Level.NOTE}


def secret_file(test: TestCase, text: str) -> str:
    """Where this stands, for nobody else to read."""
    file = Path(test.mktemp()).absolute()
    file.touch(mode=0o600)
    file.write_text(text)
    return str(file)


@cache
def cluster() -> Cluster:
    """Shared by the tests of this file; each puts right what it has planted."""
    return new_cluster(FEW)


def config_of(name: str, kind: type[Section]) -> Any:
    return load(str(cluster().nodes[name].config_file), {}, kind)


class InOneProcess(TestCase):
    """`twistd im`."""

    timeout = 200

    async def test_quiet(self) -> None:
        """Beside a server that has just been started for the first time, after its stop, and after its death."""
        server = await running_server(self, settings=FEW)
        await deferToThread(self._scene, server)

    def _scene(self, server: LiveServer) -> None:
        self._is_quiet(server)
        self.assertTrue(server.running)
        server.kill()
        self._is_quiet(server)
        server.start()
        server.stop()
        self._is_quiet(server)

    def _is_quiet(self, server: LiveServer) -> None:
        code, said = doctor("--config", str(server.config_file))
        self.assertEqual((code, said.count("\n")), (0, 1), said)
        self.assertRegex(said, r"^all \d\d checks passed")

    async def test_faults(self) -> None:
        """Configuration and certificate were changed behind a server, its folder is open, a secret weak: all at once."""
        server = await running_server(self, settings=FEW, tls=True)
        await deferToThread(self._plant, server)

    def _plant(self, server: LiveServer) -> None:
        text = server.config_file.read_text().replace(f":{server.tcp_port}", ":1")
        server.config_file.write_text(text + "[limits]\nuser_burts = 3\n")
        server.data_dir.chmod(0o755)
        (server.data_dir / "secrets" / "operator.token").write_text("changeme\n")
        # Good for a day only, like the one that is served.
        write_certificate(server.certificate_file, server.folder / "key.pem")
        code, said = doctor("--config", str(server.config_file), "--json")
        found = {
            each["check"]: each for each in json.loads(said)["findings"] if each["level"] in ("warn", "fail")
        }
        self.assertEqual(code, 2)
        self.assertEqual(
            set(found),
            {
                "config.valid",
                "folder.modes",
                "secrets.strength",
                "ports.documented",
                "tls.expiry",
                "tls.served",
            },
            said,
        )
        self.assertIn("limits.user_burts: is not a key", found["config.valid"]["found"])
        for each in found.values():
            self.assertTrue(each["means"] and each["do"], each)


class OnACluster(TestCase):
    """What tools/cluster starts."""

    timeout = 300

    def scene(self, act: Callable[[], None]) -> Any:
        return deferToThread(act)

    def test_quiet(self) -> Any:
        """All roles and engines, while they serve."""
        return self.scene(self._quiet)

    def _quiet(self) -> None:
        files = [str(node.config_file) for node in cluster().nodes.values()]
        code, said = doctor(*(word for file in files for word in ("--config", file)))
        self.assertEqual((code, said.count("\n")), (0, 1), said)
        self.assertEqual([state.missing for state in cluster().status()], [""] * 9)

    def test_redis(self) -> Any:
        """Forgets when it is full; a wrong password; a password that nobody asks for."""
        return self.scene(self._redis)

    def _redis(self) -> None:
        config = config_of("core-1", CoreConfig).redis
        self.assertEqual(bad(redis.redis(config, WORLD)), {})
        with self._redis_set("maxmemory-policy", "allkeys-lru", "noeviction"):
            self.assertEqual(bad(redis.redis(config, WORLD)), {"redis.eviction": Level.FAIL})
        wrong = replace(config, password_file=secret_file(self, "not-the-password"))
        self.assertEqual(bad(redis.redis(wrong, WORLD)), {"redis.login": Level.FAIL})
        with self._redis_set("requirepass", "", cluster().redis.password):
            found = bad(redis.redis(replace(config, password_file=""), WORLD))
            self.assertEqual(found, {"redis.guarded": Level.WARN})

    @contextlib.contextmanager
    def _redis_set(self, name: str, value: str, before: str) -> Iterator[None]:
        config = config_of("core-1", CoreConfig).redis
        with redis.connected(config) as line:
            redis.log_in(line, config)
            line.ask("CONFIG", "SET", name, value)
            try:
                yield
            finally:
                line.ask("CONFIG", "SET", name, before)

    def test_mysql(self) -> Any:
        """Commits that are not durable, a foreign character set, a newer schema, a wrong password, wide rights."""
        return self.scene(self._mysql)

    def _mysql(self) -> None:
        sql, server = config_of("business-1", BusinessConfig).sql, cluster().mariadb

        def found(**changes: Any) -> dict[str, Level]:
            return bad(mysql.mysql(replace(sql, **changes), WORLD, roles=2))

        self.assertEqual(found(), {})
        self.assertEqual(found(pool_size=200)["mysql.connections"], Level.WARN)
        self.assertEqual(found(password_file=secret_file(self, "wrong")), {"mysql.login": Level.FAIL})
        for plant, undo, expected in (
            ("SET GLOBAL innodb_flush_log_at_trx_commit = 2", "SET GLOBAL innodb_flush_log_at_trx_commit = 1",
             {"mysql.durable": Level.FAIL}),
            ("ALTER DATABASE imd CHARACTER SET latin1", "ALTER DATABASE imd CHARACTER SET utf8mb4",
             {"mysql.charset": Level.FAIL}),
            ("UPDATE imd.alembic_business SET version_num = '9999'",
             f"UPDATE imd.alembic_business SET version_num = '{MIGRATIONS.head}'", {"mysql.schema": Level.FAIL}),
            ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0", {"mysql.writable": Level.FAIL}),
            ("GRANT SUPER ON *.* TO imd@'127.0.0.1'", "REVOKE SUPER ON *.* FROM imd@'127.0.0.1'",
             {"mysql.rights": Level.WARN}),
        ):  # fmt: skip
            as_root(server, plant)
            try:
                self.assertEqual(found(), expected, plant)
            finally:
                as_root(server, undo)
        self.assertEqual(found(), {})

    def test_mongo(self) -> Any:
        """An index that was dropped, collections that nobody looks into, another set's name, a wrong password."""
        return self.scene(self._mongo)

    def _mongo(self) -> None:
        config = config_of("core-1", CoreConfig).mongo
        self.assertEqual(bad(mongo.mongo(config, WORLD)), {})
        with cluster().mongo.client() as client:
            first = client[config.database]["message_0"]
            key = first.index_information()["by_seq"]["key"]
            first.drop_index("by_seq")
            try:
                self.assertEqual(bad(mongo.mongo(config, WORLD)), {"mongo.indexes": Level.FAIL})
            finally:
                first.create_index(key, name="by_seq", unique=True)
        for change, expected in (
            ({"message_collections": 2}, "mongo.collections"),
            ({"replica_set": "other"}, "mongo.replica_set"),
            ({"password_file": secret_file(self, "wrong")}, "mongo.login"),
        ):
            self.assertIn(expected, bad(mongo.mongo(replace(config, **change), WORLD)), change)

    def test_nats(self) -> Any:
        """A wrong password; a stream that was changed; fewer servers than copies."""
        return self.scene(self._nats)

    def _nats(self) -> None:
        admin = config_of("admin-1", AdminConfig).nats
        self.assertEqual(bad(nats.nats("im-admin", admin, WORLD)), {})
        wrong = replace(admin, password_file=secret_file(self, "wrong"))
        self.assertEqual(bad(nats.nats("im-admin", wrong, WORLD)), {"nats.login": Level.FAIL})
        self.assertEqual(
            bad(nats.nats("im-admin", replace(admin, replicas=3), WORLD)),
            {"nats.streams": Level.WARN, "nats.replicas": Level.FAIL},
        )
        with line_to(admin.servers[0], admin, inbox="_INBOX.admin.test") as line:
            line.log_in(admin.user, password_of(admin))
            changed = STREAMS[0].config(1) | {"max_age": 3600 * 10**9}
            line.ask(f"$JS.API.STREAM.UPDATE.{STREAMS[0].name}", changed)
            self.assertEqual(bad(nats.nats("im-admin", admin, WORLD)), {"nats.streams": Level.WARN})
            line.ask(f"$JS.API.STREAM.UPDATE.{STREAMS[0].name}", STREAMS[0].config(1))
        self.assertEqual(bad(nats.nats("im-admin", admin, WORLD)), {})

    def test_nats_that_permits_everything(self) -> Any:
        """Without the permissions of etc/nats.conf, with JetStream's own fsync; dead letters; what is tried there does no harm."""
        return self.scene(self._open_nats)

    def _open_nats(self) -> None:
        server = fresh_of(self, MonitoredNats)
        config = replace(
            config_of("core-1", CoreConfig).nats,
            servers=[f"nats://{server.address}"],
            password_file=secret_file(self, server.password),
        )
        found = bad(nats.nats("im-core", config, WORLD))
        self.assertEqual(found, {"nats.too_wide": Level.FAIL, "nats.max_payload": Level.FAIL})
        with line_to(config.servers[0], config, inbox="_INBOX.core.test") as line:
            line.log_in(config.user, server.password)
            for stream in (*STREAMS, DEAD_LETTERS):
                line.ask(f"$JS.API.STREAM.CREATE.{stream.name}", stream.config(1))
            self.assertEqual(bad(nats.nats("im-core", config, WORLD)), found)
            # Of all that was tried nothing got through.
            for stream in STREAMS:
                info = line.ask(f"$JS.API.STREAM.INFO.{stream.name}") or {}
                self.assertEqual((info["config"]["name"], info["state"]["messages"]), (stream.name, 0))
            line.ask("im.dead.core-1.im.audit.log", {})
        found |= {"nats.dead_letters": Level.WARN}
        self.assertEqual(bad(nats.nats("im-core", config, WORLD)), found)
        self.assertEqual(
            bad(nats.monitor(f"http://{server.host}:{server.monitor_port}")),
            {"nats.sync_interval": Level.WARN},
        )

    def test_dead_and_silent(self) -> Any:
        """Engines that refuse connections, and one that takes them and says nothing: each is told, in time."""
        return self.scene(self._dead)

    def _dead(self) -> None:
        silent = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.addCleanup(silent.close)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        text = cluster().nodes["core-1"].config_file.read_text()
        config = config_of("core-1", CoreConfig)
        for old in (
            config.redis.address,
            config.mongo.hosts[0],
            config.nats.servers[0].removeprefix("nats://"),
        ):
            text = text.replace(old, address if old == config.redis.address else "127.0.0.1:1")
        file = Path(self.mktemp()).absolute()
        file.write_text(text)
        began_s = time.monotonic()
        code, said = doctor("--config", f"im-core={file}", "--json")
        self.assertLess(time.monotonic() - began_s, 60)
        found = json.loads(said)
        failed = {each["check"] for each in found["findings"] if each["level"] == "fail"}
        self.assertEqual((code, failed), (2, {"redis.reached", "mongo.reached", "nats.reached"}), said)


class Encrypted(TestCase):
    """Engines with TLS, and certificates that are good for a day only."""

    timeout = 200

    def test_engines(self) -> Any:
        """Each shows its certificate, and is not reached by who trusts another authority."""
        return deferToThread(self._scene)

    def _scene(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for name in ("server", "other"):
            write_certificate(folder / f"{name}.pem", folder / f"{name}.key")
        trusted, other = str(folder / "server.pem"), str(folder / "other.pem")
        for found in (self._redis(folder), self._mysql(folder), self._nats(folder)):
            self.assertEqual(bad(found(trusted)).get("tls.engine"), Level.WARN)
            self.assertEqual({check.partition(".")[2] for check in bad(found(other))}, {"reached"})

    def _redis(self, folder: Path) -> Callable[[str], Iterable[Finding]]:
        port = free_port()

        class TlsRedis(RedisServer):
            def _config(self) -> str:
                tls = (
                    f"tls-port {port}\ntls-cert-file {folder}/server.pem\ntls-key-file {folder}/server.key\n"
                )
                return (
                    super()._config() + tls + f"tls-ca-cert-file {folder}/server.pem\ntls-auth-clients no\n"
                )

        password = secret_file(self, fresh_of(self, TlsRedis).password)
        config = Redis(address=f"127.0.0.1:{port}", password_file=password)
        return lambda ca_file: redis.redis(replace(config, ca_file=ca_file), WORLD)

    def _mysql(self, folder: Path) -> Callable[[str], Iterable[Finding]]:
        class TlsMariaDb(MariaDb):
            def _options(self) -> list[str]:
                return [
                    *super()._options(),
                    f"--ssl-cert={folder}/server.pem",
                    f"--ssl-key={folder}/server.key",
                ]

        server = fresh_of(self, TlsMariaDb)
        config = Sql(address=server.address, password_file=secret_file(self, server.password))
        return lambda ca_file: mysql.mysql(replace(config, ca_file=ca_file), WORLD, roles=1)

    def _nats(self, folder: Path) -> Callable[[str], Iterable[Finding]]:
        class TlsNats(OpenNats):
            def _config(self) -> str:
                tls = f'tls {{ cert_file: "{folder}/server.pem", key_file: "{folder}/server.key" }}'
                return f"{super()._config()}\n{tls}\n"

            def _answers(self) -> bool:
                # It would have to speak TLS; the log says when it listens.
                return "Server is ready" in (self.folder / "nats.log").read_text()

        server = fresh_of(self, TlsNats)
        password = secret_file(self, server.password)
        config = Nats(servers=[f"nats://{server.address}"], user=server.user, password_file=password)
        return lambda ca_file: nats.nats("im-core", replace(config, ca_file=ca_file), WORLD)


class Strangers(TestCase):
    """Something else sits on the port of an engine."""

    timeout = 120

    def test_no_engine(self) -> Any:
        """What answers nonsense, endlessly or not at all is told as not reached, and nothing breaks."""
        return deferToThread(self._scene)

    def _scene(self) -> None:
        nonsense = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$100000000\r\n" + b"x" * 4_000_000, b""]
        endless = b'INFO {"version": "2.15.0", "auth_required": true, "max_payload": 2000000}\r\n'
        for said in [*nonsense, endless + b"MSG a 1 1\r\nx\r\n" * 50_000]:
            address = self._saying(said)
            for found, check in (
                (redis.redis(Redis(address=address), WORLD), "redis.reached"),
                (nats.nats("im-core", Nats(servers=[f"nats://{address}"]), WORLD), "nats.reached"),
                (mysql.mysql(Sql(address=address), WORLD, roles=1), "mysql.reached"),
            ):
                self.assertEqual(bad(found), {check: Level.FAIL}, said[:30])
        # Its driver asks again and again, until its time is over.
        found = mongo.mongo(Mongo(hosts=[self._saying(nonsense[0])]), WORLD)
        self.assertEqual(bad(found), {"mongo.reached": Level.FAIL})

    def _saying(self, said: bytes) -> str:
        """Where whoever connects is told this, and hung up on."""
        listening = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listening.close)

        def serve() -> None:
            # No name that trial looks for in a module, such as suppress.
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with contextlib.suppress(OSError), connection:
                        connection.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        return f"127.0.0.1:{listening.getsockname()[1]}"


class MonitoredNats(OpenNats):
    """With a monitoring port."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.monitor_port = self._port("monitor")

    def _config(self) -> str:
        return super()._config() + f'http: "{self.host}:{self.monitor_port}"\n'
