"""What servers say, judged: faults that a test cannot plant in a real one, or not quickly."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from imd.bus.nats_streams import DEAD_LETTERS, STREAMS
from imd.core.message.mongo_indexes import MESSAGE_INDEXES
from imd.ctl.doctor import clocks, mongo, mysql, nats, nats_jetstream, redis
from imd.ctl.doctor.clocks import Instant, Reading
from imd.ctl.doctor.finding import Finding, Level
from imd.ctl.doctor.mongo import Member

GOOD_INFO = {
    "redis_version": "8.2.2", "maxmemory": "1000", "maxmemory_policy": "noeviction", "role": "master",
    "rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok", "loading": "0",
}  # fmt: skip
GOOD_SQL = {
    "version": "8.0.36", "innodb_flush_log_at_trx_commit": "1", "read_only": "0", "log_bin": "1", "sync_binlog": "1",
    "sql_mode": "STRICT_TRANS_TABLES", "max_connections": "151", "isolation": "REPEATABLE-READ",
}  # fmt: skip
GOOD_NATS = {"version": "2.14.0", "auth_required": True, "max_payload": 1_064_960, "jetstream": True}


def bad(findings: Iterable[Finding]) -> dict[str, Level]:
    return {each.check: each.level for each in findings if each.level > Level.NOTE}


class Redis(SynchronousTestCase):
    """INFO."""

    def test_faults(self) -> None:
        """Each alone, and nothing where all is well."""
        self.assertEqual(bad(redis.told("r", GOOD_INFO)), {})
        for change, check in (
            ({"redis_version": "5.0.7"}, "redis.version"),
            ({"maxmemory_policy": "allkeys-lru"}, "redis.eviction"),
            ({"rdb_last_bgsave_status": "err"}, "redis.persistence"),
            ({"role": "slave"}, "redis.role"),
        ):
            self.assertEqual(bad(redis.told("r", GOOD_INFO | change)), {check: Level.FAIL})

    def test_open(self) -> None:
        """Without a password on this machine is a warning, beyond it a failure."""
        self.assertEqual(redis.guarded("r", "PONG", local=True).level, Level.WARN)
        self.assertEqual(redis.guarded("r", "PONG", local=False).level, Level.FAIL)
        self.assertEqual(redis.guarded("r", "NOAUTH Authentication required.", local=False).level, Level.OK)

    def test_slow(self) -> None:
        """Answers take a good part of the time-out."""
        self.assertEqual(redis.speed("r", [30.0] * 5, 50.0).level, Level.WARN)
        self.assertEqual(redis.speed("r", [1.0, 1.0, 40.0], 50.0).level, Level.OK)


class MySql(SynchronousTestCase):
    """Variables, grants, schema."""

    def test_faults(self) -> None:
        """Each alone."""
        self.assertEqual(bad(mysql.settings("m", GOOD_SQL)), {})
        for change, check, level in (
            ({"version": "5.7.44-log"}, "mysql.version", Level.FAIL),
            ({"version": "5.5.5-10.3.39-MariaDB"}, "mysql.version", Level.FAIL),
            ({"innodb_flush_log_at_trx_commit": "2"}, "mysql.durable", Level.FAIL),
            ({"sync_binlog": "0"}, "mysql.durable", Level.WARN),
            ({"read_only": "1"}, "mysql.writable", Level.FAIL),
        ):
            self.assertEqual(bad(mysql.settings("m", GOOD_SQL | change)), {check: level})
        self.assertEqual(bad(mysql.settings("m", GOOD_SQL | {"version": "5.5.5-10.11.6-MariaDB"})), {})

    def test_rights(self) -> None:
        """A user who may do everything on the server; everything in its own databases is what it needs."""
        own = ["GRANT USAGE ON *.* TO `imd`@`%`", "GRANT ALL PRIVILEGES ON `imd`.* TO `imd`@`%`"]
        self.assertEqual(mysql.rights("m", own).level, Level.OK)
        root = ["GRANT ALL PRIVILEGES ON *.* TO `root`@`%` WITH GRANT OPTION"]
        self.assertEqual(mysql.rights("m", root).level, Level.WARN)

    def test_connections(self) -> None:
        """Fewer than the nodes take."""
        self.assertEqual(mysql.connections("m", 20, 16).level, Level.WARN)
        self.assertEqual(mysql.connections("m", 151, 16).level, Level.OK)


class Mongo(SynchronousTestCase):
    """hello, and indexes."""

    def member(self, number: int, *, primary: bool = False, late_s: float = 0, **more: Any) -> Member:
        hello = {
            "setName": "imd", "hosts": ["m1:1", "m2:1", "m3:1"], "isWritablePrimary": primary,
            "lastWrite": {"lastWriteDate": datetime.now(UTC) - timedelta(seconds=late_s)},
        }  # fmt: skip
        return Member(f"m{number}:1", hello | more, (8, 0, 17))

    def test_set(self) -> None:
        """Three members, one primary; each fault alone."""
        good = [self.member(1, primary=True), self.member(2), self.member(3)]
        self.assertEqual(bad(mongo.of_set("m", "imd", good)), {})
        gone = [*good[:2], Member("m3:1", {}, error="refused")]
        self.assertEqual(bad(mongo.of_set("m", "imd", gone)), {"mongo.members": Level.WARN})
        late = [*good[:2], self.member(3, late_s=60)]
        self.assertEqual(bad(mongo.of_set("m", "imd", late)), {"mongo.lag": Level.WARN})
        nobody = [self.member(number) for number in (1, 2, 3)]
        self.assertEqual(bad(mongo.of_set("m", "imd", nobody)), {"mongo.replica_set": Level.FAIL})
        self.assertEqual(bad(mongo.of_set("m", "other", good)), {"mongo.replica_set": Level.FAIL})
        two = [each._replace(hello={**each.hello, "hosts": ["m1:1", "m2:1"]}) for each in good[:2]]
        self.assertEqual(bad(mongo.of_set("m", "imd", two)), {"mongo.members": Level.WARN})

    def test_member(self) -> None:
        """Open to strangers; zlib in a release that leaks by it; too old."""
        local, far = (
            Member("127.0.0.1:1", {"ok": 1}, (8, 0, 17), local=True),
            Member("db:1", {"ok": 1}, (8, 0, 17)),
        )
        self.assertEqual(bad(mongo.of_member(far)), {})
        self.assertEqual(bad(mongo.of_member(local._replace(is_open=True))), {"mongo.guarded": Level.WARN})
        self.assertEqual(bad(mongo.of_member(far._replace(is_open=True))), {"mongo.guarded": Level.FAIL})
        zlib = far._replace(hello={"ok": 1, "compression": ["zlib"]})
        self.assertEqual(bad(mongo.of_member(zlib)), {})
        self.assertEqual(bad(mongo.of_member(zlib._replace(version=(6, 0, 5)))), {"mongo.zlib": Level.FAIL})
        self.assertEqual(
            bad(mongo.of_member(far._replace(version=(4, 4, 30)))), {"mongo.version": Level.FAIL}
        )

    def test_indexes(self) -> None:
        """A unique index that is missing, or guards a part only; one that is only for speed."""
        wanted = {"message_0": MESSAGE_INDEXES}
        there = [{"key": dict(index.key), "unique": index.unique} for index in MESSAGE_INDEXES]
        self.assertEqual(bad(mongo.indexes("m", wanted, {"message_0": there})), {})
        for index, level in ((0, Level.FAIL), (1, Level.FAIL), (2, Level.WARN)):
            rest = [each for number, each in enumerate(there) if number != index]
            self.assertEqual(bad(mongo.indexes("m", wanted, {"message_0": rest})), {"mongo.indexes": level})
        partial = [there[0] | {"sparse": True}, *there[1:]]
        self.assertEqual(
            bad(mongo.indexes("m", wanted, {"message_0": partial})), {"mongo.indexes": Level.FAIL}
        )

    def test_collections(self) -> None:
        """Messages in a collection that is not used any more."""
        names = {"message_0", "message_1", "message_archive_202601", "cursors"}
        self.assertEqual(mongo.collections("m", 2, names).level, Level.OK)
        self.assertEqual(mongo.collections("m", 1, names).level, Level.FAIL)


class NatsInfo(SynchronousTestCase):
    """INFO, and /varz."""

    def test_faults(self) -> None:
        """Each alone."""
        self.assertEqual(bad(nats.told("n", GOOD_NATS, local=False)), {})
        for change, check in (
            ({"version": "2.9.10"}, "nats.version"),
            ({"auth_required": False}, "nats.guarded"),
            ({"max_payload": 1_048_576}, "nats.max_payload"),
        ):
            self.assertEqual(bad(nats.told("n", GOOD_NATS | change, local=False)), {check: Level.FAIL})
        self.assertEqual(
            bad(nats.told("n", GOOD_NATS | {"auth_required": False}, local=True)),
            {"nats.guarded": Level.WARN},
        )

    def test_sync(self) -> None:
        """Only always is good enough."""
        self.assertEqual(nats.sync_interval("n", {"sync_always": True}).level, Level.OK)
        for config in ({}, {"sync_interval": 120_000_000_000}):
            self.assertEqual(nats.sync_interval("n", config).level, Level.WARN)


class JetStream(SynchronousTestCase):
    """Streams and consumers."""

    def infos(self, **changes: dict[str, Any]) -> dict[str, Any]:
        """As they should be, with changes to the config of some, by name."""
        infos: dict[str, Any] = {
            stream.name: {"config": stream.config(3), "state": {"messages": 0}}
            for stream in (*STREAMS, DEAD_LETTERS)
        }
        for name, change in changes.items():
            infos[name.replace("_", "-")]["config"] |= change
        return infos

    def test_streams(self) -> None:
        """In memory, with too few copies, gone, with dead letters in them, with a server that is gone."""
        self.assertEqual(bad(nats_jetstream.streams("n", self.infos(), 3)), {})
        for change, level in (({"storage": "memory"}, Level.FAIL), ({"num_replicas": 1}, Level.WARN)):
            found = bad(nats_jetstream.streams("n", self.infos(im_critical=change), 3))
            self.assertEqual(found, {"nats.streams": level})
        gone = self.infos() | {"im-hooks": {"error": {"err_code": 10059}}}
        self.assertEqual(bad(nats_jetstream.streams("n", gone, 3)), {"nats.streams": Level.WARN})
        dead = self.infos()
        dead["im-dead"]["state"]["messages"] = 2
        self.assertEqual(bad(nats_jetstream.streams("n", dead, 3)), {"nats.dead_letters": Level.WARN})
        behind = self.infos()
        behind["im-critical"]["cluster"] = {"replicas": [{"name": "n2", "current": False}]}
        self.assertEqual(bad(nats_jetstream.streams("n", behind, 3)), {"nats.replicas": Level.WARN})
        new = {name: {"error": {"err_code": 10059}} for name in self.infos()}
        self.assertEqual(bad(nats_jetstream.streams("n", new, 3)), {})

    def test_replicas(self) -> None:
        """Too few copies for three servers, more than there are servers."""
        levels = [nats_jetstream.replicas("n", copies, servers=servers).level
                  for copies, servers in ((1, 1), (1, 3), (3, 3), (3, 1))]  # fmt: skip
        self.assertEqual(levels, [Level.OK, Level.WARN, Level.OK, Level.FAIL])

    def test_consumers(self) -> None:
        """One that gives up by itself; one that nobody reads."""
        good = {"max_deliver": -1, "ack_policy": "explicit", "max_ack_pending": 1}
        one = {"name": "a", "config": good, "num_pending": 0}
        self.assertEqual(bad(nats_jetstream.consumers("n", [one])), {})
        gives_up = one | {"config": good | {"max_deliver": 5}}
        self.assertEqual(bad(nats_jetstream.consumers("n", [gives_up])), {"nats.consumers": Level.WARN})
        unread = one | {"num_pending": 20_000}
        self.assertEqual(bad(nats_jetstream.consumers("n", [unread])), {"nats.backlog": Level.WARN})


class Clocks(SynchronousTestCase):
    """Of servers, and of this machine."""

    def test_skew(self) -> None:
        """What the way may have taken counts for the server."""
        for asked, answered, said, level in (
            (0, 10, 5, Level.OK),
            (0, 10, 3_005, Level.WARN),
            (0, 10, -60_000, Level.FAIL),
            (0, 8_000, 7_000, Level.OK),
        ):
            self.assertEqual(clocks.skew("s", Instant(asked, answered, said)).level, level, said)

    def test_own(self) -> None:
        """A step of the clock while it is watched."""
        begin = Reading(10_000, 1000, 1)
        self.assertEqual(clocks.steady(begin, Reading(11_001, 2000, 1)).level, Level.OK)
        self.assertEqual(clocks.steady(begin, Reading(71_000, 2000, 1)).level, Level.WARN)
        # Whoever reads them was interrupted for long in between.
        self.assertEqual(clocks.steady(begin, Reading(11_200, 2000, 300)).level, Level.OK)
        self.assertEqual(clocks.synchronised(5).level, Level.NOTE)
        self.assertEqual(clocks.synchronised(0).level, Level.OK)
        walls, ticks = iter([0, 1000]), iter([0.0, 0.0, 1.0, 1.0])
        found = clocks.own_clock(
            wall_clock=lambda: next(walls), seconds=lambda: next(ticks), wait=lambda seconds: None
        )
        self.assertEqual([each.check for each in found], ["clock.synchronised", "clock.steady"])
