"""When somebody was seen last."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from imd.core.presence.last_seen import WRITE_INTERVAL_S
from imd.core.presence.model import PresenceState
from tests.core.presence.world import BO, CY, STRANGER, Store, Watch, World


class LastSeenTests(SynchronousTestCase):
    """What outlives the process."""

    def setUp(self) -> None:
        self.store = Store()
        self.world = World(self.store)
        self.presence = self.world.presence

    def ask(self, *user_ids: int) -> list[PresenceState]:
        return self.successResultOf(self.world.ask(Watch(), *user_ids))

    def test_from_before(self) -> None:
        """Who was not here since the start was last seen when the store says; others are not asked for."""
        self.store.seen[BO] = 777
        self.presence.session_online(CY, 10, "ios")
        self.presence.session_offline(CY, 10)
        states = self.ask(BO, CY, STRANGER)
        self.assertEqual([state.last_seen_ms for state in states], [777, 1_000_000, 0])
        self.assertEqual(self.store.asked, [[BO]])

    def test_gathered(self) -> None:
        """Many comings and goings are one write, a few seconds later."""
        for session_id in range(100):
            self.presence.session_online(BO + session_id % 3, session_id, "ios")
            self.presence.session_offline(BO + session_id % 3, session_id)
        self.assertEqual(self.store.writes, [])
        self.world.clock.advance(WRITE_INTERVAL_S)
        self.assertEqual(self.store.writes, [{BO: 1_000_000, BO + 1: 1_000_000, BO + 2: 1_000_000}])
        self.world.clock.advance(WRITE_INTERVAL_S)
        self.assertEqual(len(self.store.writes), 1)

    def test_full_disk(self) -> None:
        """What could not be written is tried again, and what is newer is not lost over it."""
        self.store.busy = True
        self.presence.session_online(BO, 10, "ios")
        self.presence.session_online(CY, 11, "ios")
        self.world.clock.advance(WRITE_INTERVAL_S)
        self.presence.session_offline(BO, 10)
        self.store.busy = False
        self.world.clock.advance(WRITE_INTERVAL_S)
        self.assertEqual(self.store.seen, {BO: 1_005_000, CY: 1_000_000})

    def test_newer_than_what_failed(self) -> None:
        """What was noted while a write was failing is newer than what the write held."""
        self.presence.session_online(BO, 10, "ios")
        gate: Deferred[None] = Deferred()
        self.store.gate = gate
        self.world.clock.advance(WRITE_INTERVAL_S)
        self.presence.session_offline(BO, 10)
        self.store.busy = True
        gate.callback(None)
        self.store.busy = False
        self.world.clock.advance(WRITE_INTERVAL_S)
        self.assertEqual(self.store.writes, [{BO: 1_005_000}])

    def test_stop(self) -> None:
        """A clean stop writes who is still here as seen now, after the write under way; no timer stays."""
        self.presence.session_online(BO, 10, "ios")
        gate: Deferred[None] = Deferred()
        self.store.gate = gate
        self.world.clock.advance(WRITE_INTERVAL_S)
        self.store.gate = None
        self.presence.session_online(CY, 11, "ios")
        stopped = Deferred.fromCoroutine(self.presence.stop())
        self.assertNoResult(stopped)
        gate.callback(None)
        self.successResultOf(stopped)
        self.assertEqual(self.store.seen, {BO: 1_005_000, CY: 1_005_000})
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_wall_clock_back(self) -> None:
        """Last seen does not go back when the wall clock does."""
        self.presence.session_online(BO, 10, "ios")
        self.patch(self.presence, "_wall_clock", lambda: 5)
        self.presence.session_offline(BO, 10)
        self.assertEqual(self.ask(BO), [PresenceState(BO, last_seen_ms=1_000_000)])
