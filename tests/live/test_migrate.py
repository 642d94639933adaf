"""`imctl migrate` as an operator runs it, from a data folder to real servers."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from pymongo import DESCENDING
from sqlalchemy import Table, delete, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet import reactor  # noqa: TID251 -- real servers, on real time
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from imd.admin.operators.sql import operators
from imd.admin.schema import create_tables
from imd.admin.settings.sql import versions
from imd.business.tables.base import SCHEMA as BUSINESS
from imd.business.tables.people import device_bans, users
from imd.config.engines import Mongo
from imd.core.message.model import CursorRow, NewMessage
from imd.core.message.mongo import MongoMessageLog
from imd.core.message.mongo_cursors import MongoCursors
from imd.core.message.mongo_documents import collection_of, partition_among
from imd.core.message.mongo_epoch import ABOUT, EPOCH_ID, MOVING_IN, MongoEpoch
from imd.core.presence.redis import RedisLastSeen
from imd.ctl.exits import CHECK_FAILED, OK, SOURCE, TARGET, USAGE
from imd.ctl.migrate.record import COPYING
from imd.kernel.clocks import system_wall_clock
from imd.kernel.errors import StartupError
from imd.storage.sqlite import FolderLock
from tests.ctl.folder import EPOCH, TOKEN_KEY, DataFolder, at_once, message
from tests.live.migration import Target
from tests.live.mongo import database_of
from tests.live.redis_stage import store_on

T = TypeVar("T")

CONVERSATIONS = [f"p_{number:02}" for number in range(20)] + ["g_1"]
LENGTH = 150
COLLECTIONS = Mongo().message_collections
PEOPLE = 300
RECALLED = 7


def filled(path: Path) -> DataFolder:
    """Some thousand messages with recalls, people in groups, cursors and when people were seen."""
    data = DataFolder(path)
    now_ms = system_wall_clock()
    rows: list[NewMessage] = [
        message(
            conversation_id,
            seq,
            sender_id=seq % 3,
            time_ms=now_ms - 60_000,
            revokes_seq=RECALLED if seq == RECALLED + 3 else 0,
        )
        for seq in range(1, LENGTH + 1)
        for conversation_id in CONVERSATIONS
    ]
    cursors = [
        CursorRow(conversation_id, user_id, 20 + user_id, 10)
        for conversation_id in CONVERSATIONS
        for user_id in range(1, 6)
    ]
    data.write_messages(rows, cursors)
    data.write_people(PEOPLE)
    data.write_last_seen({1: now_ms - 5, 2: now_ms - 7})
    return data


class Moving(SynchronousTestCase):
    """A folder with a little of everything, and two empty databases."""

    def setUp(self) -> None:
        self.target = Target(self)
        self.data = filled(Path(self.mktemp()))

    def moves(self, *options: str) -> str:
        code, said = self.target.migrate(self.data.path, *options)
        self.assertEqual(code, OK, said)
        return said

    def refused(self, expected: int, *words: str, options: tuple[str, ...] = ()) -> None:
        code, said = self.target.migrate(self.data.path, *options)
        self.assertEqual(code, expected, said)
        for word in words:
            self.assertIn(word, said)
        self.assertNotIn("Traceback", said)

    def hot(self, conversation_id: str) -> Any:
        return self.target.mongo[collection_of(partition_among(conversation_id, COLLECTIONS))]

    def test_moved(self) -> None:
        """All arrives and is checked; plain lines say how far it is; the token secret goes along."""
        said = self.moves()
        total = f"{len(CONVERSATIONS) * LENGTH:,}"
        self.assertIn(f"messages: {total} of {total} (100%)", said)
        self.assertIn(f"sequences: {len(CONVERSATIONS)} conversations", said)
        self.assertIn("the same on both sides", said)
        self.assertNotIn("\x1b", said)
        self.assertEqual(self.target.token_key.read_text(), TOKEN_KEY)
        self.assertIn("only checking", self.moves())
        self.assertIn("the same on both sides", self.moves("--check-only"))

    def test_killed(self) -> None:
        """Killed with -9 among people, settings, messages and cursors, it ends as if it never was."""
        self.data.write_settings(versions=60, operators=["ops"])
        self.target.configure_admin()
        self.kill_when(lambda: self.rows_of(users) > 0)
        self.kill_when(lambda: self.rows_of(versions) > 0)
        self.kill_when(lambda: self.copied_rows() > len(CONVERSATIONS) * LENGTH // 2)
        self.kill_when(lambda: self.target.mongo["cursors"].find_one() is not None)
        self.assertEqual(self.epoch(), MOVING_IN)
        self.refused(CHECK_FAILED, "NOT THE SAME", options=("--check-only",))
        self.assertIn("the same on both sides", self.moves())
        self.assertEqual(self.epoch(), EPOCH)

    def kill_when(self, reached: Callable[[], bool]) -> None:
        running = self.target.start(self.data.path, small_batches=True)
        deadline_s = time.monotonic() + 60
        while not reached() and running.poll() is None and time.monotonic() < deadline_s:
            time.sleep(0.002)
        running.kill()
        said, _ = running.communicate()
        self.assertEqual(running.returncode, -9, f"it was over before: {said}")

    def epoch(self) -> str:
        return str((self.target.mongo[ABOUT].find_one({"_id": EPOCH_ID}) or {}).get("value"))

    def rows_of(self, table: Table) -> int:
        try:
            with self.target.sql.connect() as connection:
                return connection.execute(select(func.count()).select_from(table)).scalar_one()
        except SQLAlchemyError:
            return 0

    def copied_rows(self) -> int:
        return int((self.target.mongo["migration"].find_one() or {}).get("row", 0))

    def test_broken_copy(self) -> None:
        """One message gone, one changed, one in the wrong place, one cursor and one name: the check names each."""
        self.moves()
        self.hot("p_01").delete_one({"c": "p_01", "s": 9})
        self.hot("p_02").update_one({"c": "p_02", "s": 5}, {"$set": {"b": b"forged"}})
        self.hot("p_03").update_one({"c": "p_03", "s": RECALLED}, {"$unset": {"r": 1}})
        stray = self.hot("p_04").find_one_and_delete({"c": "p_04"}, sort=[("s", DESCENDING)])
        assert stray is not None
        elsewhere = collection_of((partition_among("p_04", COLLECTIONS) + 1) % COLLECTIONS)
        self.target.mongo[elsewhere].insert_one(stray)
        self.target.mongo["cursors"].update_one({"c": "g_1", "u": 3}, {"$inc": {"r": 1}})
        self.target.mongo[ABOUT].update_one({"_id": EPOCH_ID}, {"$set": {"value": "another"}})
        with self.target.sql.begin() as connection:
            connection.execute(update(users).where(users.c.id == 42).values(display_name="Mallory"))
        code, said = self.target.migrate(self.data.path, "--check-only")
        self.assertEqual(code, CHECK_FAILED, said)
        for words in (
            "message p_01/9: is missing in the target",
            "sequence p_01/9: the target has 10 behind 8",
            "message p_02/5: differs in body",
            f"message p_03/{RECALLED}: differs in revoked",
            f"message p_04/{LENGTH}: differs in collection",
            "cursor g_1/3: differs in read_seq",
            "epoch epoch: differs in value",
            "users 42: differs in display_name",
            "NOT THE SAME: 8 differences",
        ):
            self.assertIn(words, said)

    def test_settings(self) -> None:
        """Settings and operators are moved with the rest, here into another database, and compared."""
        self.data.write_settings(versions=30, operators=["ops", "auditor"])
        database = self.target.another_database(self)
        self.target.configure_admin(database)
        said = self.moves()
        self.assertIn(f"settings and operators: in the database {database} on ", said)
        self.assertIn("settings and operators: 62 of 62 (100%)", said)
        for again in (self.moves(), self.moves("--check-only")):
            self.assertIn("admin_operators: 2 on both sides", again)

    def test_settings_wrong(self) -> None:
        """An operator who has got another role on the way is named."""
        self.data.write_settings(versions=1, operators=["ops"])
        self.target.configure_admin()
        self.moves()
        with self.target.sql.begin() as connection:
            connection.execute(update(operators).values(role="admin"))
        self.refused(CHECK_FAILED, "admin_operators 2: differs in role", options=("--check-only",))

    def test_settings_left_behind(self) -> None:
        """They are not left behind unasked; once they are, a check knows it."""
        self.data.write_settings(versions=30, operators=["ops", "auditor"])
        what = "settings (versions: 30) and operators (2)"
        self.refused(USAGE, what, "im-admin.toml", "--without-admin")
        self.assertNotIn("migration", self.target.mongo.list_collection_names())
        self.target.configure_admin()
        (self.target.etc / "im-admin.toml").write_text("[sql]\nport = 1\n")
        self.refused(USAGE, "im-admin.toml", "sql.port")
        self.moves("--without-admin")
        self.target.configure_admin()
        for options in ((), ("--check-only",)):
            self.assertIn(f"left behind: {what}", self.moves(*options))

    def test_settings_half(self) -> None:
        """Once a part of them may be there, nobody leaves the rest behind; a check says what it does not look at."""
        self.data.write_settings(versions=30, operators=["ops"])
        self.target.configure_admin()
        self.kill_when(lambda: self.rows_of(versions) > 0)
        self.refused(USAGE, "go on as it began", options=("--without-admin",))
        self.moves()
        self.assertIn("not looked at: settings", self.moves("--check-only", "--without-admin"))
        with self.target.sql.begin() as connection:
            connection.exec_driver_sql("DELETE FROM imctl_migration WHERE name = 'identity of settings'")
        self.refused(TARGET, "does not hold it", "[sql] in im-admin.toml")

    def test_servers_were_started(self) -> None:
        """After a finished move, a run compares with what servers have written since, and tells nobody to drop it."""
        self.moves()
        with self.target.sql.begin() as connection:
            row = {
                "device_id": "d",
                "address_key": "192.0.2.1",
                "failures": 1,
                "first_failure_at_ms": 1,
                "banned_until_ms": 0,
            }
            connection.execute(insert(device_bans).values(row))
        self.refused(CHECK_FAILED, "only checking", "device_bans d/192.0.2.1: is only in the target")

    def test_sql_is_gone(self) -> None:
        """MySQL dropped after the move, and MongoDB not: nobody is told that all is there."""
        self.moves()
        with self.target.sql.begin() as connection:
            for table in reversed(BUSINESS.sorted_tables):
                connection.execute(delete(table))
            connection.exec_driver_sql("DELETE FROM imctl_migration")
        self.refused(TARGET, "does not hold it", "[sql] in im-business.toml", "dropDatabase")

    def test_settings_occupied(self) -> None:
        """Where im-admin has settings already none are added to, and nothing is touched."""
        self.data.write_settings(versions=1, operators=[])
        self.target.configure_admin()
        create_tables(self.target.sql, place="target")
        with self.target.sql.begin() as connection:
            connection.execute(insert(versions).values(version=7, document="{}", comment="", changed_at_ms=0))
        self.refused(TARGET, "is not empty (admin_settings)")
        self.assertNotIn("migration", self.target.mongo.list_collection_names())

    def test_source_refused(self) -> None:
        """A folder whose server runs is not touched."""
        lock = FolderLock(folder=self.data.path)
        at_once(lock.start())
        self.addCleanup(lambda: at_once(lock.stop()))
        self.refused(SOURCE, "another imd process", "stop it")
        self.assertNotIn("migration", self.target.mongo.list_collection_names())

    def test_not_empty(self) -> None:
        """Databases that hold anything else are refused, and nothing is written to either of them."""
        self.target.mongo["message_3"].insert_one({"c": "p_x", "s": 1})
        self.refused(TARGET, "is not empty (message_3)", "dropDatabase")
        self.assertEqual(self.rows_of(users), 0)
        self.target.mongo["message_3"].drop()
        self.moves()
        with self.target.sql.begin() as connection:
            connection.exec_driver_sql("DELETE FROM imctl_migration")
        self.target.mongo["migration"].update_one({}, {"$set": {"state": COPYING}})
        self.refused(TARGET, "is not empty (", "users", "DROP and CREATE")

    def test_source_went_on(self) -> None:
        """When the server ran on the folder in between, what was copied is not added to."""
        self.moves()
        self.data.write_messages([message("p_new", 1, time_ms=system_wall_clock())])
        self.refused(TARGET, "whose server has run since")

    def test_old_messages(self) -> None:
        """Messages that im-core would delete for their age at once are not moved unasked."""
        old_ms = system_wall_clock() - 200 * 24 * 3600 * 1000
        self.data.write_messages([message("p_old", 1, time_ms=old_ms)])
        self.refused(USAGE, "1 messages are older than the 180 days", "archive_days", "more than 20")
        self.target.configure(archive_days=0)
        self.moves()

    def test_unreachable(self) -> None:
        """A server that does not let us in is named, with what to look at."""
        for name, words in (("sql", "check user and password"), ("mongo", "[mongo]"), ("redis", "[redis]")):
            self.target.configure()
            (self.target.etc / f"{name}.password").write_text("wrong")
            self.refused(TARGET, words)


class Reading(TestCase):
    """What im-core finds after the move."""

    timeout = 120

    async def test_read(self) -> None:
        """Its own stores read every message, key, cursor and time, and the epoch that clients know."""
        scene = SynchronousTestCase()
        self.addCleanup(scene.doCleanups)
        scene.mktemp = self.mktemp  # type: ignore[method-assign]
        target: Target = await deferToThread(Target, scene)
        data = await deferToThread(filled, Path(self.mktemp()))
        code, said = await deferToThread(target.migrate, data.path)
        self.assertEqual(code, OK, said)
        database = await self.stage(
            database_of(target.mongo_server, database=target.name, user="mover", password="secret")
        )
        log = await self.stage(MongoMessageLog(database=database, clock=reactor, collections=COLLECTIONS))
        page = await log.page("p_05", from_seq=1, limit=LENGTH, max_bytes=1 << 20, backward=False)
        self.assertEqual([each.seq for each in page.messages], list(range(1, LENGTH + 1)))
        self.assertEqual(page.messages[0].body, b"body 1 of p_05")
        self.assertEqual(page.messages[RECALLED - 1].body, b"recalled %d" % RECALLED)
        self.assertEqual(await log.last_seqs(["g_1", "p_none"]), {"g_1": LENGTH})
        known = await log.find("g_1", RECALLED % 3, [f"c{RECALLED}.{RECALLED % 3}"])
        (key,) = known.values()
        self.assertEqual(
            (key.seq, key.revoked, key.content_hash), (RECALLED, True, RECALLED.to_bytes(32, "big"))
        )
        cursors = await MongoCursors(database=database).of_user(3, ["g_1"])
        self.assertEqual(cursors, {"g_1": CursorRow("g_1", 3, 23, 10)})
        moved = await self.stage(MongoEpoch(database=database, random_hex=lambda _: "another"))
        self.assertEqual(moved.value(), EPOCH)
        redis = await self.stage(store_on(target.redis, database=7))
        seen = await RedisLastSeen(redis=redis).of_users([1, 2, 3])
        self.assertEqual(sorted(seen), [1, 2])
        target.mongo[ABOUT].update_one({"_id": EPOCH_ID}, {"$set": {"value": MOVING_IN}})
        half = MongoEpoch(database=database, random_hex=lambda _: "another")
        with self.assertRaisesRegex(StartupError, "imctl migrate"):
            await half.start()

    async def stage(self, stage: T) -> T:
        """Started, and stopped after the test."""
        some: Any = stage
        await self.ran(some.start())
        self.addCleanup(lambda: self.ran(some.stop()))
        return stage

    def ran(self, work: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(work)
