"""Last seen on SQLite."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.sqlite import SqliteLastSeen, presence_database
from imd.kernel.errors import ServerBusy


class SqliteLastSeenTests(SynchronousTestCase):
    """The port's promises."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.open()

    def open(self) -> None:
        self.database = presence_database(folder=self.folder, threads=None)
        self.successResultOf(Deferred.fromCoroutine(self.database.start()))
        self.store = SqliteLastSeen(database=self.database)

    def close(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.database.stop()))

    def record(self, seen: dict[int, int]) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.store.record(seen)))

    def of_users(self, *user_ids: int) -> dict[int, int]:
        return dict(self.successResultOf(Deferred.fromCoroutine(self.store.of_users(user_ids))))

    def test_outlives_the_process(self) -> None:
        """What was recorded is there after a restart; who was never seen is left out."""
        self.record({1: 100, 2**62: 1_800_000_000_000})
        self.close()
        self.open()
        self.assertEqual(self.of_users(1, 2**62, 3), {1: 100, 2**62: 1_800_000_000_000})
        self.close()

    def test_never_goes_back(self) -> None:
        """An older time changes nothing, a newer one counts."""
        self.record({1: 100, 2: 100})
        self.record({1: 99, 2: 101})
        self.assertEqual(self.of_users(1, 2), {1: 100, 2: 101})
        self.close()

    def test_large_batch(self) -> None:
        """More users than SQLite has parameters are one batch like any other."""
        self.record({user_id: user_id for user_id in range(1, 40_001)})
        self.assertEqual(len(self.of_users(*range(1, 501))), 500)
        self.close()

    def test_closed(self) -> None:
        """A closed store says so."""
        self.close()
        self.failureResultOf(Deferred.fromCoroutine(self.store.record({1: 1})), ServerBusy)
        self.failureResultOf(Deferred.fromCoroutine(self.store.of_users([1])), ServerBusy)
