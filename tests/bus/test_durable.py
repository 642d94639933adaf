"""The journal and its consumers, beyond what every durable bus promises."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from imd.bus.durable import MAX_UNRECORDED_EVENTS, RETRY_DELAY_S, DurableSubjects
from imd.bus.journal import KEEP_DAYS, Journal
from imd.bus.port import BusRefused
from imd.kernel.errors import ServerBusy, StartupError
from tests.contract.driving import drive

T = TypeVar("T")
DAY_MS = 24 * 3600 * 1000


class SlowThread:
    """A thread whose work is done when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        done: Deferred[T] = Deferred()

        def run() -> None:
            try:
                result = work()
            except Exception:
                done.errback()
            else:
                done.callback(result)

        self.asked.append(run)
        return done

    def step(self) -> None:
        self.asked.pop(0)()

    def run(self) -> None:
        while self.asked:
            self.step()


class DurableCase(SynchronousTestCase):
    """A journal file, and events that were seen."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.now_ms = 1_000 * DAY_MS
        self.path = Path(self.mktemp())
        self.seen: list[bytes] = []

    def journal(self, **options: Any) -> Journal:
        return Journal(self.path, wall_clock=lambda: self.now_ms, **options)

    def rows(self, query: str) -> list[Any]:
        """What another look at the file shows; the journal must be closed."""
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        return connection.execute(query).fetchall()

    async def see(self, _: str, payload: bytes) -> None:
        self.seen.append(payload)

    def run_(self, work: Any) -> Any:
        return drive(self.clock, work)


class JournalTests(DurableCase):
    """The file."""

    def test_second_process(self) -> None:
        """The file belongs to one process; a second one is told so at its start."""
        journal = self.journal()
        self.run_(journal.open())
        error = self.failureResultOf(Deferred.fromCoroutine(self.journal().open()), StartupError)
        self.assertIn("locked", str(error.value))
        self.run_(journal.close())

    def test_newer_release(self) -> None:
        """A file of a newer release is left alone."""
        connection = sqlite3.connect(self.path)
        connection.execute("pragma user_version = 99")
        connection.close()
        error = self.failureResultOf(Deferred.fromCoroutine(self.journal().open()), StartupError)
        self.assertIn("newer release", str(error.value))

    def test_damaged_file(self) -> None:
        """A file that is no database is a clear message, not a traceback."""
        self.path.write_bytes(b"not a database, " * 100)
        error = self.failureResultOf(Deferred.fromCoroutine(self.journal().open()), StartupError)
        self.assertIn("cannot be used", str(error.value))

    def test_closed(self) -> None:
        """A closed journal records nothing, and says so."""
        self.failureResultOf(Deferred.fromCoroutine(self.journal().append("a", b"")), ServerBusy)

    def test_full_disk(self) -> None:
        """When the disk is full nothing is recorded, the publisher learns it, and it works again later."""
        journal = self.journal()
        self.run_(journal.open())
        connection: Any = journal._connection
        # SQLite's own way to have a full disk.
        connection.execute("pragma max_page_count = 12")
        self.failureResultOf(Deferred.fromCoroutine(journal.append("a", bytes(100_000))), ServerBusy)
        connection.execute("pragma max_page_count = 100000")
        self.run_(journal.append("a", bytes(100_000)))
        self.assertEqual(len(self.run_(journal.read(0))), 1)
        self.run_(journal.close())

    def test_group_commit(self) -> None:
        """What is asked while a transaction is under way shares the next one, in order."""
        thread = SlowThread()
        journal = self.journal(threads=thread)
        opened = Deferred.fromCoroutine(journal.open())
        thread.run()
        self.successResultOf(opened)
        done = [Deferred.fromCoroutine(journal.append("a", b"%d" % n)) for n in range(10)]
        thread.step()
        self.assertEqual([d.called for d in done], [True] + [False] * 9)
        thread.step()
        self.assertEqual([d.called for d in done], [True] * 10)
        page = Deferred.fromCoroutine(journal.read(0))
        thread.run()
        self.assertEqual(
            [event.payload for event in self.successResultOf(page)], [b"%d" % n for n in range(10)]
        )

    def test_page(self) -> None:
        """A page of long events ends early, but never before its first event."""
        journal = self.journal()
        self.run_(journal.open())
        for _ in range(3):
            self.run_(journal.append("a", bytes(700_000)))
        self.assertEqual([event.id for event in self.run_(journal.read(0))], [1, 2])
        self.assertEqual([event.id for event in self.run_(journal.read(2))], [3])

    def test_what_all_have_handled_is_deleted(self) -> None:
        """An event goes when the last consumer of its subject is done with it, and not before."""
        journal = self.journal()
        self.run_(journal.open())
        self.run_(journal.register("one", "a"))
        self.run_(journal.register("two", "*"))
        self.run_(journal.register("elsewhere", "b"))
        self.run_(journal.append("a", b""))
        self.run_(journal.acknowledge("one", "a", 1, ["a"]))
        self.assertEqual(len(self.run_(journal.read(0))), 1)
        self.run_(journal.acknowledge("two", "*", 1, ["a"]))
        self.assertEqual(self.run_(journal.read(0)), [])

    def test_old_events(self) -> None:
        """What nobody has asked for is kept for seven days."""
        journal = self.journal()
        self.run_(journal.open())
        self.run_(journal.append("a", b"old"))
        self.now_ms += KEEP_DAYS * DAY_MS
        self.run_(journal.append("a", b"kept"))
        self.assertEqual([event.payload for event in self.run_(journal.read(0))], [b"old", b"kept"])
        self.now_ms += DAY_MS
        self.run_(journal.append("a", b"new"))
        self.assertEqual([event.payload for event in self.run_(journal.read(0))], [b"kept", b"new"])


class DurableSubjectsTests(DurableCase):
    """Publishers and consumers."""

    def test_published_when_recorded(self) -> None:
        """Publishing ends with the commit, not before; too many at once are refused."""
        thread = SlowThread()
        durable = DurableSubjects(clock=self.clock, journal=self.journal(threads=thread))
        started = Deferred.fromCoroutine(durable.start())
        thread.run()
        self.successResultOf(started)
        published = [Deferred.fromCoroutine(durable.publish("a", b"")) for _ in range(MAX_UNRECORDED_EVENTS)]
        self.failureResultOf(Deferred.fromCoroutine(durable.publish("a", b"")), BusRefused)
        self.assertNoResult(published[0])
        thread.run()
        self.successResultOf(published[-1])

    def test_many_events_are_acknowledged(self) -> None:
        """After a clean stop nothing that was handled is left in the file."""
        self.run_(self.many_events())
        self.assertEqual(len(self.seen), 250)
        self.assertEqual(self.rows("select count(*) from event"), [(0,)])
        self.assertEqual(self.rows("select acked_id, tries from consumer"), [(250, 0)])

    async def many_events(self) -> None:
        durable = DurableSubjects(clock=self.clock, journal=self.journal())
        await durable.start()
        durable.consume("a", "consumer", self.see)
        for number in range(250):
            await durable.publish("a", b"%d" % number)
        await durable.stop()

    def test_tries_survive_a_restart(self) -> None:
        """A poisoned event has five tries in all; then it lies aside, with its reason."""

        async def chokes(_: str, payload: bytes) -> None:
            self.seen.append(payload)
            raise ValueError("bitter")

        for expected in (1, 2, 3):
            durable = DurableSubjects(clock=self.clock, journal=self.journal())
            durable.consume("a", "consumer", chokes)
            self.run_(durable.start())
            if expected == 1:
                self.run_(durable.publish("a", b"poison"))
            self.assertEqual(len(self.seen), expected)
            self.run_(durable.stop())
        journal = self.journal()
        durable = DurableSubjects(clock=self.clock, journal=journal)
        durable.consume("a", "consumer", chokes)
        self.run_(durable.start())
        self.assertEqual(len(self.seen), 4)
        self.clock.advance(RETRY_DELAY_S)
        self.assertEqual(len(self.seen), 5)
        self.clock.advance(RETRY_DELAY_S)
        self.assertEqual(len(self.seen), 5)
        ((consumer, event, reason),) = self.run_(journal.dead_letters())
        self.assertEqual((consumer, event.payload, reason), ("consumer", b"poison", "ValueError: bitter"))
        self.run_(durable.stop())
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 5)

    def test_tries_are_of_one_event(self) -> None:
        """A try that failed and was made good does not count against the next event."""
        self.run_(self.one_failure())
        self.assertEqual(self.seen, [b"1", b"1"])
        self.assertEqual(self.rows("select acked_id, tries from consumer"), [(1, 0)])
        self.flushLoggedErrors(ValueError)

    async def one_failure(self) -> None:
        async def chokes_first(_: str, payload: bytes) -> None:
            self.seen.append(payload)
            if len(self.seen) == 1:
                raise ValueError("bitter")

        durable = DurableSubjects(clock=self.clock, journal=self.journal())
        await durable.start()
        durable.consume("a", "consumer", chokes_first)
        await durable.publish("a", b"1")
        self.clock.advance(RETRY_DELAY_S)
        await durable.stop()

    def test_stop_waits_for_the_handler(self) -> None:
        """Stop waits for the event that is being handled, and leaves the next for the next start."""
        gate: Deferred[None] = Deferred()

        async def slow(_: str, payload: bytes) -> None:
            await gate
            self.seen.append(payload)

        durable = DurableSubjects(clock=self.clock, journal=self.journal())
        durable.consume("a", "consumer", slow)
        self.run_(durable.start())
        self.run_(durable.publish("a", b"1"))
        self.run_(durable.publish("a", b"2"))
        stopped = Deferred.fromCoroutine(durable.stop())
        self.assertNoResult(stopped)
        gate.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.seen, [b"1"])
        self.assertEqual(self.rows("select payload from event"), [(b"2",)])

    def test_same_consumer_twice(self) -> None:
        """Two consumers of one name would steal each other's events: a mistake."""
        durable = DurableSubjects(clock=self.clock, journal=self.journal())
        durable.consume("a", "consumer", self.see)
        self.assertRaises(ValueError, durable.consume, "a", "consumer", self.see)
